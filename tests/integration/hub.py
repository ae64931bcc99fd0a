"""GitHub as files, for a listener in a process of its own: what it reads is in `pulls.json`, what it writes is in
`told.jsonl`. `python hub.py FOLDER` is that listener: cx's own, with this in the place of the REST API."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cx.model.pulls import Pull, PullId, Report

REPOSITORY = "acme/shop"


@dataclass(frozen=True)
class Hub:
    folder: Path

    # --- what the tests do
    def set(self, number: int, **facts: Any) -> None:
        pulls = self._pulls()
        before = pulls.get(str(number), {"head_repository_id": 1, "open": True, "labels": []})
        pulls[str(number)] = before | facts
        fresh = self.folder / "pulls.new"
        fresh.write_text(json.dumps(pulls))
        fresh.replace(self.folder / "pulls.json")

    def told(self, number: int) -> list[dict[str, Any]]:
        """Every report on the pull request, oldest first."""
        file = self.folder / "told.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [one for one in map(json.loads, lines) if one["pull"]["number"] == number]

    # --- cx.follow.Forge
    def pull(self, pull: PullId) -> Pull | None:
        facts = self._pulls().get(str(pull.number))
        if facts is None:
            return None
        given = facts | {"labels": frozenset(facts["labels"])}
        return Pull(PullId(REPOSITORY, pull.number), repository_id=1, base="main", **given)

    def open_pulls(self, repository: str) -> Sequence[Pull]:
        found = [self.pull(PullId(REPOSITORY, int(number))) for number in self._pulls()]
        return [one for one in found if one and one.open]

    def changed_paths(self, pull: PullId) -> Sequence[str]:
        return ["app.py"]

    def may_write(self, repository: str, login: str) -> bool:
        return login == "owner"

    def fetch_url(self, repository: str) -> str:
        return "https://github.invalid/acme/shop.git"

    def credentials(self, repository: str) -> None:
        return None

    # --- cx.follow.Announcer
    def announce(self, report: Report) -> None:
        line = json.dumps(asdict(report)) + "\n"
        descriptor = os.open(self.folder / "told.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        os.write(descriptor, line.encode())
        os.close(descriptor)

    def react(self, repository: str, comment: int, reaction: str) -> None:
        pass

    def _pulls(self) -> dict[str, dict[str, Any]]:
        file = self.folder / "pulls.json"
        return json.loads(file.read_text()) if file.exists() else {}


def main() -> None:
    from cx import logs, wiring
    from cx.adapters.sqlite import Deliveries
    from cx.web.listener import Hands, listen, place
    from cx.wiring.pulls import open_following

    hub = Hub(Path(sys.argv[1]))
    with wiring.open_host() as host:
        given = host.settings.listen
        at = place(given.host, given.port, given.secrets, insecure=False)
        logs.start()
        with host.lock("following", "a test", wait_s=30), open_following(host, github=(hub, hub)) as following:
            listen(at, Deliveries(host.database), Hands(following, sorted(host.settings.github.rules)))


if __name__ == "__main__":
    main()

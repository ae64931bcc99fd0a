"""The listener as `cx git listen` runs it, with a GitHub that answers from a file: `listener.py STATE`.

What GitHub itself takes to answer is not cx's, and so not in the figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from cx import logs, wiring
from cx.adapters.sqlite import Deliveries
from cx.follow import Credentials
from cx.model.pulls import Pull, PullId, Report
from cx.web.listener import Hands, listen, place
from cx.wiring.pulls import open_following

REPOSITORY = "bench/app"


class Forge:
    """`file` holds what is open: number -> commit. All else is closed."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def open_pulls(self, repository: str) -> Sequence[Pull]:
        return [self._read(int(number), head) for number, head in json.loads(self.file.read_text()).items()]

    def pull(self, pull: PullId) -> Pull | None:
        head = json.loads(self.file.read_text()).get(str(pull.number))
        return self._read(pull.number, head or "0" * 40, is_open=bool(head))

    def _read(self, number: int, head: str, *, is_open: bool = True) -> Pull:
        return Pull(PullId(REPOSITORY, number), 1, 1, head, "main", is_open)

    def changed_paths(self, pull: PullId) -> Sequence[str]:
        return ()

    def may_write(self, repository: str, login: str) -> bool:
        return False

    def fetch_url(self, repository: str) -> str:
        raise NotImplementedError

    def credentials(self, repository: str) -> Credentials | None:
        return None


class Announcer:
    def announce(self, report: Report) -> None:
        """Nobody is told."""

    def react(self, repository: str, comment: int, reaction: str) -> None:
        """Nobody is told."""


def main() -> None:
    logs.start()
    with wiring.open_host() as host:
        given = host.settings.listen
        at = place(given.host, given.port, given.secrets, insecure=False)
        github = (Forge(Path(sys.argv[1])), Announcer())
        with host.lock("following", "bench"), open_following(host, github=github) as following:
            listen(at, Deliveries(host.database), Hands(following, [REPOSITORY]))


if __name__ == "__main__":
    main()

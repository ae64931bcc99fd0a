"""What GitHub did not allow when it was last asked: for monitoring, which names no repository."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

_AREA = re.compile(r"/repos/[^/]+/[^/?]+(?:/([a-z]+))?")
AREAS = {
    "": "repositories", "pulls": "pull requests", "issues": "comments", "deployments": "deployments",
    "statuses": "commit statuses", "commits": "commit statuses", "collaborators": "collaborators",
}  # fmt: skip


@dataclass
class Refusals:
    """By who asks and for what. Each goes with the next success of its kind; a refused login with any."""

    _of: dict[tuple[str, str], str] = field(default_factory=dict, init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def login(self, who: str, why: str) -> None:
        """`who`: whose login it is; "" when there is one for all."""
        with self._turn:
            self._of[who, ""] = why

    def identity(self, repository: str, why: str) -> None:
        """It is not known which repository has the name; until `familiar`."""
        with self._turn:
            self._of[repository, "identity"] = why

    def familiar(self, repository: str) -> None:
        with self._turn:
            self._of.pop((repository, "identity"), None)

    def request(self, repository: str, verb: str, url: str) -> None:
        """What cx does without, such as removing an environment, is no refusal."""
        if kind := _kind(verb, url):
            with self._turn:
                self._of[repository, kind] = f"GitHub does not allow to {kind}"

    def success(self, who: str, repository: str, verb: str, url: str) -> None:
        if self._of:
            with self._turn:
                self._of.pop((who, ""), None)
                self._of.pop((repository, _kind(verb, url)), None)

    def now(self) -> Sequence[str]:
        with self._turn:
            return sorted(set(self._of.values()))


def _kind(verb: str, url: str) -> str:
    """`write comments`; "" for what cx does without."""
    found = _AREA.match(url)
    area = AREAS.get(found[1] or "") if found else None
    if area is None or verb == "DELETE":
        return ""
    return f"{'read' if verb == 'GET' else 'write'} {area}"

"""One look at one pull request: read it as GitHub has it now, decide what it may have, write that down as
intent, bring the namespace there, and tell. Whatever woke it (a delivery, the timer, a command) is only a hint.

The ports below are what following needs of the world; the adapters fill them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cx.model.pulls import Pull, PullId, Report


@dataclass(frozen=True)
class Credentials:
    """For fetching a repository by HTTPS. Goes to git by askpass, nowhere else."""

    username: str
    password: str

    def __repr__(self) -> str:
        return "Credentials(...)"


class Forge(Protocol):
    """What is read of GitHub. All raise Retryable when it does not answer, Terminal when it refuses."""

    def pull(self, pull: PullId) -> Pull | None:
        """None when there is no such pull request (any more)."""

    def open_pulls(self, repository: str) -> Sequence[Pull]:
        """All of them, of every page, or an error: an incomplete list means nothing."""

    def changed_paths(self, pull: PullId) -> Sequence[str]: ...

    def may_write(self, repository: str, login: str) -> bool:
        """Asked of the API: what a payload says of its author is not proof."""

    def fetch_url(self, repository: str) -> str: ...

    def credentials(self, repository: str) -> Credentials | None: ...


class Announcer(Protocol):
    """What is written to GitHub. Level-triggered: `announce` makes GitHub show the report, however often it is
    called, and writes nothing when it shows it already. Raises Retryable (with `retry_after_s`, if GitHub said)
    or Terminal; a preview never fails by it."""

    def announce(self, report: Report) -> None: ...

    def react(self, repository: str, comment: int, reaction: str) -> None:
        """`reaction` as GitHub names it: eyes, rocket, confused, +1, -1."""

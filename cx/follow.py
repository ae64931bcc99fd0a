"""One look at one pull request: read it as GitHub has it now, decide what it may have, write that down as
intent, bring the namespace there, and tell. Whatever woke it (a delivery, the timer, a command) is only a hint.

The ports below are what following needs of the world; the adapters fill them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from cx.commands import Command
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


# --- what asks for a look


@dataclass(frozen=True)
class Ticket:
    """A pull request's turn. `generation` counts how often it was asked for; `delivery` asked last ("": no delivery
    did). `pull.number` 0 stands for the whole repository: compare it with GitHub."""

    pull: PullId
    generation: int
    delivery: str = ""


class Queue(Protocol):
    """Pull requests to look at: one place for each, kept on disk, in the order in which they were asked for.

    Number 0 of a repository asks for a comparison of all of it. One process works the queue at a time (the one that
    holds the lock `following`); any may ask.
    """

    def ask(self, pull: PullId, delivery: str = "", not_before: float = 0) -> None:
        """It has a place in the queue. One that waits keeps its place; one that is being looked at comes again after.
        `not_before` is in Unix seconds; of two that are asked for, the earlier holds."""

    def take(self, now: float) -> Ticket | None:
        """The first that is due and that nobody looks at; it is being looked at from now on."""

    def done(self, ticket: Ticket) -> None:
        """It leaves the queue, unless somebody has asked again since it was taken."""

    def again(self, ticket: Ticket, not_before: float) -> None:
        """It waits again, at its old place, until `not_before` or until somebody asks."""

    def asked_since(self, ticket: Ticket) -> bool:
        """Somebody has asked for it since it was taken: what is being done may be of no use any more."""

    def position(self, pull: PullId) -> int:
        """From 1 among those that wait and are due; 0 when it does not wait."""

    def waiting(self) -> list[PullId]:
        """All that wait, first those that are due."""

    def recover(self) -> int:
        """What a dead process was looking at waits again; how many. Only for who holds the lock `following`."""


class Commands(Protocol):
    """What people have told cx in comments, kept until it was answered."""

    def unanswered(self, pull: PullId) -> list[Command]:
        """Oldest first."""

    def answered(self, command: Command, outcome: str) -> None:
        """It is not asked for again. `outcome` is a word for the history: done, refused, failed."""

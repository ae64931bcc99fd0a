"""The status of each commit that a pull request had: one, which is what happened."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from cx import logs
from cx.core.errors import CxError, Terminal
from cx.markdown import plain
from cx.pulls.budget import Early, Urgency
from cx.pulls.rules import Verdict, Without
from cx.pulls.values import Phase, PullId, Report

DESCRIPTION_MAX = 140  # characters, GitHub's own limit
CLOSED = "The pull request was closed before it was ready"
SUPERSEDED = "Superseded by a newer commit before it was ready"
UNFOLLOWED = "The previews' host follows this repository no more"


class State(StrEnum):
    """As GitHub names them. In the order in which the first holds, where one commit is the head of several."""

    PENDING = "pending"
    ERROR = "error"
    FAILURE = "failure"
    SUCCESS = "success"


@dataclass(frozen=True)
class Status:
    """`url` is where the preview answers; "" where it does not. `final`: that is how it ended."""

    state: State
    description: str
    url: str = ""
    final: bool = True


class Announces(Protocol):
    def status(self, pull: PullId, sha: str, status: Status, urgency: Urgency) -> None: ...


@dataclass(frozen=True)
class Untold:
    """What the forge may not show yet of a commit; `pull` is one whose head it is or was."""

    pull: PullId
    sha: str
    status: Status


class Heads(Protocol):
    """Rows, on disk: one for each commit that is a pull request's head, and one for each that was, until the forge
    shows how that ended. All are safe to repeat."""

    def show(self, pull: PullId, sha: str, status: Status | None) -> None:
        """`sha` is the pull request's head, with this status; None: with none. What was its head before is
        superseded."""

    def of(self, pull: PullId, sha: str) -> Status | None:
        """The status of the pull request's head, if `sha` is that."""

    def end(self, pull: PullId, why: str) -> None:
        """The pull request has no head any more: it is closed. `why` is told of what had not ended."""

    def current(self, repository: str) -> Mapping[PullId, str]:
        """The heads that have a status, by pull request."""

    def untold(self, repository: str) -> Sequence[Untold]:
        """What the forge may not show yet: one of each commit, first those that have ended."""

    def told(self, repository: str, sha: str, status: Status) -> None:
        """The forge shows it. No effect where the commit has another status by now."""

    def leave(self, followed: Collection[str], why: str) -> Sequence[str]:
        """Pull requests of other repositories have no heads any more; the repositories of which something is
        untold."""


def of_report(report: Report) -> Status | None:
    """The status of the report's head; None: it says nothing of it."""
    match report.phase:
        case Phase.READY | Phase.SLEEPING:
            took = f" in {report.took_s:.0f} s" if report.took_s is not None and report.phase is Phase.READY else ""
            url = next((one.url for one in report.services if one.url), "")
            return _status(State.SUCCESS, f"{report.phase.value.capitalize()}{took}", url)
        case Phase.FAILED if report.again:
            return _status(State.ERROR, "The host of the previews failed; cx tries again", final=False)
        case Phase.FAILED:
            return _status(State.FAILURE, "Failed" + (f" at step {plain(report.step)}" if report.step else ""))
        case Phase.TAKEN:
            return _status(State.ERROR, f"{report.namespace} belongs to somebody else on the previews' host")
        case Phase.HELD:
            return _status(State.PENDING, "Waiting for approval: /cx approve", final=False)
        case Phase.REMOVED:
            return None
        case _:  # one for all: GitHub limits how much is written in a minute
            return _status(State.PENDING, "In progress", final=False)


def without_preview(verdict: Verdict, before: Status | None, *, not_needed: str) -> Status | None:
    """The status of an open pull request's head that gets no preview; `before` is the one that it had. `not_needed` as
    in the host configuration."""
    if before and before.final:
        return gone(before)
    match verdict.without:
        case Without.DELETED:
            return _status(State.ERROR, "Deleted by command; /cx deploy brings it back")
        case Without.RULES if not_needed == "success":
            return _status(State.SUCCESS, f"Not needed: {verdict.why}")
        case _:
            return ended(before, f"Ended: {verdict.why}") if before else None


def ended(status: Status, why: str) -> Status:
    """How it ended that nobody works on it any more: as it had, or `why` before it was ready."""
    return gone(status) if status.final else _status(State.ERROR, why)


def gone(status: Status) -> Status:
    """What was ready stays what it was, and its address is gone."""
    return _status(State.SUCCESS, "Was ready; its preview is removed") if status.url else status


def superseded(status: Status) -> Status:
    """It may go on to serve until the next one does."""
    return status if status.final else _status(State.ERROR, SUPERSEDED)


def combined(rows: Sequence[tuple[PullId, Status, bool]]) -> tuple[PullId, Status]:
    """What the forge shows of a commit, of which it shows one status: that of those whose head it is (the third of each
    row), if there are any; of several the one that State names first."""
    places = {state: place for place, state in enumerate(State)}
    pull, status, _ = min(rows, key=lambda row: (not row[2], places[row[1].state], not row[1].url, row[0]))
    return pull, status


def show(heads: Heads, report: Report) -> None:
    """What the report says of its commit is written down."""
    if status := of_report(report):
        heads.show(report.pull, report.head, status)


def show_without(heads: Heads, pull: PullId, head: str, verdict: Verdict, *, not_needed: str) -> None:
    """As `show`, of a pull request that gets no preview."""
    if verdict.without is Without.CLOSED:
        heads.end(pull, CLOSED)
    else:
        heads.show(pull, head, without_preview(verdict, heads.of(pull, head), not_needed=not_needed))


def tell(heads: Heads, announcer: Announces, repository: str) -> None:
    """The forge shows all of them. Raises Retryable where it took some of them not; Early."""
    failed: list[CxError] = []
    for one in heads.untold(repository):
        try:
            announcer.status(one.pull, one.sha, one.status, Urgency.FINAL if one.status.final else Urgency.PROGRESS)
        except Early:
            raise
        except Terminal as exc:  # it refuses them all: one is tried at each comparison
            logs.warning("no status", sha=one.sha, why=exc)
            break
        except CxError as exc:
            failed.append(exc)
        else:
            heads.told(repository, one.sha, one.status)
    if failed:
        raise failed[0]


def _status(state: State, description: str, url: str = "", *, final: bool = True) -> Status:
    return Status(state, description[:DESCRIPTION_MAX], url, final)

"""What cx reads of GitHub's payloads, typed and checked, and what it makes of them: pull requests to look at.

Only hints are taken: which pull request, and what a comment says. What is true of the pull request is read from GitHub
afterwards. Shapes: https://docs.github.com/webhooks/webhook-events-and-payloads
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta, Struct

from cx.pulls.commands import OLD_S, Command, commands_in, spoken
from cx.pulls.delivery import Delivery
from cx.pulls.repositories import Followed
from cx.pulls.values import PullId

PULL_ACTIONS = frozenset(
    {
        "opened", "reopened", "synchronize", "closed", "edited", "labeled", "unlabeled", "converted_to_draft",
        "ready_for_review",
    }
)  # fmt: skip

T = TypeVar("T")
Count = Annotated[int, Meta(ge=0, lt=2**53)]
Number = Annotated[int, Meta(ge=1, lt=2**31)]
Word = Annotated[str, Meta(min_length=1, max_length=100)]
FullName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]{1,100}/[A-Za-z0-9._-]{1,100}$(?!\n)")]


class Malformed(ValueError):
    """The body is not what GitHub sends for its event."""


@dataclass(frozen=True)
class Read:
    """A payload as far as it matters: what it asks for, or why nothing is done about it."""

    action: str = ""
    asks: tuple[PullId, ...] = ()
    commands: tuple[Command, ...] = ()
    ignored: str = ""


class Repository(Struct, frozen=True):
    full_name: FullName
    id: Count | None = None


class PushedRepository(Repository, frozen=True, kw_only=True):
    default_branch: Word


class PullRequest(Struct, frozen=True):
    action: Word
    number: Number
    repository: Repository


class User(Struct, frozen=True):
    login: Word


class Comment(Struct, frozen=True):
    id: Count
    body: str
    user: User | None
    created_at: datetime


class Issue(Struct, frozen=True):
    """`pull_request` is there if it is one."""

    number: Number
    pull_request: dict[str, msgspec.Raw] | None = None


class IssueComment(Struct, frozen=True):
    action: Word
    issue: Issue
    comment: Comment
    repository: Repository


class Push(Struct, frozen=True):
    ref: Annotated[str, Meta(min_length=1, max_length=1000)]
    repository: PushedRepository


class Installation(Struct, frozen=True):
    """`repositories` of `installation`, `repositories_added` and `_removed` of `installation_repositories`."""

    action: Word
    repositories: list[Repository] | None = None
    repositories_added: list[Repository] | None = None
    repositories_removed: list[Repository] | None = None


class Ping(Struct, frozen=True):
    zen: str = ""


def read(event: str, body: bytes, delivery: str, repositories: Followed, now: float) -> Delivery | str:
    """The delivery as it is stored, or in words why it is ignored. Raises Malformed. `now` is in Unix seconds."""
    if event not in EVENTS:
        return "an event that cx does not use"
    found = EVENTS[event](body, repositories, now)
    if found.ignored:
        return found.ignored
    commands = tuple(replace(one, delivery=delivery) for one in found.commands)
    return Delivery(delivery, event, found.action, found.asks, commands)


def _decoded(body: bytes, type_: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=type_)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as exc:
        raise Malformed(str(exc)) from exc


def _pull_request(body: bytes, repositories: Followed, now: float) -> Read:
    given = _decoded(body, PullRequest)
    if given.action not in PULL_ACTIONS:
        return Read(given.action, ignored="an action that changes nothing here")
    return _about(given.action, given.repository, given.number, repositories)


def _issue_comment(body: bytes, repositories: Followed, now: float) -> Read:
    """Comments that are edited later say nothing: an edit is not seen by those who are told of new ones."""
    given = _decoded(body, IssueComment)
    comment = given.comment
    if given.issue.pull_request is None:
        return Read(given.action, ignored="a comment on an issue")
    if given.action != "created" or comment.user is None:
        return Read(given.action, ignored="not a new comment of somebody's")
    if not spoken(comment.body):
        return Read(given.action, ignored="a comment without a command")
    try:
        said_at = comment.created_at.timestamp()
    except (OverflowError, ValueError) as exc:
        raise Malformed("created_at is out of range") from exc
    if now - said_at > OLD_S:
        return Read(given.action, ignored="a command in an old comment")
    found = _about(given.action, given.repository, given.issue.number, repositories)
    commands = tuple(
        one for pull in found.asks for one in commands_in(comment.body, pull, comment.id, comment.user.login, said_at)
    )
    return Read(found.action, found.asks, commands, found.ignored)


def _push(body: bytes, repositories: Followed, now: float) -> Read:
    """What is on the default branch may decide about every pull request: all of them are compared."""
    given = _decoded(body, Push)
    if given.ref != f"refs/heads/{given.repository.default_branch}":
        return Read(ignored="a push to another branch than the default one")
    return _about("", given.repository, 0, repositories)


def _installation(body: bytes, repositories: Followed, now: float) -> Read:
    """The App may see more or less now. Without a list, all repositories are meant."""
    given = _decoded(body, Installation)
    lists = (given.repositories, given.repositories_added, given.repositories_removed)
    named = {repositories.of(one.full_name, one.id) for some in lists for one in some or ()}
    meant = sorted(filter(None, named)) if any(one is not None for one in lists) else sorted(repositories.names)
    if not meant:
        return Read(given.action, ignored="none of its repositories is followed here")
    return Read(given.action, tuple(PullId(one, 0) for one in meant))


def _ping(body: bytes, repositories: Followed, now: float) -> Read:
    _decoded(body, Ping)
    return Read()


def _about(action: str, repository: Repository, number: int, repositories: Followed) -> Read:
    name = repositories.of(repository.full_name, repository.id)
    if name is None:
        return Read(action, ignored="a repository that is not followed here")
    return Read(action, (PullId(name, number),))


EVENTS: dict[str, Callable[[bytes, Followed, float], Read]] = {
    "ping": _ping,
    "pull_request": _pull_request,
    "issue_comment": _issue_comment,
    "push": _push,
    "installation": _installation,
    "installation_repositories": _installation,
}

"""What is read of GitHub (cx.pulls.Forge)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import quote

import msgspec
from msgspec import Meta, Struct

from cx.core.errors import NotFound
from cx.forges.github.answers import Unavailable
from cx.forges.github.connection import Connection, web_url
from cx.pulls import Comment, Credentials
from cx.pulls.values import Pull, PullId

FILES_MAX = 3000  # GitHub lists no more files of one pull request
T = TypeVar("T")
Sha = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")]


class _Repository(Struct, frozen=True):
    id: int
    default_branch: str = "main"


class _Head(Struct, frozen=True):
    sha: Sha
    repo: _Repository | None


class _Base(Struct, frozen=True):
    ref: str
    repo: _Repository


class _Label(Struct, frozen=True):
    name: str


class _Pull(Struct, frozen=True):
    number: int
    state: str
    head: _Head
    base: _Base
    labels: list[_Label]
    draft: bool | None = False


class _File(Struct, frozen=True):
    filename: str
    previous_filename: str | None = None


class _User(Struct, frozen=True):
    login: str


class _Comment(Struct, frozen=True):
    id: int
    issue_url: Annotated[str, Meta(pattern=r"/issues/[0-9]{1,9}$")]
    created_at: datetime
    updated_at: datetime
    body: str = ""
    user: _User | None = None


class _Permission(Struct, frozen=True):
    permission: str


@dataclass(frozen=True)
class GitHubForge:
    connection: Connection
    base_url: str

    def pull(self, pull: PullId) -> Pull | None:
        for _ in range(2):
            name = self.connection.repositories.current(pull.repository)
            try:
                answer = self.connection.get(pull.repository, f"/pulls/{pull.number}")
            except NotFound:
                # Also what a token gets that may not see the repository any more: then nothing is known.
                self.connection.about(pull.repository)
                if self.connection.repositories.current(pull.repository) == name:
                    return None
                continue
            found = _read(pull.repository, answer)
            if self.connection.is_same(pull.repository, found.repository_id):
                return found
        raise Unavailable(f"{pull} is now of one repository, now of another")

    def open_pulls(self, repository: str) -> Sequence[Pull]:
        self.connection.about(repository)  # a name can be another repository's by now
        found = self.connection.pages(repository, "/pulls", state="open", sort="created", direction="asc")
        return tuple({one.id: one for one in (_read(repository, answer) for answer in found)}.values())

    def comments(self, repository: str, since: float) -> Sequence[Comment]:
        moment = datetime.fromtimestamp(since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = self.connection.pages(repository, "/issues/comments", sort="updated", direction="asc", since=moment)
        found = [_typed(one, _Comment) for one in asked]
        return tuple(
            Comment(one.id, int(one.issue_url.rpartition("/")[2]), one.user.login, one.body, one.created_at.timestamp())
            for one in found
            if one.user and one.created_at == one.updated_at and one.created_at.timestamp() >= since - 1
        )

    def changed_paths(self, pull: PullId) -> Sequence[str]:
        """With the old names of what was renamed. "" is among them when GitHub does not list all."""
        found = [_typed(one, _File) for one in self.connection.pages(pull.repository, f"/pulls/{pull.number}/files")]
        paths = [path for one in found for path in (one.filename, one.previous_filename) if path]
        return [*paths, ""] if len(found) >= FILES_MAX else paths

    def may_write(self, repository: str, login: str) -> bool:
        try:
            answer = self.connection.get(repository, f"/collaborators/{quote(login, safe='')}/permission")
        except NotFound:
            return False  # nobody of that name
        return _typed(answer, _Permission).permission in ("admin", "write")

    def fetch_url(self, repository: str) -> str:
        return f"{web_url(self.base_url)}/{self.connection.repositories.current(repository)}.git"

    def credentials(self, repository: str) -> Credentials | None:
        return Credentials("x-access-token", self.connection.token(repository))

    def refused(self) -> Sequence[str]:
        return self.connection.refusals.now()


def _read(repository: str, answer: Any) -> Pull:
    given = _typed(answer, _Pull)
    return Pull(
        PullId(repository, given.number),
        given.base.repo.id,
        given.head.repo.id if given.head.repo else None,
        given.head.sha,
        given.base.ref,
        given.state == "open",
        bool(given.draft),
        frozenset(one.name for one in given.labels),
        given.base.repo.default_branch,
    )


def _typed(answer: Any, type_: type[T]) -> T:
    try:
        return msgspec.convert(answer, type_)
    except msgspec.ValidationError as exc:
        raise Unavailable(f"GitHub's answer is not what it documents: {exc}") from exc

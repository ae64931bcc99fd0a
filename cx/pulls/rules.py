"""What a pull request may have: pure, by its facts and the rules of the host's owner."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Protocol

from cx.pulls.values import Pull


class Rules(Protocol):
    """As cx.settings.github.Repository has them."""

    @property
    def labels(self) -> str: ...
    @property
    def drafts(self) -> bool: ...
    @property
    def branches(self) -> Sequence[str]: ...
    @property
    def ignore(self) -> Sequence[str]: ...
    @property
    def forks(self) -> str: ...


class May(StrEnum):
    HAVE = "have a preview"
    WAIT = "wait for approval"
    NOT = "have none"


class Without(StrEnum):
    """Why an open pull request has none: it is closed; people said so; its time is over; it is not to be merged yet; or
    the rules of the host's owner give it none."""

    CLOSED = "closed"
    DELETED = "deleted"
    EXPIRED = "expired"
    DRAFT = "draft"
    RULES = "rules"


@dataclass(frozen=True)
class Verdict:
    """`why` is one sentence for people, without names that the pull request chose. `without` is of one that may have
    none."""

    may: May
    why: str
    without: Without | None = None


GONE = Verdict(May.NOT, "the pull request is closed", Without.CLOSED)


@dataclass(frozen=True)
class Said:
    """What people have said of a pull request: the one commit of a fork that is approved, and whether its preview is
    to stay away until somebody asks for it. `expired` is the commit whose time is over."""

    approved: str = ""
    deleted: bool = False
    expired: str = ""


def judge(pull: Pull, rules: Rules, said: Said, changed_paths: Callable[[], Sequence[str]]) -> Verdict:
    """`changed_paths` is asked only where the answer depends on it."""
    if not pull.open:
        return GONE
    if said.deleted:
        return Verdict(May.NOT, "it was deleted by command; `/cx deploy` brings it back", Without.DELETED)
    if said.expired == pull.head:
        return Verdict(May.NOT, "its time is over; a push or `/cx deploy` brings it back", Without.EXPIRED)
    if pull.draft and not rules.drafts:
        return Verdict(May.NOT, "it is a draft", Without.DRAFT)
    if rules.branches and not any(matches(pattern, pull.base) for pattern in rules.branches):
        return Verdict(May.NOT, "it is for another branch than those with previews", Without.RULES)
    if rules.labels == "preview" and "preview" not in pull.labels:
        return Verdict(May.NOT, "it has no label `preview`", Without.RULES)
    if rules.labels == "no-preview" and "no-preview" in pull.labels:
        return Verdict(May.NOT, "it has the label `no-preview`", Without.RULES)
    if pull.fork and rules.forks != "approve":
        return Verdict(May.NOT, "it comes from a fork", Without.RULES)
    if rules.ignore and _ignored(changed_paths(), rules.ignore):
        return Verdict(May.NOT, "it changes only paths that need no preview", Without.RULES)
    if pull.fork and said.approved != pull.head:
        return Verdict(
            May.WAIT, "it comes from a fork; somebody who may write to this repository can say `/cx approve`"
        )
    return Verdict(May.HAVE, "it is approved" if pull.fork else "")


def _ignored(paths: Sequence[str], patterns: Sequence[str]) -> bool:
    """All of them are; a pull request that changes nothing is not ignored."""
    return bool(paths) and all(any(covers(pattern, path) for pattern in patterns) for path in paths)


def covers(pattern: str, path: str) -> bool:
    """`path` is one of those that `pattern` stands for, as `ignore` in the host's configuration says."""
    if pattern.endswith("/"):
        pattern += "**"
    if "/" not in pattern:
        return matches(pattern, path.rpartition("/")[2])
    return matches(pattern.removeprefix("/"), path)


def matches(pattern: str, text: str) -> bool:
    """`*` and `?` stand for what has no slash, `**` for anything; all else for itself."""
    return _compiled(pattern).fullmatch(text) is not None


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    words = {"**": ".*", "**/": "(?:.*/)?", "*": "[^/]*", "?": "[^/]"}
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    return re.compile("".join(words.get(part, re.escape(part)) for part in parts), re.DOTALL)

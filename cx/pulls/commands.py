"""What people tell cx in a comment: `/cx deploy` on a line of its own. Pure: who may say it is not known here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from cx.core.durations import LASTING, duration_ns
from cx.pulls.marker import marked
from cx.pulls.values import PullId

OLD_S = 7 * 86400  # a command in a comment that is older is not obeyed: GitHub redelivers for three days at most
BODY_MAX = 65_536  # characters of a comment, GitHub's own limit
SPOKEN_MAX = 5  # commands that one comment may hold; the others are not read
LONGEST_S = 90 * 86400
_COMMAND = re.compile(r" {0,3}/cx(?:[ \t]+(.*))?")
_ENDING = re.compile(r"\r\n|\n|\r")  # as Markdown has it: what else ends a line for Python is inside a quote here
_HIDDEN = re.compile(r"[^`]*<!--(?!.*-->)")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_SHA = re.compile(r"[0-9a-f]{40}")  # all of it: who makes two commits can make them begin alike


class Verb(StrEnum):
    DEPLOY = "deploy"
    DELETE = "delete"
    RESET_DB = "reset-db"
    SLEEP = "sleep"
    WAKE = "wake"
    EXTEND = "extend"
    LOGS = "logs"
    HELP = "help"
    APPROVE = "approve"
    UNKNOWN = "unknown"
    """Meant for cx and not understood: `problem` says why."""


@dataclass(frozen=True)
class Spoken:
    """One line for cx. `argument` is well-formed: a time such as `3d` (see `lasting_s`), a service's name, a commit's
    40 hex digits, or "". `problem` is text for the person who wrote it; "" unless the verb is UNKNOWN."""

    verb: Verb
    argument: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Command:
    """What `login` said on a pull request, in line `line` (from 0) of the commands of comment `comment_id`.

    `said_at` is when, by GitHub's clock, in Unix seconds. `delivery` is the delivery that brought it.
    """

    pull: PullId
    comment_id: int
    verb: Verb
    login: str
    argument: str = ""
    problem: str = ""
    said_at: float = 0.0
    line: int = 0
    delivery: str = ""

    @classmethod
    def by_hand(cls, pull: PullId, verb: Verb, now: float) -> Command:
        """What somebody on the host wants, who may do anything there. GitHub has no comment of this number."""
        return cls(pull, -int(now * 1_000_000), verb, "", said_at=now)

    @property
    def is_by_hand(self) -> bool:
        return self.comment_id < 0


USAGE = {
    Verb.DEPLOY: ("/cx deploy", "deploy the newest commit, also after `/cx delete`"),
    Verb.DELETE: ("/cx delete", "remove the preview until `/cx deploy`"),
    Verb.RESET_DB: ("/cx reset-db", "give it a fresh copy of the data"),
    Verb.SLEEP: ("/cx sleep", "stop it, and keep its data"),
    Verb.WAKE: ("/cx wake", "start it again"),
    Verb.EXTEND: ("/cx extend 3d", "let it live longer: hours `h`, days `d`, weeks `w`"),
    Verb.LOGS: ("/cx logs SERVICE", "the last lines of a service's log"),
    Verb.APPROVE: ("/cx approve SHA", "build this one commit of a fork"),
    Verb.HELP: ("/cx help", "this list"),
}


def spoken(body: str) -> tuple[Spoken, ...]:
    """What a comment's text tells cx, in order: lines that begin with `/cx`, outside of code blocks, quotes
    and what HTML hides. A comment of cx's own, whichever template it was written by, tells it nothing."""
    if marked(body)[0]:
        return ()
    return tuple(_understood(rest) for _, rest in zip(range(SPOKEN_MAX), _lines(body), strict=False))


def commands_in(
    body: str, pull: PullId, comment_id: int, login: str, said_at: float, delivery: str = ""
) -> tuple[Command, ...]:
    """What the comment `comment_id` of `login` on `pull` tells cx."""
    said = spoken(body[:BODY_MAX])
    return tuple(
        Command(pull, comment_id, one.verb, login, one.argument, one.problem, said_at, line, delivery)
        for line, one in enumerate(said)
    )


def lasting_s(argument: str) -> int:
    """`3d` in seconds; hours, days or weeks, 90 days at most. Raises ValueError with what is wrong."""
    try:
        seconds, rest = divmod(duration_ns(argument, units=LASTING), 10**9)
    except ValueError as exc:
        raise ValueError("should be a time such as 12h, 3d or 2w") from exc
    if rest or seconds % 3600:
        raise ValueError("should be whole hours")
    if seconds > LONGEST_S:
        raise ValueError("should be 90 days at most")
    return seconds


def _lines(body: str) -> Iterator[str]:
    fence, hidden = "", False
    for line in _ENDING.split(body):
        if hidden:
            hidden = "-->" not in line
        elif match := _FENCE.fullmatch(line):
            mark, rest = match[1], match[2]
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence) and not rest.strip():
                fence = ""
        elif not fence and (match := _COMMAND.fullmatch(line)):
            yield (match[1] or "").strip()
        elif not fence:
            hidden = _HIDDEN.match(line) is not None


def _understood(rest: str) -> Spoken:
    word, *arguments = rest.split() or ["help"]
    try:
        verb = Verb(word.lower())
    except ValueError:
        verb = Verb.UNKNOWN
    if verb is Verb.UNKNOWN:
        return Spoken(Verb.UNKNOWN, problem="there is no such command")
    usage = USAGE[verb][0]
    if len(arguments) > (1 if verb in (Verb.EXTEND, Verb.LOGS, Verb.APPROVE) else 0):
        return Spoken(Verb.UNKNOWN, problem=f"`{usage}` takes no more than that")
    argument = arguments[0] if arguments else ""
    match verb:
        case Verb.EXTEND:
            try:
                lasting_s(argument)
            except ValueError as exc:
                return Spoken(Verb.UNKNOWN, problem=f"`{usage}`: the time {exc}")
        case Verb.LOGS if not _SERVICE.fullmatch(argument):
            return Spoken(Verb.UNKNOWN, problem=f"`{usage}` needs the name of a service")
        case Verb.APPROVE:
            argument = argument.lower()
            if argument and not _SHA.fullmatch(argument):
                return Spoken(Verb.UNKNOWN, problem=f"`{usage}`: a commit has 40 hex digits")
    return Spoken(verb, argument)

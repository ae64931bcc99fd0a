"""What people told cx about a pull request, as far as they may, turned into what is to be done."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from cx.core.errors import Terminal
from cx.pulls.commands import USAGE, Command, Verb, lasting_s
from cx.pulls.ports import Forge, Known, Previews, origin_of
from cx.pulls.values import Pull

REACTIONS = {"done": "rocket", "refused": "-1", "failed": "confused"}
LOG_MAX = 6000  # characters of a log in a comment


@dataclass
class Heard:
    """`answers` has each command with its outcome as in Commands.answered, or "" where the deployment decides that.
    `again`: what failed before is tried once more; `reset`: with fresh data; `rest`: sleep or wake."""

    known: Known
    answers: list[tuple[Command, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    again: bool = False
    reset: bool = False
    rest: str = ""


def hear(
    said: Sequence[Command],
    pull: Pull,
    known: Known,
    forge: Forge,
    previews: Previews,
    hide: Callable[[str], str],
) -> Heard:
    """Every command in its order. Who may not write gets no answer but a reaction: else anybody could make cx write.

    Raises Retryable when GitHub does not say who may what.
    """
    heard = Heard(known)
    logins = sorted({one.login for one in said if not one.is_by_hand})
    may = {login: forge.may_write(pull.id.repository, login) for login in logins}
    for command in said:
        obeyed = command.is_by_hand or may[command.login]
        note, outcome = _hear(command, pull, heard, previews, hide) if obeyed else ("", "refused")
        heard.answers.append((command, outcome))
        if note:
            heard.notes.append(note)
    if heard.notes:
        heard.known = replace(heard.known, notes=tuple(heard.notes[-5:]))
    return heard


def _hear(
    command: Command, pull: Pull, heard: Heard, previews: Previews, hide: Callable[[str], str]
) -> tuple[str, str]:
    known = heard.known
    match command.verb:
        case Verb.UNKNOWN:
            return f"{command.problem}; `/cx help` lists what there is", "refused"
        case Verb.DEPLOY:
            heard.again = True
            heard.known = replace(known, deleted=False, expired="")
            return "", ""
        case Verb.DELETE:
            heard.known = replace(known, deleted=True)
            return "", ""
        case Verb.RESET_DB:
            heard.reset = heard.again = True
            return "", ""
        case Verb.SLEEP | Verb.WAKE:
            heard.rest = str(command.verb)
            return "", ""
        case Verb.EXTEND:
            try:
                return (
                    f"It lives until {previews.extend(known.namespace, lasting_s(command.argument), origin_of(pull))}.",
                    "done",
                )
            except Terminal as exc:
                return exc.what, "refused"
        case Verb.APPROVE:
            return _approve(command, pull, heard)
        case Verb.LOGS:
            try:
                lines = previews.log(known.namespace, command.argument, origin_of(pull))
            except Terminal as exc:
                return str(exc), "refused"
            return _quoted(f"The last lines of `{command.argument}`:", [hide(line) for line in lines]), "done"
        case Verb.HELP:
            return "\n".join(f"- `{usage}`: {what}" for usage, what in USAGE.values()), "done"


def _approve(command: Command, pull: Pull, heard: Heard) -> tuple[str, str]:
    """Exactly one commit, by its whole name: a shorter one could be another's too, and what is newest may be newer than
    what was looked at."""
    head = pull.head
    if not pull.fork:
        return "it comes from this repository: there is nothing to approve", "refused"
    if command.argument != head:
        return f"the newest commit is {head[:12]}; look at it, then say `/cx approve {head}`", "refused"
    heard.known = replace(heard.known, approved=head)
    heard.again = True
    return "", ""


def _quoted(title: str, lines: Sequence[str]) -> str:
    text = "\n".join(lines)[-LOG_MAX:].replace("```", "'''")
    return f"{title}\n```\n{text}\n```"


def reaction_of(outcome: str) -> str:
    return REACTIONS.get(outcome, "eyes")

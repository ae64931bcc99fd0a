"""The comparison with GitHub: what was missed is asked for. It concludes nothing from an incomplete list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cx import logs
from cx.follow.look import Follower
from cx.follow.ports import Known
from cx.judge import May, Rules, Said, judge
from cx.model.names import Namespace
from cx.model.pulls import Pull, PullId


class _AskGitHub(Exception):
    """The verdict depends on the paths that a pull request changes."""


@dataclass(frozen=True)
class Missed:
    pull: PullId
    why: str


def missed(follower: Follower, repository: str) -> Sequence[Missed]:
    """The pull requests of the repository that want a look. Raises CxError unless GitHub lists all."""
    rules = follower.rules(repository)
    if rules is None:
        return ()
    listed = {pull.id: pull for pull in follower.forge.open_pulls(repository)}
    known = {one.pull: one for one in follower.pulls.all_known(repository)}
    unwell = follower.previews.unwell(repository)
    found = []
    for pull_id in sorted({*listed, *known}):
        one = known.get(pull_id)
        why = _why(listed.get(pull_id), one, rules, unwell)
        if not why and one and not one.removed and follower.previews.over(one.namespace, one.head):
            why = "its time is over"
        if not why and follower.commands.unanswered(pull_id):
            why = "a command was not answered"
        if why:
            found.append(Missed(pull_id, why))
    logs.info("compared", repository=repository, open=len(listed), known=len(known), missed=len(found))
    return found


def _why(pull: Pull | None, known: Known | None, rules: Rules, unwell: set[Namespace]) -> str:
    if pull is None:
        return "it is closed"
    if known and known.unsaid:
        return "GitHub may not show it yet"
    said = Said(known.approved, known.deleted, known.expired) if known else Said()
    try:
        verdict = judge(pull, rules, said, _unknown_paths)
    except _AskGitHub:
        return "" if known and known.head == pull.head and known.namespace not in unwell else "its paths decide"
    if known is None:
        return "" if verdict.may is May.NOT else "it is new"
    if verdict.may is May.NOT:
        return "" if known.removed else verdict.why
    if verdict.may is May.WAIT:
        return "" if known.held == pull.head else "it waits for approval"
    if known.head != pull.head:
        return "it has a new commit"
    if known.removed:
        return "it is wanted again"
    if known.failure and known.failure.head == pull.head:
        return ""
    return "it is not as it should be" if known.namespace in unwell else ""


def _unknown_paths() -> Sequence[str]:
    raise _AskGitHub

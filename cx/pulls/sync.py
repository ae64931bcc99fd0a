"""The comparison with GitHub: what was missed is asked for. It concludes nothing from an incomplete list."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from cx import logs
from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.pulls.commands import OLD_S, Command, commands_in
from cx.pulls.look import Follower, RepositoryRules
from cx.pulls.ports import Known, origin_of
from cx.pulls.rules import May, Said, Without, judge
from cx.pulls.values import Pull, PullId

NO_STATUS = "its commit has no status"
UNSAID, UNWELL = "GitHub may not show it yet", "it is not as it should be"
OVERLAP_S = 900  # clocks differ, and what GitHub lists may be late; a command that is there already is not heard twice


class _AskGitHub(Exception):
    """The verdict depends on the paths that a pull request changes."""


@dataclass(frozen=True)
class Missed:
    pull: PullId
    why: str


def missed(follower: Follower, repository: str, *, hear: bool = True) -> Sequence[Missed]:
    """The pull requests of the repository that want a look. Raises CxError unless GitHub lists all.

    With `hear`, what people said in comments of which no delivery came is written down.
    """
    rules = follower.rules(repository)
    if rules is None:
        return ()
    listed = {pull.id: pull for pull in follower.forge.open_pulls(repository)}
    known = {one.pull: one for one in follower.pulls.all_known(repository)}
    heads = follower.heads.current(repository)
    if hear:
        _overhear(follower, repository, {*listed, *known})
        follower.tell_statuses(repository)
    unwell = follower.previews.unwell(repository)
    found = []
    for pull_id in sorted({*listed, *known, *heads}):
        one = known.get(pull_id)
        why = _why(listed.get(pull_id), one, rules, unwell, heads.get(pull_id, ""))
        why = why or (UNSAID if one and one.unsaid else "")
        if not why and one and not one.removed:
            why = _changed(follower, one, origin_of(listed[pull_id]))
        if not why and follower.commands.unanswered(pull_id):
            why = "a command was not answered"
        if why:
            found.append(Missed(pull_id, why))
    logs.info("compared", repository=repository, open=len(listed), known=len(known), missed=len(found))
    return found


def _changed(follower: Follower, known: Known, origin: Origin) -> str:
    """What the host says of an open pull request that has a preview, or would have one."""
    if follower.previews.taken(known.namespace, origin) is not known.taken:
        return "its name is free" if known.taken else "its name is taken"
    return "its time is over" if follower.previews.over(known.namespace, known.head, origin) else ""


def _overhear(follower: Follower, repository: str, pulls: Collection[PullId]) -> None:
    """Commands in comments since the last comparison. What was said before the first is no command to this host."""
    now = follower.clock()
    since = follower.commands.heard_until(repository)
    commands: list[Command] = []
    if since is not None:
        for one in follower.forge.comments(repository, max(since - OVERLAP_S, now - OLD_S)):
            if (pull := PullId(repository, one.number)) in pulls:
                commands += commands_in(one.body, pull, one.id, one.login, one.said_at)
    if new := follower.commands.overheard(repository, commands, now):
        logs.info("commands without a delivery", repository=repository, count=new)


def _why(pull: Pull | None, known: Known | None, rules: RepositoryRules, unwell: set[Namespace], head: str) -> str:
    """`head` is the commit that has a status of the pull request; "" when none does."""
    if pull is None:
        return UNSAID if known and known.removed else "it is closed"
    said = Said(known.approved, known.deleted, known.expired) if known else Said()
    try:
        verdict = judge(pull, rules, said, _unknown_paths)
    except _AskGitHub:
        if known is None:
            return "" if head == pull.head else "its paths decide"
        there = known.head == pull.head == head and not known.removed and known.namespace not in unwell
        return "" if there else "its paths decide"
    if verdict.may is May.NOT:
        if known and not known.removed:
            return verdict.why
        wants = (verdict.without is Without.RULES and rules.not_needed == "success") or (
            verdict.without is Without.DELETED
        )
        return NO_STATUS if head != pull.head and (wants or head) else ""
    if known is None:
        return "it is new"
    if verdict.may is May.WAIT:
        there = known.head == pull.head == head and (known.taken or known.held == pull.head)
        return "" if there else "it waits for approval"
    if known.head != pull.head:
        return "it has a new commit"
    if known.removed:
        return "it is wanted again"
    if head != pull.head:
        return NO_STATUS
    if known.taken or (known.failure and known.failure.head == pull.head):
        return ""
    return UNWELL if known.namespace in unwell else ""


def _unknown_paths() -> Sequence[str]:
    raise _AskGitHub

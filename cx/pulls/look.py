"""One look at one pull request. Level-triggered: it reads what GitHub says now, and may be repeated, cut off at any
point, or come too late, without harm."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from cx import logs
from cx.core.errors import CxError, Owned, Retryable
from cx.core.names import Namespace
from cx.pulls.obsolete import Obsolete
from cx.pulls.pauses import pause_s
from cx.pulls.ports import (
    Cancelled,
    Commands,
    Ended,
    Failure,
    Fetcher,
    Forge,
    ForgeFailed,
    Jobs,
    Known,
    Moved,
    Order,
    Previews,
    Pulls,
    Queue,
    Standing,
    Ticket,
    origin_of,
)
from cx.pulls.rules import GONE, May, Rules, Said, Verdict, judge
from cx.pulls.spoken import Heard, hear, reaction_of
from cx.pulls.statuses import Heads, show, show_without
from cx.pulls.telling import Telling
from cx.pulls.turns import DEFECT, DONE, LOST, Turn
from cx.pulls.values import Phase, Pull, PullId, Report


class RepositoryRules(Rules, Protocol):
    @property
    def environment(self) -> str: ...
    @property
    def not_needed(self) -> str: ...


PHASES = {"build": Phase.BUILDING, "clone": Phase.CLONING, "reset": Phase.CLONING}
STARTING = ("stateful", "release", "start", "trial", "healthy", "probe", "stay", "publish")


def phase_of(step: str) -> Phase | None:
    """What people are told while the step runs; None: nothing of it."""
    word = step.partition(" ")[0]
    return PHASES.get(word, Phase.STARTING if word in STARTING else None)


@dataclass
class Follower:
    """The ports, and three functions: `rules` of a repository (None: not followed), `name` of a pull request's
    namespace, `hide` takes the host's secrets out of a text."""

    forge: Forge
    telling: Telling
    queue: Queue
    commands: Commands
    pulls: Pulls
    heads: Heads
    previews: Previews
    fetcher: Fetcher
    jobs: Jobs
    rules: Callable[[str], RepositoryRules | None]
    name: Callable[[PullId], Namespace]
    hide: Callable[[str], str]
    clock: Callable[[], float] = time.time
    stopped: Callable[[], bool] = lambda: False

    # --- one look
    def look(self, ticket: Ticket, *, may_deploy: bool) -> Turn:
        """What GitHub says of the pull request is so, or will be tried again. Raises Retryable when GitHub, git or the
        host does not answer; Terminal when that will not change by itself."""
        rules = self.rules(ticket.pull.repository)
        if rules is None:
            logs.info("not followed", pull=ticket.pull)
            return DONE
        look = _Look(self, ticket, rules, may_deploy)
        try:
            return look.run()
        except CxError as exc:
            look.failed(exc)
            raise
        except Exception:
            look.failed(DEFECT)
            raise

    def tell_statuses(self, repository: str) -> None:
        """Statuses of commits that the forge may not show yet are on their way to it."""
        self.telling.statuses(repository, self.heads)

    def judge(self, pull: Pull, rules: Rules, known: Known) -> Verdict:
        said = Said(known.approved, known.deleted, known.expired)
        return judge(pull, rules, said, lambda: self.forge.changed_paths(pull.id))

    def order(self, pull: Pull, rules: RepositoryRules, namespace: Namespace, action: str) -> Order:
        return Order(
            namespace,
            action,
            origin=origin_of(pull),
            commit=pull.head,
            environment=rules.environment,
            values={} if pull.fork else self.previews.values(pull.id.repository),
        )


@dataclass
class _Look:
    of: Follower
    ticket: Ticket
    rules: RepositoryRules
    may_deploy: bool
    heard: Heard = field(init=False)
    step: str = field(default="", init=False)
    subject: tuple[Pull, Known] | None = field(default=None, init=False)  # what may be told of
    standing: Standing | None = field(default=None, init=False)
    told: bool = field(default=False, init=False)  # why it failed
    wanted: bool = field(default=False, init=False)  # a preview of the head: reports say how it is with that
    running: list[str] = field(default_factory=list, init=False)

    def run(self) -> Turn:
        of, pull_id = self.of, self.ticket.pull
        before = of.pulls.known(pull_id)
        pull = of.forge.pull(pull_id)
        known = before or Known(pull_id, of.name(pull_id))
        if pull is None:
            if before is None:
                for command in of.commands.unanswered(pull_id):
                    of.commands.answered(command, "refused")
                self._status_without(pull_id, "", GONE)
                return DONE
            pull = Pull(pull_id, 0, 0, known.head, "", open=False)
        said = of.commands.unanswered(pull_id)
        self.subject = (pull, known) if before or said else None
        self.heard = hear(said, pull, known, of.forge, of.previews, of.hide)
        known = self._with_head(self._with_end(self.heard.known, pull), pull)
        verdict = of.judge(pull, self.rules, known)
        logs.info("looked", verdict=verdict.may, why=verdict.why, head=pull.head, namespace=known.namespace)
        self.wanted = verdict.may is not May.NOT
        if not self.wanted:
            self._status_without(pull_id, pull.head, verdict)
            if before is None and not said:
                return DONE  # it never had one: not a word about it
        self.subject = pull, known
        of.pulls.keep(known)
        match verdict.may:
            case May.NOT:
                return self._remove(pull, known, verdict)
            case _ if self._is_taken(pull, known):
                return self._taken(pull, replace(known, taken=True, removed=False))
            case May.WAIT:
                return self._hold(pull, replace(known, taken=False), verdict)
            case May.HAVE:
                return self._have(pull, replace(known, removed=False, taken=False))

    def _with_head(self, known: Known, pull: Pull) -> Known:
        if known.head == pull.head:
            return known
        return replace(known, head=pull.head, notes=tuple(self.heard.notes))

    def _with_end(self, known: Known, pull: Pull) -> Known:
        """Its time is over, unless something new came: a push, or somebody who asked for it."""
        if not self.heard.again and self.of.previews.over(known.namespace, pull.head, origin_of(pull)):
            return replace(known, expired=pull.head)
        return known

    # --- none
    def _remove(self, pull: Pull, known: Known, verdict: Verdict) -> Turn:
        of, origin = self.of, origin_of(pull)
        if not known.removed or known.taken:
            try:
                of.previews.want_absent(known.namespace, origin)
            except Owned:
                of.fetcher.forget(pull.id)
                return self._taken(pull, replace(known, taken=True, removed=True), stays=pull.open)
            ended = of.jobs.run(Order(known.namespace, "delete", origin=origin), of.stopped, lambda event: None)
            if ended.outcome == "cancelled":
                return Turn(0, why="stopped")
            if ended.outcome in ("failed", "retry"):
                if of.previews.taken(known.namespace, origin, to_remove=True):
                    return LOST
                report = self._report(pull, known, Phase.FAILED, step=ended.step, message=ended.message)
                of.pulls.keep(replace(known, unsaid=True))
                of.telling.soon(replace(report, remedy="cx tries again"))
                self.told = True
                raise Retryable(f"{known.namespace}: not deleted: {ended.message}", log=ended.log)
            known = replace(known, removed=True, taken=False, failure=None)
            of.pulls.keep(known)
        of.fetcher.forget(pull.id)
        report = self._report(pull, known, Phase.REMOVED, message="" if not pull.open else verdict.why)
        stays = pull.open and (known.deleted or known.approved or known.expired)
        self._tell(known, report, known if stays else None)
        self._answer("done")
        return DONE

    # --- another origin owns the namespace: of what is there nothing is told, and nothing is touched
    def _is_taken(self, pull: Pull, known: Known) -> bool:
        return self.of.previews.taken(known.namespace, origin_of(pull))

    def _taken(self, pull: Pull, known: Known, *, stays: bool = True) -> Turn:
        self._tell(known, self._report(pull, known, Phase.TAKEN), known if stays else None)
        self._answer("failed")
        return DONE

    # --- a fork that nobody has approved: nothing of it is fetched
    def _hold(self, pull: Pull, known: Known, verdict: Verdict) -> Turn:
        report = self._report(pull, known, Phase.HELD, message=verdict.why)
        standing = self.of.previews.standing(self.of.order(pull, self.rules, known.namespace, "deploy"))
        self._tell(known, _with_standing(report, standing), replace(known, held=pull.head))
        self._answer("done")
        return DONE

    # --- a preview
    def _have(self, pull: Pull, known: Known) -> Turn:
        of = self.of
        order = of.order(pull, self.rules, known.namespace, "reset" if self.heard.reset else "deploy")
        standing = self.standing = of.previews.standing(order)
        if self.heard.rest:
            return self._rest(pull, known, order)
        if standing.ready and not self.heard.reset:
            return self._ready(pull, replace(known, failure=None), standing)
        failure = known.failure
        if failure and (failure.head, failure.basis) == (pull.head, standing.basis) and not self.heard.again:
            self._tell(known, self._failed(pull, known, failure, standing), known)
            self._answer("done")
            return DONE
        if not self.may_deploy:
            of.pulls.keep(known)
            report = _with_standing(self._report(pull, known, Phase.QUEUED), standing)
            self._status(report)
            return Turn(parked=report)
        return self._deploy(pull, known, order, standing)

    def _rest(self, pull: Pull, known: Known, order: Order) -> Turn:
        """What is there falls asleep or wakes. Another look sees to the rest, if the newest commit is not there."""
        of = self.of
        rest = Order(known.namespace, self.heard.rest, origin=order.origin)
        ended = of.jobs.run(rest, of.stopped, lambda event: None)
        if ended.outcome == "cancelled":
            return Turn(0, why="stopped")
        if ended.outcome in ("failed", "retry") and self._is_taken(pull, known):
            return LOST
        if ended.outcome == "retry":
            raise Retryable(f"{known.namespace}: {ended.message}", remedy=ended.remedy, log=ended.log)
        if ended.outcome == "failed":
            known = replace(known, notes=(*known.notes, of.hide(ended.message))[-5:])
        of.pulls.keep(known)
        self._answer("failed" if ended.outcome == "failed" else "done")
        standing = of.previews.standing(order)
        return self._ready(pull, known, standing) if standing.ready else Turn(0, why="it is not at its newest commit")

    def _deploy(self, pull: Pull, known: Known, order: Order, standing: Standing) -> Turn:
        of = self.of
        of.pulls.keep(replace(known, unsaid=True))
        began = of.clock()
        self._soon(_with_standing(self._report(pull, known, Phase.BUILDING), standing))
        obsolete = Obsolete(
            of.forge,
            of.queue,
            of.commands,
            self.ticket,
            pull,
            lambda now: of.judge(now, self.rules, known).may,
            of.stopped,
        )
        try:
            project, tree = of.fetcher.fetch(pull, obsolete, insist=self.ticket.tries > 0)
            logs.info("fetched", head=pull.head, duration_s=round(of.clock() - began, 3))
        except Cancelled as exc:
            logs.info("abandoned", head=pull.head, why=exc.what)
            return Turn(0, why=exc.what)
        except Moved as exc:  # its delivery is on the way; else GitHub means this commit, whatever git shows
            logs.info("abandoned", head=pull.head, why=exc.what)
            tries = self.ticket.tries + 1
            return Turn(pause_s(str(pull.id), tries), why=exc.what, tries=tries)
        except Retryable:
            raise
        except CxError as exc:
            ended = Ended("failed", "fetch", exc.what, exc.remedy, exc.log)
        else:
            self.heard.known = known
            order = replace(order, project=project, tree=tree)
            ended = of.jobs.run(order, obsolete, lambda event: self._progress(pull, standing, event))
        if ended.outcome == "cancelled":
            logs.info("abandoned", head=pull.head, why="something else is wanted by now")
            return Turn(0, why="something else is wanted by now")
        logs.info("deployed" if ended.outcome in ("ready", "unchanged") else "not deployed", head=pull.head,
                  outcome=ended.outcome, why=ended.message, duration_s=round(of.clock() - began, 3))  # fmt: skip
        standing = of.previews.standing(order)
        if ended.outcome in ("ready", "unchanged"):
            return self._ready(pull, replace(known, failure=None), standing)
        if self._is_taken(pull, known):
            return LOST
        failure = Failure(
            pull.head,
            standing.basis,
            ended.step,
            of.hide(ended.message),
            of.hide(ended.remedy),
            self._lines(ended.log),
            ended.release_s,
        )
        if ended.outcome == "retry":
            again = self._failed(pull, known, replace(failure, remedy="cx tries again"), standing)
            self._soon(replace(again, again=True))
            self.told = True
            raise Retryable(f"{known.namespace}: {ended.message}", remedy=ended.remedy, log=ended.log)
        known = replace(known, failure=failure)
        self._tell(known, self._failed(pull, known, failure, standing), known)
        self._answer("failed")
        return DONE

    def _progress(self, pull: Pull, standing: Standing, event: Mapping[str, Any]) -> None:
        """People see which step runs: of several side by side the newest."""
        step = str(event.get("step", ""))
        if event.get("event") == "step_began":
            self.running.append(step)
        elif event.get("event") == "step_ended" and step in self.running:
            self.running.remove(step)
        else:
            return
        phase = next(filter(None, map(phase_of, reversed(self.running))), None)
        if phase and phase != self.step:
            self.step = phase
            self.of.telling.soon(_with_standing(self._report(pull, self.heard.known, phase), standing))

    def _ready(self, pull: Pull, known: Known, standing: Standing) -> Turn:
        phase = Phase.SLEEPING if standing.asleep else Phase.READY
        report = _with_standing(self._report(pull, known, phase), standing)
        self._tell(known, replace(report, took_s=standing.took_s, release_s=standing.release_s), known)
        self._answer("done")
        return DONE

    def _failed(self, pull: Pull, known: Known, failure: Failure, standing: Standing) -> Report:
        report = self._report(pull, known, Phase.FAILED, step=failure.step, message=failure.message)
        told = replace(report, remedy=failure.remedy, log=failure.log, release_s=failure.release_s)
        return _with_standing(told, standing)

    # --- telling
    def failed(self, exc: CxError) -> None:
        """People see what the host could not do, and that it is tried again; not what the forge itself refused, which
        nobody could read there."""
        if self.subject is None or self.told or isinstance(exc, ForgeFailed | Moved | Owned):
            return
        pull, known = self.subject
        report = self._report(pull, known, Phase.FAILED, message=exc.what)
        report = replace(
            report, remedy=self.of.hide(exc.remedy) or "cx tries again", log=self._lines(exc.log), again=True
        )
        self._soon(_with_standing(report, self.standing) if self.standing else report)

    def _lines(self, log: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.of.hide(line) for line in log[-20:])

    def _report(self, pull: Pull, known: Known, phase: Phase, *, step: str = "", message: str = "") -> Report:
        return Report(
            pull.id, known.namespace.name, pull.head, phase, step=step, message=self.of.hide(message), notes=known.notes
        )

    def _tell(self, known: Known, report: Report, after: Known | None) -> None:
        """GitHub will show it, and then what is known is `after` (None: nothing more). Until then it is written down
        that GitHub may not show it: where this process ends before, the next comparison tells it again."""
        handed = replace(known, unsaid=True)
        self.of.pulls.keep(handed)
        self._status(report)
        then = replace(after, unsaid=False) if after else None
        self.of.telling.surely(report, lambda: self.of.pulls.settle(handed, then))

    # --- the commit's status: written down before the forge is told
    def _soon(self, report: Report) -> None:
        self._status(report)
        self.of.telling.soon(report)

    def _status(self, report: Report) -> None:
        if self.wanted:
            show(self.of.heads, report)
            self.of.tell_statuses(report.pull.repository)

    def _status_without(self, pull: PullId, head: str, verdict: Verdict) -> None:
        show_without(self.of.heads, pull, head, verdict, not_needed=self.rules.not_needed)
        self.of.tell_statuses(pull.repository)

    def _answer(self, otherwise: str) -> None:
        """Each comment with commands gets its reaction, and none of them is heard again."""
        reacted = set()
        for command, outcome in self.heard.answers:
            outcome = outcome or otherwise
            reaction = (command.comment_id, reaction_of(outcome))
            if reaction not in reacted:
                reacted.add(reaction)
                if not command.is_by_hand:
                    self.of.telling.react(command.pull, *reaction)
            self.of.commands.answered(command, outcome)


def _with_standing(report: Report, standing: Standing) -> Report:
    return replace(report, serving=standing.serving, services=standing.services, databases=standing.databases)

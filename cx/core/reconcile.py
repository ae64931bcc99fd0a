"""One pass for one namespace: observe, plan, apply. Level-triggered and idempotent: whoever calls it, however
often, and wherever the pass before it died, it brings what is to what should be (laws 1 to 5).

`cx.core.ports` has what it needs of the world; the adapters fill it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import TypeVar

from cx.core.blueprint import Blueprint, Pooler, Route
from cx.core.errors import CxError, Defect, ProbeFailed, Retryable
from cx.core.names import Names, Namespace
from cx.core.plan import data_of, plan, settled
from cx.core.ports import BuildWatch, Checkout, Databases, Intent, Reporter, Router, Sources, Waiting, Workloads
from cx.core.state import Desired, Do, Observed, Stage, Step

T = TypeVar("T")
# Whoever waited for a pass ends it, or has gone: its terminal, or who read what it printed.
INTERRUPTS = (KeyboardInterrupt, SystemExit, BrokenPipeError)
CLEAN_UP = "clean up"


class Superseded(Retryable):
    """What is desired of the namespace changed while this pass was at work."""


def no_fault(_: str) -> None:
    """The default of `fault`: nothing happens at a named point."""


@dataclass(frozen=True)
class Outcome:
    """`outcome`: ready, awake, asleep, unchanged or deleted. `routes` as in the blueprint, empty unless it answers."""

    outcome: str
    routes: tuple[Route, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Reconciler:
    """The ports, and two functions of the outside: `read` makes a Blueprint of a checkout; `fault` is called at
    every named point (`before build`, `after build`, ...), where a test may end the process."""

    names: Names
    workloads: Workloads
    databases: Databases
    router: Router
    sources: Sources
    intent: Intent
    read: Callable[[Desired, Checkout], Blueprint]
    fault: Callable[[str], None] = no_fault

    def observe(self, namespace: Namespace) -> Observed:
        """All that there is of the namespace, everywhere."""
        seen, silent = self.reachable(namespace)
        if silent:
            raise silent
        return seen

    def reachable(self, namespace: Namespace) -> tuple[Observed, CxError | None]:
        """What there is of the namespace, and why there may be more: its databases cannot be seen. None: it is all."""
        with ThreadPoolExecutor(max_workers=3) as pool:
            workloads = pool.submit(self.workloads.observe, namespace)
            databases = pool.submit(self.databases.reachable, namespace)
            routed = pool.submit(self.router.routed, namespace).result()
            clones, silent = databases.result()
            return workloads.result().joined(clones, routed, self.sources.checkouts(namespace)), silent

    def reconcile(self, namespace: Namespace, report: Reporter) -> Outcome:
        """One pass. Raises CxError when the namespace could not be brought to what is desired.

        The caller holds the namespace's lock.
        """
        wish = self.intent.desired(namespace) or Desired(namespace, present=False)
        try:
            report.began(wish)
            outcome = self._present(wish, report) if wish.present else self._absent(wish, report)
        except INTERRUPTS:
            report.ended("interrupted", None)
            raise
        except Exception as exc:
            report.ended("superseded" if isinstance(exc, Superseded) else "failed", Defect.or_own(exc))
            raise
        report.ended(outcome.outcome, None)
        return outcome

    # --- presence
    def _present(self, wish: Desired, report: Reporter) -> Outcome:
        seen = self.observe(wish.namespace)
        if settled(wish, seen):
            return Outcome("unchanged")
        if wish.asleep:
            _Pass(self, wish, None, None, report).apply(plan(wish, seen, self.names, None))
            return Outcome("asleep")
        if seen.checkouts:
            self.sources.remove_checkouts(wish.namespace)
        with when_asked(self.sources.checkout(wish.namespace, wish.project, wish.tree)) as checkout:
            blueprint = _timed(report, "read the project", lambda: self.read(wish, checkout))
            pass_ = _Pass(self, wish, blueprint, checkout, report)
            stages = plan(wish, seen, self.names, blueprint)
            try:
                pass_.apply(stages)
            except (Exception, *INTERRUPTS) as exc:
                pass_.abandon(exc)
                raise
        woken = any(step.do is Do.WAKE for stage in stages for step in stage)
        return Outcome("awake" if woken else "ready", blueprint.routes, blueprint.notes)

    # --- absence
    def _absent(self, wish: Desired, report: Reporter) -> Outcome:
        """All goes that can be reached. The row stays until it is known that no database is left (law 13)."""
        seen, _ = self.reachable(wish.namespace)
        pass_ = _Pass(self, wish, None, None, report)
        pass_.apply(plan(wish, seen, self.names, None)[:-1])
        seen, silent = self.reachable(wish.namespace)
        if left := seen.leftovers():
            more = f" and {len(left) - 3} more" if len(left) > 3 else ""
            raise Retryable(
                f"{wish.namespace}: still there: {', '.join(left[:3])}{more}",
                remedy="delete it again",
                log=left,
            )
        if silent:
            raise Retryable(
                f"{wish.namespace}: all of it is gone but for databases that may be left: {silent.what}",
                remedy="they go with the same command when the server is back (`cx up`)",
            )
        pass_.apply([(Step(Do.FORGET),)])
        return Outcome("deleted")


@dataclass
class _Pass:
    """The apply of one pass."""

    of: Reconciler
    wish: Desired
    blueprint: Blueprint | None
    checkout: Checkout | None
    report: Reporter

    def apply(self, stages: Sequence[Stage]) -> None:
        for stage in stages:
            self._still_wanted()
            if len(stage) == 1:
                self._step(stage[0])
            else:
                self._side_by_side(stage)
            if self.wish.reset_data and any(step.do is Do.LAY for step in stage):
                # The clones of that stage are new by now: a later pass need not make them so again.
                self.of.intent.data_was_reset(self.wish.namespace)

    def _side_by_side(self, stage: Stage) -> None:
        with ThreadPoolExecutor(max_workers=6) as pool:  # each begins after those that it may wait for
            begun: list[tuple[Step, Future[None]]] = []
            for step in stage:
                needed = [future for other, future in begun if other.do in step.needs]
                begun.append((step, pool.submit(self._in_turn, step, needed)))
            for _, done in begun:
                done.result()

    def _in_turn(self, step: Step, needed: Sequence[Future[None]]) -> None:
        for one in needed:
            one.result()
        self._step(step)

    def abandon(self, why: BaseException) -> None:
        """What serves goes on to serve; what this pass started of another revision is taken away.

        Raises nothing of its own: `why` stays the error, and names what a clean-up left to the next pass.
        """
        wish, of = self.wish, self.of
        with self._minding(why):
            serving = of.router.routed(wish.namespace).revision
            if serving != wish.revision:
                _timed(self.report, CLEAN_UP, lambda: self._clean_up(serving))

    def _clean_up(self, serving: str) -> None:
        """Where nothing serves, what outlives revisions goes, too; its volumes stay. Raises the first error, when all
        has been tried."""
        of, namespace, failed = self.of, self.wish.namespace, list[CxError]()
        undo = [partial(of.router.withdraw_candidate, namespace)]
        undo += [
            partial(of.workloads.retire, namespace, one) for one in (self.wish.revision, *([] if serving else [""]))
        ]
        for do in undo:
            try:
                do()
            except CxError as exc:
                failed.append(exc)
        if failed:
            raise failed[0]

    @contextmanager
    def _minding(self, why: BaseException) -> Iterator[None]:
        """An error of the block is told behind `why`, and does not take its place."""
        try:
            yield
        except Exception as exc:  # noqa: BLE001 - told
            line = f"{CLEAN_UP}: {Defect.or_own(exc)}"
            with suppress(BrokenPipeError):  # nobody reads it any more
                self.report.line(CLEAN_UP, line)
            if isinstance(why, CxError):
                why.log = (*why.log, line)

    def _still_wanted(self) -> None:
        now = self.of.intent.desired(self.wish.namespace)
        current = now or Desired(self.wish.namespace, present=False)
        if now is not None and _kind(current) != _kind(self.wish):
            raise Superseded(f"{self.wish.namespace}: something else is wanted of it by now")

    def _waiting(self, step: Step) -> Waiting:
        """For a step that waits: what it waits for is told when that changes, and it ends when nobody wants it."""
        told = [""]

        def waiting(what: str) -> None:
            self._still_wanted()
            if what not in ("", told[0]):
                told[0] = what
                self.report.line(str(step), f"waiting: {what}")

        return waiting

    def _step(self, step: Step) -> None:
        def run() -> None:
            self.of.fault(f"before {step.do}")
            self._run(step)
            self.of.fault(f"after {step.do}")

        _timed(self.report, str(step), run)

    def _run(self, step: Step) -> None:
        of, wish, blueprint = self.of, self.wish, self.blueprint
        namespace = wish.namespace
        match step.do:
            case Do.WITHDRAW:
                of.router.withdraw(namespace)
            case Do.REST:
                of.router.rest(namespace)
            case Do.SLEEP:
                of.workloads.sleep(namespace)
            case Do.WAKE:
                of.workloads.wake(namespace)
            case Do.RETIRE:
                of.workloads.retire(namespace, step.target)
            case Do.UNTAG:
                of.workloads.untag(step.target)
            case Do.DROP:
                of.databases.drop(namespace, step.target)
            case Do.REMOVE if step.target == "checkouts":
                of.sources.remove_checkouts(namespace)
            case Do.REMOVE:
                of.workloads.remove(namespace, step.target)
            case Do.FORGET:
                of.sources.forget(namespace, wish.project)
                of.intent.forget(namespace)
            case Do.CLONE:
                of.databases.clone(namespace, step.target)
            case Do.RESET:
                of.databases.reset(namespace, step.target)
            case _:
                assert blueprint is not None  # noqa: S101 - a plan has these steps only for presence
                assert self.checkout is not None  # noqa: S101
                self._bring(step, blueprint, self.checkout)

    def _bring(self, step: Step, blueprint: Blueprint, checkout: Checkout) -> None:
        of, wish, waiting = self.of, self.wish, self._waiting(step)
        match step.do:
            case Do.BUILD:
                build = next(one for one in blueprint.builds if one.service == step.target)
                watch = BuildWatch(
                    lambda text: self.report.line(str(step), text),
                    lambda text: self.report.line("wait", text),
                    self._still_wanted,
                )
                of.workloads.build(wish, build, checkout, watch)
            case Do.LAY:
                of.workloads.lay(wish, blueprint, checkout)
            case Do.OFFER:
                # Addresses are known before anything runs: the router knows the candidate when it is asked for it.
                of.router.offer(wish.namespace, wish.revision, of.workloads.targets(wish, blueprint))
            case Do.POOL:
                of.workloads.pool(wish, blueprint, self._poolers(blueprint))
            case Do.CREATE:
                of.workloads.create(wish, blueprint, self._poolers(blueprint), self._data(blueprint), waiting)
            case Do.PIN:
                given = self._poolers(blueprint), self._data(blueprint)
                of.workloads.pin(wish, blueprint, checkout, *given, waiting)
            case Do.RELEASE:
                given = self._poolers(blueprint), self._data(blueprint)
                of.workloads.release(wish, blueprint, checkout, *given, waiting)
            case Do.START:
                of.workloads.start(wish, blueprint, checkout, waiting)
            case Do.AWAIT:
                of.workloads.await_well(wish, blueprint, waiting)
            case Do.STAY:
                of.workloads.stay_up(wish, blueprint, waiting)
            case Do.PROBE:
                for route in blueprint.routes:
                    self._probe(route, waiting, candidate=True, timeout_s=blueprint.start_timeout_s)
            case Do.PUBLISH:
                put_back = of.router.publish(wish.namespace, wish.revision, of.workloads.targets(wish, blueprint))
                try:
                    for route in blueprint.routes:
                        self._probe(route, waiting, candidate=False, timeout_s=30)
                except (Exception, *INTERRUPTS) as exc:
                    with self._minding(exc):
                        put_back()
                    raise

    def _probe(self, route: Route, waiting: Waiting, *, candidate: bool, timeout_s: float) -> None:
        of, wish = self.of, self.wish

        def meanwhile() -> None:
            waiting(f"{route.service} to answer")
            of.workloads.must_stay_up(wish)

        try:
            of.router.probe(route, wish.revision, candidate=candidate, timeout_s=timeout_s, meanwhile=meanwhile)
        except ProbeFailed as exc:
            with self._minding(exc):
                exc.log = exc.log or tuple(of.workloads.failure_log(wish.namespace, wish.revision))
            raise

    def _poolers(self, blueprint: Blueprint) -> list[Pooler]:
        return [self.of.databases.pooler(self.wish.namespace, use) for use in blueprint.databases]

    def _data(self, blueprint: Blueprint) -> str:
        return data_of(self.of.databases.observe(self.wish.namespace), blueprint)


@contextmanager
def when_asked(folder: AbstractContextManager[Path]) -> Iterator[Checkout]:
    """`folder`, entered when a step first asks for it: where none does, nothing is checked out."""
    one_at_a_time, there = Lock(), list[Path]()
    with ExitStack() as stack:

        def checkout() -> Path:
            with one_at_a_time:
                if not there:
                    there.append(stack.enter_context(folder))
                return there[0]

        yield checkout


def _kind(wish: Desired) -> tuple[bool, bool, str]:
    return wish.present, wish.asleep, wish.revision


def _timed(report: Reporter, name: str, run: Callable[[], T]) -> T:
    report.step_began(name)
    started, began = time.time(), time.monotonic()
    outcome = "failed"
    try:
        result = run()
        outcome = "done"
        return result
    finally:
        report.step_ended(name, started, time.monotonic() - began, outcome)

"""Many looks at once: a few that look, fewer that deploy, in the order in which they were asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import count

from cx import logs
from cx.core.errors import CxError
from cx.pulls.look import Follower
from cx.pulls.pauses import pause_s
from cx.pulls.ports import ForgeFailed, Ticket
from cx.pulls.statuses import UNFOLLOWED
from cx.pulls.sync import UNSAID, UNWELL, missed
from cx.pulls.turns import DEFECT, Turn
from cx.pulls.values import PullId, Report

LOOKERS = 4
POLL_S = 0.2
TROUBLE_S = 2.0
DRAIN_S = 90.0  # that a comparison by hand waits for the budget of writes
PLACES = (1, 2, 3, 5, 10, 20, 50, 100, 200, 500, 1000)  # that are told: each change is a write


@dataclass
class Workers:
    """The queue is worked by this process alone (the lock `following`). `at_once`: deployments side by side.

    `looked` is told of each look: how it ended (done, parked, again, failed), and how long it took in seconds.
    `housekeep` is called at the start and with each comparison; it must not take long.
    """

    follower: Follower
    at_once: int
    repositories: Collection[str]
    sync_s: float
    clock: Callable[[], float] = time.time
    looked: Callable[[str, float], None] = lambda outcome, duration_s: None
    housekeep: Callable[[], None] = lambda: None
    failed: dict[PullId, str] = field(default_factory=dict, init=False)
    _wake: threading.Event = field(default_factory=threading.Event, init=False)
    _looks: dict[PullId, Future[None]] = field(default_factory=dict, init=False)
    _deploys: dict[PullId, Future[None]] = field(default_factory=dict, init=False)
    _parked: dict[PullId, tuple[Ticket, Report]] = field(default_factory=dict, init=False)
    _ended: dict[PullId, tuple[Ticket, Turn]] = field(default_factory=dict, init=False)
    _since: dict[PullId, int] = field(default_factory=dict, init=False)  # in which order they came, until done
    _coming: Iterator[int] = field(default_factory=count, init=False)
    _told: dict[PullId, int] = field(default_factory=dict, init=False)
    _by_hand: bool = field(default=False, init=False)
    _keepers: ThreadPoolExecutor | None = field(default=None, init=False)
    _tidying: Future[None] | None = field(default=None, init=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False)

    def wake(self) -> None:
        """Something was asked for: do not wait for the next poll."""
        self._wake.set()

    @property
    def parked(self) -> int:
        """How many have been looked at, and wait for a place to be deployed."""
        return len(self._parked)

    def run(self, stop: threading.Event, *, until_idle: bool = False) -> None:
        """Works until `stop` is set, or (with `until_idle`) until nothing is due. What was begun is finished, or left
        for the next start: `Follower.stopped` tells it to end."""
        queue, self._by_hand = self.follower.queue, until_idle
        queue.recover()
        telling = threading.Thread(target=self.follower.telling.run, name="telling", daemon=True)
        telling.start()
        self._leave_heads()
        next_sync = 0.0 if not until_idle else float("inf")
        with (
            ThreadPoolExecutor(1, thread_name_prefix="tidy") as self._keepers,
            ThreadPoolExecutor(LOOKERS, thread_name_prefix="look") as lookers,
            ThreadPoolExecutor(self.at_once, thread_name_prefix="deploy") as deployers,
        ):
            while not stop.is_set():
                busy = True
                try:
                    if time.monotonic() >= next_sync:
                        self.ask_for_comparisons()
                        next_sync = time.monotonic() + self.sync_s
                        self._keep_house()
                    busy = self._turn(lookers, deployers)
                except CxError as exc:  # a full disk: what is due stays due
                    if until_idle:
                        raise
                    logs.warning("the queue cannot be worked", why=exc)
                    stop.wait(TROUBLE_S)
                if until_idle and not busy and not self.follower.telling.pending(DRAIN_S):
                    break
                self._wake.wait(POLL_S)
                self._wake.clear()
        self._leave()
        self.follower.telling.stop()
        telling.join(timeout=5)

    def ask_for_comparisons(self) -> None:
        self._leave_heads()
        for repository in self.repositories:
            self.follower.queue.ask(PullId(repository, 0))

    def _leave_heads(self) -> None:
        """Of repositories that are not followed any more no commit waits for its status."""
        for repository in self.follower.heads.leave(self.repositories, UNFOLLOWED):
            self.follower.tell_statuses(repository)

    def _keep_house(self) -> None:
        try:
            self.housekeep()
        except CxError as exc:
            logs.warning("housekeeping failed", why=exc)
        except Exception:  # noqa: BLE001 - pull requests are looked at, whatever is wrong with the rest
            logs.error("housekeeping failed")

    def _turn(self, lookers: ThreadPoolExecutor, deployers: ThreadPoolExecutor) -> bool:
        """Hands out what there is to do; whether anything is being done or waits to be."""
        queue = self.follower.queue
        with self._lock:
            self._hand_back()
            for pull, (ticket, _) in list(self._parked.items()):
                if queue.asked_since(ticket):
                    queue.again(ticket, 0, ticket.tries)
                    del self._parked[pull]
            while self._parked and len(self._deploys) < self.at_once:
                pull = self._waiting()[0]
                ticket, _ = self._parked.pop(pull)
                self._deploys[pull] = deployers.submit(self._work, ticket, self._deploys, True)
            while len(self._looks) < LOOKERS and (taken := queue.take(self.clock())):
                self._since.setdefault(taken.pull, next(self._coming))
                self._looks[taken.pull] = lookers.submit(self._work, taken, self._looks, False)
            self._tell_positions()
            return bool(self._looks or self._deploys or self._parked or self._ended)

    def _hand_back(self) -> None:
        """The queue hears how looks ended. A look whose end it cannot take keeps its place here until it can."""
        for pull, (ticket, turn) in list(self._ended.items()):
            if turn.again_s is None:
                self.follower.queue.done(ticket)
                self._since.pop(pull, None)
            else:
                tries = ticket.tries if turn.tries is None else turn.tries
                self.follower.queue.again(ticket, self.clock() + turn.again_s, tries, turn.trouble)
            del self._ended[pull]

    def _leave(self) -> None:
        """What did not come to its end is due at the next start, as `recover` sees to where the disk is full."""
        try:
            with self._lock:
                self._hand_back()
                for ticket, _ in self._parked.values():
                    self.follower.queue.again(ticket, 0, ticket.tries)
        except CxError as exc:
            logs.warning("the queue is left as it is", why=exc)

    def _waiting(self) -> list[PullId]:
        """For a place to deploy. Who is asked for again stays where he is; whose build was ended comes next."""
        return sorted(self._parked, key=self._since.__getitem__)

    def _tell_positions(self) -> None:
        positions = {pull: coarse(number) for number, pull in enumerate(self._waiting(), 1)}
        for pull, position in positions.items():
            if self._told.get(pull) != position:
                ticket, report = self._parked[pull]
                with logs.about(pull=str(pull), delivery=ticket.delivery):
                    self.follower.telling.soon(replace(report, position=position))
        self._told = positions

    def _work(self, ticket: Ticket, running: dict[PullId, Future[None]], may_deploy: bool) -> None:
        """One look, and how it ended. Whatever goes wrong with one pull request stays with it."""
        pull = ticket.pull
        began, outcome = time.monotonic(), "failed"
        with logs.about(pull=str(pull), delivery=ticket.delivery):
            try:
                turn = self._compare(pull) if pull.number == 0 else self.follower.look(ticket, may_deploy=may_deploy)
            except CxError as exc:
                logs.warning("look failed", why=exc, tries=ticket.tries)
                turn = _later(ticket, exc)
                self.failed[pull] = str(exc)
            except Exception:  # noqa: BLE001 - a defect met by one pull request must not stop the others
                logs.error("look failed")
                turn = _later(ticket, DEFECT)
                self.failed[pull] = DEFECT.what
            else:
                if not turn.parked:  # what is parked has not ended
                    self.failed.pop(pull, None)
                outcome = "parked" if turn.parked else "done" if turn.again_s is None else "again"
                if turn.again_s and turn.why:
                    self.failed[pull] = turn.why
        self.looked(outcome, time.monotonic() - began)
        with self._lock:
            running.pop(pull, None)
            if turn.parked:
                self._parked[pull] = (ticket, turn.parked)
            else:
                self._ended[pull] = (ticket, turn)
        self.wake()

    def _compare(self, repository: PullId) -> Turn:
        for one in missed(self.follower, repository.repository):
            if one.why in (UNSAID, UNWELL) and self._in_hand(one.pull):
                continue  # it is tried again by itself, and not more often for being compared
            logs.info("missed", missed=one.pull, why=one.why)
            self.follower.queue.ask(one.pull)
        self._tidy()
        return Turn()

    def _in_hand(self, pull: PullId) -> bool:
        with self._lock:
            if any(pull in some for some in (self._looks, self._deploys, self._parked, self._ended)):
                return True
        return self.follower.telling.waits(pull) or (not self._by_hand and self.follower.queue.tried(pull))

    def _tidy(self) -> None:
        """After a comparison, beside everything else: it takes nobody's place."""

        def tidy() -> None:
            try:
                self.follower.fetcher.tidy(self.follower.stopped)
            except Exception as exc:  # noqa: BLE001 - what is not tidied costs disk, and nothing else
                logs.warning("not tidied", why=exc)

        with self._lock:
            if self._keepers and (self._tidying is None or self._tidying.done()):
                self._tidying = self._keepers.submit(tidy)


def _later(ticket: Ticket, exc: CxError) -> Turn:
    """When it is tried again: when the forge said, or after pauses that grow."""
    trouble = "" if isinstance(exc, ForgeFailed) else str(exc)
    if after_s := getattr(exc, "retry_after_s", None):
        return Turn(float(after_s), trouble=trouble)
    tries = ticket.tries + 1
    return Turn(pause_s(str(ticket.pull), tries), tries=tries, trouble=trouble)


def coarse(position: int) -> int:
    """The least of PLACES that it is among the first of."""
    return next((one for one in PLACES if position <= one), PLACES[-1])

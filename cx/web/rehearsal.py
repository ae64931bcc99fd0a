"""`--dry-run`: deliveries are taken, and what would be done about them is printed. Nothing else happens."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cx import logs
from cx.core.errors import CxError
from cx.core.history import Chore
from cx.pulls import Gauge, Inbox
from cx.pulls.repositories import Followed
from cx.pulls.values import PullId

PATIENCE_S = 1.0


@dataclass
class Rehearsal:
    """Works a queue of its own. `plan` gives in words what a look would do; number 0 is a whole repository."""

    box: Inbox
    followed: Followed
    plan: Callable[[PullId], str]
    say: Callable[[str], None] = print
    _stopping: threading.Event = field(default_factory=threading.Event, init=False)
    _news: threading.Event = field(default_factory=threading.Event, init=False)
    _thread: threading.Thread | None = field(default=None, init=False)

    def repositories(self) -> Followed:
        return self.followed

    def start(self) -> None:
        for repository in sorted(self.followed.names):
            self.box.ask(PullId(repository, 0))
        self._thread = threading.Thread(target=self._run, name="rehearsal", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self._news.set()

    def measure(self, looked: Callable[[str, float], None]) -> None:
        """Plans are not looks."""

    def parked(self) -> int:
        return 0

    def chores(self) -> Sequence[Chore]:
        return []

    def gauges(self) -> Sequence[Gauge]:
        return ()

    def problems(self) -> Sequence[str]:
        return [] if self._thread and self._thread.is_alive() else ["nobody plans"]

    def stop(self, timeout_s: float) -> None:
        self._stopping.set()
        self._news.set()
        if self._thread:
            self._thread.join(timeout_s)

    def drain(self) -> list[str]:
        failed = []
        while ticket := self.box.take(time.time()):
            with logs.about(delivery=ticket.delivery, pull=str(ticket.pull)):
                try:
                    self.say(self.plan(ticket.pull))
                except CxError as exc:
                    failed.append(f"{ticket.pull}: {exc}")
                    logs.warning("no plan", why=exc)
            self.box.done(ticket)
        return failed

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._news.clear()
            self.drain()
            self._news.wait(PATIENCE_S)

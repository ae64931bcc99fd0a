"""Reports on their way to GitHub: the newest of each pull request, one at a time, never in the way of the work."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cx import logs
from cx.core.errors import CxError
from cx.pulls.ports import Announcer
from cx.pulls.values import PullId, Report

QUIET_S = 3.0  # GitHub counts writes, and nobody reads faster


@dataclass
class Telling:
    """`soon` hands a report to a thread of its own; `now` announces it before it returns. Of two reports of one pull
    request the later one is what GitHub shows at the end.

    What is told soon waits until `quiet_s` seconds after what was told last of the same pull request. `clock` is
    monotonic, in seconds."""

    announcer: Announcer
    quiet_s: float = QUIET_S
    clock: Callable[[], float] = time.monotonic
    _told_at: dict[PullId, float] = field(default_factory=dict, init=False)
    _waiting: OrderedDict[PullId, tuple[Report, dict[str, str]]] = field(default_factory=OrderedDict, init=False)
    _changed: threading.Condition = field(default_factory=threading.Condition, init=False)
    _busy: set[PullId] = field(default_factory=set, init=False)
    _stopped: bool = field(default=False, init=False)

    def soon(self, report: Report) -> None:
        """Progress: a later report may take its place, and when GitHub does not take it, nothing is lost. What is
        logged about it carries what the caller's lines do."""
        with self._changed:
            self._waiting[report.pull] = report, logs.context()
            self._changed.notify_all()

    def now(self, report: Report) -> None:
        """Raises what the announcer raises."""
        with self._alone(report.pull):
            self.announcer.announce(report)

    def drop(self, pull: PullId) -> None:
        """What was to be told soon is not told any more."""
        with self._changed:
            self._waiting.pop(pull, None)

    def run(self) -> None:
        """Tells what is to be told soon, until `stop`."""
        while True:
            with self._changed:
                while not self._stopped and (pull := self._due()) is None:
                    self._changed.wait(self._wait_s())
                if self._stopped or pull is None:
                    return
                report, context = self._waiting.pop(pull)
                self._busy.add(pull)
            with logs.about(**{"pull": str(pull), **context}):
                self._tell(report)

    def _tell(self, report: Report) -> None:
        try:
            self.announcer.announce(report)
        except CxError as exc:
            logs.info("progress not told", why=exc)
        except Exception:  # noqa: BLE001 - a defect in telling does not stop the telling of others
            logs.error("progress not told")
        finally:
            self._free(report.pull)

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    @contextmanager
    def _alone(self, pull: PullId) -> Iterator[None]:
        with self._changed:
            self._waiting.pop(pull, None)
            self._changed.wait_for(lambda: pull not in self._busy)
            self._waiting.pop(pull, None)
            self._busy.add(pull)
        try:
            yield
        finally:
            self._free(pull)

    def _due(self) -> PullId | None:
        return next((one for one in self._waiting if one not in self._busy and self._early_s(one) <= 0), None)

    def _wait_s(self) -> float | None:
        """Until the next is due; None: until something changes."""
        return min((self._early_s(one) for one in self._waiting if one not in self._busy), default=None)

    def _early_s(self, pull: PullId) -> float:
        return self._told_at[pull] + self.quiet_s - self.clock() if pull in self._told_at else 0.0

    def _free(self, pull: PullId) -> None:
        with self._changed:
            self._busy.discard(pull)
            now = self.clock()
            self._told_at = {one: at for one, at in self._told_at.items() if now < at + self.quiet_s} | {pull: now}
            self._changed.notify_all()

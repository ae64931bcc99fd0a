"""Refills of spares: by a process that nobody waits for, and how the newest of them went."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from cx import logs
from cx.core.errors import Busy, Defect
from cx.core.history import Chore
from cx.store.chores import Chores

if TYPE_CHECKING:
    from cx.data.shared.spares import PostgresSpares
    from cx.data.values import Terms

NAME = "spares"
WAIT_S = 600  # for the process that is at work
START_S = 60  # a process that was started has the lock by then, or has died


@dataclass
class Refilling:
    """`lock` and `is_locked` as the host's; `terms` and `spares` are asked for when they are needed."""

    chores: Chores
    lock: Callable[..., AbstractContextManager[None]]
    is_locked: Callable[[str], bool]
    terms: Callable[[], Mapping[str, Terms]]
    spares: Callable[[], PostgresSpares]
    _told: Chore | None = field(default=None, init=False)
    _child: subprocess.Popen[bytes] | None = field(default=None, init=False)

    def run(self) -> dict[str, int]:
        """Every golden has its spares, and there are no others. Gives how many were made, by source.

        One process is at work at a time, one more waits, and the rest leave it to that one. It is written down how it
        went. Raises NoSpace after all sources had their turn.
        """
        with ExitStack() as waiting, ExitStack() as working:
            try:
                waiting.enter_context(self.lock("spares-next", "wait to refill spares", wait_s=0))
            except Busy:
                return {}
            working.enter_context(self.lock(NAME, "refill spares", wait_s=WAIT_S))
            waiting.close()
            self.chores.begin(NAME, time.time())
            try:
                made = self._refill()
            except BaseException as exc:
                why = Defect.or_own(exc)
                self.chores.end(NAME, time.time(), "failed", "; ".join([str(why), *why.log]))
                raise
            self.chores.end(NAME, time.time(), "done")
        return made

    def _refill(self) -> dict[str, int]:
        from cx.data.errors import NoSpace
        from cx.data.values import Terms

        made: dict[str, int] = {}
        terms, spares = self.terms(), self.spares()
        short: NoSpace | None = None
        for source in sorted({*terms, *spares.sources()}):
            try:
                made[source] = spares.refill(source, terms.get(source, Terms()))
            except NoSpace as exc:  # another's may be fewer, or need less
                short = short or exc
        if short:
            raise short
        return made

    def later(self, *, unwanted: bool = False) -> None:
        """As `run`, by a process of its own, which nobody waits for and which may die at any moment.

        Where no spares are wanted it begins only with `unwanted`: some may be left of before.
        """
        terms = self.terms()
        if not terms or not (unwanted or any(one.spares for one in terms.values())):
            return
        environment = {key: value for key, value in os.environ.items() if key not in ("CX_TEST_DIE_AT", "CX_REMOTE")}
        argv = [*(["nice"] if shutil.which("nice") else []), sys.executable, "-P", "-m", "cx", "db", "spares"]
        nothing = subprocess.DEVNULL
        self.chores.begin(NAME, time.time())  # it may die before it can say so itself
        try:
            self._child = subprocess.Popen(
                argv, env=environment, cwd="/", stdin=nothing, stdout=nothing, stderr=nothing, start_new_session=True
            )
        except OSError as exc:
            self.chores.end(NAME, time.time(), "failed", f"no process could be started: {exc.strerror}")

    def last(self, now: float | None = None) -> Chore | None:
        """The newest run. None: there was none yet."""
        found = self.chores.last(NAME)
        now = time.time() if now is None else now
        if found and found.outcome == "running" and now - found.started_at > START_S and not self.is_locked(NAME):
            return replace(found, outcome="died", message="its process died")
        return found

    def housekeep(self) -> None:
        """For a timer: a failure of the newest run is logged once, and the next run begins."""
        found = self.last()
        if found and found.failed and found != self._told:
            logs.warning("spares not refilled", why=found.message, started_at=found.started_at)
        self._told = found
        self.later(unwanted=True)

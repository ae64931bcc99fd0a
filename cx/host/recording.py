"""The history of a namespace, written as it goes: every pass that does something is an attempt."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock

from cx.core.errors import CxError
from cx.core.history import FRESH, StepTaken
from cx.core.ports import Reporter
from cx.core.state import Desired, Do
from cx.store import Store


class Recorded:
    """Tells another reporter, and keeps attempts and their steps in the store.

    What an attempt does is read from the wish and from its steps, whoever asked for it: a pass that completes what
    another one left is named after what it does itself.
    """

    def __init__(self, store: Store, told: Reporter) -> None:
        self._store = store
        self._told = told
        self._deployment: int | None = None
        self._wish: Desired | None = None
        self._data: tuple[str, StepTaken] | None = None
        self._turn = Lock()
        self._over = False

    def data(self, doing: str, step: str, bring: Callable[[], None]) -> None:
        """`bring` is done. The pass that comes next belongs to it: together they are one attempt, to do `doing`."""
        started, began = time.time(), time.monotonic()
        bring()
        self._data = doing, StepTaken(0, step, started, time.monotonic() - began, "done")

    def began(self, wish: Desired) -> None:
        self._wish = wish
        if self._data:
            doing, taken = self._data
            self._deployment = self._store.begin(wish, taken.started_at, doing)
            self._store.step(StepTaken(self._deployment, taken.step, taken.started_at, taken.duration_s, "done"))
        self._told.began(wish)

    def step_began(self, step: str) -> None:
        with self._turn:  # the first steps may begin side by side
            if self._deployment is None and self._wish:
                self._deployment = self._store.begin(self._wish, time.time(), self._doing(self._wish))
        if self._deployment is not None and not self._data and step == Do.WAKE:
            self._store.turned_out(self._deployment, "wake")
        self._told.step_began(step)

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        if self._deployment is not None:
            self._store.step(StepTaken(self._deployment, step, started_at, duration_s, outcome))
        self._told.step_ended(step, started_at, duration_s, outcome)

    def line(self, step: str, text: str) -> None:
        self._told.line(step, text)

    def ended(self, outcome: str, error: CxError | None) -> None:
        self._over = True
        if self._deployment is not None:
            message, log = (str(error), error.log) if error else ("", ())
            known = outcome
            if outcome == "unchanged":  # but for the data
                known = "asleep" if self._wish and self._wish.asleep else "ready"
            self._store.end(self._deployment, time.time(), known, message, log)
        self._told.ended(outcome, error)

    def interrupted(self) -> None:
        """The process is about to leave, in the middle of what it does."""
        if self._deployment is not None and not self._over:
            self._store.end(self._deployment, time.time(), "interrupted")

    def _doing(self, wish: Desired) -> str:
        if not wish.present:
            return "delete"
        if wish.asleep:
            return "sleep"
        before = self._store.last(wish.namespace, *FRESH)
        return "reset" if wish.reset_data and before and before.revision == wish.revision else "deploy"

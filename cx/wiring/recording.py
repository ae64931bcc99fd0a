"""The history of deployments, written as they go."""

from __future__ import annotations

import time

from cx.adapters.sqlite import StepTaken, Store
from cx.errors import CxError
from cx.model.state import Desired
from cx.reconcile import Reporter


class Recorded:
    """Tells another reporter, and keeps deployments and their steps in the store."""

    def __init__(self, store: Store, told: Reporter) -> None:
        self._store = store
        self._told = told
        self._deployment: int | None = None
        self._wish: Desired | None = None

    def began(self, wish: Desired) -> None:
        self._wish = wish
        self._told.began(wish)

    def step_began(self, step: str) -> None:
        if self._deployment is None and self._wish and self._wish.present and not self._wish.asleep:
            self._deployment = self._store.begin(self._wish, time.time())
        self._told.step_began(step)

    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None:
        if self._deployment is not None:
            self._store.step(StepTaken(self._deployment, step, started_at, duration_s, outcome))
        self._told.step_ended(step, started_at, duration_s, outcome)

    def line(self, step: str, text: str) -> None:
        self._told.line(step, text)

    def ended(self, outcome: str, error: CxError | None) -> None:
        if self._deployment is not None:
            message, log = (str(error), error.log) if error else ("", ())
            self._store.end(self._deployment, time.time(), outcome, message, log)
        self._told.ended(outcome, error)

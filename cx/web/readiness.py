"""Whether deliveries are stored and worked on: found out by trying, at most once a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from cx.core.errors import CxError

KEPT_S = 1.0


@dataclass
class Readiness:
    """`probe` writes to the disk as a delivery is written, or raises CxError; `problems` asks nobody. `clock` is
    monotonic, in seconds."""

    probe: Callable[[], None]
    problems: Callable[[], Sequence[str]]
    clock: Callable[[], float] = time.monotonic
    _disk: str = field(default="", init=False)
    _tried_at: float = field(default=float("-inf"), init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def missing(self) -> list[str]:
        """What is wrong, in words; empty when all is well. Many may ask: the disk is tried once in KEPT_S seconds."""
        with self._turn:
            if self.clock() - self._tried_at >= KEPT_S:
                self._disk = self._tried()
                self._tried_at = self.clock()
            disk = self._disk
        return [disk, *self.problems()] if disk else list(self.problems())

    def _tried(self) -> str:
        try:
            self.probe()
        except CxError as exc:
            return str(exc)
        return ""

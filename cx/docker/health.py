"""Asks containers how they are, by their own health checks, sooner than the engine does.

This is for those that a probe is sent to next. A database may say yes too soon: while its image makes it for the first
time, a server runs that takes no connections from elsewhere and ends again.

The engine asks for the first time after an interval (`start_interval`, cx's default is 1 s), and what has long been
ready would be waited for. So each check is run as well when its container has just started, a few times with growing
pauses; after that the engine's own word is waited for. As with the engine, a check that ends with 0 is one that is
well, and it runs as what its image or its service says: command, user, folder and environment. What cannot be asked
has not answered: nothing but a yes counts here.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from docker.errors import DockerException
from requests import RequestException

from cx.core.state import Container
from cx.docker.connection import Engine

PAUSES_S = (0.0, 0.05, 0.1, 0.2, 0.4)  # before each time that one is asked
LEAST_PAUSE_S = 0.02
UNASKABLE = (DockerException, RequestException, OSError)


@dataclass
class _Question:
    """To one container. `check` is the id of the program that runs in it, once there is one."""

    asked: int = 0
    next_at: float = 0.0
    busy: bool = False
    check: str = ""
    well: bool = False

    @property
    def is_over(self) -> bool:
        return self.well or (self.asked >= len(PAUSES_S) and not self.busy)

    def end(self, well: bool) -> None:
        pause = PAUSES_S[self.asked] if self.asked < len(PAUSES_S) else 0.0
        self.check, self.well, self.next_at, self.busy = "", well, time.monotonic() + pause, False


@dataclass
class Asking:
    """For one wait. Nothing here waits for the engine to begin a check, and its events tell when one has ended."""

    engine: Engine
    _of: dict[str, _Question] = field(default_factory=dict)

    def look(self, them: Iterable[Container]) -> None:
        """Whose health the engine does not know yet is asked, where it is time to. All others are forgotten."""
        self._of = {one.id: self._of.get(one.id) or _Question() for one in them if one.starting}
        for container, question in self._of.items():
            if question.check:
                self._hear(question)
            if not question.busy and not question.is_over and time.monotonic() >= question.next_at:
                question.busy, question.asked = True, question.asked + 1
                threading.Thread(target=self._ask, args=(container, question), daemon=True).start()

    def answered(self, one: Container) -> bool:
        """Its check has ended with 0, and the engine has not said otherwise since."""
        return one.starting and one.id in self._of and self._of[one.id].well

    def pause_s(self) -> float:
        """So long there is nothing to be asked; infinite when the engine's word is waited for."""
        waiting = [one.next_at for one in self._of.values() if not (one.busy or one.is_over)]
        return max(LEAST_PAUSE_S, min(waiting, default=float("inf")) - time.monotonic())

    def _ask(self, container: str, question: _Question) -> None:
        api = self.engine.api
        try:
            argv = command(api.inspect_container(container)["Config"])
            if not argv:
                question.asked = len(PAUSES_S)
                question.end(False)
                return
            question.check = api.exec_create(container, argv, stdout=False, stderr=False)["Id"]
            api.exec_start(question.check, detach=True)
        except UNASKABLE:  # no such program yet, it has just ended, ...: as when the engine asks, that is no yes
            question.end(False)

    def _hear(self, question: _Question) -> None:
        try:
            found = self.engine.api.exec_inspect(question.check)
        except UNASKABLE:
            question.end(False)
            return
        if not found["Running"] and found["ExitCode"] is not None:
            question.end(found["ExitCode"] == 0)


def command(config: dict[str, Any]) -> list[str]:
    """The health check of a container's configuration, as the engine runs it; empty where there is none."""
    kind, *words = (config.get("Healthcheck") or {}).get("Test") or [""]
    if kind == "CMD":
        return list(words)
    return [*(config.get("Shell") or ["/bin/sh", "-c"]), *words] if kind == "CMD-SHELL" else []

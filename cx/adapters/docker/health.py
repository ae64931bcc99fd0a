"""Asks containers how they are, by their own health checks, sooner than the engine does.

This is for those that a probe is sent to next. A database may say yes too soon: while its image makes it for the first
time, a server runs that takes no connections from elsewhere and ends again.

The engine asks for the first time after an interval (`start_interval`, cx's default is 1 s), and what has long been
ready would be waited for. So each check is run as well when its container has just started, a few times with growing
pauses; after that the engine's own word is waited for. As with the engine, a check that ends with 0 is one that is
well, and it runs as what its image or its service says: command, user, folder and environment.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from docker.errors import APIError, NotFound

from cx.adapters.docker import containers
from cx.adapters.docker.engine import Engine, translated
from cx.model.state import Container

PAUSES_S = (0.0, 0.05, 0.1, 0.2, 0.4)  # before each time that one is asked


@dataclass
class _Question:
    argv: list[str]
    asked: int = 0
    next_at: float = 0.0
    running: str = ""  # the check's id, while it runs
    well: bool = False


@dataclass
class Asking:
    """For one wait. The engine's events tell when a check has ended: look then."""

    engine: Engine
    _of: dict[str, _Question] = field(default_factory=dict)

    def look(self, them: Iterable[Container]) -> None:
        """Whose health the engine does not know yet is asked, where it is time to."""
        containers.each(self._ask, [one for one in them if one.starting])

    def answered(self, one: Container) -> bool:
        """Its check has ended with 0, and the engine has not said otherwise since."""
        return one.starting and one.id in self._of and self._of[one.id].well

    def pause_s(self) -> float:
        """So long nothing is to be asked; infinite when the engine's word is waited for."""
        due = [one.next_at for one in self._of.values() if not (one.well or one.running) and one.asked < len(PAUSES_S)]
        return max(0.0, min(due, default=float("inf")) - time.monotonic())

    def _ask(self, one: Container) -> None:
        with translated(f"ask {one.name} how it is"):
            try:
                question = self._of.get(one.id) or self._of.setdefault(one.id, _Question(self._check(one)))
                if question.running:
                    self._hear(question)
                late = time.monotonic() >= question.next_at
                if question.argv and not question.running and late and question.asked < len(PAUSES_S):
                    made = self.engine.api.exec_create(one.id, question.argv, stdout=False, stderr=False)["Id"]
                    self.engine.api.exec_start(made, detach=True)
                    question.running, question.asked = made, question.asked + 1
            except NotFound:  # it went
                return
            except APIError as exc:
                if exc.response is None or exc.response.status_code != 409:  # 409: it ends, or has ended
                    raise

    def _hear(self, question: _Question) -> None:
        found = self.engine.api.exec_inspect(question.running)
        if found["Running"]:
            return
        question.running, question.well = "", found["ExitCode"] == 0
        if question.asked < len(PAUSES_S):
            question.next_at = time.monotonic() + PAUSES_S[question.asked]

    def _check(self, one: Container) -> list[str]:
        """Its health check's command; empty where there is none."""
        return command(self.engine.api.inspect_container(one.id)["Config"])


def command(config: dict[str, Any]) -> list[str]:
    """The health check of a container's configuration, as the engine runs it; empty where there is none."""
    kind, *words = (config.get("Healthcheck") or {}).get("Test") or [""]
    if kind == "CMD":
        return list(words)
    return [*(config.get("Shell") or ["/bin/sh", "-c"]), *words] if kind == "CMD-SHELL" else []

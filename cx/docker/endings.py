"""Why a container has ended, or is not well, in words that say what to do."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from docker.errors import NotFound

from cx.core.errors import StartFailed
from cx.core.names import Namespace
from cx.core.state import Container
from cx.docker.connection import Engine, translated
from cx.docker.logs import last_lines

RESTARTS = 5  # so many, in some 3 s of the engine's pauses, may a service need until what it waits for is there


OUT_OF_MEMORY = (
    "raise memory of [services.{}] in cx.toml, or mem_limit in the Compose file; limits.memory of the host "
    "configuration is the most"
)
KILLED = 137  # by SIGKILL, which the kernel sends where memory is short


@dataclass(frozen=True)
class Ending:
    """How a container ended the last time. `status` is None where it never did, or where the engine does not know it
    any more; `restarts` counts how often the engine has started it again; `began_at` is when that was last."""

    restarts: int = 0
    status: int | None = None
    out_of_memory: bool = False  # it, or a process of it that runs on without
    memory_bytes: int = 0
    began_at: datetime | None = None

    def __str__(self) -> str:
        if self.out_of_memory:
            return f"ran out of memory at {self.memory_bytes >> 20}m"
        if self.status == KILLED:
            return f"was killed (status {KILLED})"
        return "ended" if self.status is None else f"ended with status {self.status}"

    @property
    def words(self) -> str:
        """What there is to tell of it; "" where there is nothing."""
        if self.restarts:
            return f"ended {self.restarts} time{'s' if self.restarts > 1 else ''}, the last time it {self}"
        return str(self) if self.out_of_memory or self.status else ""

    def told(self, service: str) -> str:
        """`words`, and what to do about it."""
        more = f": {OUT_OF_MEMORY.format(service)}" if self.out_of_memory else ""
        return self.words and self.words + more


def last_ending(engine: Engine, one: Container) -> Ending:
    """By the engine's own word, and its newest events where it has started the container again since."""
    found = _inspected(engine, one)
    if not found:
        return Ending()
    state = found["State"]
    status = state["ExitCode"] if one.state in ("exited", "dead", "restarting") else None
    out_of_memory = bool(state.get("OOMKilled"))
    if found["RestartCount"] and status is None:
        status, killed = _newest_event(engine, one)
        out_of_memory = out_of_memory or killed
    began_at = datetime.fromisoformat(state["StartedAt"])
    return Ending(found["RestartCount"], status, out_of_memory, found["HostConfig"]["Memory"], began_at)


def _newest_event(engine: Engine, one: Container) -> tuple[int | None, bool]:
    """The status that it ended with last, and whether memory ran out before. The engine keeps few events."""
    status, killed, memory = None, False, False
    filters = {"container": one.id, "event": ["die", "oom"]}
    with translated(f"look at the events of {one.name}"):
        for event in engine.api.events(since=0, until=int(time.time()) + 1, filters=filters, decode=True):
            if event["Action"] == "oom":
                memory = True
            else:
                status, killed, memory = int(event["Actor"]["Attributes"]["exitCode"]), memory, False
    return status, killed


def hopeless(engine: Engine, one: Container) -> str:
    """Why nobody need wait for `one` any longer; "" where it may still become well."""
    if one.well:
        return ""
    if one.health == "unhealthy":
        return "is unhealthy"
    if one.state in ("exited", "dead"):
        return str(last_ending(engine, one))
    if _inspected(engine, one).get("RestartCount", 0) >= RESTARTS:
        return last_ending(engine, one).words
    return ""


def start_failed(engine: Engine, namespace: Namespace, one: Container, why: str) -> StartFailed:
    """With the last lines of `one`, and of its health check where that failed."""
    remedy, ending = "mend it and deploy again; the old revision, if any, still serves", last_ending(engine, one)
    if ending.out_of_memory:
        remedy = OUT_OF_MEMORY.format(one.service)
        why += "" if str(ending) in why else f", and {ending}"
    return StartFailed(
        f"{namespace}: service {one.service} {why}",
        remedy=remedy,
        log=(*last_lines(engine, one, 20), *_ill(engine, one)),
    )


def _ill(engine: Engine, one: Container) -> Iterator[str]:
    """What its last health check said: an app's own log may hold nothing of it."""
    checks = (_inspected(engine, one).get("State", {}).get("Health") or {}).get("Log") or ()
    for last in checks[-1:]:
        if last["ExitCode"]:
            said = last["Output"].splitlines()[-5:]
            yield from (f"health check: {line}" for line in said or [f"ended with status {last['ExitCode']}"])


def _inspected(engine: Engine, one: Container) -> dict[str, Any]:
    with translated(f"look at {one.name}"):
        try:
            return dict(engine.api.inspect_container(one.id))
        except NotFound:
            return {}

"""Why a container has ended, or is not well, in words that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docker.errors import NotFound

from cx.core.errors import StartFailed
from cx.core.names import Namespace
from cx.core.state import Container
from cx.docker.connection import Engine, translated
from cx.docker.logs import last_lines

RESTARTS = 5  # so many, in some 3 s of the engine's pauses, may a service need until what it waits for is there


def hopeless(engine: Engine, one: Container) -> str:
    """Why nobody need wait for `one` any longer; "" where it may still become well."""
    if one.well:
        return ""
    if one.health == "unhealthy":
        return "is unhealthy"
    if one.state in ("exited", "dead"):
        return f"ended with status {one.exit_code}"
    found = _inspected(engine, one)
    if found.get("RestartCount", 0) >= RESTARTS:
        return f"ended {found['RestartCount']} times, the last time with status {found['State']['ExitCode']}"
    return ""


def start_failed(engine: Engine, namespace: Namespace, one: Container, why: str) -> StartFailed:
    """With the last lines of `one`, and of its health check where that failed."""
    return StartFailed(
        f"{namespace}: service {one.service} {why}",
        remedy="mend it and deploy again; the old revision, if any, still serves",
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

"""Waits for what runs to be as it should, by the engine's events and in bounded time.

Each wait says what it waits for, again and again, to a function that ends it where nobody wants the revision any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime

from docker.errors import APIError, NotFound

from cx.core.blueprint import Blueprint, Pooler
from cx.core.errors import ReleaseFailed, Retryable
from cx.core.names import Names
from cx.core.ports import Waiting
from cx.core.state import Container, Desired
from cx.docker import facts
from cx.docker.connection import Engine, translated
from cx.docker.endings import hopeless, last_ending, start_failed
from cx.docker.health import Asking
from cx.docker.logs import last_lines
from cx.docker.watch import happenings

SERVER_POLL_S = 0.05


@dataclass(frozen=True)
class Waits:
    """For what belongs to one wish."""

    engine: Engine
    names: Names
    wish: Desired

    def until_well(self, blueprint: Blueprint, waiting: Waiting) -> None:
        """Every service of the revision runs and is healthy, or is done. Raises StartFailed."""
        until = time.monotonic() + blueprint.start_timeout_s
        asking, routed = Asking(self.engine), {route.service for route in blueprint.routes}
        with self._happenings() as wait:
            while ill := self._ill(blueprint, asking, routed):
                for one in ill:
                    if why := hopeless(self.engine, one):
                        raise start_failed(self.engine, self.wish.namespace, one, why)
                waiting(", ".join(sorted({one.service for one in ill})) + " to be well")
                if time.monotonic() > until:
                    why = f"was not healthy within {blueprint.start_timeout_s:.0f} s (limits.start_timeout_s)"
                    raise start_failed(self.engine, self.wish.namespace, ill[0], why)
                wait(min(asking.pause_s(), until - time.monotonic()))

    def _ill(self, blueprint: Blueprint, asking: Asking, routed: Collection[str]) -> list[Container]:
        """Raises Retryable where somebody has removed a container."""
        mine = self._all()
        if gone := sorted({*blueprint.services, *blueprint.pinned} - {one.service for one in mine}):
            what = f"{self.wish.namespace}: the container of service {gone[0]} is gone"
            raise Retryable(what, remedy="deploy again")
        asking.look([one for one in mine if one.service in routed])
        return [one for one in mine if not (one.well or asking.answered(one)) and one.role != "release"]

    def until_stayed_up(self, blueprint: Blueprint, waiting: Waiting) -> None:
        """What no probe and no health check looks at has run for so long as it is to stay up. Raises StartFailed."""
        until = time.monotonic() + blueprint.start_timeout_s
        routed = {route.service for route in blueprint.routes}
        with self._happenings() as wait:
            while left := [(one, left_s) for one in self._all() if (left_s := self._young_s(one, routed, blueprint))]:
                for one, _ in left:
                    if why := hopeless(self.engine, one):
                        raise start_failed(self.engine, self.wish.namespace, one, why)
                waiting(", ".join(sorted({one.service for one, _ in left})) + " to stay up")
                if time.monotonic() > until:
                    why = f"did not stay up for {blueprint.stay_up_s:g} s (limits.stay_up_s)"
                    raise start_failed(self.engine, self.wish.namespace, left[0][0], why)
                wait(min(left_s for _, left_s in left))

    def _young_s(self, one: Container, routed: Collection[str], blueprint: Blueprint) -> float:
        """So long it is to stay up still; 0 where nothing more is asked of it."""
        if one.role not in ("service", "pinned") or one.service in routed or one.done or one.health:
            return 0.0
        began_at = last_ending(self.engine, one).began_at
        if not one.running or began_at is None:
            return blueprint.stay_up_s
        return max(0.0, blueprint.stay_up_s - (datetime.now(UTC) - began_at).total_seconds())

    def must_stay_up(self) -> None:
        """Raises StartFailed where a service of the revision ends again and again: nobody need wait for it."""
        for one in self._all():
            if one.role == "service" and (why := hopeless(self.engine, one)):
                raise start_failed(self.engine, self.wish.namespace, one, why)

    def until_server_answers(self, blueprint: Blueprint, one: Container, of: Pooler, waiting: Waiting) -> None:
        """The server of a clone takes connections. Raises StartFailed with its last lines."""
        assert of.server is not None  # noqa: S101 - it has a container
        until = time.monotonic() + blueprint.start_timeout_s
        while not self._answers(one, of.server.ready):
            if why := hopeless(self.engine, one):
                raise start_failed(self.engine, self.wish.namespace, one, why)
            waiting(f"{of.use.alias} to take connections")
            if time.monotonic() > until:
                why = f"took no connection within {blueprint.start_timeout_s:.0f} s (limits.start_timeout_s)"
                raise start_failed(self.engine, self.wish.namespace, one, why)
            time.sleep(SERVER_POLL_S)

    def _answers(self, one: Container, ready: Sequence[str]) -> bool:
        with translated(f"ask {one.name}"):
            try:
                made = self.engine.api.exec_create(one.id, list(ready))
                self.engine.api.exec_start(made["Id"])
                return bool(self.engine.api.exec_inspect(made["Id"])["ExitCode"] == 0)
            except APIError as exc:
                if exc.response is None or exc.response.status_code != 409:  # 409: it is starting anew
                    raise
                return False

    def until_released(self, timeout_s: float, waiting: Waiting) -> None:
        """The release command has ended with 0. Raises ReleaseFailed with its last lines."""
        until = time.monotonic() + timeout_s
        with self._happenings() as wait:
            while True:
                (job,) = [one for one in self._all() if one.role == "release"]
                if job.done:
                    return
                if job.state in ("exited", "dead"):
                    raise self._release_failed(job, f"ended with status {job.exit_code}")
                waiting("the release command to end")
                if time.monotonic() > until:
                    self._kill(job)
                    raise self._release_failed(job, f"took over {timeout_s:.0f} s (release.timeout_s)")
                wait(until - time.monotonic())

    def _release_failed(self, job: Container, why: str) -> ReleaseFailed:
        return ReleaseFailed(
            f"{self.wish.namespace}: the release command {why}",
            remedy="mend it and deploy again; the old revision, if any, still serves",
            log=last_lines(self.engine, job, 20),
        )

    def _kill(self, job: Container) -> None:
        with translated(f"end {job.name}"):
            try:
                self.engine.api.kill(job.id)
            except NotFound:
                return
            except APIError as exc:
                if exc.response is None or exc.response.status_code != 409:  # 409: it has just ended
                    raise

    def _happenings(self) -> AbstractContextManager[Callable[[float], None]]:
        return happenings(self.engine, facts.labels(self.names, self.wish.namespace))

    def _all(self) -> list[Container]:
        """Those of the revision, and those that outlive it."""
        return [
            one
            for one in facts.containers(self.engine, self.names, self.wish.namespace)
            if one.revision == self.wish.revision or one.role in ("pinned", "server")
        ]

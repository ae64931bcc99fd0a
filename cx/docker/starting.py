"""How containers come to run: Compose makes them, cx starts them, each when what it waits for is so.

Compose could start them too, but it would wait by itself: without a word, without an end, and whoever deletes the
namespace would wait with it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cx.core.blueprint import Blueprint
from cx.core.errors import StartFailed
from cx.core.names import Names, Namespace
from cx.core.ports import Checkout, Waiting
from cx.core.state import Container, Desired
from cx.docker import compose, containers, facts, files
from cx.docker.compose import CommandFailed
from cx.docker.connection import Engine, EngineRefused
from cx.docker.endings import hopeless, start_failed
from cx.docker.order import HEALTHY, WORDS, Need, Order, Present
from cx.docker.watch import happenings

COMPOSE_TIMEOUT_S = 900  # covers pulling images
REMEDY = "mend it and deploy again; the old revision, if any, still serves"


def create(
    namespace: Namespace,
    project: str,
    model: Mapping[str, Any],
    fault: Callable[[str], None],
    waiting: Waiting,
    services: Sequence[str] = (),
) -> None:
    """The containers of the services of `model`, which is Compose's, are there (of all but those of profiles, if none
    are named). Safe to repeat: what is there as it should be keeps its state. Raises StartFailed."""
    if not (services or any(not one.get("profiles") for one in model["services"].values())):
        return
    try:
        compose.create(
            project,
            model,
            services=services,
            timeout_s=COMPOSE_TIMEOUT_S,
            line=lambda text: fault("inside create") if text.endswith("Created") else None,
            still_wanted=lambda: waiting(""),
        )
    except CommandFailed as exc:
        what = f"{namespace}: its containers were not made: {exc.what}"
        raise StartFailed(what, remedy=REMEDY, log=exc.log[-20:]) from exc


@dataclass(frozen=True)
class Starting:
    """Of the containers of one revision, and of what outlives revisions; all are there. `placed` maps services to the
    single files of the checkout that are put into their containers before they start. `since`: when the revision came
    to this host. What outlives revisions, and was done before, is started once more."""

    engine: Engine
    names: Names
    wish: Desired
    blueprint: Blueprint
    since: datetime | None
    placed: Mapping[str, Mapping[str, str]]
    checkout: Checkout
    waiting: Waiting

    @property
    def order(self) -> Order:
        return Order.of(self.blueprint)

    def run(self, services: Iterable[str]) -> None:
        """Each of `services`, and all that these wait for, was started when what it waits for was so; what is done was
        not. Safe to repeat. Raises StartFailed for what cannot start, or waits longer than the start may take."""
        pending = self.order.with_all(services)
        self._until(lambda present: self._step(pending, present))

    def until_ready_for(self, service: str) -> None:
        """What `service` waits for is so, of what outlives revisions."""
        kept = [need for need in self.order.needs[service] if need.service in self.blueprint.pinned]

        def unmet(present: Present) -> list[Need]:
            return [need for need in self.order.unmet(service, present, ()) if need in kept]

        self._until(unmet)

    def start(self, them: Iterable[Container]) -> None:
        """They run, and the engine starts them again as the project says. Raises StartFailed."""
        them = list(them)
        for one in them:
            placed = self.placed.get(one.service)
            if placed and (one.role == "pinned" or (one.stopped and one.role != "server")):
                files.place(self.engine, one.id, self.checkout(), placed)
        containers.each(self._start, [one for one in them if one.stopped])
        again = [one for one in them if one.state != "created"]  # of those, some may have been asleep
        containers.each(lambda one: containers.keep(self.engine, one), again)

    def _start(self, one: Container) -> None:
        try:
            containers.start(self.engine, [one])
        except EngineRefused as exc:
            why = exc.what.removeprefix(f"start {one.name}: ")
            raise StartFailed(
                f"{self.wish.namespace}: service {one.service} did not start: {why}", remedy=REMEDY
            ) from exc

    def _step(self, pending: set[str], present: Present) -> list[Need]:
        """All that can start has started; what the others wait for."""
        while ready := [name for name in pending if not any(self._unmet(name, present, pending))]:
            self.start(one for name in ready for one in present.get(name, ()) if not one.done)
            pending.difference_update(ready)
        return [need for name in pending for need in self._unmet(name, present, pending)]

    def _unmet(self, name: str, present: Present, pending: Collection[str]) -> list[Need]:
        """Without what cannot become so and is not required."""
        unmet = self.order.unmet(name, present, pending)
        return [need for need in unmet if need.required or need.service in pending or not self._hopeless(need, present)]

    def _until(self, step: Callable[[Present], list[Need]]) -> None:
        """`step` tells what is waited for, again and again, until that is nothing."""
        until = time.monotonic() + self.blueprint.start_timeout_s
        unmet = step(self._present())
        if not unmet:
            return
        with happenings(self.engine, facts.labels(self.names, self.wish.namespace)) as wait:
            while unmet := step(present := self._present()):
                pending = {need.waiting for need in unmet}
                for need in unmet:
                    if need.required and need.service not in pending and (found := self._hopeless(need, present)):
                        one, why = found
                        raise start_failed(self.engine, self.wish.namespace, one, f"{why}, and {need}")
                self.waiting("; ".join(sorted(map(str, unmet))))
                if time.monotonic() > until:
                    raise self._took_too_long(unmet, present)
                wait(until - time.monotonic())

    def _took_too_long(self, unmet: Sequence[Need], present: Present) -> StartFailed:
        """The one is named that all others wait for."""
        waiting = {need.waiting for need in unmet}
        need = next((need for need in unmet if need.service not in waiting), unmet[0])
        limit = f"{self.blueprint.start_timeout_s:.0f} s (limits.start_timeout_s)"
        for one in present.get(need.service, ()):
            why = f"did not come {WORDS[need.condition]} within {limit}, and {need}"
            return start_failed(self.engine, self.wish.namespace, one, why)
        return StartFailed(f"{self.wish.namespace}: {need} for more than {limit}", remedy=REMEDY)

    def _hopeless(self, need: Need, present: Present) -> tuple[Container, str] | None:
        """The container by which `need` cannot become so, and why."""
        for one in present.get(need.service, ()):
            if why := hopeless(self.engine, one):
                return one, why
            if need.condition == HEALTHY and one.done:
                return one, "has ended"
            if need.condition == HEALTHY and one.running and not one.health:
                return one, "has no health check"
        return None

    def _present(self) -> Present:
        """Those of the revision, and those that outlive it, by service."""
        found: dict[str, list[Container]] = defaultdict(list)
        for one in facts.containers(self.engine, self.names, self.wish.namespace):
            if one.revision in ("", self.wish.revision) and one.role in ("service", "job", "pinned"):
                found[one.service].append(facts.closely(self.engine, one, self.since))
        return found

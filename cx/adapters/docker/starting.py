"""How the containers of one Compose project come to run: Compose makes them, in the order that it knows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from cx.adapters.docker import compose, containers, facts, files, poolers
from cx.adapters.docker.compose import CommandFailed
from cx.adapters.docker.engine import Engine, EngineRefused
from cx.adapters.docker.model import PoolerContainer
from cx.errors import Retryable, StartFailed
from cx.model.names import Names, Namespace
from cx.model.state import Container
from cx.reconcile import Checkout

COMPOSE_TIMEOUT_S = 900  # covers pulling images


@dataclass(frozen=True)
class Start:
    """The containers of `model`, which is Compose's, in `project`. `placed` maps services to the single files of the
    checkout that are put into them before they start."""

    engine: Engine
    names: Names
    namespace: Namespace
    project: str
    model: Mapping[str, Any]
    placed: Mapping[str, Mapping[str, str]]
    fault: Callable[[str], None]

    def run(
        self,
        checkout: Checkout,
        *,
        services: Sequence[str] = (),
        before: Sequence[PoolerContainer] = (),
    ) -> None:
        """The services run (all but those of profiles, if none are named), and what they reach their databases through
        ran `before` them. Safe to repeat: what runs as it should is left alone. Raises StartFailed.
        """
        there = facts.containers(self.engine, self.names, self.namespace)
        due = poolers.due(before, there)
        if not self._wanted(services):  # all that there is keeps its state, and runs in another project
            poolers.run(self.engine, due, there, self.fault)
            return
        try:
            if due:
                with ThreadPoolExecutor(max_workers=1) as pool:  # Compose makes the others meanwhile
                    started = pool.submit(poolers.run, self.engine, due, there, self.fault)
                    self._compose(services, start=False)
                    started.result()
            elif self.placed:
                self._compose(services, start=False)
            if self.placed:
                self._place(checkout)
            if not (due and self._independent() and self._started(services)):
                self._compose(services, start=True)
        except CommandFailed as exc:
            raise StartFailed(
                f"{self.namespace}: its containers did not start: {exc.what}",
                remedy="mend it and deploy again; the old revision, if any, still serves",
                log=exc.log[-20:],
            ) from exc
        slept = [one for one in there if one.state == "exited" and one.role in ("service", "pinned", "server")]
        mine = [one for one in slept if one.name.startswith(f"{self.project}-")]
        containers.each(lambda one: containers.keep(self.engine, one, "always"), mine)

    def _compose(self, services: Sequence[str], *, start: bool) -> None:
        compose.up(
            self.project,
            self.model,
            services=services,
            timeout_s=COMPOSE_TIMEOUT_S,
            line=lambda text: self.fault("inside start") if text.endswith("Created") else None,
            start=start,
        )

    def _mine(self) -> list[Container]:
        found = facts.containers(self.engine, self.names, self.namespace)
        return [one for one in found if one.name.startswith(f"{self.project}-")]

    def _place(self, checkout: Checkout) -> None:
        for one in self._mine():
            if one.service in self.placed and one.role != "pooler":
                files.place(self.engine, one.id, checkout(), self.placed[one.service])

    def _wanted(self, services: Sequence[str]) -> Sequence[str]:
        return services or [name for name, one in self.model["services"].items() if not one.get("profiles")]

    def _independent(self) -> bool:
        return not any(one.get("depends_on") for one in self.model["services"].values())

    def _started(self, services: Sequence[str]) -> bool:
        """Those that Compose has just made, and that need no order, run: it need not look at them all once more.

        False where one does not start: Compose is to try, and to say why.
        """
        names = {f"{self.project}-{name}-1" for name in self._wanted(services)}
        try:
            containers.start(self.engine, [one for one in self._mine() if one.name in names])
        except (EngineRefused, Retryable):
            return False
        return True

"""How the containers of one Compose project come to run: Compose makes them, in the order that it knows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from cx.core.errors import Retryable, StartFailed
from cx.core.names import Names, Namespace
from cx.core.ports import Checkout
from cx.core.state import Container
from cx.docker import compose, containers, facts, files
from cx.docker.compose import CommandFailed
from cx.docker.connection import Engine, EngineRefused

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

    def create(self, services: Sequence[str] = ()) -> None:
        """The containers of the services are there (of all but those of profiles, if none are named). Safe to repeat:
        what is there as it should be keeps its state. Raises StartFailed."""
        if self._wanted(services):
            with self._told():
                self._compose(services, start=False)

    def run(self, checkout: Checkout, services: Sequence[str] = ()) -> None:
        """The services run, whose containers are there. Safe to repeat. Raises StartFailed."""
        if not self._wanted(services):  # all that there is keeps its state, and runs in another project
            return
        slept = [one for one in self._mine() if one.state == "exited" and one.role in ("service", "pinned", "server")]
        if self.placed:
            self._place(checkout)
        with self._told():
            if not (self._independent(services) and self._started(services)):
                self._compose(services, start=True)
        containers.each(lambda one: containers.keep(self.engine, one, "always"), slept)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except CommandFailed as exc:
            raise StartFailed(
                f"{self.namespace}: its containers did not start: {exc.what}",
                remedy="mend it and deploy again; the old revision, if any, still serves",
                log=exc.log[-20:],
            ) from exc

    def _compose(self, services: Sequence[str], *, start: bool) -> None:
        compose.up(
            self.project,
            self.model,
            services=services,
            timeout_s=COMPOSE_TIMEOUT_S,
            line=lambda text: self.fault("inside create") if text.endswith("Created") else None,
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

    def _independent(self, services: Sequence[str]) -> bool:
        """Whether to start them is all that is left: they wait for nobody, and Compose puts no file into them then."""
        wanted = [self.model["services"][name] for name in self._wanted(services)]
        return not any(one.get(key) for one in wanted for key in ("depends_on", "configs", "secrets"))

    def _started(self, services: Sequence[str]) -> bool:
        """Those that Compose has made, and that need no order, run: it need not look at them all once more.

        False where one does not start: Compose is to try, and to say why.
        """
        names = {f"{self.project}-{name}-1" for name in self._wanted(services)}
        mine = [one for one in self._mine() if one.name in names]
        if len(mine) < len(names):  # somebody has removed what did not run yet
            return False
        try:
            containers.start(self.engine, mine)
        except (EngineRefused, Retryable):
            return False
        return True

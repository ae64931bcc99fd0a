"""All that there is of all namespaces: one listing of each system."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cx.core.state import Observed, Routed

if TYPE_CHECKING:
    from cx.core.errors import CxError
    from cx.data.databases import Databases
    from cx.docker.workloads import Workloads
    from cx.router.routes import Router, Routes


@dataclass(frozen=True)
class Observing:
    """The systems that hold a part of a namespace. Raises what they raise: one that is silent is not empty."""

    workloads: Workloads
    databases: Databases
    router: Router

    def namespaces(self) -> dict[str, Observed]:
        """Every namespace of which anything is there, by name."""
        return self.with_routes()[0]

    def with_routes(self) -> tuple[dict[str, Observed], dict[str, Routes]]:
        """As `namespaces`, and what answers for each."""
        seen, routes, silent = self._look()
        if silent:
            raise silent
        return seen, routes

    def reachable(self) -> tuple[dict[str, Observed], CxError | None]:
        """As `namespaces`, and why there may be more: the database server is silent. None: it is all."""
        seen, _, silent = self._look()
        return seen, silent

    def _look(self) -> tuple[dict[str, Observed], dict[str, Routes], CxError | None]:
        with ThreadPoolExecutor(max_workers=2) as pool:
            databases = pool.submit(self.databases.all_reachable)
            routed = pool.submit(self.router.observe_all)
            seen = self.workloads.observe_all()
        (clones, silent), routes = databases.result(), routed.result()

        def whole(name: str) -> Observed:
            on = routes[name].routed if name in routes else Routed()
            return seen.get(name, Observed()).joined(clones.get(name, ()), on)

        return {name: whole(name) for name in {*seen, *clones, *routes}}, routes, silent

"""The data network: the database server at a fixed address, and the poolers beside it.

The engine forgets the address of a member that ends, and gives the lowest free one to the next that starts. So poolers
get theirs from a range of their own: else one of them has the server's when the engine starts everything anew, in
whatever order, and the server cannot start.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from docker.errors import APIError, NotFound

from cx.core.errors import Terminal
from cx.core.names import LABEL_INSTANCE, LABEL_ROLE, Names
from cx.docker import containers
from cx.docker.connection import EngineRefused, translated
from cx.docker.networks import Laid, Networks, data_range, data_subnet

_STOP_S = 60
_ATTEMPTS = 10  # a deployment at work may join while the network is being left


@dataclass(frozen=True)
class DataNetwork:
    names: Names
    networks: Networks
    server: str  # the container's name
    fault: Callable[[str], None] = lambda _: None

    def keeps_address(self) -> bool:
        """Whether the engine gives the server's address to nobody else."""
        found = self.networks.look(self.names.data_network())
        return found is None or self._has_range(found)

    def lay(self, say: Callable[[str], None]) -> None:
        """The network is there, with its range, and every pooler of the instance is a member. Safe to repeat.

        A network without its range is made anew. The server's container goes with it, and every pooler asks for the
        server until that is back.
        """
        name, pool = self.names.data_network(), self.networks.pool
        found = self.networks.look(name)
        if found and found.subnet != data_subnet(pool):
            raise Terminal(
                f"network {name} is not in network.pool {pool}, which has changed",
                remedy="delete the namespaces, then `cx down` and `cx up`",
            )
        if found and not self._has_range(found):
            say("give the poolers addresses of their own: previews wait for their databases meanwhile")
            self._clear(name)
        self.networks.create_data(name, self.names.labels(None, "data"))
        self.fault("data network: made")
        self._join(name)

    def leave(self) -> None:
        """The network is gone, unless poolers of namespaces that still run are members of it."""
        name = self.names.data_network()
        if not self.networks.members(name):
            self.networks.remove(name)

    # --- parts
    def _has_range(self, found: Laid) -> bool:
        return found.handed_out == data_range(self.networks.pool)

    def _clear(self, name: str) -> None:
        """The network is gone. The server stops before it, so that it closes every connection of a pooler.

        A connection that lost its network is not closed: its pooler would go on waiting for an answer.
        """
        api = self.networks.engine.api
        with translated("stop the database server"), suppress(NotFound):
            api.stop(self.server, timeout=_STOP_S)
            api.remove_container(self.server)
        self.fault("data network: server gone")
        for left in reversed(range(_ATTEMPTS)):
            containers.each(lambda one: self._leave(name, one), self.networks.members(name))
            self.fault("data network: left")
            try:
                self.networks.remove(name)
                break
            except EngineRefused:
                if not left:
                    raise
        self.fault("data network: gone")

    def _join(self, name: str) -> None:
        """Every pooler is a member. So is a stopped one: the engine starts no container whose network is gone."""
        found = self.networks.look(name)
        labels = [f"{LABEL_INSTANCE}={self.names.instance}", f"{LABEL_ROLE}=pooler"]
        with translated("list containers"):
            listed = self.networks.engine.api.containers(all=True, filters={"label": labels})

        def join(one: dict[str, Any]) -> None:
            place = one["NetworkSettings"]["Networks"].get(name)
            if found is None or (place and place["NetworkID"] == found.id):
                return
            if place:  # of a network of this name that is gone
                self._leave(name, one["Id"])
            self._connect(name, one["Id"])
            self.fault("data network: pooler joined")

        containers.each(join, listed)

    def _leave(self, name: str, container: str) -> None:
        with translated(f"leave network {name}"):
            try:
                self.networks.engine.api.disconnect_container_from_network(container, name, force=True)
            except NotFound:
                return
            except APIError as exc:
                if "is not connected" not in str(exc.explanation):
                    raise

    def _connect(self, name: str, container: str) -> None:
        with translated(f"join network {name}"):
            try:
                self.networks.engine.api.connect_container_to_network(container, name)
            except NotFound:  # a deployment has removed it
                return
            except APIError as exc:
                if not any(one in str(exc.explanation) for one in ("already exists in network", "marked for removal")):
                    raise

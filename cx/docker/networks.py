"""Networks with explicit small subnets from a pool of cx's own: Docker's default pools end at 30 networks.

The pool's first /21 is the data network (its upper half is as many addresses as a bridge has ports), the rest is for
namespaces.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

from docker.errors import APIError, NotFound
from docker.types import IPAMConfig, IPAMPool

from cx.core.errors import Retryable, Terminal
from cx.docker.connection import Engine, translated

Subnet = ipaddress.IPv4Network
DATA_PREFIX = 21


class PoolExhausted(Retryable):
    pass


def data_subnet(pool: Subnet) -> Subnet:
    return next(pool.subnets(new_prefix=max(DATA_PREFIX, pool.prefixlen + 1)))


def server_address(pool: Subnet) -> str:
    """The database server's address in the data network: no other member gets it, whoever starts first."""
    return str(data_subnet(pool)[2])


def data_range(pool: Subnet) -> Subnet:
    """The part of the data network that the engine gives addresses from; those that cx fixes lie below it."""
    return list(data_subnet(pool).subnets())[1]


@dataclass(frozen=True)
class Laid:
    """A network as the engine has it. `handed_out` is the range that it gives addresses from; None: the subnet."""

    id: str
    subnet: Subnet
    handed_out: Subnet | None


@dataclass(frozen=True)
class Networks:
    engine: Engine
    pool: Subnet
    lock: Callable[[], AbstractContextManager[None]]  # held while a subnet is chosen; shared by every cx on this host

    def look(self, name: str) -> Laid | None:
        """Network `name`, None when there is none."""
        with translated(f"look at network {name}"):
            try:
                found = self.engine.api.inspect_network(name)
            except NotFound:
                return None
        config = found["IPAM"]["Config"][0]
        handed_out = config.get("IPRange")
        return Laid(found["Id"], Subnet(config["Subnet"]), Subnet(handed_out) if handed_out else None)

    def subnet(self, name: str) -> Subnet | None:
        """The subnet of network `name`, None when there is no such network."""
        found = self.look(name)
        return found.subnet if found else None

    def made_at(self, name: str) -> datetime | None:
        """When network `name` was made, None when there is no such network."""
        with translated(f"look at network {name}"):
            try:
                return datetime.fromisoformat(self.engine.api.inspect_network(name)["Created"])
            except NotFound:
                return None

    def ensure(self, name: str, labels: dict[str, str], prefix: int) -> Subnet:
        """Network `name` is there, its subnet of the pool at least as big as /`prefix`. Safe to repeat.

        Raises PoolExhausted when no subnet is free.
        """
        found = self.subnet(name)
        if found and found.prefixlen <= prefix:
            return found
        if found:
            self.remove(name)
        with self.lock():
            with translated("list the networks"):
                listed = self.engine.api.networks()
            taken = [
                Subnet(config["Subnet"])
                for one in listed
                for config in (one.get("IPAM") or {}).get("Config") or ()
                if ":" not in config["Subnet"]
            ]
            for subnet in free(self.pool, prefix, taken):
                if self._create(name, labels, subnet):
                    return subnet
        raise PoolExhausted(
            f"network {name}: no free /{prefix} is left in {self.pool}",
            remedy="`cx list` shows what is running; a bigger pool is network.pool in the host configuration",
        )

    def create_data(self, name: str, labels: dict[str, str]) -> None:
        """The data network is there, at its fixed place in the pool, with its range."""
        subnet, handed_out = data_subnet(self.pool), data_range(self.pool)
        if not self._create(name, labels, subnet, handed_out) and self.subnet(name) is None:
            raise Terminal(
                f"{subnet} is used by another network of this host",
                remedy="set network.pool in the host configuration to a private range that is free",
            )

    def _create(self, name: str, labels: dict[str, str], subnet: Subnet, handed_out: Subnet | None = None) -> bool:
        """False when somebody else (a VPN, another tool) uses the subnet."""
        place = IPAMPool(subnet=str(subnet), gateway=str(subnet[1]), iprange=str(handed_out) if handed_out else None)
        bridge = IPAMConfig(pool_configs=[place])
        try:
            with translated(f"create network {name}"):
                try:
                    self.engine.api.create_network(name, driver="bridge", ipam=bridge, labels=labels)
                except APIError as exc:
                    if "overlap" in str(exc.explanation) or "conflict" in str(exc.explanation):
                        return False
                    raise
        except Terminal as exc:
            if "already exists" in exc.what:
                return False
            raise
        return True

    def members(self, name: str) -> list[str]:
        """The containers in network `name`; none when there is no such network."""
        with translated(f"look at network {name}"):
            try:
                return list(self.engine.api.inspect_network(name)["Containers"] or {})
            except NotFound:
                return []

    def remove(self, name: str) -> None:
        with translated(f"remove network {name}"):
            try:
                self.engine.api.remove_network(name)
            except NotFound:
                return


def free(pool: Subnet, prefix: int, taken: Iterable[Subnet]) -> Iterable[Subnet]:
    """Subnets of the pool that overlap nothing in `taken`, lowest first."""
    taken = sorted((one for one in taken if one.overlaps(pool)), key=lambda one: one.network_address)
    taken = sorted({*taken, data_subnet(pool)}, key=lambda one: one.network_address)
    size = 1 << (32 - prefix)
    candidate = int(pool.network_address)
    end = int(pool.broadcast_address)
    for busy in [*taken, None]:
        limit = int(busy.network_address) if busy else end + 1
        candidate = -(-candidate // size) * size
        while candidate + size <= limit:
            yield Subnet((candidate, prefix))
            candidate += size
        if busy:
            candidate = max(candidate, int(busy.broadcast_address) + 1)

"""All containers of a host start in any order, and each finds its address free."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Any
from urllib.parse import urlencode

import docker
import pytest
from docker.models.containers import Container
from docker.types import IPAMConfig, IPAMPool
from live import EXAMPLES, HERE, Cx, Project, host, until

from cx.core.names import LABEL_INSTANCE

GUESTBOOKS = ("preview-1", "preview-2", "preview-own")
ASLEEP, SHOP = "preview-asleep", "preview-shop"
POINTS = ("server gone", "left", "gone", "made", "pooler joined")


@dataclass
class Machine:
    """A host of cx's with previews of every sort: with a pooler, with a server of its own, with a pinned service."""

    cx: Cx
    client: docker.DockerClient

    def mine(self) -> list[Container]:
        return list(self.client.containers.list(all=True, filters={"label": f"{LABEL_INSTANCE}={self.cx.instance}"}))

    def container(self, name: str) -> Container:
        return self.client.containers.get(f"{self.cx.instance}-{name}")

    @property
    def data(self) -> str:
        return f"{self.cx.instance}_data"

    def network(self) -> Any:
        return self.client.api.inspect_network(self.data)

    def answer(self) -> bool:
        """Each preview answers, with what is its own."""
        try:
            shop = self.cx.ask(SHOP, "/api/", service="proxy")
            pages = [(name, self.cx.ask(name)) for name in GUESTBOOKS]
        except OSError:  # the router
            return False
        return (
            shop[0] == 200
            and shop[1].startswith("1000 customers")
            and all(status == 200 and f"this is {name}" in page for name, (status, page) in pages)
        )

    def pull_the_plug(self) -> list[Container]:
        """Nothing runs any more. Gives what the engine would start again."""
        running = [one for one in self.mine() if one.status == "running"]
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda one: one.kill(), running))
        return running

    def as_it_was(self) -> None:
        """The data network has no range, as earlier versions made it; all that runs is a member of it as before."""
        network = self.network()
        (config,) = network["IPAM"]["Config"]
        there = [self.client.containers.get(one) for one in network["Containers"]]
        asleep = self.container(f"{ASLEEP}-{self.revision(ASLEEP)}-cx-pooler-app-1")
        for one in (*there, asleep):
            self.client.api.disconnect_container_from_network(one.id, self.data, force=True)
        self.client.api.remove_network(self.data)
        ipam = IPAMConfig(pool_configs=[IPAMPool(subnet=config["Subnet"], gateway=config["Gateway"])])
        self.client.api.create_network(self.data, driver="bridge", ipam=ipam, labels=network["Labels"])
        server = self.container("postgres")
        self.client.api.connect_container_to_network(server.id, self.data, ipv4_address=self.server_address())
        for one in (*there, asleep):
            if one.id != server.id:
                self.client.api.connect_container_to_network(one.id, self.data)
        for one in there:
            one.restart(timeout=30)
        until(self.answer)

    def revision(self, namespace: str) -> str:
        return f"r{self.cx.observe(namespace).revisions[0]}"

    def server_address(self) -> str:
        return str(IPv4Network(self.network()["IPAM"]["Config"][0]["Subnet"])[2])


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory, production: str) -> Iterator[Machine]:
    folder = tmp_path_factory.mktemp("addresses")
    source = f'source = "{production}"\nsanitise = "{EXAMPLES / "mask.sql"}"\n'
    more = f"""
[postgres]
spares = 0
[databases.app]
{source}
[databases.own]
{source}
isolation = "server"
"""
    guestbook, shop = (
        Project(folder / "guestbook", EXAMPLES / "guestbook"),
        Project(folder / "shop", HERE / "projects/shop"),
    )
    shop.write("cx.toml", '[databases.app]\nservice = "db"\n')
    client = docker.from_env()
    with host(folder, more) as cx:
        cx("db", "refresh", "app")
        cx("db", "refresh", "own")
        cx("deploy", shop.folder, "--namespace", SHOP)
        for name in (*GUESTBOOKS, ASLEEP):
            if name == "preview-own":
                guestbook.replace("cx.toml", "databases.app", "databases.own")
            cx("deploy", guestbook.folder, "--namespace", name)
            cx.get(name, method="POST", body=urlencode({"author": "a", "note": f"this is {name}"}))
            if name == "preview-own":
                guestbook.replace("cx.toml", "databases.own", "databases.app")
        cx("sleep", ASLEEP)
        yield Machine(cx, client)
    client.close()


@pytest.mark.slow
@pytest.mark.parametrize("order", range(20))
def test_all_answer_whoever_starts_first(machine: Machine, order: int) -> None:
    stopped = machine.pull_the_plug()
    stopped.sort(key=lambda one: hashlib.sha256(f"{order}/{one.name}".encode()).digest())
    with ThreadPoolExecutor(4) as pool:  # as the engine does it
        list(pool.map(lambda one: one.start(), stopped))
    until(machine.answer)
    assert all(one.status == "exited" for one in machine.mine() if ASLEEP in one.name)


def test_no_address_is_fixed_where_the_engine_hands_out_addresses(machine: Machine) -> None:
    """In each network: either nobody's address is fixed, or the engine hands out others."""
    label = {"label": f"{LABEL_INSTANCE}={machine.cx.instance}"}
    for network in machine.client.api.networks(filters=label):
        given = network["IPAM"]["Config"][0]
        handed_out = IPv4Network(given.get("IPRange") or given["Subnet"])
        fixed, free = [], []
        for one in machine.mine():
            here = one.attrs["NetworkSettings"]["Networks"].get(network["Name"])
            if here is not None:
                address = (here["IPAMConfig"] or {}).get("IPv4Address")
                (fixed if address else free).append(address)
        assert fixed or free, network["Name"]
        assert not free or not any(IPv4Address(one) in handed_out for one in fixed), network["Name"]


def test_a_host_of_before_gets_its_range_and_no_request_fails(machine: Machine) -> None:
    machine.as_it_was()
    done, failed, answered = threading.Event(), [], 0
    with ThreadPoolExecutor(1) as pool:

        def visit() -> int:
            count = 0
            while not done.is_set():
                for name in GUESTBOOKS[:2]:
                    status, text = machine.cx.ask(name, timeout_s=60)
                    count += 1
                    if status != 200:
                        failed.append((status, text))
            return count

        visits = pool.submit(visit)
        said = machine.cx("up").stdout
        done.set()
        answered = visits.result()
    assert "previews wait for their databases" in said
    assert failed == []
    assert answered
    assert machine.network()["IPAM"]["Config"][0]["IPRange"]
    until(machine.answer)
    assert "previews wait" not in machine.cx("up").stdout
    machine.cx("wake", ASLEEP)
    assert f"this is {ASLEEP}" in machine.cx.get(ASLEEP)
    machine.cx("sleep", ASLEEP)


@pytest.mark.parametrize("point", POINTS)
def test_killed_while_it_gets_its_range_it_is_whole_after_the_next(machine: Machine, point: str) -> None:
    machine.as_it_was()
    done = machine.cx("up", check=False, CX_TEST_DIE_AT=f"data network: {point}")
    assert done.returncode == -9, (done.stdout, done.stderr)
    machine.cx("up")
    until(machine.answer)
    network = machine.network()
    addresses = {one["Name"]: one["IPv4Address"].split("/")[0] for one in network["Containers"].values()}
    assert addresses.pop(f"{machine.cx.instance}-postgres") == machine.server_address()
    handed_out = IPv4Network(network["IPAM"]["Config"][0]["IPRange"])
    assert len(addresses) == 3  # of each preview that is awake and has a database there
    assert all(IPv4Address(one) in handed_out for one in addresses.values())
    machine.cx("wake", ASLEEP)
    assert f"this is {ASLEEP}" in machine.cx.get(ASLEEP)
    machine.cx("sleep", ASLEEP)


def test_when_a_pooler_has_the_servers_address_the_advice_mends_it(machine: Machine) -> None:
    machine.as_it_was()
    server = machine.container("postgres")
    stopped = machine.pull_the_plug()
    for one in sorted(stopped, key=lambda one: one.id == server.id):
        if one.id != server.id:
            one.start()
    with pytest.raises(docker.errors.APIError, match="Address already in use"):
        server.start()
    for command in (("list",), ("show", GUESTBOOKS[0]), ("db", "list")):
        done = machine.cx(*command, check=False)
        assert done.returncode == 75
        assert done.stderr == (
            "cx: the database server does not run (exited: Address already in use); `cx up` starts it\n"
        )
    said = machine.cx("doctor", check=False).stdout
    assert "may give the database server's address to a pooler" in said
    assert "CX_STATE_DIR" not in said
    machine.cx("up")
    until(machine.answer)
    assert machine.cx("list").stdout.count("ready") == 4


def test_what_slept_while_the_stack_was_away_wakes(machine: Machine) -> None:
    """`cx down` removes the network when no container that runs is a member; those asleep then find the new one."""
    awake = (*GUESTBOOKS, SHOP)
    for name in awake:
        machine.cx("sleep", name)
    machine.cx("down", "--force")
    machine.cx("up")
    for name in awake:
        machine.cx("wake", name)
    until(machine.answer)

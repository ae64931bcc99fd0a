"""A real PostgreSQL server for previews, real sources, and an instance of cx of the run's own."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import docker
import pytest
from pgworld import IMAGE, KEY, SUPERUSER_PASSWORD, Machine, World, fill, until

from cx.core.names import Names
from cx.data.session import prepare
from cx.data.shared.clones import PostgresClones
from cx.data.shared.goldens import PostgresGoldens
from cx.data.values import Server, Source


@pytest.fixture(scope="session")
def names() -> Names:
    return Names("t" + secrets.token_hex(4))


@pytest.fixture(scope="session")
def client(names: Names) -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    mine = {"label": f"dev.cx.instance={names.instance}"}
    for container in client.containers.list(all=True, ignore_removed=True, filters=mine):
        container.remove(v=True, force=True)
    for volume in client.volumes.list(filters=mine):
        volume.remove()
    client.close()


@pytest.fixture(scope="session")
def start(client: docker.DockerClient, names: Names) -> Callable[..., Machine]:
    def start(image: str = IMAGE, *options: str, **more: Any) -> Machine:
        container = client.containers.run(
            image,
            ["postgres", "-c", "fsync=off", *options],
            detach=True,
            environment={"POSTGRES_USER": "cx", "POSTGRES_PASSWORD": SUPERUSER_PASSWORD},
            labels=names.labels(None, "test"),
            **more,
        )
        container.reload()
        machine = Machine(container, container.attrs["NetworkSettings"]["IPAddress"])
        until(machine.is_ready)
        return machine

    return start


@pytest.fixture(scope="session")
def world(client: docker.DockerClient, names: Names, start: Callable[..., Machine]) -> World:
    machine = start(IMAGE, "-c", "max_prepared_transactions=10")
    server = Server(machine.host, 5432, SUPERUSER_PASSWORD)
    prepare(server)
    clones = PostgresClones(server, names, KEY)
    return World(names, machine, server, clones, PostgresGoldens(server, names, client, IMAGE), client)


@pytest.fixture(scope="session")
def production(start: Callable[..., Machine]) -> Machine:
    """A source of the server's version, with a small database `shop` and the one with everything."""
    machine = start(IMAGE, "-c", "log_min_duration_statement=0", "-c", "log_connections=on")
    fill(machine)
    return machine


@pytest.fixture(scope="session")
def shop(production: Machine) -> Source:
    return Source("shop", url=production.url("shop"))


@pytest.fixture(scope="session")
def refreshed(world: World, shop: Source) -> None:
    """The source `shop` has a golden; tests may have replaced it since."""
    world.goldens.refresh(shop)


@pytest.fixture
def shop_golden(world: World, refreshed: None) -> str:
    """The name of the golden of `shop`."""
    golden = world.goldens.current("shop")
    assert golden
    return golden.database


@pytest.fixture
def fresh(world: World, shop_golden: str) -> Iterator[World]:
    """The world with a golden of `shop` and without clones, before and after."""
    without_clones(world)
    yield world
    without_clones(world)


def without_clones(world: World) -> None:
    for clone in world.clones.observe_all():
        world.clones.drop(clone.namespace, clone.source)

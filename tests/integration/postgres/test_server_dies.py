"""SIGKILL of the database server inside each operation; it starts again, and one more pass puts all right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from pgworld import IMAGE, KEY, ONE, Machine, World, until
from test_crash import only_the_golden_is_left, rows, running

from cx.adapters.postgres.clones import PostgresClones
from cx.adapters.postgres.goldens import PostgresGoldens
from cx.adapters.postgres.server import prepare
from cx.adapters.postgres.spares import PostgresSpares
from cx.adapters.postgres.values import Server, Source, Terms
from cx.errors import CxError, Retryable
from cx.model.names import Names


@pytest.fixture(scope="module")
def mortal(world: World, start: Callable[..., Machine], shop: Source) -> World:
    """A server that may be killed: fsync is on, as what was committed must outlive it."""
    machine = start(IMAGE, "-c", "fsync=on")
    made = _world(world, machine)
    prepare(made.server)
    made.goldens.refresh(shop)
    return made


def _world(world: World, machine: Machine) -> World:
    server = Server(machine.host, 5432, world.server.password)
    names = Names(world.names.instance)
    goldens = PostgresGoldens(server, names, world.client, IMAGE)
    return World(names, machine, server, PostgresClones(server, names, KEY), goldens, world.client)


@pytest.fixture
def alive(mortal: World) -> Iterator[World]:
    world = _again(mortal)
    yield world
    world = _again(mortal)
    for clone in world.clones.observe_all():
        world.clones.drop(clone.namespace, clone.source)
    PostgresSpares(world.server, world.names).refill("shop", Terms())


def _again(world: World) -> World:
    """The world, its server running; on another address, it may be."""
    container = world.machine.container
    container.reload()
    if container.status != "running":
        container.start()
        container.reload()
    machine = replace(world.machine, host=container.attrs["NetworkSettings"]["IPAddress"])
    until(machine.is_ready)
    return _world(world, machine)


def _killing(world: World, point: str) -> Callable[[str], None]:
    def checkpoint(at: str) -> None:
        if at == point:
            world.machine.container.kill()

    return checkpoint


@pytest.mark.parametrize(
    ("operation", "point"),
    [
        ("clone", "clone:copied"),
        ("reset", "reset:cut"),
        ("snapshot", "reset:cut"),
        ("spares", "spare:copied"),
        ("drop", "drop:database"),
    ],
)
def test_the_server_dies_at_a_point(alive: World, operation: str, point: str) -> None:
    if operation != "clone":
        alive.clones.clone(ONE, "shop")
    checkpoint = _killing(alive, point)
    clones = PostgresClones(alive.server, alive.names, KEY, checkpoint=checkpoint)
    spares = PostgresSpares(alive.server, alive.names, checkpoint=checkpoint)
    attempts: dict[str, Callable[[], object]] = {
        "clone": lambda: clones.clone(ONE, "shop"),
        "reset": lambda: clones.reset(ONE, "shop"),
        "snapshot": lambda: clones.snapshot(ONE, "shop", "x"),
        "spares": lambda: spares.refill("shop", Terms(spares=1)),
        "drop": lambda: clones.drop(ONE, "shop"),
    }
    with suppress(Retryable):
        attempts[operation]()
    world = _again(alive)
    assert rows(world) == 2000
    PostgresSpares(world.server, world.names).refill("shop", Terms())
    assert all(one.complete for one in world.clones.observe_all())
    world.clones.drop_all(ONE)
    assert only_the_golden_is_left(world)


@pytest.mark.parametrize("statement", ["CREATE DATABASE", "VACUUM"])
def test_the_server_dies_inside_a_statement(alive: World, shop: Source, statement: str) -> None:
    """Of a clone, and of a refresh: the golden before serves."""
    before = alive.goldens.current("shop")
    failed: list[CxError] = []

    def attempt() -> None:
        try:
            if statement == "VACUUM":
                alive.goldens.refresh(shop)
            else:
                alive.clones.clone(ONE, "shop", Terms(strategy="file_copy"))
        except CxError as exc:
            failed.append(exc)

    thread = threading.Thread(target=attempt)
    thread.start()
    until(lambda: not thread.is_alive() or running(alive.machine, statement))
    alive.machine.container.kill()
    thread.join()
    world = _again(alive)
    if failed:
        assert world.goldens.current("shop") == before
    assert rows(world) == 2000
    world.clones.drop_all(ONE)
    world.goldens.refresh(shop)
    assert only_the_golden_is_left(world)

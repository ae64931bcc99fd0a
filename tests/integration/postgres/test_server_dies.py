"""SIGKILL of the database server inside each operation; it starts again, and one more pass puts all right."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import psycopg
import pytest
from pgworld import IMAGE, KEY, ONE, TWO, Machine, World, until
from test_crash import only_the_golden_is_left, rows, running

from cx.core.errors import CxError, Retryable
from cx.core.names import Names
from cx.data.session import prepare
from cx.data.shared import naming
from cx.data.shared.clones import PostgresClones
from cx.data.shared.goldens import PostgresGoldens
from cx.data.shared.spares import PostgresSpares
from cx.data.values import Server, Source, Terms


@pytest.fixture(scope="module")
def source(shop: Source, tmp_path_factory: pytest.TempPathFactory) -> Source:
    """The shop, with masked addresses."""
    script = tmp_path_factory.mktemp("sanitise") / "mask.sql"
    script.write_text("UPDATE customer SET email = 'user' || id || '@masked.example';\n")
    return replace(shop, sanitise=script)


@pytest.fixture(scope="module")
def mortal(world: World, start: Callable[..., Machine], source: Source) -> World:
    """A server that may be killed. What it wrote stays with the kernel: fsync would only be slow."""
    machine = start(IMAGE)
    made = _world(world, machine)
    prepare(made.server)
    made.goldens.refresh(source)
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


def _open_to(world: World) -> set[tuple[str, str]]:
    """Every database of the instance that somebody but the superuser can connect to, and who."""
    with world.machine.connect() as connection:
        rows = connection.execute(
            "SELECT datname, rolname FROM pg_database, pg_roles WHERE starts_with(datname::text, %s)"
            " AND datallowconn AND datconnlimit <> -2 AND rolcanlogin AND NOT rolsuper"
            " AND has_database_privilege(rolname, datname, 'CONNECT')",
            [f"{world.names.instance}_"],
        )
        return {(database, role) for database, role in rows.fetchall()}


def _all_is_right(world: World) -> None:
    """After one pass: clones are whole, masked, and open to their own roles; nothing else is there but the golden."""
    assert rows(world) == 2000  # the pass
    seen = world.clones.observe_all()
    assert all(one.complete for one in seen)
    assert _open_to(world) == {(one.database, one.database) for one in seen}
    for one in seen:
        with world.machine.connect(one.database) as inside:
            raw = inside.execute("SELECT count(*) FROM customer WHERE email NOT LIKE '%@masked.example'").fetchone()
        assert raw == (0,)
    for namespace in {one.namespace for one in seen}:
        world.clones.drop_all(namespace)
    assert only_the_golden_is_left(world)
    assert _open_to(world) == set()


@pytest.mark.parametrize(
    ("operation", "point"),
    [
        ("clone", "clone:role"),
        ("clone", "clone:copied"),
        ("reset", "clone:copied"),
        ("reset", "reset:cut"),
        ("reset", "clone:open"),
        ("restore", "clone:copied"),
        ("branch", "snapshot:copied"),
        ("snapshot", "reset:cut"),
        ("spares", "spare:copied"),
        ("drop", "drop:database"),
    ],
)
def test_the_server_dies_at_a_point(alive: World, operation: str, point: str) -> None:
    if operation != "clone":
        alive.clones.clone(ONE, "shop")
    if operation == "restore":
        alive.clones.snapshot(ONE, "shop", "kept")
    if operation == "branch":
        alive.clones.clone(TWO, "shop")
    checkpoint = _killing(alive, point)
    clones = PostgresClones(alive.server, alive.names, KEY, checkpoint=checkpoint)
    spares = PostgresSpares(alive.server, alive.names, checkpoint=checkpoint)
    attempts: dict[str, Callable[[], object]] = {
        "clone": lambda: clones.clone(ONE, "shop"),
        "reset": lambda: clones.reset(ONE, "shop"),
        "restore": lambda: clones.restore(ONE, "shop", "kept"),
        "branch": lambda: clones.branch(ONE, "shop", TWO),
        "snapshot": lambda: clones.snapshot(ONE, "shop", "x"),
        "spares": lambda: spares.refill("shop", Terms(spares=1)),
        "drop": lambda: clones.drop(ONE, "shop"),
    }
    with suppress(Retryable):
        attempts[operation]()
    world = _again(alive)
    PostgresSpares(world.server, world.names).refill("shop", Terms())
    if operation == "branch":
        world.clones.clone(TWO, "shop")
    _all_is_right(world)


def test_the_server_dies_when_a_golden_is_marked(alive: World, source: Source) -> None:
    """Its mark is the last thing: it is complete, and the one before goes with the next pass."""
    before = alive.goldens.current("shop")
    goldens = PostgresGoldens(
        alive.server, alive.names, alive.client, IMAGE, checkpoint=_killing(alive, "refresh:marked")
    )
    with pytest.raises(Retryable):
        goldens.refresh(source)
    world = _again(alive)
    after = world.goldens.current("shop")
    assert after != before
    world.goldens.tidy("shop")
    assert world.engine_leftovers() == []
    _all_is_right(world)


@pytest.mark.parametrize("operation", ["reset", "drop"])
def test_the_server_dies_inside_a_transaction(alive: World, operation: str) -> None:
    """After a rename: somebody holds up the marks, which end it. And inside a drop, which takes them away."""
    alive.clones.clone(ONE, "shop")
    failed: list[CxError] = []

    def attempt() -> None:
        try:
            getattr(alive.clones, operation)(ONE, "shop")
        except CxError as exc:
            failed.append(exc)

    spares = PostgresSpares(alive.server, alive.names)
    spares.refill("shop", Terms(spares=1))  # a reset by spare is renames alone
    with suppress(psycopg.OperationalError), alive.machine.connect() as holder:
        holder.execute("BEGIN; LOCK TABLE pg_shdescription IN SHARE MODE")
        thread = threading.Thread(target=attempt)
        thread.start()
        until(lambda: not thread.is_alive() or _waits_for_the_marks(alive))
        alive.machine.container.kill()
        thread.join()
    assert failed
    world = _again(alive)
    PostgresSpares(world.server, world.names).refill("shop", Terms())
    _all_is_right(world)


def _waits_for_the_marks(world: World) -> bool:
    with world.machine.connect() as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_locks WHERE relation = 'pg_shdescription'::regclass AND NOT granted"
        ).fetchone()
    return found is not None


@pytest.mark.parametrize("then", ["clone", "reset", "drop"])
def test_a_drop_that_the_server_did_not_finish(alive: World, then: str) -> None:
    """DROP DATABASE marks its database as invalid before it removes the files: nothing but a drop is possible then."""
    alive.clones.clone(ONE, "shop")
    alive.clones.snapshot(ONE, "shop", "kept")
    spares = PostgresSpares(alive.server, alive.names)
    spares.refill("shop", Terms(spares=1))
    golden = alive.goldens.current("shop")
    assert golden
    with alive.machine.connect() as connection:
        connection.execute(
            "UPDATE pg_database SET datconnlimit = -2 WHERE starts_with(datname::text, %s) AND datname <> %s",
            [f"{alive.names.instance}_", golden.database],
        )
    assert spares.list() == ()
    (seen,) = alive.clones.observe(ONE)
    assert not seen.complete
    getattr(alive.clones, then)(ONE, "shop")
    assert alive.clones.snapshots() == ()
    spares.refill("shop", Terms())
    _all_is_right(alive)


@pytest.mark.parametrize("statement", ["CREATE DATABASE", "VACUUM"])
def test_the_server_dies_inside_a_statement(alive: World, source: Source, statement: str) -> None:
    """Of a clone, and of a refresh: the golden before serves."""
    before = alive.goldens.current("shop")
    failed: list[CxError] = []

    def attempt() -> None:
        try:
            if statement == "VACUUM":
                alive.goldens.refresh(source)
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
    half_made = naming.loader(world.names, "shop")  # nobody knows its password any more
    assert {role for _, role in _open_to(world)} <= {half_made, world.names.database(ONE, "shop")}
    world.goldens.tidy("shop")
    assert world.engine_leftovers() == []
    _all_is_right(world)

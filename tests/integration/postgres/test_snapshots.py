"""Snapshots, branches and differences of clones; also with the app connected, and killed at every point."""

from __future__ import annotations

import time

import psycopg
import pytest
from pgworld import ONE, TWO, World
from test_crash import dies, only_the_golden_is_left, rows

from cx.core.errors import Invalid
from cx.data.errors import GoldenMissing, SnapshotMissing
from cx.data.session import session
from cx.data.shared import naming
from cx.data.shared.comparing import Comparing
from cx.data.shared.dropping import allow, cut
from cx.data.shared.dumping import dumper
from cx.data.shared.spares import PostgresSpares
from cx.data.values import Source, Terms


def change(world: World, statements: str) -> None:
    with world.as_preview(world.clones.clone(ONE, "shop")) as app:
        app.execute(statements)


def test_a_snapshot_comes_back(fresh: World) -> None:
    change(fresh, "DELETE FROM customer WHERE id <= 10; SELECT set_config('search_path', '', false)")
    snapshot = fresh.clones.snapshot(ONE, "shop", "before")
    change(fresh, "DROP TABLE customer")
    clone = fresh.clones.restore(ONE, "shop", "before")
    assert rows(fresh) == 1990
    with fresh.as_preview(clone) as app:
        app.execute("CREATE TABLE t (); ALTER TABLE customer ADD phone text")
    assert [(one.name, one.database) for one in fresh.clones.snapshots()] == [("before", snapshot.database)]
    fresh.clones.restore(ONE, "shop", "before")
    assert rows(fresh) == 1990
    fresh.clones.drop_all(ONE)
    assert only_the_golden_is_left(fresh)


def test_a_snapshot_is_taken_while_the_app_is_connected(fresh: World) -> None:
    clone = fresh.clones.clone(ONE, "shop")
    with fresh.as_preview(clone) as app:
        app.execute("BEGIN; DELETE FROM customer")
        fresh.clones.snapshot(ONE, "shop", "while")
        with pytest.raises(psycopg.OperationalError):
            app.execute("COMMIT")
    assert rows(fresh) == 2000


def test_who_dumps_a_clone_reads_it_and_what_is_set_on_it_and_is_gone_afterwards(fresh: World) -> None:
    clone = fresh.clones.clone(ONE, "shop")
    with fresh.machine.connect() as superuser:
        with dumper(fresh.server, fresh.names, clone.database) as role:
            found = superuser.execute(
                "SELECT rolsuper, has_database_privilege(rolname, %s, 'CONNECT') FROM pg_roles WHERE rolname = %s",
                [clone.database, role],
            ).fetchone()
            assert found == (False, True)
        assert superuser.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None


def test_what_a_killed_dump_left_goes_with_the_next_and_with_the_clone(fresh: World) -> None:
    clone = fresh.clones.clone(ONE, "shop")
    role = naming.dumper(clone.database)
    left = f"CREATE ROLE {role} LOGIN; GRANT CONNECT ON DATABASE {clone.database} TO {role}"
    there = f"SELECT count(*) FROM pg_roles WHERE rolname = '{role}'"
    with fresh.machine.connect() as superuser:
        superuser.execute(left)
        with dumper(fresh.server, fresh.names, clone.database):
            pass
        assert superuser.execute(there).fetchone() == (0,)
        superuser.execute(left)
        fresh.clones.drop_all(ONE)
        assert superuser.execute(there).fetchone() == (0,)


def test_an_app_is_cut_off_at_once(fresh: World) -> None:
    """The server's own wait for a session's end looks every 0.1 s, which would be most of what a reset takes."""
    clone = fresh.clones.clone(ONE, "shop")
    took = []
    for _ in range(5):
        with session(fresh.server) as connection:
            with fresh.as_preview(clone) as app:
                app.execute("BEGIN; DELETE FROM customer")
                began = time.monotonic()
                cut(fresh.server, connection, clone.database)
                took.append(time.monotonic() - began)
                with pytest.raises(psycopg.OperationalError):
                    app.execute("COMMIT")
            connection.execute(allow(clone.database))
    assert min(took) < 0.1, took
    assert rows(fresh) == 2000


def test_a_name_is_taken_again(fresh: World) -> None:
    fresh.clones.clone(ONE, "shop")
    for number in range(3):
        change(fresh, "DELETE FROM customer WHERE id IN (SELECT min(id) FROM customer)")
        fresh.clones.snapshot(ONE, "shop", "again")
        assert [one.name for one in fresh.clones.snapshots()] == ["again"], number
    fresh.clones.reset(ONE, "shop")
    fresh.clones.restore(ONE, "shop", "again")
    assert rows(fresh) == 1997
    fresh.clones.forget(ONE, "shop", "again")
    assert fresh.clones.snapshots() == ()


def test_what_cannot_be(fresh: World) -> None:
    with pytest.raises(GoldenMissing, match="preview-1 has no database shop"):
        fresh.clones.snapshot(ONE, "shop", "x")
    fresh.clones.clone(ONE, "shop")
    fresh.clones.clone(TWO, "shop")
    fresh.clones.snapshot(TWO, "shop", "theirs")
    with pytest.raises(SnapshotMissing, match="it has none"):
        fresh.clones.restore(ONE, "shop", "theirs")
    for name in ("", "a" * 26, "A", 'x"y', "-x", "a b"):
        with pytest.raises(Invalid, match="must be 1 to 25"):
            fresh.clones.snapshot(ONE, "shop", name)


def test_nobody_can_connect_to_a_snapshot(fresh: World) -> None:
    clone = fresh.clones.clone(ONE, "shop")
    snapshot = fresh.clones.snapshot(ONE, "shop", "x")
    with pytest.raises(psycopg.OperationalError, match="not currently accepting"):
        fresh.as_preview(clone, dbname=snapshot.database).__enter__()


def test_a_branch_is_a_copy_of_its_own(fresh: World) -> None:
    change(fresh, "DELETE FROM customer WHERE id <= 10; SET ROLE NONE; CREATE TABLE own (a int)")
    branched = fresh.clones.branch(TWO, "shop", ONE)
    with fresh.as_preview(branched) as app:
        assert app.execute("SELECT count(*) FROM customer").fetchone() == (1990,)
        app.execute("ALTER TABLE own ADD b int; DROP TABLE customer")
    assert rows(fresh) == 1990
    fresh.clones.drop_all(ONE)  # whose role owned a table that was copied
    (left,) = fresh.clones.observe_all()
    assert (left.namespace, left.complete) == (TWO, True)
    with fresh.as_preview(branched) as app:
        app.execute("DROP TABLE own")
    fresh.clones.drop_all(TWO)
    assert only_the_golden_is_left(fresh)


@pytest.mark.parametrize("point", ["reset:cut", "snapshot:copied", "snapshot:marked"])
@pytest.mark.parametrize("operation", ["snapshot", "branch"])
def test_killed_inside(fresh: World, operation: str, point: str) -> None:
    """The next pass puts it right: the clone serves with its own data, and nothing half-made is left."""
    change(fresh, "DELETE FROM customer WHERE id <= 10")
    if operation == "branch" and point == "snapshot:marked":
        point = "clone:open"
    dies(fresh, operation, point)
    assert rows(fresh) == 1990
    if operation == "branch":
        two = fresh.clones.clone(TWO, "shop")
        with fresh.as_preview(two) as app:
            wanted = 1990 if point == "clone:open" else 2000
            assert app.execute("SELECT count(*) FROM customer").fetchone() == (wanted,)
    assert all(one.complete for one in fresh.clones.observe_all())
    fresh.clones.drop_all(ONE)
    fresh.clones.drop_all(TWO)
    assert only_the_golden_is_left(fresh)


@pytest.mark.parametrize("point", ["clone:copied", "reset:cut", "clone:open"])
def test_killed_inside_a_restore(fresh: World, point: str) -> None:
    fresh.clones.clone(ONE, "shop")
    fresh.clones.snapshot(ONE, "shop", "full")
    change(fresh, "DELETE FROM customer WHERE id <= 10")
    dies(fresh, "restore", point)
    assert rows(fresh) == (2000 if point == "clone:open" else 1990)
    fresh.clones.restore(ONE, "shop", "full")
    assert rows(fresh) == 2000
    fresh.clones.drop_all(ONE)
    assert only_the_golden_is_left(fresh)


def test_a_preview_keeps_its_golden_and_a_reset_takes_the_newest(fresh: World, shop: Source, shop_golden: str) -> None:
    fresh.clones.clone(ONE, "shop")
    newer = fresh.goldens.refresh(shop).database
    assert newer != shop_golden
    assert fresh.clones.clone(ONE, "shop").golden == shop_golden
    assert rows(fresh) == 2000
    assert fresh.clones.reset(ONE, "shop").golden == newer


def test_the_difference_to_the_golden(fresh: World) -> None:
    clone = fresh.clones.clone(ONE, "shop")
    spares = PostgresSpares(fresh.server, fresh.names)
    comparing = Comparing(fresh.client, fresh.machine.container.id, fresh.server)

    def compared() -> tuple[list[str], list[tuple[str, int | None, int | None]]]:
        with spares.borrowed("shop", Terms()) as golden:
            found = comparing.compare(golden, fresh.clones.connection(clone))
        changed = [line for line in found.schema if line[:1] in "+-" and line[:3] not in ("+++", "---")]
        return changed, [(one.table, one.golden, one.clone) for one in found.rows]

    assert compared() == ([], [])
    change(fresh, "ALTER TABLE customer ADD phone text; DELETE FROM customer WHERE id <= 10; CREATE TABLE new ()")
    schema, counts = compared()
    assert "+    phone text" in schema
    assert counts == [("public.customer", 2000, 1990), ("public.new", None, 0)]
    assert spares.sources() == frozenset()

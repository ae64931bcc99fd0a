"""Finished clones that wait: taken by a rename, renewed with the golden, never more than wanted or than fits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
from pgworld import IMAGE, ONE, TWO, Machine, World, until
from test_crash import dies, only_the_golden_is_left

from cx.core.names import Names, Namespace
from cx.data.errors import BudgetSpent, GoldenTooOld, NoSpace
from cx.data.session import prepare, session, tried_lock
from cx.data.shared import spares as module
from cx.data.shared.goldens import PostgresGoldens
from cx.data.shared.spares import PostgresSpares
from cx.data.shared.volume import Volume
from cx.data.values import Server, Source, Terms

TERMS = Terms(spares=2)


@pytest.fixture
def spares(fresh: World) -> Iterator[PostgresSpares]:
    pool = PostgresSpares(fresh.server, fresh.names)
    yield pool
    pool.refill("shop", Terms(spares=0))
    assert pool.sources() == frozenset()


def test_a_spare_is_taken_and_another_is_made(fresh: World, spares: PostgresSpares, shop_golden: str) -> None:
    assert spares.refill("shop", TERMS) == 2
    assert spares.refill("shop", TERMS) == 0
    assert {one.golden for one in spares.list()} == {shop_golden}
    clone = fresh.clones.clone(ONE, "shop", TERMS)
    assert (clone.made, clone.golden, len(spares.list())) == ("spare", shop_golden, 1)
    with fresh.as_preview(clone) as app:
        assert app.execute("SELECT count(*) FROM customer").fetchone() == (2000,)
        app.execute("CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1; DELETE FROM customer WHERE id = 1")
    assert fresh.clones.clone(ONE, "shop", TERMS).created_at == clone.created_at
    (seen,) = fresh.clones.observe_all()
    assert (seen.complete, seen.made) == (True, "spare")
    assert spares.refill("shop", TERMS) == 1


def test_a_session_that_is_not_kept_has_let_go_of_its_locks(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server notices that a session was closed a moment after somebody else may have asked for its locks."""
    held: list[object] = []
    close = psycopg.Connection.close

    def closed(connection: psycopg.Connection[tuple[int]]) -> None:
        query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
        held.append(connection.execute(query).fetchone())
        close(connection)

    monkeypatch.setattr(psycopg.Connection, "close", closed)
    monkeypatch.setattr("cx.data.session._IDLE_MAX", 0)
    with session(fresh.server) as connection:
        assert tried_lock(connection, "of one after another")
    assert held == [(0,)]


def test_nobody_can_connect_to_a_spare(fresh: World, spares: PostgresSpares) -> None:
    clone = fresh.clones.clone(ONE, "shop")
    spares.refill("shop", TERMS)
    for spare in spares.list():
        with pytest.raises(Exception, match=r"not currently accepting|permission denied for database"):
            fresh.as_preview(clone, dbname=spare.database).__enter__()


def test_first_sessions_find_the_catalogs_read(fresh: World, spares: PostgresSpares, shop: Source) -> None:
    """A golden, what is copied from its files and a spare have the file that a first session would have to make.

    A golden of the test's own: a server that was started since has removed it from others.
    """
    golden = fresh.goldens.refresh(dataclasses.replace(shop, name="opened")).database
    clone = fresh.clones.clone(ONE, "opened", Terms(strategy="file_copy"))
    spares.refill("opened", Terms(spares=1, strategy="wal_log"))
    (spare,) = spares.list()
    for database in (golden, clone.database, spare.database):
        assert "pg_internal.init" in files(fresh, database), database
    taken = fresh.clones.clone(TWO, "opened")
    assert taken.made == "spare"
    for each in (clone, taken):
        with fresh.as_preview(each) as app:
            app.execute("CREATE TABLE t (a int PRIMARY KEY); INSERT INTO t SELECT id FROM customer; ANALYZE t")
            assert app.execute("SELECT count(*) FROM t JOIN customer ON a = id").fetchone() == (2000,)
    for namespace in (ONE, TWO):
        fresh.clones.drop(namespace, "opened")
    fresh.goldens.drop("opened")


def test_autovacuum_leaves_a_golden_alone(world: World, start: Callable[..., Machine], shop: Source) -> None:
    """It would change the catalogs, if only to note that it was there, and so take the file away."""
    machine = start(IMAGE, "-c", "autovacuum_naptime=1s")
    server, names = Server(machine.host, 5432, world.server.password), Names(world.names.instance)
    prepare(server)
    golden = PostgresGoldens(server, names, world.client, IMAGE).refresh(shop).database
    there = dataclasses.replace(world, machine=machine)

    def visits() -> int:
        with machine.connect() as connection:
            row = connection.execute("SELECT xact_commit FROM pg_stat_database WHERE datname = %s", [golden]).fetchone()
        assert row
        return int(row[0])

    before = visits()
    until(lambda: visits() > before + 3)
    assert "pg_internal.init" in files(there, golden)
    machine.container.remove(v=True, force=True)


def files(world: World, database: str) -> list[str]:
    with world.machine.connect() as connection:
        found = connection.execute(
            "SELECT pg_ls_dir('base/' || oid) FROM pg_database WHERE datname = %s", [database]
        ).fetchall()
    return [name for (name,) in found]


def test_a_reset_takes_a_spare(fresh: World, spares: PostgresSpares) -> None:
    old = fresh.clones.clone(ONE, "shop")
    spares.refill("shop", TERMS)
    with fresh.as_preview(old) as app:
        app.execute("DELETE FROM customer")
        new = fresh.clones.reset(ONE, "shop")
    assert (new.made, len(spares.list())) == ("spare", 1)
    with fresh.as_preview(new) as app:
        assert app.execute("SELECT count(*) FROM customer").fetchone() == (2000,)


def test_as_many_as_there_are_spares_take_one_each(fresh: World, spares: PostgresSpares) -> None:
    spares.refill("shop", TERMS)
    many = [Namespace(f"preview-{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda namespace: fresh.clones.clone(namespace, "shop").made, many))
    assert made.count("spare") == 2
    assert spares.list() == ()


def test_spares_are_renewed_with_the_golden(fresh: World, spares: PostgresSpares, shop: Source) -> None:
    spares.refill("shop", TERMS)
    before = spares.list()
    golden = fresh.goldens.refresh(shop)
    assert fresh.clones.clone(TWO, "shop").golden == golden.database
    assert spares.refill("shop", TERMS) == 2
    assert {one.golden for one in spares.list()} == {golden.database}
    assert not {one.database for one in before} & fresh.databases()


def test_no_spare_where_the_disk_is_short(
    fresh: World, spares: PostgresSpares, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.volume, "look", lambda _: Volume("ext2/ext3", False, 1 << 20))
    with pytest.raises(NoSpace, match=r"databases\.shop\.spares"):
        spares.refill("shop", TERMS)
    assert spares.list() == ()


@pytest.mark.parametrize("point", ["spare:copied", "spare:opened", "spare:marked"])
def test_a_killed_refill_leaves_nothing_half_made(fresh: World, spares: PostgresSpares, point: str) -> None:
    dies(fresh, "spares", point)
    left = len(spares.list())
    assert left == (point == "spare:marked")
    assert spares.refill("shop", TERMS) == 2 - left
    assert len(spares.list()) == 2
    spares.refill("shop", Terms(spares=0))
    assert only_the_golden_is_left(fresh)


@pytest.mark.parametrize("then", ["clone", "drop"])
def test_killed_when_a_spare_was_taken(fresh: World, spares: PostgresSpares, then: str) -> None:
    spares.refill("shop", TERMS)
    dies(fresh, "clone", "clone:open")
    (seen,) = fresh.clones.observe(ONE)
    assert seen.complete
    assert getattr(fresh.clones, then)(ONE, "shop") is None or seen.made == "spare"
    assert len(spares.list()) == 1


def test_the_clones_limits_stay_under_what_the_server_has(fresh: World) -> None:
    """100 connections, 3 of them the superuser's, 10 kept for cx: 87."""
    with fresh.machine.connect() as connection:
        room = int(connection.execute("SHOW max_connections").fetchone()[0]) - 13  # type: ignore[index]
        wish = Terms(connection_limit=room // 3 + 1)
        limits: list[int] = []
        for number in range(5):
            fresh.clones.clone(Namespace(f"preview-{number}"), "shop", wish)
            found = connection.execute(
                "SELECT datconnlimit FROM pg_database WHERE starts_with(datname::text, %s)",
                [f"{fresh.names.instance}__"],
            )
            limits = [row[0] for row in found.fetchall()]
            assert sum(limits) <= room
    assert len(limits) == 5
    tight = dataclasses.replace(wish, connection_limit=1)
    fresh.clones.reset(ONE, "shop", tight)


def test_a_clone_beyond_the_budget_is_refused(fresh: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cx.data.shared.opening._OWN_CONNECTIONS", 94)
    fresh.clones.clone(ONE, "shop", Terms(connection_limit=3))
    with pytest.raises(BudgetSpent, match=r"postgres\.max_connections"):
        fresh.clones.clone(TWO, "shop", Terms(connection_limit=3))
    fresh.clones.drop(TWO, "shop")
    (only,) = fresh.clones.observe_all()
    assert (only.namespace, only.complete) == (ONE, True)


def test_statements_end_at_the_timeout(fresh: World) -> None:
    clone = fresh.clones.clone(ONE, "shop", Terms(statement_timeout_s=7))
    with fresh.as_preview(clone) as app:
        assert app.execute("SHOW statement_timeout").fetchone() == ("7s",)
    fresh.clones.clone(ONE, "shop", Terms(statement_timeout_s=8))
    with fresh.as_preview(clone) as app:
        assert app.execute("SHOW statement_timeout").fetchone() == ("8s",)


def test_a_golden_that_is_too_old_is_not_cloned(fresh: World, shop_golden: str) -> None:
    golden = fresh.goldens.current("shop")
    assert golden
    with fresh.machine.connect() as connection:
        connection.execute(
            "SELECT set_config('my.mark', replace(shobj_description(oid, 'pg_database'), %s, %s), false)"
            " FROM pg_database WHERE datname = %s",
            [golden.created_at.isoformat(), (golden.created_at - timedelta(hours=25)).isoformat(), shop_golden],
        )
        connection.execute(
            f"DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE \"{shop_golden}\" IS %L',"
            " current_setting('my.mark')); END $$"
        )
    with pytest.raises(GoldenTooOld, match="cx db refresh shop"):
        fresh.clones.clone(ONE, "shop", Terms(max_age_s=24 * 3600))
    assert fresh.clones.observe_all() == ()
    fresh.clones.clone(ONE, "shop", Terms(max_age_s=26 * 3600))


# --- what nobody will take


def test_orphaned_spares_are_known_and_go(fresh: World, spares: PostgresSpares, shop_golden: str) -> None:
    """Of a source that is no longer configured, half-made, more than wanted; not those that are wanted."""
    wanted = {"shop": TERMS}
    spares.refill("shop", TERMS)
    made = {one.database for one in spares.list()}
    assert spares.leftovers(wanted) == ()
    dies(fresh, "spares", "spare:copied", spares=3)
    until(lambda: spares.leftovers(wanted) != ())  # its server process notices that it is gone, and lets go
    (half,) = spares.leftovers(wanted)
    assert half not in made
    assert set(spares.leftovers({})) == made | {half}
    assert len(spares.leftovers({"shop": Terms(spares=1)})) == 2
    assert spares.refill("shop", Terms(spares=3), make=False) == 0
    assert {one.database for one in spares.list()} == made
    assert spares.leftovers(wanted) == ()


def test_spares_of_a_golden_that_is_gone_are_orphans(fresh: World, spares: PostgresSpares, shop: Source) -> None:
    spares.refill("shop", TERMS)
    before = {one.database for one in spares.list()}
    fresh.goldens.drop("shop")
    assert set(spares.leftovers({"shop": TERMS})) == before
    assert spares.refill("shop", TERMS) == 0
    assert spares.list() == ()
    fresh.goldens.refresh(shop)


def test_what_somebody_makes_now_is_no_orphan(fresh: World, spares: PostgresSpares) -> None:
    with spares.borrowed("shop", TERMS):
        assert spares.sources() == {"shop"}
        assert spares.leftovers({}) == ()
    assert spares.sources() == frozenset()


def test_a_half_made_golden_is_known_and_goes(fresh: World, shop: Source, shop_golden: str) -> None:
    dies(fresh, "refresh", "refresh:restored", url=shop.url)
    until(lambda: fresh.goldens.leftovers() != ())
    ((source, database),) = fresh.goldens.leftovers()
    assert (source, database != shop_golden) == ("shop", True)
    fresh.goldens.tidy("shop")
    assert fresh.goldens.leftovers() == ()
    assert only_the_golden_is_left(fresh)
    assert fresh.engine_leftovers() == []

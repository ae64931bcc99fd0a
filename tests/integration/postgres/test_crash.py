"""SIGKILL at every named point, and inside the long statements; then the same again converges."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pgworld import HERE, IMAGE, KEY, ONE, SUPERUSER_PASSWORD, Machine, World, until

from cx.data.errors import ServerBusy
from cx.data.values import Source


def begun(world: World, operation: str, point: str, **more: Any) -> subprocess.Popen[bytes]:
    told = {
        "operation": operation,
        "point": point,
        "host": world.server.host,
        "password": SUPERUSER_PASSWORD,
        "instance": world.names.instance,
        "key": KEY.decode(),
        "image": IMAGE,
        "namespace": ONE.name,
        **more,
    }
    process = subprocess.Popen(
        [sys.executable, str(HERE / "dying.py")],
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2])},
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdin
    process.stdin.write(json.dumps(told).encode())
    process.stdin.close()
    process.stdin = None
    return process


def dies(world: World, operation: str, point: str, **more: Any) -> None:
    process = begun(world, operation, point, **more)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, errors.decode()


def rows(world: World) -> int:
    with world.as_preview(world.clones.clone(ONE, "shop")) as app:
        row = app.execute("SELECT count(*) FROM customer").fetchone()
    assert row
    return int(row[0])


def running(machine: Machine, query: str) -> bool:
    with machine.connect() as connection:
        found = connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()",
            [f"{query}%"],
        ).fetchone()
    return found is not None


def only_the_golden_is_left(world: World) -> bool:
    golden = world.goldens.current("shop")
    assert golden
    mine = {name for name in world.databases() if "shop" in name}
    return mine == {golden.database} and {n for n in world.roles() if "shop" in n} == {world.names.golden_owner("shop")}


CLONE_POINTS = ["clone:role", "clone:copied", "clone:open"]


@pytest.mark.parametrize("point", CLONE_POINTS)
def test_a_killed_clone_is_known_as_half_made_and_made_anew(fresh: World, point: str) -> None:
    dies(fresh, "clone", point)
    (seen,) = fresh.clones.observe(ONE)
    assert seen.complete == (point == "clone:open")
    assert rows(fresh) == 2000
    (seen,) = fresh.clones.observe(ONE)
    assert seen.complete
    fresh.clones.drop_all(ONE)
    assert only_the_golden_is_left(fresh)


@pytest.mark.parametrize("point", CLONE_POINTS)
def test_a_killed_clone_can_be_dropped(fresh: World, point: str) -> None:
    dies(fresh, "clone", point)
    fresh.clones.drop_all(ONE)
    assert fresh.clones.observe_all() == ()
    assert only_the_golden_is_left(fresh)


@pytest.mark.parametrize("then", ["clone", "reset", "drop"])
@pytest.mark.parametrize("point", ["clone:copied", "reset:cut", "clone:open"])
def test_a_killed_reset_leaves_a_clone_that_works(fresh: World, point: str, then: str) -> None:
    clone = fresh.clones.clone(ONE, "shop")
    with fresh.as_preview(clone) as app:
        app.execute("DELETE FROM customer WHERE id <= 5")
    dies(fresh, "reset", point)
    (seen,) = fresh.clones.observe(ONE)
    assert not seen.complete
    if then == "clone":
        assert rows(fresh) == (2000 if point == "clone:open" else 1995)
        (seen,) = fresh.clones.observe(ONE)
        assert seen.complete
    elif then == "reset":
        fresh.clones.reset(ONE, "shop")
        assert rows(fresh) == 2000
    fresh.clones.drop_all(ONE)
    assert only_the_golden_is_left(fresh)


def test_a_killed_drop_is_finished_by_the_next(fresh: World) -> None:
    fresh.clones.clone(ONE, "shop")
    dies(fresh, "drop", "drop:database")
    (seen,) = fresh.clones.observe(ONE)
    assert not seen.complete
    fresh.clones.drop_all(ONE)
    assert only_the_golden_is_left(fresh)


@pytest.mark.parametrize("operation", ["clone", "reset"])
def test_killed_inside_create_database(fresh: World, operation: str) -> None:
    if operation == "reset":
        fresh.clones.clone(ONE, "shop")
    process = begun(fresh, operation, "never")
    until(lambda: process.poll() is not None or running(fresh.machine, "CREATE DATABASE"))
    process.kill()
    _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert rows(fresh) == 2000
    (seen,) = fresh.clones.observe(ONE)
    assert seen.complete
    fresh.clones.drop_all(ONE)
    assert only_the_golden_is_left(fresh)


REFRESH_POINTS = [
    "refresh:tools",
    "refresh:dumped",
    "refresh:scratch",
    "refresh:sanitised",
    "refresh:restored",
    "refresh:handed",
]


@pytest.fixture(scope="module")
def masking(tmp_path_factory: pytest.TempPathFactory) -> Path:
    script = tmp_path_factory.mktemp("sanitise") / "mask.sql"
    script.write_text("UPDATE customer SET email = 'user' || id || '@masked.example';\n")
    return script


@pytest.fixture(scope="module")
def masked(world: World, shop: Source, masking: Path) -> Iterator[Source]:
    """Clones of `shop` are masked during this module's end."""
    source = Source("shop", url=shop.url, sanitise=masking)
    world.goldens.refresh(source)
    yield source
    world.goldens.refresh(shop)


def emails(world: World) -> set[str]:
    with world.as_preview(world.clones.reset(ONE, "shop")) as app:
        found = app.execute("SELECT DISTINCT regexp_replace(email, '^[a-z]+[0-9]+', '') FROM customer").fetchall()
    return {row[0] for row in found}


@pytest.mark.parametrize("point", REFRESH_POINTS)
def test_a_killed_refresh_changes_nothing(fresh: World, masked: Source, point: str) -> None:
    before = fresh.goldens.current("shop")
    dies(fresh, "refresh", point, url=masked.url, sanitise=str(masked.sanitise))
    assert fresh.goldens.current("shop") == before
    assert emails(fresh) == {"@masked.example"}
    fresh.clones.drop_all(ONE)
    # The raw dump goes with its container, and that with the process.
    until(lambda: fresh.engine_leftovers() == [])


def test_a_refresh_killed_after_its_mark_is_the_golden(fresh: World, masked: Source) -> None:
    before = fresh.goldens.current("shop")
    assert before
    dies(fresh, "refresh", "refresh:marked", url=masked.url)
    after = fresh.goldens.current("shop")
    assert after
    assert after.database > before.database
    assert emails(fresh) == {"@example.com"}
    fresh.goldens.refresh(masked)
    assert emails(fresh) == {"@masked.example"}


@pytest.mark.parametrize("inside", ["the source's dump", "the vacuum"])
def test_killed_inside_a_refresh(fresh: World, production: Machine, masked: Source, inside: str) -> None:
    before = fresh.goldens.current("shop")
    machine, statement = (production, "LOCK TABLE") if "dump" in inside else (fresh.machine, "VACUUM")
    with production.connect("shop") as holder:
        if "dump" in inside:
            holder.execute("BEGIN; LOCK TABLE customer")
        process = begun(fresh, "refresh", "never", url=masked.url)
        until(lambda: process.poll() is not None or running(machine, statement))
        process.kill()
        _, errors = process.communicate()
    assert process.returncode == -signal.SIGKILL, errors.decode()
    assert fresh.goldens.current("shop") == before
    assert emails(fresh) == {"@masked.example"}
    fresh.clones.drop_all(ONE)
    until(lambda: fresh.engine_leftovers() == [])


def test_the_next_refresh_removes_what_killed_ones_left(fresh: World, masked: Source) -> None:
    dies(fresh, "refresh", "refresh:restored", url=masked.url)
    assert not only_the_golden_is_left(fresh)
    fresh.goldens.refresh(masked)
    assert only_the_golden_is_left(fresh)
    until(lambda: fresh.engine_leftovers() == [])


def test_raw_values_never_touch_the_previews_server(fresh: World, masked: Source) -> None:
    """The masked golden's files hold no raw address."""
    fresh.machine.run("psql", "-d", "postgres", "-qc", "CHECKPOINT")
    golden = fresh.goldens.current("shop")
    assert golden
    assert golden.sanitised_by
    with fresh.machine.connect() as connection:
        row = connection.execute("SELECT oid FROM pg_database WHERE datname = %s", [golden.database]).fetchone()
    assert row
    folder = f"$PGDATA/base/{row[0]}"
    script = f"cat {folder}/* | grep -ca '@masked.example'; cat {folder}/* | grep -ca 'real[0-9]*@example.com'; true"
    masked_lines, raw_lines = fresh.machine.run("bash", "-c", script).split()
    assert int(masked_lines) > 0
    assert int(raw_lines) == 0


def test_two_refreshes_do_not_run_at_once(fresh: World, masked: Source) -> None:
    process = begun(fresh, "refresh", "never", url=masked.url)
    try:
        until(lambda: fresh.engine_leftovers() != [] or process.poll() is not None)
        with pytest.raises(ServerBusy, match="refresh of shop is running"):
            fresh.goldens.refresh(masked)
    finally:
        process.communicate(timeout=60)
    assert process.returncode == 0


def test_clones_are_made_while_goldens_are_replaced(fresh: World, masked: Source) -> None:
    process = begun(fresh, "refresh", "never", url=masked.url)
    made = 0
    while process.poll() is None:
        fresh.clones.reset(ONE, "shop")
        made += 1
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert made > 1

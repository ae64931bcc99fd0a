"""A server whose data is on btrfs: it is known to share blocks, and clones there do."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pgworld import IMAGE, KEY, SUPERUSER_PASSWORD, Machine, World

from cx.core.names import Names, Namespace
from cx.data.session import prepare
from cx.data.shared.clones import PostgresClones
from cx.data.shared.goldens import PostgresGoldens
from cx.data.values import Server, Source, Terms

if os.geteuid() != 0:
    pytest.skip("a loop-mounted btrfs needs root", allow_module_level=True)
if not shutil.which("mkfs.btrfs"):
    pytest.skip("mkfs.btrfs is not there: apt install btrfs-progs", allow_module_level=True)
if "btrfs" not in Path("/proc/filesystems").read_text():
    pytest.skip("the kernel has no btrfs", allow_module_level=True)


# How many copies are being made at this moment, and how many wait for a lock before it.
_AT_WORK = """
SELECT count(*) FILTER (WHERE state = 'active' AND query LIKE 'CREATE DATABASE%'),
       count(*) FILTER (WHERE state = 'active' AND wait_event_type = 'Lock' AND wait_event = 'advisory')
FROM pg_stat_activity"""


@pytest.fixture(scope="module")
def mounted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("btrfs")
    image, where = folder / "image", folder / "mounted"
    where.mkdir()
    with image.open("wb") as file:
        file.truncate(1 << 30)
    subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(where)], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"a loop-mounted btrfs: {done.stderr.strip()}")
    yield where
    subprocess.run(["umount", str(where)], check=True)


@pytest.fixture
def there(world: World, start: Callable[..., Machine], mounted: Path) -> Iterator[World]:
    data = mounted / "data"
    data.mkdir()
    machine = start(IMAGE, volumes={str(data): {"bind": "/var/lib/postgresql", "mode": "rw"}})
    server, names = Server(machine.host, 5432, SUPERUSER_PASSWORD), Names(world.names.instance)
    prepare(server)
    goldens = PostgresGoldens(server, names, world.client, IMAGE)
    yield World(names, machine, server, PostgresClones(server, names, KEY), goldens, world.client)
    machine.container.remove(v=True, force=True)
    shutil.rmtree(data)


def test_clones_share_their_blocks(there: World, mounted: Path, production: Machine) -> None:
    with production.connect() as connection:
        connection.execute("CREATE DATABASE large")
    production.run("pgbench", "-iq", "-s", "3", "large")
    golden = there.goldens.refresh(Source("large", url=production.url("large")))
    assert (golden.strategy, golden.filesystem) == ("reflink", "btrfs")
    before = used(there, mounted)
    many = [Namespace(f"preview-{number}") for number in range(4)]
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda one: there.clones.clone(one, "large", Terms(connection_limit=5)), many))
    assert {one.made for one in made} == {"reflink"}
    took = used(there, mounted) - before
    assert took < golden.size_bytes  # four full copies would be four times that
    with there.as_preview(made[0]) as app:
        assert app.execute("SELECT count(*) FROM pgbench_accounts").fetchone() == (300_000,)
        app.execute("DELETE FROM pgbench_accounts")
    again = there.clones.reset(many[0], "large", Terms(connection_limit=5))
    with there.as_preview(again) as app:
        assert app.execute("SELECT count(*) FROM pgbench_accounts").fetchone() == (300_000,)
    with production.connect() as connection:
        connection.execute("DROP DATABASE large")


def test_copies_take_turns(there: World, shop: Source) -> None:
    """Four at once: there is never more than one being made, as side by side they are slower there."""
    assert there.goldens.refresh(shop).filesystem == "btrfs"
    terms = Terms(connection_limit=5, strategy="reflink")
    many = [Namespace(f"preview-{number}") for number in range(4)]
    seen: set[tuple[int, int]] = set()
    with there.machine.connect() as watching, ThreadPoolExecutor(4) as pool:
        made = [pool.submit(there.clones.clone, one, "shop", terms) for one in many]
        while not all(one.done() for one in made):
            row = watching.execute(_AT_WORK).fetchone()
            assert row
            seen.add((row[0], row[1]))
    assert {one.result().made for one in made} == {"reflink"}
    assert max(copying for copying, _ in seen) == 1
    assert max(waiting for _, waiting in seen) == 3


def used(world: World, mounted: Path) -> int:
    """Bytes of the disk that are taken."""
    world.machine.run("psql", "-d", "postgres", "-qc", "CHECKPOINT")
    subprocess.run(["sync", "-f", str(mounted)], check=True)
    room = os.statvfs(mounted)
    return (room.f_blocks - room.f_bfree) * room.f_frsize

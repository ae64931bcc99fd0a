"""A volume whose files share their blocks, and that is full: each operation fails in one line, all that was there
serves, nothing half-made stays, and the same again works once there is room."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from live import EXAMPLES, Cx, host_on_xfs

from cx import settings as host_settings
from cx.core.names import Namespace
from cx.data.errors import NoSpace, ServerUnavailable
from cx.data.session import session
from cx.data.shared.clones import PostgresClones
from cx.data.shared.goldens import PostgresGoldens
from cx.data.values import Checkpoint, ObservedClone, Source, Terms
from cx.host import Host

if os.geteuid() != 0 or platform.system() != "Linux" or "xfs" not in Path("/proc/filesystems").read_text():
    modules = Path(f"/lib/modules/{platform.release()}/modules.builtin")
    if os.geteuid() != 0 or not modules.exists() or "xfs" not in modules.read_text():
        pytest.skip("a loop-mounted XFS needs root and a kernel with XFS", allow_module_level=True)

ONE, TWO, THREE = Namespace("preview-1"), Namespace("preview-2"), Namespace("preview-3")
OWN = 90_000_000  # free bytes that cx leaves to the server, of a volume as small as this one
MASKED = "%@example.com"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory, production: str) -> Iterator[Cx]:
    with host_on_xfs(tmp_path_factory.mktemp("small"), "2g", production) as cx:
        yield cx


class Volume:
    """The small volume, its server, and two clones with a snapshot that are on it."""

    def __init__(self, cx: Cx) -> None:
        self.cx = cx
        self.host = Host(host_settings.load(cx.config, {}))
        self.folder = cx.config.parent / "data" / "mounted"
        self._filler = self.folder / "filler"

    def fill(self, left: int = 0) -> None:
        """No more than `left` bytes are free, and not much less."""
        step = 64 << 20
        with self._filler.open("ab") as file:
            while step >= 4096:
                there = os.statvfs(self.folder)
                try:
                    if there.f_bavail * there.f_frsize - left < step:
                        raise OSError
                    os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, step)
                except OSError:
                    step //= 2

    def make_room(self) -> None:
        """The file system gives the blocks back a moment later."""
        self._filler.unlink(missing_ok=True)
        until = time.monotonic() + 30
        while (there := os.statvfs(self.folder)).f_bavail * there.f_frsize < 4 * OWN:
            assert time.monotonic() < until
            os.sched_yield()

    def clones(self, checkpoint: Checkpoint) -> PostgresClones:
        return PostgresClones(self.host.server, self.host.names, self.host.clones._key, checkpoint=checkpoint)

    def databases(self) -> set[str]:
        with session(self.host.server) as connection:
            rows = connection.execute(
                "SELECT datname FROM pg_database WHERE starts_with(datname::text, %s)", [f"{self.cx.instance}_"]
            ).fetchall()
        return {name for (name,) in rows}

    def ask(self, clone: ObservedClone, query: str) -> list[tuple[object, ...]]:
        to = self.host.clones.connection(clone)
        with psycopg.connect(
            host=to.host, port=to.port, dbname=to.database, user=to.user, password=to.password, autocommit=True
        ) as app:
            cursor = app.execute(query)
            return cursor.fetchall() if cursor.description else []

    def serving(self) -> set[str]:
        """The namespaces whose clone is whole and answers with masked rows."""
        found = [clone for clone in self.host.clones.observe_all() if clone.complete]
        counts = {
            clone.namespace.name: self.ask(clone, f"SELECT count(*) FROM customers WHERE email LIKE '{MASKED}'")
            for clone in found
        }
        return {name for name, count in counts.items() if count == [(1000,)]}

    def again(self) -> None:
        """A clone is made of the golden, reset, and dropped."""
        self.host.clones.clone(THREE, "app")
        self.host.clones.reset(THREE, "app")
        assert self.serving() == {"preview-1", "preview-2", "preview-3"}
        self.host.clones.drop(THREE, "app")


@pytest.fixture
def volume(small: Cx) -> Iterator[Volume]:
    volume = Volume(small)
    for namespace in (ONE, TWO):
        volume.host.clones.clone(namespace, "app")
    volume.host.clones.snapshot(ONE, "app", "kept")
    yield volume
    volume.make_room()
    volume.host.spares.refill("app", Terms())
    for clone in volume.host.clones.observe_all():
        volume.host.clones.drop(clone.namespace, clone.source)
    golden = volume.host.goldens.current("app")
    assert golden
    assert volume.databases() == {golden.database}
    volume.host.close()


OPERATIONS: dict[str, Callable[[Host], object]] = {
    "clone": lambda host: host.clones.clone(THREE, "app"),
    "reset": lambda host: host.clones.reset(ONE, "app"),
    "restore": lambda host: host.clones.restore(ONE, "app", "kept"),
    "snapshot": lambda host: host.clones.snapshot(ONE, "app", "more"),
    "branch": lambda host: host.clones.branch(THREE, "app", ONE),
    "spare": lambda host: host.spares.refill("app", Terms(spares=1)),
}


@pytest.mark.parametrize("left", [OWN, 0])
def test_nothing_is_begun_on_a_full_volume(volume: Volume, left: int) -> None:
    """What is left is the server's own; or nothing is, as previews may write that too."""
    golden, before = volume.host.goldens.current("app"), volume.databases()
    volume.fill(left)
    for name, attempt in OPERATIONS.items():
        with pytest.raises(NoSpace, match=r"no space left|too few") as caught:
            attempt(volume.host)
        assert "\n" not in str(caught.value), name
    done = volume.cx("db", "refresh", "app", check=False)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "no space left" in done.stderr
    assert volume.host.goldens.current("app") == golden
    assert volume.databases() == before
    assert {clone.namespace: clone.complete for clone in volume.host.clones.observe_all()} == {ONE: True, TWO: True}
    assert volume.serving() == {"preview-1", "preview-2"}
    volume.host.clones.drop(TWO, "app")  # as is told
    assert volume.serving() == {"preview-1"}
    volume.make_room()
    volume.host.clones.clone(TWO, "app")
    volume.again()


@pytest.mark.parametrize("operation", ["clone", "reset"])
def test_a_spare_is_renamed_where_there_is_no_room(volume: Volume, operation: str) -> None:
    volume.host.spares.refill("app", Terms(spares=1))
    with session(volume.host.server) as connection:
        connection.execute("CHECKPOINT")  # blocks that wait to be written would keep any database from being dropped
    volume.fill()
    clone = getattr(volume.host.clones, operation)(THREE if operation == "clone" else ONE, "app")
    assert (clone.made, volume.host.spares.list()) == ("spare", ())
    assert {one.complete for one in volume.host.clones.observe_all()} == {True}
    assert volume.serving() == {"preview-1", "preview-2", clone.namespace.name}


@pytest.mark.parametrize("operation", ["clone", "reset"])
def test_full_inside_a_copy(volume: Volume, operation: str) -> None:
    """There was room when it began: the server itself finds none."""

    def checkpoint(point: str) -> None:
        if point == "clone:role":
            volume.fill()

    before = volume.databases()
    with pytest.raises(NoSpace, match="No space left on device"):
        getattr(volume.clones(checkpoint), operation)(THREE if operation == "clone" else ONE, "app")
    assert volume.databases() == before
    assert volume.serving() == {"preview-1", "preview-2"}
    volume.make_room()
    volume.again()


@pytest.mark.parametrize("point", ["refresh:dumped", "refresh:scratch", "refresh:sanitised"])
def test_full_inside_a_refresh(volume: Volume, production: str, point: str) -> None:
    """The golden that was there serves on; nothing of the new one stays, once the server can drop it."""
    host, golden, before = volume.host, volume.host.goldens.current("app"), volume.databases()

    def checkpoint(at: str) -> None:
        if at == point:
            volume.fill()

    source = Source("app", url=production, sanitise=EXAMPLES / "mask.sql")
    goldens = PostgresGoldens(
        host.server, host.names, host.engine.client, host.settings.postgres.image, checkpoint=checkpoint
    )
    with pytest.raises((NoSpace, ServerUnavailable), match=r"no space left|cannot write to its disk") as caught:
        goldens.refresh(source)
    assert "\n" not in str(caught.value)
    assert host.goldens.current("app") == golden
    assert volume.serving() == {"preview-1", "preview-2"}
    volume.make_room()
    host.goldens.tidy("app")
    assert volume.databases() == before
    volume.again()
    volume.cx("db", "refresh", "app")
    assert volume.host.goldens.current("app") != golden


def test_a_write_that_finds_no_room(volume: Volume) -> None:
    """A preview fills the volume, by blocks that it shared: its own write fails; the server and its siblings live."""
    (two,) = volume.host.clones.observe(TWO)
    volume.fill()
    with pytest.raises(psycopg.errors.DiskFull):
        volume.ask(two, "UPDATE customers SET name = repeat(name, 9)")
    with pytest.raises(psycopg.errors.DiskFull):
        volume.ask(two, "CREATE TABLE more AS SELECT * FROM customers")
    with session(volume.host.server) as connection, pytest.raises(psycopg.errors.InternalError):
        connection.execute("CHECKPOINT")  # what the server does by itself, now and then
    assert volume.serving() == {"preview-1", "preview-2"}
    with pytest.raises(ServerUnavailable, match="cannot write to its disk"):
        volume.host.clones.drop(ONE, "app")
    volume.host.clones.drop(TWO, "app")  # who wrote most, as is told
    volume.host.clones.drop(ONE, "app")
    assert volume.host.clones.observe_all() == ()
    volume.make_room()
    volume.host.clones.clone(ONE, "app")
    volume.host.clones.clone(TWO, "app")
    volume.again()

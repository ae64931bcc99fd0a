"""A volume whose files share their blocks, made by `cx up` on a host with root: there again after a reboot."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import psycopg
import pytest
from live import Cx, host_on_xfs

from cx import settings as host_settings
from cx.core.names import Namespace
from cx.data.session import session
from cx.data.shared import volume
from cx.data.values import Clone, Terms
from cx.host import Host

if os.geteuid() != 0 or platform.system() != "Linux" or "xfs" not in Path("/proc/filesystems").read_text():
    modules = Path(f"/lib/modules/{platform.release()}/modules.builtin")
    if os.geteuid() != 0 or not modules.exists() or "xfs" not in modules.read_text():
        pytest.skip("a loop-mounted XFS needs root and a kernel with XFS", allow_module_level=True)

ONE, TWO = Namespace("preview-1"), Namespace("preview-2")


@pytest.fixture(scope="module")
def reflinked(tmp_path_factory: pytest.TempPathFactory, production: str) -> Iterator[Cx]:
    uploads = """
[databases.uploads]
strategy = "volume"
image = "debian:trixie-slim"
fill = ["sh", "-c", "head -c 50000000 /dev/urandom > /golden/picture"]
"""
    with host_on_xfs(tmp_path_factory.mktemp("reflinked"), "3g", production, uploads) as cx:
        cx("db", "refresh", "uploads")
        yield cx


@pytest.fixture
def host(reflinked: Cx) -> Iterator[Host]:
    host = Host(host_settings.load(reflinked.config, {}))
    yield host
    for clone in host.clones.observe_all():
        host.clones.drop(clone.namespace, clone.source)
    for told, _ in host.engine_clones.observe_all():
        host.engine_clones.drop(told.namespace, told.source)
    host.close()


def rows(host: Host, clone: Clone, query: str) -> list[tuple[object, ...]]:
    to = host.clones.connection(clone)
    with psycopg.connect(
        host=to.host, port=to.port, dbname=to.database, user=to.user, password=to.password, autocommit=True
    ) as app:
        cursor = app.execute(query)
        return cursor.fetchall() if cursor.description else []


def test_cx_knows_what_the_volume_can_do(reflinked: Cx, host: Host) -> None:
    (golden,) = host.goldens.list()
    assert (golden.strategy, golden.filesystem) == ("reflink", "xfs")
    listed = reflinked.json("db", "list")
    assert isinstance(listed, dict)
    assert listed["goldens"][0]["strategy"] == "reflink"
    found = {one["name"]: one for one in json.loads(reflinked("doctor", "--json", check=False).stdout)}
    assert (found["clones"]["state"], "xfs" in found["clones"]["finding"]) == ("ok", True)


def test_clones_share_their_blocks(host: Host) -> None:
    """A table of 50 MB: ten copies of it take less than one. The one golden's clone is branched to the others."""
    rows(
        host,
        host.clones.clone(ONE, "app"),
        "CREATE TABLE big AS SELECT g, repeat('x', 500) FROM generate_series(1, 100000) g",
    )
    with session(host.server) as connection:
        connection.execute("CHECKPOINT")
        before = volume.look(connection).free_bytes or 0
        for number in range(10):
            host.clones.branch(Namespace(f"copy-{number}"), "app", ONE)
        connection.execute("CHECKPOINT")
        taken = before - (volume.look(connection).free_bytes or 0)
    assert taken < 50e6
    last = host.clones.branch(TWO, "app", ONE)
    rows(host, last, "UPDATE big SET g = -g WHERE g % 1000 = 0")
    first = host.clones.clone(ONE, "app")
    assert rows(host, first, "SELECT count(*) FROM big WHERE g < 0") == [(0,)]
    assert rows(host, last, "SELECT count(*) FROM big WHERE g < 0") == [(100,)]


def test_clones_that_are_volumes_share_their_blocks_there_too(reflinked: Cx, host: Host) -> None:
    """Four copies of 50 MB take less than one; the server cannot look in; they serve on while the stack is down."""
    with session(host.server) as connection:
        before = volume.look(connection).free_bytes or 0
        for number in range(4):
            host.engine_clones.clone(Namespace(f"copy-{number}"), "uploads")
        assert before - (volume.look(connection).free_bytes or 0) < 20e6
        denied = "COPY (SELECT) TO PROGRAM 'ls /var/lib/postgresql/.volumes'"
        with pytest.raises(psycopg.errors.ExternalRoutineException):
            connection.execute(denied)
    (name,) = (one.database for one in host.engine_clones.observe(Namespace("copy-1")))
    engine = docker.from_env()
    image, other = "debian:trixie-slim", f"{reflinked.instance}/volume:other"
    mounted = {name: {"bind": "/uploads", "mode": "rw"}}
    user = engine.containers.run(image, ["sleep", "600"], volumes=mounted, network_mode="none", detach=True)
    try:
        # By another release, whose image is not there yet.
        reflinked("down", "--force", CX_POSTGRES_VOLUME_IMAGE=other)
        assert user.exec_run(["sh", "-c", "echo on > /uploads/serves"]).exit_code == 0
        reflinked("up")
        assert user.exec_run(["cat", "/uploads/serves"]).output == b"on\n"
        again = engine.containers.run(image, ["cat", "/uploads/serves"], volumes=mounted, remove=True)
        assert again == b"on\n"
    finally:
        user.remove(force=True)
        if engine.images.list(other):
            engine.images.remove(other)
        engine.close()


def test_their_snapshots_and_branches_share_their_blocks_too(host: Host) -> None:
    copies, one, other = host.copies("uploads"), Namespace("kept-1"), Namespace("kept-2")
    for namespace in (one, other):
        host.engine_clones.clone(namespace, "uploads")
    (mine,) = (clone.database for clone in host.engine_clones.observe(one))

    def inside(volume_name: str, command: str) -> bytes:
        mounted = {volume_name: {"bind": "/uploads", "mode": "rw"}}
        return bytes(
            host.engine.client.containers.run("debian:trixie-slim", ["sh", "-c", command], volumes=mounted, remove=True)
        )

    with session(host.server) as connection:
        inside(mine, "echo first > /uploads/note")
        before = volume.look(connection).free_bytes or 0
        copies.snapshot(one, "uploads", "before")
        inside(mine, "echo second > /uploads/note")
        copies.branch(other, "uploads", one)
        copies.restore(one, "uploads", "before")
        assert before - (volume.look(connection).free_bytes or 0) < 20e6
    found = [clone.database for space in (one, other) for clone in host.engine_clones.observe(space)]
    assert [inside(name, "cat /uploads/note") for name in found] == [b"first\n", b"second\n"]


def test_a_source_can_override_the_strategy(host: Host) -> None:
    assert host.clones.clone(ONE, "app").made == "reflink"
    assert host.clones.clone(TWO, "app", Terms(strategy="wal_log")).made == "wal_log"


def test_the_volume_is_there_again_after_a_reboot(reflinked: Cx, host: Host) -> None:
    """Everything is killed, the mount is gone as after a reboot; the server comes up before its volume does."""
    clone = host.clones.clone(ONE, "app")
    rows(host, clone, "CREATE TABLE kept AS SELECT 1")
    engine = docker.from_env()
    server, mount = (engine.containers.get(f"{reflinked.instance}-{name}") for name in ("postgres", "volume"))
    for one in (server, mount):
        one.kill()
    place = next(line.split()[1] for line in Path("/proc/mounts").read_text().splitlines() if "/reflinked" in line)
    subprocess.run(["umount", place], check=True)
    server.start()
    mount.start()
    reflinked("up")
    assert rows(host, host.clones.clone(ONE, "app"), "SELECT count(*) FROM kept") == [(1,)]
    assert [one for one in os.listdir(place) if not one.startswith(".")] == ["18"]
    engine.close()


def test_data_is_not_left_behind_unseen(reflinked: Cx, tmp_path: Path) -> None:
    other = tmp_path / "host.toml"
    other.write_text(reflinked.config.read_text().replace('volume_size = "3g"', ""))
    done = reflinked("up", check=False, CX_CONFIG=str(other))
    assert done.returncode == 1
    assert "cx down --volumes" in done.stderr

"""What holds for the clones of every engine."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from engineworld import BY_NAME, CASES, RAW, Case, Space, dies, open_host, run, volumes_of
from live import Cx

from cx.core.errors import CxError, Invalid, Terminal
from cx.data.errors import SnapshotMissing
from cx.host import Host

every = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
Make = Callable[[Case], Space]


@every
def test_clones_are_alike_and_each_namespaces_own_and_a_reset_makes_them_new(case: Case, space: Make) -> None:
    one, two = space(case), space(case)
    first = one.clone()
    assert (first.source, first.complete) == (case.use.name, True)
    one.up()
    assert one.read() == case.first
    one.write()
    assert one.read() == case.second
    assert one.clone() == first  # it keeps its data
    one.up()  # as a redeploy
    assert one.read() == case.second
    two.clone()
    two.up()
    assert two.read() == case.first

    again = one.reset()
    assert again.created != first.created
    one.up()
    assert one.read() == case.first
    assert len(one.observe()) == 1


@every
def test_a_drop_leaves_nothing_and_can_be_repeated(case: Case, space: Make, engines: Cx) -> None:
    one = space(case)
    one.clone()
    one.up()
    for _ in range(2):
        one.host.databases.drop(one.namespace, case.use.name)
        assert one.observe() == ()
        assert volumes_of(engines, str(one.namespace)) == []


@every
def test_a_snapshot_comes_back_and_data_go_to_another(case: Case, space: Make, engines: Cx) -> None:
    one, two = space(case), space(case)
    source = case.use.name
    first = one.clone()
    one.up()
    one.copies.snapshot(one.namespace, source, "fresh")
    one.write()
    parts: list[bytes] = []
    one.copies.dump(one.namespace, source, parts.append)
    assert case.dumped in b"".join(parts)
    if case.compared:
        found = one.copies.compare(one.namespace, source)
        assert found.schema == ()
        assert [(each.table.rpartition(".")[2], each.golden, each.clone) for each in found.rows] == [("people", 2, 3)]
    else:
        with pytest.raises(Invalid, match="no tables to compare"):
            one.copies.compare(one.namespace, source)

    one.copies.branch(two.namespace, source, one.namespace)
    two.up()
    assert [two.read(), one.read()] == [case.second, case.second]
    one.copies.restore(one.namespace, source, "fresh")
    one.up()
    assert [two.read(), one.read()] == [case.second, case.first]
    assert [found.created != first.created for found in one.observe()] == [True]  # its release is due

    mine = [each for each in one.host.snapshots() if each.namespace == one.namespace]
    assert [(each.source, each.name) for each in mine] == [(source, "fresh")]
    with pytest.raises(SnapshotMissing, match="it has fresh"):
        one.copies.restore(one.namespace, source, "other")
    one.down()
    assert mine[0].database not in {each.database for each in one.host.snapshots()}
    assert volumes_of(engines, str(one.namespace)) == []


def test_a_copy_that_was_killed_leaves_a_clone_that_serves(space: Make, engines: Cx) -> None:
    """The next pass starts what was stopped, and nothing half-made is left. One engine: the code is that of all."""
    case = BY_NAME["redis"]
    one, two = space(case), space(case)
    names = [f"Namespace({str(each.namespace)!r})" for each in (one, two)]
    one.clone()
    one.up()
    one.copies.snapshot(one.namespace, "cache", "x")
    one.write()
    kept = len(volumes_of(engines, str(one.namespace)))
    assert kept == 4  # the clone, its snapshot, and their marks
    for point in ("snapshot:volume", "copy:stopped", "snapshot:copied", "snapshot:marked"):
        dies(engines, point, f"copies('cache').snapshot({names[0]}, 'cache', 'x')")
        assert [(found.complete, found.littered) for found in one.observe()] == [(True, True)]
        assert len(one.host.observing.namespaces()[str(one.namespace)].clones) == 1
        one.clone()
        if point == "copy:stopped":
            one.up()
            assert one.read() == case.second
        assert [(found.complete, found.littered) for found in one.observe()] == [(True, False)]
        assert len(volumes_of(engines, str(one.namespace))) == kept
    dies(engines, "copy:stopped", f"copies('cache').branch({names[1]}, 'cache', {names[0]})")
    assert [found.complete for found in two.observe()] == [False]
    one.up()
    assert one.read() == case.second
    two.clone()
    assert len(volumes_of(engines, str(two.namespace))) == 2
    for point in ("clone:copied", "reset:cut"):
        dies(engines, point, f"copies('cache').restore({names[0]}, 'cache', 'x')")
        assert [found.complete for found in one.observe()] == [False]
        one.clone()
        assert [found.complete for found in one.observe()] == [True]
        assert len(volumes_of(engines, str(one.namespace))) == kept
    (last,) = one.host.engine_clones.of(one.namespace, "cache")
    one.host.volumes.remove(last, "redis:8")
    assert [found.complete for found in one.observe()] == [False]  # a snapshot of nothing is seen, too
    assert f"database {one.observe()[0].database}" in one.host.upkeep.orphans()[0][str(one.namespace)]
    engines("delete", "--namespace", one.namespace, "--force")
    assert volumes_of(engines, str(one.namespace)) == []


# The same code makes every volume: one engine at every point, every engine at one.
@pytest.mark.parametrize(
    ("case", "point"),
    [(BY_NAME["redis"], "clone:volume"), (BY_NAME["redis"], "clone:open")]
    + [(case, "clone:copied") for case in CASES if case.use.way != "pooler" and case.name not in ("mysql", "valkey")],
    ids=lambda one: getattr(one, "name", one),
)
def test_a_clone_that_was_killed_is_known_and_made_anew(case: Case, point: str, space: Make, engines: Cx) -> None:
    one = space(case)
    dies(engines, point, f"databases.clone(Namespace({str(one.namespace)!r}), {case.use.name!r})")
    (seen,) = one.observe()
    assert seen.complete == (point == "clone:open")
    assert f"database {seen.database}" in " ".join(one.host.observing.namespaces()[str(one.namespace)].leftovers())
    one.clone()
    assert [found.complete for found in one.observe()] == [True]
    assert len(volumes_of(engines, str(one.namespace))) == 2  # itself, and its mark
    one.up()
    assert one.read() == case.first


def test_a_reset_that_was_killed_is_done_again(space: Make, engines: Cx) -> None:
    one = space(BY_NAME["redis"])
    one.clone()
    one.up()
    one.write()
    dies(engines, "reset:cut", f"databases.reset(Namespace({str(one.namespace)!r}), 'cache')")
    assert [found.complete for found in one.observe()] == [False]
    one.reset()
    one.up()
    assert one.read() == BY_NAME["redis"].first
    assert len(volumes_of(engines, str(one.namespace))) == 2


@pytest.mark.parametrize("point", ["refresh:filled", "refresh:marked"])
def test_a_refresh_that_was_killed_leaves_a_golden_that_serves(
    point: str, host: Host, engines: Cx, space: Make
) -> None:
    dies(engines, point, "engine_goldens.refresh(host.specs['cache'])")
    one = space(BY_NAME["redis"])
    one.clone()
    one.up()
    assert one.read() == BY_NAME["redis"].first
    assert f"{engines.instance}_golden.cache." in " ".join(one.name for one in host.engine_goldens.leftovers())
    host.engine_goldens.refresh(host.specs["cache"])
    assert host.engine_goldens.leftovers() == []


def test_raw_values_are_in_no_golden_and_no_clone(engines: Cx, host: Host) -> None:
    """The files of the goldens, logs of changes and temporary ones too."""
    for golden in host.engine_goldens.list():
        if golden.source not in ("alone", "shop"):
            continue
        argv = ["docker", "run", "--rm", "-v", f"{golden.name}:/golden:ro", "debian:trixie-slim"]
        assert run([*argv, "sh", "-c", "grep -rla 1@masked /golden | wc -l"]) != "0"
        assert run([*argv, "sh", "-c", f"grep -rla {RAW} /golden || true"]) == ""


def test_a_script_that_fails_changes_nothing(engines: Cx, tmp_path: Path) -> None:
    """MariaDB's; PostgreSQL's own server is filled by the code that tests/integration/postgres tries."""
    broken = tmp_path / "mask.sql"
    broken.write_text("UPDATE people SET phone = 'x';")
    host = open_host(engines)
    try:
        spec = host.specs["shop"]
        before = volumes_of(engines)
        with pytest.raises(Terminal, match="phone"):
            host.engine_goldens.refresh(replace(spec, sanitise=broken))
        assert volumes_of(engines) == before
    finally:
        host.close()


def test_a_volume_is_filled_from_a_path(host: Host, tmp_path: Path) -> None:
    """Owners, modes and links as they are; and the folder's own, so that who ran there runs there again."""
    folder = tmp_path / "uploads"
    (folder / "deep" / "er").mkdir(parents=True)
    (folder / "deep" / "er" / "big").write_bytes(b"x" * 3_000_001)
    (folder / "link").symlink_to("deep/er/big")
    (folder / "name with \n\u00fc").write_text("y")
    folder.chmod(0o2750)
    if os.geteuid() == 0:
        os.chown(folder, 1234, 5678)
    spec = replace(host.specs["files"], name="tree", fill=(), file=folder)
    golden = host.engine_goldens.refresh(spec)
    try:
        look = ["docker", "run", "--rm", "-v", f"{golden.name}:/g:ro", "debian:trixie-slim", "sh", "-c"]
        said = run([*look, "cd /g/data; stat -c '%a %u %g' .; stat -Lc %s link; readlink link; ls | wc -l"]).split()
        owner = ["1234", "5678"] if os.geteuid() == 0 else [str(os.geteuid()), str(os.getegid())]
        assert said == ["2750", *owner, "3000001", "deep/er/big", "4"]  # a line for each half of the odd name
    finally:
        host.volumes.remove(golden, spec.image)


def test_a_redis_without_a_file_begins_empty(host: Host, space: Make) -> None:
    with_none = {**host.specs, "cache": replace(host.specs["cache"], name="none", file=None)}
    clones = replace(host.engine_clones, specs=with_none)
    one = space(BY_NAME["redis"])
    clones.put(one.namespace, host.specs["cache"], clones.golden(with_none["cache"]))
    one.up()
    assert one.read() == "0"
    one.write()
    assert one.read() == "1"


def test_an_rdb_file_that_is_broken_or_too_large_is_not_used(host: Host, tmp_path: Path) -> None:
    before = host.engine_goldens.list()
    spec = host.specs["cache"]
    assert spec.file
    broken = tmp_path / "dump.rdb"
    broken.write_bytes(spec.file.read_bytes()[:-12])
    with pytest.raises(Terminal, match="no sound RDB file"):
        host.engine_goldens.refresh(replace(spec, file=broken))
    with pytest.raises(Invalid, match="in memory") as caught:
        host.engine_goldens.refresh(replace(spec, memory="512k"))
    assert caught.value.key == "databases.cache.memory"
    assert host.engine_goldens.list() == before


def test_a_full_disk_leaves_no_half_copy(engines: Cx, tmp_path: Path, space: Make) -> None:
    """The volumes lie below a folder of the host's here: a small file system."""
    pool = tmp_path / "pool"
    pool.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=17m", "cx", str(pool)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("making a small file system needs root")
    config = tmp_path / "host.toml"
    text = engines.config.read_text().replace(
        "echo from the golden > /golden/a.txt", "head -c 5M /dev/zero > /golden/z"
    )
    config.write_text(f'{text}\n[volumes]\npath = "{pool}"\n'.replace("[databases.files]", "[databases.zeroes]"))
    host = open_host(Cx(config, engines.port, engines.instance))
    case = Case(
        "zeroes",
        replace(BY_NAME["volume"].use, name="zeroes"),
        "",
        "",
        "",
        "",
        "",
        b"",
    )
    one, two = (Space(host, case, space(case).namespace) for _ in range(2))
    try:
        golden = host.engine_goldens.refresh(host.specs["zeroes"])
        assert golden.size_bytes >= 5 << 20
        one.clone()
        one.copies.snapshot(one.namespace, "zeroes", "kept")
        with pytest.raises(CxError, match="the disk is full"):
            two.clone()
        assert two.observe() == ()
        for copied in (one.copies.snapshot, one.copies.restore):
            with pytest.raises(CxError, match="the disk is full"):
                copied(one.namespace, "zeroes", "kept")
        assert [each.name for each in host.snapshots() if each.source == "zeroes"] == ["kept"]
        assert [found.complete for found in one.observe()] == [True]
        one.down()
        assert two.clone().complete
        two.down()
        assert [each.name for each in pool.iterdir()] == [golden.name]
    finally:
        for each in (one, two):
            each.down()
        for golden in host.engine_goldens.list():
            if golden.source == "zeroes":
                host.volumes.remove(golden, "debian:trixie-slim")
        host.close()
        subprocess.run(["umount", str(pool)], check=True)


def test_nobody_else_can_open_a_server(space: Make) -> None:
    """Its password is the namespace's; and it is in no network but the namespace's."""
    one, two = space(BY_NAME["redis"]), space(BY_NAME["redis"])
    for each in (one, two):
        each.clone()
        each.up()
    assert one.poolers[0].env["password"] != two.poolers[0].env["password"]
    assert "NOAUTH" in one.run('redis-cli -h "$HOST" -p "$PORT" get greeting 2>&1')
    (server,) = (c for c in two.host.workloads.observe(two.namespace).containers if c.role == "server")
    inspect = ["docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}", server.id]
    for address in run(inspect).split():
        assert (
            one.run(f"timeout 2 redis-cli -h {address} -p 6380 ping > /dev/null 2>&1 || echo unreachable")
            == "unreachable"
        )


def test_a_server_has_limits(space: Make) -> None:
    one = space(BY_NAME["redis"])
    one.clone()
    one.up()
    (server,) = (c for c in one.host.workloads.observe(one.namespace).containers if c.role == "server")
    limits = "{{.HostConfig.Memory}} {{.HostConfig.CapDrop}} {{.HostConfig.CapAdd}} {{.HostConfig.SecurityOpt}}"
    assert run(["docker", "inspect", "-f", limits, server.id]) == f"{64 << 20} [ALL] [] [no-new-privileges:true]"
    assert int(one.run('redis-cli -u "$URL" config get maxmemory').splitlines()[-1]) == 48 << 20

"""What can be wrong around cx: each gives one clear line and the right exit code, and changes nothing.

What can be wrong inside files is in tests/unit/project, tests/unit/settings/test_settings.py and
tests/integration/postgres.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from live import Cx, Project, free_port

USAGE = [
    (["--namespace", "Preview-1"], "namespace: Preview-1: must be"),
    (["--namespace", "p"], "must be 2 to 40 characters"),
    (["--namespace", "a" * 41], "must be 2 to 40 characters"),
    (["--namespace", "preview--1"], "single dashes"),
    (["--namespace", "preview-1-"], "end with a letter or digit"),
    (["--namespace", "1preview"], "begin with a letter"),
    (["--namespace", "../../etc"], "must be"),
    (["--namespace", "preview-1\n"], "preview-1\\n"),
    (["--namespace", "préview"], "must be"),
    (["--namespace", "preview-1; rm -rf /"], "must be"),
    (
        ["--namespace", "preview-1", "--set", "NOTHING"],
        "--set: NOTHING: must be KEY=VALUE, or the environment must have it",
    ),
    (["--namespace", "preview-1", "--set", "=x"], "must be KEY=VALUE"),
    (["--namespace", "preview-1", "--set", "A-B=x"], "must be KEY=VALUE"),
    (["--namespace", "preview-1", "--set", "A=\udcff"], "--set: A: its value is not UTF-8"),
    (["--namespace", "preview-1", "--environment", "No Such"], "--environment"),
    (["--namespace", "preview-1", "--ref", "--upload-pack=x"], "--ref"),
    (["--namespace", "preview-1", "--ref", "a..b"], "--ref"),
    (["--namespace", "preview-1", "--ref", "0" * 40], "is no commit"),
    (["--namespace", "preview-1", "--ref", "nowhere"], "is no commit"),
    (["--namespace", "preview-1", "--nonsense"], "No such option"),
    ([], "Missing option '--namespace'"),
]


def one_line(done: subprocess.CompletedProcess[str], code: int, text: str) -> None:
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    if "Usage:" not in done.stderr:
        assert done.stderr.strip().splitlines()[-1].startswith("cx: ")


@pytest.mark.parametrize(("argv", "text"), USAGE, ids=[ascii(" ".join(argv)) for argv, _ in USAGE])
def test_flags(cx: Cx, hello: Project, argv: list[str], text: str) -> None:
    before = cx.json("list")
    one_line(cx("deploy", hello.folder, *argv, check=False), 2, text)
    assert cx.json("list") == before


def test_a_folder_that_is_not_there(cx: Cx, tmp_path: Path) -> None:
    one_line(cx("deploy", tmp_path / "none", "--namespace", "preview-1", check=False), 2, "is not a folder")


def test_a_folder_whose_name_is_no_text(cx: Cx, tmp_path: Path) -> None:
    folder = tmp_path / "caf\udce9"
    folder.mkdir()
    one_line(cx("deploy", folder, "--namespace", "preview-1", check=False), 2, "is not UTF-8; rename it")


def test_a_folder_with_nothing_to_run(cx: Cx, preview: Callable[[], str], tmp_path: Path) -> None:
    name = preview()
    (tmp_path / "empty").mkdir()
    done = cx("deploy", tmp_path / "empty", "--namespace", name, check=False)
    one_line(done, 2, "Dockerfile")
    assert cx.observe(name).containers == ()


def test_a_link_out_of_the_repository(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    (hello.folder / "secrets").symlink_to("/etc")
    one_line(cx("deploy", hello.folder, "--namespace", name, check=False), 1, "secrets is a symbolic link")
    assert cx.observe(name).containers == ()


@pytest.mark.parametrize("command", ["show", "events", "logs", "open"])
def test_a_namespace_that_is_not_there(cx: Cx, command: str) -> None:
    done = cx(command, "preview-404", check=False)
    one_line(done, 1, "preview-404")


@pytest.mark.parametrize(
    "argv",
    [
        ["exec", "preview-404", "app", "--", "ls"],
        ["db", "psql", "preview-404"],
        ["db", "reset", "preview-404", "--force"],
        ["db", "drop", "preview-404", "--force"],
    ],
    ids=" ".join,
)
def test_a_namespace_that_is_not_there_with_arguments(cx: Cx, argv: list[str]) -> None:
    one_line(cx(*argv, check=False), 1, "preview-404")


def test_a_source_that_is_not_there(cx: Cx) -> None:
    one_line(cx("db", "refresh", "nothing", check=False), 1, "nothing is not in the host configuration (it has app)")


def test_no_golden_yet(cx: Cx, preview: Callable[[], str], guestbook: Project, tmp_path: Path) -> None:
    name = preview()
    config = tmp_path / "host.toml"
    config.write_text(cx.config.read_text().replace("[databases.app]", "[databases.other]"))
    guestbook.replace("cx.toml", "[databases.app]", "[databases.other]")
    done = cx("deploy", guestbook.folder, "--namespace", name, check=False, CX_CONFIG=str(config))
    one_line(done, 1, "cx db refresh other")
    seen = cx.observe(name)
    assert (seen.containers, seen.clones) == ((), ())


def test_a_database_that_the_host_does_not_have(cx: Cx, preview: Callable[[], str], guestbook: Project) -> None:
    name = preview()
    guestbook.replace("cx.toml", "[databases.app]", "[databases.orders]")
    one_line(cx("deploy", guestbook.folder, "--namespace", name, check=False), 2, "orders")


def test_no_engine(cx: Cx, preview: Callable[[], str], hello: Project, tmp_path: Path) -> None:
    nowhere = f"unix://{tmp_path}/none.sock"
    for argv in (["deploy", hello.folder, "--namespace", preview()], ["list"], ["up"]):
        done = cx(*argv, check=False, DOCKER_HOST=nowhere)
        one_line(done, 75, "Docker Engine")
    done = cx("doctor", check=False, DOCKER_HOST=nowhere)
    assert done.returncode == 1
    assert "✗ engine" in done.stdout


def test_no_stack(hello: Project, tmp_path: Path) -> None:
    config = tmp_path / "host.toml"
    config.write_text(f'instance = "none"\nstate_dir = "{tmp_path}/state"\n[network]\npool = "10.231.0.0/16"\n')
    done = subprocess.run(
        [sys.executable, "-m", "cx", "deploy", str(hello.folder), "--namespace", "preview-1"],
        env={**os.environ, "CX_CONFIG": str(config)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    one_line(done, 75, "cx up")


def test_a_port_in_use(cx: Cx, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("0.0.0.0", 0))
        other.listen()
        port = other.getsockname()[1]
        config = tmp_path / "host.toml"
        config.write_text(
            f'instance = "busy"\nstate_dir = "{tmp_path}/state"\n'
            f"[router]\nhttp_port = {port}\nadmin_port = {free_port()}\n"
            '[network]\npool = "10.232.0.0/16"\n'
        )
        done = cx("up", check=False, CX_CONFIG=str(config))
        one_line(done, 1, f"port {port} (router.http_port) is in use")


def test_a_pool_that_another_network_has(cx: Cx, tmp_path: Path) -> None:
    config = tmp_path / "host.toml"
    text = cx.config.read_text().replace(f'"{cx.instance}"', '"second"').replace(str(cx.port), str(free_port()))
    text = text.replace("admin_port = ", f"admin_port = {free_port()} #").replace("/state", "/state-of-the-second")
    config.write_text(text)
    one_line(cx("up", check=False, CX_CONFIG=str(config)), 1, "network.pool")
    found = json.loads(cx("doctor", "--json", check=False, CX_CONFIG=str(config)).stdout)
    broken = {one["name"]: one["remedy"] for one in found if one["state"] == "broken"}
    assert "network.pool" in broken.pop("address pool")
    assert set(broken) == {"router", "postgres"}
    assert set(broken.values()) == {"cx up"}
    assert len([one for one in found if one["name"] == "postgres"]) == 1


def test_a_state_that_is_no_database(cx: Cx, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "cx.db").write_text("this is not a database" * 100)
    config = tmp_path / "host.toml"
    config.write_text(cx.config.read_text().replace(str(cx.config.parent / "state"), str(tmp_path / "state")))
    one_line(cx("list", check=False, CX_CONFIG=str(config)), 1, "cx.db")


def test_a_disk_that_is_full(cx: Cx, hello: Project, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(small)], check=True)
    try:
        (hello.folder / "big").write_bytes(os.urandom(600_000))
        config = tmp_path / "host.toml"
        config.write_text(cx.config.read_text().replace(str(cx.config.parent / "state"), str(small / "state")))
        done = cx("deploy", hello.folder, "--namespace", "preview-1", check=False, CX_CONFIG=str(config))
        one_line(done, 1, "full")
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_a_database_server_that_is_down(cx: Cx, preview: Callable[[], str], guestbook: Project) -> None:
    name = preview()
    server = f"{cx.instance}-postgres"
    subprocess.run(["docker", "stop", server], check=True, capture_output=True)
    try:
        one_line(cx("deploy", guestbook.folder, "--namespace", name, check=False), 75, "database server")
    finally:
        cx("up")
    cx("deploy", guestbook.folder, "--namespace", name)
    assert "1000 customers" in cx.get(name)


def test_a_router_that_is_down(cx: Cx, preview: Callable[[], str], hello: Project) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    subprocess.run(["docker", "stop", f"{cx.instance}-router"], check=True, capture_output=True)
    try:
        one_line(cx("deploy", hello.folder, "--namespace", name, check=False), 75, "router")  # with nothing changed
        hello.replace("app.py", '"one"', '"two"')
        one_line(cx("deploy", hello.folder, "--namespace", name, check=False), 75, "router")
    finally:
        cx("up")
    until = time.monotonic() + 10  # it listens a moment before it has read its routes
    while cx.ask(name)[0] == 404 and time.monotonic() < until:
        time.sleep(0.05)
    assert cx.get(name).startswith("one")

"""What cx starts obeys nothing that lies where somebody stands, and gives containers the modes of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from live import Cx, Project

from cx.docker.compose import environment, plugin, run

COMPOSE = """
services:
  app:
    build: .
    ports: ["8000"]
    volumes: ["./conf:/conf:ro"]
"""


def test_no_program_comes_from_where_somebody_stands(
    cx: Cx, preview: Callable[[], str], hello: Project, tmp_path: Path
) -> None:
    name = preview()
    cx("deploy", hello.folder, "--namespace", name)
    for program in ("docker", "git", "setpriv", "nice", "docker-compose", "docker-buildx", "docker-credential-x"):
        (tmp_path / program).write_text(f"#!/bin/sh\ntouch {tmp_path}/proof\n")
        (tmp_path / program).chmod(0o755)
    path = f".:{os.environ['PATH']}"
    assert cx("exec", name, "app", "--", "echo", "inside", cwd=tmp_path, PATH=path).stdout == "inside\n"
    cx("deploy", hello.folder, "--namespace", name, "--set", "GREETING=x", cwd=tmp_path, PATH=path)
    assert not (tmp_path / "proof").exists()


def test_nothing_but_cx_starts_git(cx: Cx, preview: Callable[[], str], hello: Project, tmp_path: Path) -> None:
    """buildx would ask the repository around a context for its commit, with that repository's configuration."""
    (tmp_path / "git").write_text(f'#!/bin/sh\necho "$*" >> {tmp_path}/log\nexec "{shutil.which("git")}" "$@"\n')
    (tmp_path / "git").chmod(0o755)
    hello.replace("app.py", '"one"', f'"{tmp_path}"')  # so that it is built
    cx("deploy", hello.folder, "--namespace", preview(), PATH=f"{tmp_path}:{os.environ['PATH']}")
    calls = (tmp_path / "log").read_text().splitlines()
    assert len(calls) > 5
    assert [one for one in calls if "safe.bareRepository=explicit" not in one] == []


def test_compose_reads_no_variables_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("V=-of-the-folder\nCOMPOSE_PARALLEL_LIMIT=none\n")
    monkeypatch.chdir(tmp_path)
    model = 'services: {a: {image: "x${V-}"}}'
    for place in ([], ["--project-directory", str(tmp_path)]):
        argv = [*plugin("compose"), "--project-name", "x", "--file", "-", *place, "config"]
        said = "\n".join(run(argv, stdin=model, timeout_s=60, env=environment()))
        assert "image: x\n" in said


def test_psql_obeys_no_file_that_it_finds(cx: Cx, preview: Callable[[], str], guestbook: Project) -> None:
    name, server = preview(), f"{cx.instance}-postgres"
    cx("deploy", guestbook.folder, "--namespace", name)
    inside = ["docker", "exec", server, "sh", "-c"]
    subprocess.run([*inside, r"echo '\! touch /tmp/proof' > ~/.psqlrc"], check=True)
    try:
        assert "42" in cx("db", "psql", name, stdin="SELECT 6 * 7").stdout
        assert subprocess.run([*inside, "test ! -e /tmp/proof"], check=False).returncode == 0
    finally:
        subprocess.run([*inside, "rm -f ~/.psqlrc /tmp/proof"], check=True)


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_containers_have_the_modes_of_the_repository(
    cx: Cx, preview: Callable[[], str], hello: Project, umask: int
) -> None:
    """An app that runs as somebody else than root reads its own files, whatever mask the caller has."""
    hello.write("conf/plain", "a")
    hello.write("sub/plain", "a")
    hello.write("sub/run", f"#!/bin/sh\necho {umask}\n")
    (hello.folder / "sub" / "run").chmod(0o755)
    hello.replace("Dockerfile", "EXPOSE", "COPY . /all\nEXPOSE")
    hello.write("compose.yml", COMPOSE)
    for one in (hello.folder, *hello.folder.rglob("*")):
        one.chmod(one.stat().st_mode & 0o700)
    name = preview()
    cx("deploy", hello.folder, "--namespace", name, umask=umask)
    paths = ("/all", "/all/sub", "/all/sub/plain", "/all/sub/run", "/conf", "/conf/plain")
    said = cx("exec", name, "app", "--", "stat", "--format", "%a %u", *paths).stdout.split("\n")
    assert said[:-1] == ["755 0", "755 0", "644 0", "755 0", "755 0", "644 0"]

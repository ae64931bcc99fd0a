"""kill -9 of the engine, without live-restore: all that ran runs again, and what slept sleeps on."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import pytest
from engineapart import EngineApart
from live import EXAMPLES, Project, until

APP = "cx-test-guestbook:1"  # its packages are there: the engine apart has no way to the internet
IMAGES = ("traefik:v3", "postgres:18", "cx/pgbouncer:1", "redis:8", APP)
PORT, NAMES = 8080, ("preview-1", "preview-2", "preview-own")


@dataclass
class Apart:
    """A host on an engine of its own."""

    engine: EngineApart
    folder: Path

    def cx(self, *argv: str | Path) -> str:
        done = self.engine.run([sys.executable, "-m", "cx", *argv], CX_CONFIG=str(self.folder / "host.toml"))
        assert done.returncode == 0, (argv, done.stdout, done.stderr)
        return done.stdout

    def ask(self, namespace: str, body: str = "") -> tuple[int, str]:
        return self.engine.ask(PORT, f"{namespace}-app.localhost", body=body)

    def answer(self) -> bool:
        found = [(name, self.ask(name)) for name in NAMES]
        return all(status == 200 and f"this is {name}" in page for name, (status, page) in found)

    def running(self) -> set[str]:
        with self.engine.client() as client:
            return {one.name for one in client.containers.list()}


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Apart]:
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", APP, EXAMPLES / "guestbook"], check=True, capture_output=True
    )
    folder = tmp_path_factory.mktemp("apart")
    # The path of a socket is short.
    engine = EngineApart(Path(tempfile.mkdtemp(prefix="cx-engine-", dir="/var/tmp")))
    try:
        engine.start()
        engine.load(*IMAGES)
        yield _host(engine, folder)
    finally:
        engine.stop()


def _host(engine: EngineApart, folder: Path) -> Apart:
    """With previews of every sort, each with a note of its own; one of them asleep."""
    source = f'file = "{EXAMPLES / "production.sql"}"\nsanitise = "{EXAMPLES / "mask.sql"}"\n'
    (folder / "host.toml").write_text(
        f"""
instance = "apart"
state_dir = "{folder / "state"}"
[router]
http_port = {PORT}
[postgres]
spares = 0
[databases.app]
{source}
[databases.own]
{source}
isolation = "server"
"""
    )
    apart = Apart(engine, folder)
    apart.cx("up")
    apart.cx("db", "refresh", "app")
    apart.cx("db", "refresh", "own")
    project = Project(folder / "guestbook", EXAMPLES / "guestbook")
    project.write("Dockerfile", f"FROM {APP}\nCOPY app.py migrate.py ./\n")
    for name in ("preview-1", "preview-2", "preview-asleep", "preview-own"):
        if name == "preview-own":
            project.replace("cx.toml", "databases.app", "databases.own")
        apart.cx("deploy", project.folder, "--namespace", name)
        assert apart.ask(name, urlencode({"author": "a", "note": f"this is {name}"}))[0] == 303
    apart.cx("sleep", "preview-asleep")
    return apart


@pytest.mark.slow
@pytest.mark.parametrize(("live_restore", "time"), [(False, 1), (False, 2), (True, 1)])
def test_all_that_ran_runs_again(apart: Apart, live_restore: bool, time: int) -> None:
    before = apart.running()
    assert len(before) == 8  # the router, the server; an app and what it reaches its database by, three times
    apart.engine.kill()
    apart.engine.live_restore = live_restore
    apart.engine.start()
    until(apart.answer)
    assert apart.running() == before
    assert apart.cx("list").count("ready") == 3
    assert "asleep" in apart.cx("list")
    assert "broken" not in apart.cx("doctor", "--json")


def test_what_slept_when_the_engine_died_wakes(apart: Apart) -> None:
    apart.engine.kill()
    apart.engine.start()
    until(apart.answer)
    apart.cx("wake", "preview-asleep")
    status, page = apart.ask("preview-asleep")
    assert (status, "this is preview-asleep" in page) == (200, True)

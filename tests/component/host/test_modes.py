"""Other users of the host can open nothing that cx makes, at no moment of a deployment, whatever their mask is."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from walking import opened

ORDER = {
    "namespace": "preview-1", "action": "deploy", "project": "app", "origin": "", "commit": "", "tree": "",
    "environment": "preview", "values": {"A": "b"}, "dirty": False,
}  # fmt: skip


@dataclass
class Watched:
    """A host without an engine. Each program that cx starts writes down first what others could open."""

    folder: Path

    def __post_init__(self) -> None:
        for name in ("state", "tmp", "bin", "cli-plugins", "app"):
            (self.folder / name).mkdir()
        (self.folder / "state").rmdir()
        (self.folder / "host.toml").write_text(f'state_dir = "{self.folder}/state"\n')
        (self.folder / "app" / "Dockerfile").write_text('FROM scratch\nEXPOSE 80\nCMD ["/app"]\n')
        self.program("bin/git", f'exec "{shutil.which("git")}" "$@"')
        self.program("cli-plugins/docker-compose", "cat")

    def program(self, name: str, last: str) -> None:
        walk = f"'{sys.executable}' '{Path(__file__).parents[2] / 'suites' / 'walking.py'}' '{self.folder}'"
        path = self.folder / name
        path.write_text(
            f'#!/bin/sh\necho "{path.name}" >> "{self.folder}/started"\n{walk} >> {self.folder}/log\n{last}\n'
        )
        path.chmod(0o755)

    def run(self, *argv: str, stdin: str = "") -> None:
        """As somebody does whose files are for all."""
        around = {
            "PATH": f"{self.folder}/bin:{os.environ['PATH']}", "HOME": str(self.folder), "TMPDIR": f"{self.folder}/tmp",
            "CX_CONFIG": f"{self.folder}/host.toml", "DOCKER_CONFIG": str(self.folder),
            "DOCKER_HOST": f"unix://{self.folder}/none",
        }  # fmt: skip
        command = [sys.executable, "-P", "-m", *argv]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # A job ends its whole session when nobody holds its standard input any more.
        with subprocess.Popen(
            command, env=around, umask=0, stdin=subprocess.PIPE, start_new_session=True, text=True, **quiet
        ) as process:
            assert process.stdin
            process.stdin.write(stdin)
            process.stdin.flush()
            process.wait(timeout=60)

    @property
    def log(self) -> list[str]:
        return (self.folder / "log").read_text().splitlines()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def test_nothing_is_open_while_a_project_is_read(watched: Watched) -> None:
    watched.run("cx", "deploy", str(watched.folder / "app"), "--namespace", "preview-1")
    started = (watched.folder / "started").read_text().split()
    assert "docker-compose" in started
    assert started.count("git") > 5
    assert watched.log == []
    assert opened(watched.folder) == []
    assert (watched.folder / "state" / "cx.db").exists()


def test_nothing_is_open_while_a_job_is_done(watched: Watched) -> None:
    watched.run("cx", "deploy", str(watched.folder / "app"), "--namespace", "preview-1")
    (mirror,) = (watched.folder / "state" / "git").glob("*.git")
    tree = subprocess.run(
        ["git", "--git-dir", mirror, "rev-parse", "refs/cx/preview-1^{tree}"],
        capture_output=True,
        text=True,
        check=True,
    )
    (watched.folder / "started").unlink()
    order = ORDER | {"project": mirror.stem, "tree": tree.stdout.strip(), "origin": str(watched.folder / "app")}
    watched.run("cx.host.jobs", stdin=json.dumps(order) + "\n")
    assert "docker-compose" in (watched.folder / "started").read_text()
    assert watched.log == []
    assert opened(watched.folder) == []


def test_what_an_older_cx_has_left_open_is_closed_by_the_next_command(watched: Watched) -> None:
    watched.run("cx", "deploy", str(watched.folder / "app"), "--namespace", "preview-1")
    for one in (watched.folder / "state", *(watched.folder / "state").rglob("*")):
        one.chmod(0o755 if one.is_dir() else 0o644)
    assert opened(watched.folder)
    watched.run("cx", "delete", "--namespace", "preview-1", "--force")
    assert opened(watched.folder) == []

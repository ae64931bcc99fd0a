"""A deployment that is ended while its project is read: nothing of it goes on, whoever ended it and however."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

PLUGIN = """#!/bin/sh
echo $$ > "{folder}/plugin"
exec sleep 60
"""


def until(there: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def reading(tmp_path: Path) -> subprocess.Popen[str]:
    """`cx deploy`, as a terminal runs it, while Compose's plugin is at work for it and does not end."""
    plugin = tmp_path / "docker" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(PLUGIN.format(folder=tmp_path))
    plugin.chmod(0o755)
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\nEXPOSE 80\n")
    (tmp_path / "host.toml").touch()
    ours = {"CX_CONFIG": f"{tmp_path}/host.toml", "CX_STATE_DIR": f"{tmp_path}/state", "HOME": str(tmp_path)}
    started = subprocess.Popen(
        [sys.executable, "-m", "cx", "deploy", str(tmp_path / "app"), "--namespace", "preview-1"],
        env={"PATH": os.environ["PATH"], "DOCKER_CONFIG": str(tmp_path / "docker"), **ours},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    until(lambda: (tmp_path / "plugin").exists() and (tmp_path / "plugin").read_text().endswith("\n"))
    return started


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "SIGHUP", "SIGKILL", "SIGKILL of the copy"])
def test_nothing_of_it_goes_on(reading: subprocess.Popen[str], tmp_path: Path, how: str) -> None:
    plugin = int((tmp_path / "plugin").read_text())
    copy = int(Path(f"/proc/{plugin}/status").read_text().partition("PPid:")[2].split()[0])
    assert copy != reading.pid
    checkouts = tmp_path / "state" / "checkouts"
    assert [one.name for one in checkouts.iterdir()] == ["preview-1.reading"]
    if how == "SIGINT":  # as a terminal's: to all of them
        os.killpg(reading.pid, signal.SIGINT)
    elif how == "SIGKILL of the copy":
        os.kill(copy, signal.SIGKILL)
    else:
        os.kill(reading.pid, getattr(signal, how))
    said, _ = reading.communicate(timeout=30)  # nobody holds its output any more
    until(lambda: not runs(copy))
    assert "Traceback" not in said
    if how == "SIGKILL of the copy":
        assert reading.returncode == 75
        assert "the process that reads projects has ended" in said
        os.kill(plugin, signal.SIGKILL)  # nobody else is left to, nor to take back: the next one that reads does
        return
    until(lambda: not runs(plugin))
    assert list(checkouts.iterdir()) == []

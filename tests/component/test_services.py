"""The files by which the listener runs as a service are ones that systemd and Compose take."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from cx.cli.main import app

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "compose" / "cx-listener.service"
COMPOSE = ROOT / "compose" / "listener.yml"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="this machine has no systemd")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    there = tmp_path / UNIT.name
    there.write_text(UNIT.read_text().replace("/opt/cx/bin/cx", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, check=False)
    mine = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert (done.returncode, mine) == (0, [])
    there.write_text(there.read_text().replace("NoNewPrivileges", "NoNewPrivilege"))
    done = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, check=False)
    assert "NoNewPrivilege" in done.stderr, "a key that is not there is seen"


def test_the_unit_runs_a_command_of_cx_that_takes_what_it_gives() -> None:
    (line,) = re.findall(r"^ExecStart=/opt/cx/bin/cx (.+)$", UNIT.read_text(), re.MULTILINE)
    group, command, *options = line.split()
    commands = typer.main.get_command(app).commands[group].commands  # type: ignore[attr-defined]
    commands[command].make_context("cx", options)


@pytest.mark.skipif(not shutil.which("docker"), reason="this machine has no docker")
def test_compose_takes_the_service_and_gives_it_no_rights(tmp_path: Path) -> None:
    done = subprocess.run(
        ["docker", "compose", "--file", COMPOSE, "config", "--format", "json"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (service,) = json.loads(done.stdout)["services"].values()
    assert service["cap_drop"] == ["ALL"]
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["command"] == ["git", "listen"]
    assert "ports" not in service
    assert service["restart"] == "always"  # what is `unless-stopped` may stay away when the engine was killed
    assert service["environment"]["CX_LISTEN_PORT"] in service["healthcheck"]["test"][-1]


def test_a_wrong_configuration_ends_the_service_and_systemd_leaves_it_so(tmp_path: Path) -> None:
    unit = UNIT.read_text()
    assert re.search(r"^Restart=on-failure$", unit, re.MULTILINE)
    (never,) = re.findall(r"^RestartPreventExitStatus=(\d+)$", unit, re.MULTILINE)
    wrong = tmp_path / "host.toml"
    wrong.write_text("[listen]\nport = 0\n")
    wrong.chmod(0o600)
    environment = {"PATH": os.environ["PATH"], "CX_CONFIG": str(wrong), "CX_STATE_DIR": str(tmp_path / "state")}
    done = subprocess.run(
        [sys.executable, "-m", "cx", "git", "listen"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == int(never)
    assert f"{wrong}: listen.port" in done.stderr

"""Whoever reads a project, starts its containers, or checks the host runs the same program of Docker's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from cx.docker.compose import plugin
from cx.host.doctor import Check, Doctor
from cx.project.compose import normalise

PROGRAM = """#!/bin/sh
case "$*" in
*config*) echo '{"services": {"from": {"image": "the-stub"}}}' ;;
*) echo 2.31.0 ;;
esac
"""


def test_one_compose_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub = tmp_path / "plugins" / "docker-compose"
    stub.parent.mkdir()
    stub.write_text(PROGRAM)
    stub.chmod(0o755)
    (tmp_path / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(stub.parent)]}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    unused: Any = None
    doctor = Doctor(unused, unused, unused, unused, unused, unused)
    assert next(one for one in doctor._tools() if one.name == "compose") == Check("compose", "ok", "2.31.0")
    assert plugin("compose")[-2:] == (str(stub), "compose")
    model, _ = normalise({"services": {}}, checkout=tmp_path, where="compose.yml", variables={})
    assert model["services"] == {"from": {"image": "the-stub"}}

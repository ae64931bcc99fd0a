"""Docker's plugins are found where Docker's own command line finds them, and in one place of cx only."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cx import plugins
from cx.core.errors import Terminal
from cx.plugins import program

CX = Path(plugins.__file__).parent


@pytest.fixture
def environ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr(plugins, "SYSTEM_FOLDERS", (str(tmp_path / "system"),))
    return {"HOME": str(tmp_path / "home"), "PATH": str(tmp_path / "bin")}


def plugin(folder: Path, name: str = "docker-compose", mode: int = 0o755) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n")
    (folder / name).chmod(mode)
    return str(folder / name)


def test_folders_come_in_the_order_of_docker(tmp_path: Path, environ: dict[str, str]) -> None:
    own = tmp_path / "home" / ".docker"
    alone = plugin(tmp_path / "bin")
    assert program("compose", environ) == alone
    system = plugin(tmp_path / "system")
    assert program("compose", environ) == system
    mine = plugin(own / "cli-plugins")
    assert program("compose", environ) == mine
    extra = plugin(tmp_path / "extra")
    (own / "config.json").write_text(json.dumps({"cliPluginsExtraDirs": [str(tmp_path / "extra")]}))
    assert program("compose", environ) == extra
    other = plugin(tmp_path / "other" / "cli-plugins")
    assert program("compose", environ | {"DOCKER_CONFIG": str(tmp_path / "other")}) == other


@pytest.mark.parametrize("config", ["", "[]", "{", '{"cliPluginsExtraDirs": 7}', '{"cliPluginsExtraDirs": [7, null]}'])
def test_a_configuration_that_names_no_folder_hides_no_plugin(
    tmp_path: Path, environ: dict[str, str], config: str
) -> None:
    mine = plugin(tmp_path / "home" / ".docker" / "cli-plugins", "docker-buildx")
    (tmp_path / "home" / ".docker" / "config.json").write_text(config)
    assert program("buildx", environ) == mine


def test_what_cannot_be_run_is_no_plugin(tmp_path: Path, environ: dict[str, str]) -> None:
    (tmp_path / "system" / "docker-compose").mkdir(parents=True)
    plugin(tmp_path / "home" / ".docker" / "cli-plugins", mode=0o644)
    with pytest.raises(Terminal, match="docker compose is not installed"):
        program("compose", environ)


def test_no_other_module_looks_for_them() -> None:
    looking = {one.relative_to(CX).as_posix() for one in CX.rglob("*.py") if "cli-plugins" in one.read_text()}
    assert looking == {"plugins.py"}

"""The command line as a user calls it, in this process: what it said, and its exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main

from cx.cli import ending
from cx.cli import main as command_line


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line."""
        (line,) = self.err.splitlines()
        return line


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host with a state of its own, and no engine."""
    for name in [name for name in os.environ if name.startswith("CX_")]:
        monkeypatch.delenv(name)
    (tmp_path / "host.toml").touch()
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    monkeypatch.setenv("CX_CONFIG", str(tmp_path / "host.toml"))
    monkeypatch.setenv("CX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    monkeypatch.delenv("DOCKER_CONTEXT", raising=False)
    monkeypatch.chdir(tmp_path / "app")
    return tmp_path


PARSED = typer.main.get_command(command_line.app)  # reading all signatures takes long


class Nobody:
    """Standard input without a terminal."""

    @staticmethod
    def isatty() -> bool:
        return False


@pytest.fixture
def cx(host: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Said]:
    def leave(code: int) -> None:
        raise SystemExit(code)

    def run(*argv: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["cx", *argv])
        monkeypatch.setattr(sys, "stdin", Nobody())
        monkeypatch.setattr(command_line, "leave", leave)
        monkeypatch.setattr(ending, "leave", leave)
        monkeypatch.setattr(command_line, "app", PARSED)
        monkeypatch.setattr("cx.host.reader.reading", nullcontext)  # no process beside this one
        with pytest.raises(SystemExit) as caught:
            command_line.main()
        said = capsys.readouterr()
        return Said(int(caught.value.code or 0), said.out, said.err)

    return run

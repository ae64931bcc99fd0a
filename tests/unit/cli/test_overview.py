"""The overview is written by hand: it names every command, and no other."""

from __future__ import annotations

import re
import subprocess
import sys

import typer.main

from cx.cli.main import app
from cx.cli.start import OVERVIEW


def test_it_names_every_command() -> None:
    group = typer.main.get_group(app)
    shown = {name for name, command in group.commands.items() if not command.hidden}
    options, _, _ = OVERVIEW.partition("\nOptions:")
    assert set(re.findall(r"^  ([a-z-]+)  +\S", options, re.M)) == shown
    assert max(map(len, OVERVIEW.splitlines())) <= 80


def test_it_is_there_at_once() -> None:
    script = "import sys; sys.argv = ['cx', '--help']\nimport cx.cli.start as s; s.main(); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(OVERVIEW)
    assert "typer" not in done.stdout.removeprefix(OVERVIEW).split()

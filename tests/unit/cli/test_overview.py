"""The overview is written by hand: it names every command, and no other."""

from __future__ import annotations

import re

import typer.main

from cx.cli.main import app
from cx.cli.start import OVERVIEW


def test_it_names_every_command() -> None:
    group = typer.main.get_group(app)
    shown = {name for name, command in group.commands.items() if not command.hidden}
    options, _, _ = OVERVIEW.partition("\nOptions:")
    assert set(re.findall(r"^  ([a-z-]+)  +\S", options, re.M)) == shown
    assert max(map(len, OVERVIEW.splitlines())) <= 80

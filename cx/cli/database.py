"""`cx db`: goldens of the host's sources, clones of namespaces."""

from __future__ import annotations

import typer

from cx.cli import clones, goldens
from cx.cli.commands import Commands


def register(app: typer.Typer) -> None:
    db = Commands(help="Goldens and clones of databases.")
    goldens.register(db)
    clones.register(db)
    app.add_typer(db, name="db")

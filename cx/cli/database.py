"""`cx db`: goldens of the host's sources, clones of namespaces."""

from __future__ import annotations

import typer

from cx.cli import clones, goldens


def register(app: typer.Typer) -> None:
    db = typer.Typer(help="Goldens and clones of databases.", no_args_is_help=True, rich_markup_mode=None)
    goldens.register(db)
    clones.register(db)
    app.add_typer(db, name="db")

"""`cx`: every command, and how an error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Annotated, NoReturn

import typer

from cx import __version__
from cx.cli import database, git, namespaces, pruning, stack
from cx.cli.output import printable
from cx.core.errors import CxError

app = typer.Typer(
    name="cx",
    help="A preview environment for every pull request, on a Docker host that you own.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(value: bool) -> None:
    if value:
        print(f"cx {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


namespaces.register(app)
pruning.register(app)
stack.register(app)
database.register(app)
git.register(app)


def main() -> NoReturn:
    """Exit codes: 0 done, 1 failed, 2 usage, 75 try again, 130 interrupted."""
    try:
        app(standalone_mode=True)
    except CxError as exc:
        failed(exc)
    except (KeyboardInterrupt, SystemExit) as exc:
        if isinstance(exc, SystemExit) and exc.code != 130:  # what typer makes of an interrupt, without a word
            _leave(int(exc.code or 0))
        print("cx: interrupted; what was begun is finished or undone by the next command", file=sys.stderr)
        _leave(130)
    except BrokenPipeError:
        _leave(0)
    _leave(0)


def failed(exc: CxError) -> NoReturn:
    """The lines that matter, then one line: what happened, to which namespace, what to do."""
    if "--json" in sys.argv:
        import msgspec

        from cx.core.events import failed as told

        print(msgspec.json.encode(told(exc)).decode())
    for line in exc.log:
        print(f"  | {printable(line)}", file=sys.stderr)
    print(f"cx: {printable(str(exc))}", file=sys.stderr)
    _leave(exc.exit_code)


def _leave(code: int) -> NoReturn:
    """At once: no waiting for threads that read from the engine, no taking apart of a thousand modules."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    os._exit(code)

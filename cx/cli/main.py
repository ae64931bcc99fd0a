"""`cx`: every command, and how an error becomes one line and an exit code."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, NoReturn

import typer

from cx import __version__
from cx.cli import database, git, namespaces, pruning, stack
from cx.cli.commands import Commands
from cx.cli.ending import failed, leave
from cx.core.errors import CxError, Defect

app = Commands(
    name="cx",
    help="A preview environment for every pull request, on a Docker host that you own.",
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
            leave(int(exc.code or 0))
        print("cx: interrupted; what was begun is finished or undone by the next command", file=sys.stderr)
        leave(130)
    except BrokenPipeError:
        leave(0)
    except Exception as exc:  # noqa: BLE001 - the last edge: whoever waits for an event or a code gets one
        traceback.print_exception(exc)
        failed(Defect.of(exc))
    leave(0)

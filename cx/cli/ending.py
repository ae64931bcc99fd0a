"""How a command ends: an error becomes one line and an exit code."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from cx.cli.output import printable
from cx.core.errors import CxError


def failed(exc: CxError) -> NoReturn:
    """The lines that matter, then one line: what happened, to which namespace, what to do."""
    if "--json" in sys.argv:
        import msgspec

        from cx.core.events import failed as told

        print(msgspec.json.encode(told(exc)).decode())
    for line in exc.log:
        print(f"  | {printable(line)}", file=sys.stderr)
    print(f"cx: {printable(str(exc))}", file=sys.stderr)
    leave(exc.exit_code)


def leave(code: int) -> NoReturn:
    """At once: no waiting for threads that read from the engine, no taking apart of a thousand modules."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except BrokenPipeError:
        pass
    os._exit(code)

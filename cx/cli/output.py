"""Tables for people, JSON for programs; times, sizes and questions."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from cx.core.errors import Terminal

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]
ForceOption = Annotated[bool, typer.Option("--force", "-f", help="Do not ask.")]


def as_json(value: Any) -> None:
    print(json.dumps(value, indent=2, default=_plain))


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return str(value)


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """`rows` under `headings`, as wide as they need to be; `empty` when there are none."""
    if not rows:
        print(empty)
        return
    lines = [list(headings), *[[printable(cell) for cell in row] for row in rows]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def ago(moment: float | None) -> str:
    """`3 min ago`; `moment` in Unix seconds."""
    if moment is None:
        return "-"
    return f"{lasting(max(0.0, time.time() - moment))} ago"


def until(moment: float | None) -> str:
    """`in 3 d`; `-` for what has no end."""
    if moment is None:
        return "-"
    left = moment - time.time()
    return f"in {lasting(left)}" if left > 0 else "now"


def lasting(seconds: float) -> str:
    for limit, unit, name in ((120, 1, "s"), (7200, 60, "min"), (172800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit:.0f} {name}"
    return f"{seconds / 86400:.0f} d"


def size(size_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def confirm(question: str, *, force: bool) -> None:
    """Goes on only with a yes. Raises Terminal without a terminal to ask on."""
    if force:
        return
    if not sys.stdin.isatty():
        raise Terminal("there is nobody to ask here", remedy="say --force")
    if not typer.confirm(question):
        raise typer.Exit(1)


def printable(line: str) -> str:
    """Without control characters: a log may hold escape sequences that do things to a terminal."""
    return "".join(char if char.isprintable() or char == "\t" else "�" for char in line)

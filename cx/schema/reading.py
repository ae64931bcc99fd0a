"""TOML files, read within bounds: their size, their depth, and the length of their keys."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from cx.core.errors import Invalid
from cx.core.names import shown

DEPTH_MAX = 16
_PART = r"""(?:[A-Za-z0-9_-]++|"[^"\n]*+"|'[^'\n]*+')"""
# A key of so many parts takes tomllib minutes and gigabytes.
_LONG_KEY = re.compile(rf"(?<![A-Za-z0-9_-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{4 * DEPTH_MAX}}}")


def read_toml(path: Path, *, where: str, size_max: int = 262_144) -> dict[str, Any]:
    """The document at `path`. Raises Invalid: not there, too long, not UTF-8, bad TOML (line and column)."""
    try:
        with path.open("rb") as file:
            content = file.read(size_max + 1)
    except OSError as exc:
        raise Invalid(where, "", f"cannot be read: {(exc.strerror or 'error').lower()}") from exc
    if len(content) > size_max:
        raise Invalid(where, "", f"is longer than {size_max // 1024} KiB")
    return parse_toml(content, where=where)


def parse_toml(content: bytes, *, where: str) -> dict[str, Any]:
    try:
        text = content.decode()
        if _LONG_KEY.search(text):
            raise Invalid(where, "", f"is nested more than {DEPTH_MAX} deep")
        document = tomllib.loads(text)
    except UnicodeDecodeError as exc:
        line = content[: exc.start].count(b"\n") + 1
        raise Invalid(f"{where}:{line}", "", "is not UTF-8 text") from exc
    except ValueError as exc:  # TOMLDecodeError, or a number of more digits than Python reads
        raise Invalid(where, "", f"is not TOML: {shown(str(exc), 200)}") from exc
    except RecursionError as exc:
        raise Invalid(where, "", "is nested too deeply") from exc
    if depth(document) > DEPTH_MAX:
        raise Invalid(where, "", f"is nested more than {DEPTH_MAX} deep")
    return document


def depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            inner
            for one in level
            if isinstance(one, dict | list)
            for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest

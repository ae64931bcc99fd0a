"""Paths of a checkout, which is hostile: nothing outside it is ever named, read or followed to."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cx.core.errors import Invalid
from cx.core.names import shown


class Outside(ValueError):
    """The path leads out of the checkout."""


def inside(checkout: Path, path: str | Path, *, base: str = ".") -> str:
    """`path` relative to the checkout, with every symlink resolved: POSIX, `.` for the checkout itself.

    `path` is absolute, or relative to `base` in the checkout; what it names need not exist. Raises Outside.
    """
    if "\0" in str(path):
        raise Outside
    root = Path(os.path.realpath(checkout))
    try:
        real = Path(os.path.realpath(root / base / path, strict=False))
    except (OSError, RuntimeError, ValueError) as exc:
        raise Outside from exc
    if real.is_symlink() or not (real == root or root in real.parents):  # a loop of symlinks stays a symlink
        raise Outside
    return real.relative_to(root).as_posix()


def read_inside(checkout: Path, path: str, *, size_max: int) -> bytes:
    """The content of a regular file of the checkout. Raises Invalid."""
    try:
        real = inside(checkout, path)
    except Outside as exc:
        raise Invalid(shown(path), "", "leads out of the repository") from exc
    try:
        # Opened without waiting, so that a named pipe does not hold us up.
        descriptor = os.open(Path(os.path.realpath(checkout)) / real, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError as exc:
        raise Invalid(shown(path), "", f"cannot be read: {(exc.strerror or 'error').lower()}") from exc
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Invalid(shown(path), "", "is not a regular file")
        content = file.read(size_max + 1)
    if len(content) > size_max:
        raise Invalid(shown(path), "", f"is longer than {size_max // 1024} KiB")
    return content

"""A version of a project, as cx's mirror of it holds it."""

from __future__ import annotations

from dataclasses import dataclass

from cx.core.origin import Origin


@dataclass(frozen=True)
class Source:
    """A version of a project in its mirror. As in Desired."""

    project: str
    origin: Origin
    commit: str
    tree: str
    dirty: bool

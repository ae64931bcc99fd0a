"""A delivery of a forge, as far as cx reads it."""

from __future__ import annotations

from dataclasses import dataclass

from cx.pulls.commands import Command
from cx.pulls.values import PullId


@dataclass(frozen=True)
class Delivery:
    """One delivery as far as cx reads it. `asks` are the pull requests to look at; number 0: the whole repository."""

    id: str
    event: str
    action: str = ""
    asks: tuple[PullId, ...] = ()
    commands: tuple[Command, ...] = ()

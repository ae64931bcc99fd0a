"""How a look ended."""

from __future__ import annotations

from dataclasses import dataclass

from cx.core.errors import Terminal
from cx.pulls.values import Report


@dataclass(frozen=True)
class Turn:
    """How a look ended. `parked`: it wants to deploy, and waits for a place. `again_s`: look again after so many
    seconds, `why`; None: all is done. `tries` and `trouble` as in Queue.again; None: as often as before."""

    again_s: float | None = None
    parked: Report | None = None
    why: str = ""
    tries: int | None = None
    trouble: str = ""


DONE = Turn()
LOST = Turn(0, why="another origin owns its namespace by now")
DEFECT = Terminal("cx met a defect of its own", remedy="its log says which; it is tried again")

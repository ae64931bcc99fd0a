"""What people see while a preview is made: the newest of the steps that run, and none that has ended."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from cx.core.names import Namespace
from cx.pulls import Known, Standing, Ticket
from cx.pulls.look import _Look
from cx.pulls.spoken import Heard
from cx.pulls.values import Phase, Pull, PullId

PULL = PullId("acme/shop", 1)


def phases(*events: str) -> list[Phase]:
    """What was told; an event is a step's name, with a minus before it where it ends."""
    told: list[Phase] = []
    of: Any = SimpleNamespace(hide=str, telling=SimpleNamespace(soon=lambda report: told.append(report.phase)))
    rules: Any = None
    look = _Look(of, Ticket(PULL, 1), rules, True)
    look.heard = Heard(Known(PULL, Namespace("preview-1")))
    pull = Pull(PULL, 0, 0, "a" * 40, "", open=True)
    for event in events:
        kind = "step_ended" if event.startswith("-") else "step_began"
        look._progress(pull, Standing(False, ""), {"event": kind, "step": event.removeprefix("-")})
    return told


def test_a_short_step_beside_a_long_one_does_not_stay() -> None:
    assert phases("build app", "clone app", "-clone app") == [Phase.BUILDING, Phase.CLONING, Phase.BUILDING]


def test_what_nobody_is_told_of_hides_nothing() -> None:
    assert phases("build app", "network and volumes", "-network and volumes", "-build app", "release") == [
        Phase.BUILDING,
        Phase.STARTING,
    ]


def test_the_end_of_a_step_that_was_not_seen_to_begin() -> None:
    assert phases("-build app", "start") == [Phase.STARTING]

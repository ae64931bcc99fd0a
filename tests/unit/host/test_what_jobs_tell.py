"""What a job's events come to."""

from __future__ import annotations

from typing import Any

import pytest

from cx.core.names import Namespace
from cx.host.jobs.running import _Heard
from cx.pulls import Ended, Order
from cx.pulls.look import phase_of
from cx.pulls.values import Phase

ORDER = Order(Namespace("preview-1"), "deploy")


def ended(*events: dict[str, Any]) -> Ended | None:
    heard = _Heard()
    for event in events:
        heard.take(event)
    return heard.ended(ORDER, 1)


def step(name: str, duration_s: float, outcome: str = "done") -> dict[str, Any]:
    return {"event": "step_ended", "step": name, "duration_s": duration_s, "outcome": outcome}


@pytest.mark.parametrize(
    ("steps", "release_s"),
    [
        ([], None),
        ([step("build app", 9.0, "failed")], None),
        ([step("release", 1.5), step("healthy", 20.0, "failed")], 1.5),
        ([step("release", 2.5, "failed")], 2.5),
    ],
)
def test_a_failure_has_the_time_of_the_release_that_it_ran(
    steps: list[dict[str, Any]], release_s: float | None
) -> None:
    found = ended(*steps, {"event": "error", "error": "no"})
    assert found
    assert found.release_s == release_s


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("build app", Phase.BUILDING),
        ("clone app", Phase.CLONING),
        ("reset app", Phase.CLONING),
        ("release", Phase.STARTING),
        ("network and volumes", None),
    ],
)
def test_what_people_are_told_of_a_step(name: str, phase: Phase | None) -> None:
    assert phase_of(name) is phase

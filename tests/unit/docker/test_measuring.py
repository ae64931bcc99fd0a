"""What the engine leaves out of its figures counts as nothing."""

from __future__ import annotations

import pytest

from cx.docker.measuring import Use, use_of

WHOLE = {
    "memory_stats": {"usage": 7},
    "cpu_stats": {"cpu_usage": {"total_usage": 30}, "system_cpu_usage": 200, "online_cpus": 2},
    "precpu_stats": {"cpu_usage": {"total_usage": 10}, "system_cpu_usage": 100},
}


def test_percent_of_one_core() -> None:
    assert use_of(WHOLE) == Use(7, 40.0)


@pytest.mark.parametrize("left_out", [*WHOLE, "all"])
@pytest.mark.parametrize("empty", [None, {}, {"cpu_usage": None}])
def test_figures_of_what_has_stopped_are_incomplete(left_out: str, empty: object) -> None:
    found = {name: empty if left_out in (name, "all") else one for name, one in WHOLE.items()}
    assert use_of(found).cpu >= 0.0
    assert use_of({name: one for name, one in found.items() if one}).memory_bytes in (0, 7)

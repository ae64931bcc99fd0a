"""Who asks often whether the listener is ready makes it write no more often."""

from __future__ import annotations

from cx.core.errors import Terminal
from cx.web.readiness import Readiness


def test_the_disk_is_tried_once_a_second_and_its_fault_stays_until_the_next_try() -> None:
    now, tried, full = [100.0], [], [True]

    def probe() -> None:
        tried.append(now[0])
        if full[0]:
            raise Terminal("the disk is full", remedy="free some space")

    ready = Readiness(probe, lambda: ["GitHub refuses the token"], lambda: now[0])
    for _ in range(50):
        assert ready.missing() == ["the disk is full; free some space", "GitHub refuses the token"]
    assert tried == [100.0]
    full[0] = False
    now[0] += 0.9
    assert len(ready.missing()) == 2
    now[0] += 0.1
    assert ready.missing() == ["GitHub refuses the token"]
    assert tried == [100.0, 101.0]

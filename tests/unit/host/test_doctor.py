"""What `cx doctor` says when it cannot look."""

from __future__ import annotations

from typing import Any

import pytest

from cx.core.errors import Retryable
from cx.host.doctor import Check, Doctor


class Away:
    def __getattr__(self, name: str) -> Any:
        raise Retryable("it does not answer", remedy="wait")


@pytest.mark.parametrize("part", ["router", "postgres"])
def test_a_row_says_what_it_is_about(part: str) -> None:
    away: Any = Away()
    doctor = Doctor(away, away, away, away, away, away)
    assert doctor._guarded(getattr(doctor, f"_{part}")) == [Check(part, "broken", "it does not answer", "wait")]

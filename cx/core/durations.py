"""Durations, as Compose and people write them. No other module reads one."""

from __future__ import annotations

import re

MOST_NS = 2**63 - 1  # of Go's time.Duration, which Docker and Compose count in: 292 years
_PART = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))?(ns|us|µs|ms|s|m|h|d|w)", re.ASCII)
_NS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86_400 * 10**9,
    "w": 604_800 * 10**9,
}
COMPOSE = frozenset({"ns", "us", "µs", "ms", "s", "m", "h"})
LASTING = frozenset({"h", "d", "w"})


def duration_ns(value: object, *, units: frozenset[str] = COMPOSE, zero: bool = False) -> int:
    """`1m30s` in nanoseconds; a fraction of one is dropped. `zero`: `0` and `0s` are durations, too.

    Raises ValueError for what is no duration in these units, for zero, and for what is above MOST_NS.
    """
    if not isinstance(value, str) or len(value) > 128:
        raise ValueError("should be a duration")
    parts = list(_PART.finditer(value))
    if value != "0" and (not parts or "".join(part[0] for part in parts) != value):
        raise ValueError("should be a duration")
    found = 0
    for part in parts:
        whole, fraction, unit = part[1], part[2] or "", part[3]
        if unit not in units:
            raise ValueError(f"should be in {', '.join(one for one in _NS if one in units)}")
        found += int(whole + fraction) * _NS[unit] // 10 ** len(fraction)
    if found == 0 and not zero:
        raise ValueError("should be more than 0")
    if found > MOST_NS:
        raise ValueError("is too long")
    return found


def duration_s(value: object, *, units: frozenset[str] = COMPOSE, zero: bool = False) -> float:
    """As `duration_ns`, in seconds."""
    return duration_ns(value, units=units, zero=zero) / 10**9


def compose_duration(seconds: float) -> str:
    """Text that Compose reads, to the millisecond."""
    whole = round(seconds * 1000)
    return f"{whole // 1000}s" if whole % 1000 == 0 else f"{whole}ms"

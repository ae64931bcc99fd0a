"""Sizes and times as Compose and Docker write them."""

from __future__ import annotations

import re
from typing import Any

_SIZE = re.compile(r"([0-9]{1,18})(?:\.[0-9]+)?\s*([kmgt]?)(?:i?b)?", re.IGNORECASE)
_TIME = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)(h|ms|us|µs|ns|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}


def size_bytes(value: Any) -> int | None:
    """`512m`, `1g`, `1048576` in bytes; None for what is no size."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value if 0 <= value < 2**63 else None
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if not match:
        return None
    bytes_ = int(match[1]) * 1024 ** " kmgt".index(match[2].lower() or " ")
    return bytes_ if bytes_ < 2**63 else None


def seconds(value: Any) -> float | None:
    """`1m30s` in seconds; None for what is no time."""
    if not isinstance(value, str) or len(value) > 64:
        return None
    if value == "0":
        return 0.0
    parts = _TIME.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def duration(seconds_: float) -> str:
    """As Compose reads it, to the millisecond."""
    whole = round(seconds_ * 1000)
    return f"{whole // 1000}s" if whole % 1000 == 0 else f"{whole}ms"

"""Sizes of memory and of disk, as Docker and people write them. No other module reads one."""

from __future__ import annotations

import re

MOST_BYTES = 2**63 - 1
_SIZE = re.compile(r"([0-9]{1,20})(?:\.([0-9]{1,20}))? ?(?:([kmgtp])i?)?b?", re.IGNORECASE | re.ASCII)


def size_bytes(value: object) -> int:
    """`512m`, `1.5g`, `2GiB` or 1048576 in bytes: units of 1024, and a fraction of a byte is dropped, as Docker does.

    Raises ValueError for what is no size, and for sizes below 1 byte or above MOST_BYTES.
    """
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("should be a size such as 512m or 2g")
    match = _SIZE.fullmatch(str(value))
    if not match:
        raise ValueError("should be a size such as 512m or 2g")
    whole, fraction, unit = match[1], match[2] or "", (match[3] or "").lower()
    found: int = (int(whole + fraction) << 10 * " kmgtp".index(unit or " ")) // 10 ** len(fraction)
    if found == 0:
        raise ValueError("should be more than 0")
    if found > MOST_BYTES:
        raise ValueError("is too large")
    return found

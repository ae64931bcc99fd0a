"""How long to wait before the same is tried again."""

from __future__ import annotations

import hashlib

PAUSES_S = (5, 15, 60, 180, 600, 1800)
SPREAD = 0.2  # of a pause: what failed together does not come again together


def pause_s(what: str, tries: int) -> float:
    """Seconds after the `tries`th failure in a row of `what`. The same for the same."""
    length_s = PAUSES_S[min(max(tries, 1), len(PAUSES_S)) - 1]
    digest = hashlib.sha256(f"{what} {tries}".encode()).digest()
    return length_s * (1 + SPREAD * int.from_bytes(digest[:4]) / 2**32)

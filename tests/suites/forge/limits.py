"""What GitHub limits: how much is written in a minute and in an hour, and how many requests it answers in all.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

WINDOWS = ((60.0, 80), (3600.0, 500))
SECONDARY = "You have exceeded a secondary rate limit. Please wait a few minutes before you try again."


@dataclass
class Limits:
    """`strict`: what is too much is refused. `requests`: of all kinds, in an hour; 0: it says nothing of them."""

    strict: bool = False
    requests: int = 0
    clock: Callable[[], float] = time.time
    written: list[float] = field(default_factory=list)
    refused: int = 0

    def refuses(self, method: str, path: str) -> bool:
        """Of one request, which counts."""
        self.requests -= self.requests > 1
        if method == "GET" or path.endswith("/access_tokens"):
            return False
        now = self.clock()
        self.written.append(now)
        over = any(sum(at > now - length_s for at in self.written) > limit for length_s, limit in WINDOWS)
        self.refused += self.strict and over
        return self.strict and over

    def headers(self) -> dict[str, str]:
        if not self.requests:
            return {}
        facts = {"Limit": 5000, "Remaining": self.requests, "Reset": int(self.clock()) + 3600}
        return {f"X-RateLimit-{name}": str(fact) for name, fact in facts.items()}

    def most(self, length_s: float) -> int:
        """Writes in the fullest window of that length."""
        return max((sum(at <= one < at + length_s for one in self.written) for at in self.written), default=0)

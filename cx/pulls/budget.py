"""How much this host writes to a forge: one budget for all of it, of which progress uses a part.

https://docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api#about-secondary-rate-limits
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from cx.core.errors import Retryable

# Seconds, and how many writes GitHub takes in them. A second more than it says: its clock is not ours.
WINDOWS = {"minute": (61.0, 80), "hour": (3601.0, 500)}
LONGEST_S = max(length_s for length_s, _ in WINDOWS.values())
LOW = 0.1  # of all requests that GitHub answers in an hour: what is left below it is for looks and ends


class Urgency(Enum):
    """The share of the budget that a write may use up: the end of a deployment always finds room."""

    FINAL = 1.0
    PROGRESS = 0.5
    POSITION = 0.25


class Early(Retryable):
    """The budget has no room for it now: nothing was written."""

    def __init__(self, retry_after_s: float) -> None:
        super().__init__("the budget of writes is used up", remedy="it is written later")
        self.retry_after_s = retry_after_s


class Writes(Protocol):
    """The times of the last writes, in Unix seconds, kept over a restart and shared by all processes of the host."""

    def times(self, now: float) -> Sequence[float]:
        """Those of the last LONGEST_S seconds, oldest first. None is later than `now`."""

    def spend(self, now: float, wait_s: Callable[[Sequence[float]], float]) -> int:
        """Count a write at `now`, and give its number. Raises Early, and counts none, where `wait_s`, asked of `times`,
        is more than 0. Nobody counts meanwhile."""

    def move(self, number: int, now: float) -> None:
        """That write was made at `now`."""

    def pause(self, until: float) -> None:
        """The forge takes no write before `until`."""

    def paused_until(self) -> float: ...


@dataclass
class Memory:
    """Writes of one process, which forgets them."""

    _times: list[float] = field(default_factory=list, init=False)
    _until: float = field(default=0.0, init=False)

    def times(self, now: float) -> Sequence[float]:
        return sorted(self._times)

    def spend(self, now: float, wait_s: Callable[[Sequence[float]], float]) -> int:
        if early_s := wait_s(self.times(now)):
            raise Early(early_s)
        self._times.append(now)
        return len(self._times) - 1

    def move(self, number: int, now: float) -> None:
        self._times[number] = now

    def pause(self, until: float) -> None:
        self._until = until

    def paused_until(self) -> float:
        return self._until


def wait_s(times: Sequence[float], now: float, urgency: Urgency) -> float:
    """Seconds until one more write fits into the share of `urgency` in every window; 0: it fits now."""
    longest = 0.0
    for length_s, limit in WINDOWS.values():
        room = int(limit * urgency.value)
        recent = times[bisect_right(times, now - length_s) :]
        if len(recent) >= room:
            longest = max(longest, recent[len(recent) - room] + length_s - now)
    return longest


@dataclass
class Budget:
    """`clock` gives Unix seconds. Threads may share it."""

    writes: Writes = field(default_factory=Memory)
    clock: Callable[[], float] = time.time
    _requests: dict[str, tuple[int, float]] = field(default_factory=dict, init=False)
    _low_until: dict[str, float] = field(default_factory=dict, init=False)

    def wait_s(self, urgency: Urgency) -> float:
        """Seconds until a write of this urgency is due; 0: now."""
        now = self.clock()
        return max(self._barred_s(now, urgency), wait_s(self.writes.times(now), now, urgency))

    @contextmanager
    def write(self, urgency: Urgency) -> Iterator[None]:
        """One write is made in the block, and counted from its end: nobody knows when in between the forge counts it.

        Raises Early, and then the block does not run."""
        now = self.clock()
        if barred_s := self._barred_s(now, urgency):
            raise Early(barred_s)
        number = self.writes.spend(now, lambda times: wait_s(times, now, urgency))
        try:
            yield
        finally:
            self.writes.move(number, self.clock())

    def pause(self, seconds: float) -> None:
        """The forge asked for no writes for so long."""
        self.writes.pause(max(self.writes.paused_until(), self.clock() + min(seconds, LONGEST_S)))

    def answered(self, who: str, remaining: int, limit: int, reset_at: float) -> None:
        """The forge said how many requests of any kind it answers to `who` until `reset_at`."""
        self._requests[who] = remaining, reset_at
        self._low_until[who] = reset_at if remaining < limit * LOW else 0.0

    def requests_left(self) -> int | None:
        """How many requests of any kind the forge answers until it counts anew; None: it did not say."""
        now = self.clock()
        return min((left for left, reset_at in list(self._requests.values()) if reset_at > now), default=None)

    def left(self) -> dict[str, int]:
        """How many writes fit now, by the window."""
        now = self.clock()
        times = self.writes.times(now)
        return {
            name: max(0, limit - (len(times) - bisect_right(times, now - length_s)))
            for name, (length_s, limit) in WINDOWS.items()
        }

    def _barred_s(self, now: float, urgency: Urgency) -> float:
        until = self.writes.paused_until()
        if urgency is not Urgency.FINAL:
            until = max([until, *list(self._low_until.values())])
        return min(max(0.0, until - now), LONGEST_S)

"""When this host wrote to its forge (cx.pulls.budget.Writes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cx.pulls.budget import LONGEST_S, Early
from cx.store.database import Database


@dataclass(frozen=True)
class WritesTable:
    """On disk, for all processes of the host."""

    database: Database

    def times(self, now: float) -> Sequence[float]:
        rows = self.database.run(
            "SELECT min(at, ?1) FROM forge_writes WHERE at > ?2 ORDER BY 1", (now, now - LONGEST_S)
        )
        return [float(at) for (at,) in rows]

    def spend(self, now: float, wait_s: Callable[[Sequence[float]], float]) -> int:
        with self.database.transaction():
            # A clock that was set back would else hold everything up until it is where it was.
            self.database.run("UPDATE forge_writes SET at = ?1 WHERE at > ?1", (now,))
            self.database.run("DELETE FROM forge_writes WHERE at <= ?", (now - LONGEST_S,))
            early_s = wait_s(self.times(now))
            if not early_s:
                ((number,),) = self.database.run("INSERT INTO forge_writes (at) VALUES (?) RETURNING id", (now,))
                return int(number)
        raise Early(early_s)

    def move(self, number: int, now: float) -> None:
        self.database.run("UPDATE forge_writes SET at = ? WHERE id = ?", (now, number))

    def pause(self, until: float) -> None:
        self.database.run("INSERT OR REPLACE INTO forge_pause VALUES (1, ?)", (until,))

    def paused_until(self) -> float:
        rows = self.database.run("SELECT until FROM forge_pause")
        return float(rows[0][0]) if rows else 0.0

"""Work that nobody waits for: how its newest run went."""

from __future__ import annotations

from dataclasses import dataclass

from cx.core.history import Chore
from cx.store.database import Database


@dataclass(frozen=True)
class Chores:
    database: Database

    def begin(self, name: str, now: float) -> None:
        """A run of `name` begins now; what was known of the run before is forgotten."""
        self.database.run(
            "INSERT OR REPLACE INTO chores (name, started_at, outcome) VALUES (?,?,'running')", (name, now)
        )

    def end(self, name: str, now: float, outcome: str, message: str = "") -> None:
        """The run has ended: done or failed."""
        self.database.run(
            "UPDATE chores SET finished_at = ?, outcome = ?, message = ? WHERE name = ?", (now, outcome, message, name)
        )

    def last(self, name: str) -> Chore | None:
        rows = self.database.run(
            "SELECT name, started_at, finished_at, outcome, message FROM chores WHERE name = ?", (name,)
        )
        return Chore(*rows[0]) if rows else None

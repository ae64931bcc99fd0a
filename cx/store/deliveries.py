"""Deliveries, the queue that they fill, and the commands that they bring: stored before they are acknowledged."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from sqlite3 import Row

from cx.pulls import Ticket
from cx.pulls.commands import Command, Verb
from cx.pulls.delivery import Delivery
from cx.pulls.values import PullId
from cx.store.database import Database

KEPT_S = 30 * 86400  # deliveries and answered commands
SWEPT_EVERY_S = 3600
# The turn: who asked first comes first. A number that only grows, also when the queue has run empty meanwhile.
_NEXT_PLACE = "(SELECT coalesce(max(place), 0) + 1 FROM queue)"


@dataclass
class Deliveries:
    """The queue (cx.pulls.Queue) and the commands (cx.pulls.Commands) of one host, and the deliveries behind them.

    `clock` gives Unix seconds. All of it is safe to call from several threads and processes.
    """

    database: Database
    clock: Callable[[], float] = time.time
    _swept_at: float = 0.0

    def probe(self) -> None:
        self.database.probe()

    # --- deliveries
    def accept(self, delivery: Delivery) -> bool:
        """As `accept_all`, of one."""
        return self.accept_all([delivery])[0]

    def accept_all(self, deliveries: Sequence[Delivery]) -> list[bool]:
        """All are on disk, or none, with the places in the queue that they ask for; of each whether it was new.

        One that came before asks again, and says no command twice. Many at once cost one write to the disk.
        """
        now = self.clock()
        with self.database.transaction():
            new = [self._accept(one, now) for one in deliveries]
            if now - self._swept_at > SWEPT_EVERY_S:
                self._swept_at = now
                self._sweep(now)
        return new

    def _accept(self, delivery: Delivery, now: float) -> bool:
        first = delivery.asks[0] if delivery.asks else PullId("", 0)
        ((times,),) = self.database.run(
            "INSERT INTO deliveries (id, event, action, repository, number, received_at) VALUES (?,?,?,?,?,?) "
            "ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times",
            (delivery.id, delivery.event, delivery.action, first.repository, first.number, now),
        )
        for said in delivery.commands:
            self._hear(said, delivery.id)
        for pull in delivery.asks:
            self._ask(pull, delivery.id, 0, now)
        return int(times) == 1

    def seen(self, delivery: str) -> int:
        """How often the delivery has come."""
        rows = self.database.run("SELECT times FROM deliveries WHERE id = ?", (delivery,))
        return int(rows[0][0]) if rows else 0

    def _sweep(self, now: float) -> None:
        self.database.run("DELETE FROM deliveries WHERE received_at < ?", (now - KEPT_S,))
        self.database.run("DELETE FROM commands WHERE outcome <> '' AND said_at < ?", (now - KEPT_S,))

    # --- the queue
    def ask(self, pull: PullId, delivery: str = "", not_before: float = 0) -> None:
        self._ask(pull, delivery, not_before, self.clock())

    def _ask(self, pull: PullId, delivery: str, not_before: float, now: float) -> None:
        # While it is looked at and nobody has asked since, the row's place and not_before are of the past.
        self.database.run(
            f"INSERT INTO queue (repository, number, place, not_before, asked_at, delivery) "  # noqa: S608
            f"VALUES (?1, ?2, {_NEXT_PLACE}, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET "
            f"generation = generation + 1, delivery = ?5, "
            f"place = CASE WHEN taken = generation THEN {_NEXT_PLACE} ELSE place END, "
            f"tries = 0, "
            f"asked_at = CASE WHEN taken = generation THEN ?4 ELSE asked_at END, "
            f"not_before = CASE WHEN taken = generation THEN ?3 ELSE min(not_before, ?3) END",
            (pull.repository, pull.number, not_before, now, delivery),
        )

    def take(self, now: float) -> Ticket | None:
        rows = self.database.run(
            "UPDATE queue SET taken = generation WHERE (repository, number) = (SELECT repository, number FROM queue "
            "WHERE taken = 0 AND not_before <= ? ORDER BY place LIMIT 1) "
            "RETURNING repository, number, generation, delivery, tries",
            (now,),
        )
        if not rows:
            return None
        (row,) = rows
        return Ticket(PullId(row["repository"], row["number"]), row["generation"], row["delivery"], row["tries"])

    def done(self, ticket: Ticket) -> None:
        with self.database.transaction():
            key = (ticket.pull.repository, ticket.pull.number, ticket.generation)
            self.database.run("DELETE FROM queue WHERE repository = ? AND number = ? AND generation = ?", key)
            self.database.run(
                "UPDATE queue SET taken = 0, trouble = '' WHERE repository = ? AND number = ? AND taken = ?", key
            )

    def again(self, ticket: Ticket, not_before: float, tries: int = 0, trouble: str = "") -> None:
        self.database.run(
            "UPDATE queue SET not_before = CASE WHEN taken = generation THEN ?4 ELSE not_before END, "
            "tries = CASE WHEN taken = generation THEN ?5 ELSE tries END, trouble = ?6, taken = 0 "
            "WHERE repository = ?1 AND number = ?2 AND taken = ?3",
            (ticket.pull.repository, ticket.pull.number, ticket.generation, not_before, tries, trouble),
        )

    def tried(self, pull: PullId) -> bool:
        key = (pull.repository, pull.number)
        return bool(self.database.run("SELECT 1 FROM queue WHERE repository = ? AND number = ? AND tries > 0", key))

    def troubled(self) -> dict[PullId, str]:
        rows = self.database.run("SELECT repository, number, trouble FROM queue WHERE trouble <> '' ORDER BY 1, 2")
        return {PullId(repository, number): trouble for repository, number, trouble in rows}

    def asked_since(self, ticket: Ticket) -> bool:
        rows = self.database.run(
            "SELECT generation FROM queue WHERE repository = ? AND number = ?",
            (ticket.pull.repository, ticket.pull.number),
        )
        return bool(rows) and int(rows[0][0]) != ticket.generation

    def generation(self, pull: PullId) -> int:
        key = (pull.repository, pull.number)
        rows = self.database.run("SELECT generation FROM queue WHERE repository = ? AND number = ?", key)
        return int(rows[0][0]) if rows else 0

    def position(self, pull: PullId) -> int:
        waiting = self.waiting()
        return waiting.index(pull) + 1 if pull in waiting else 0

    def waiting(self) -> list[PullId]:
        rows = self.database.run(
            "SELECT repository, number FROM queue WHERE taken = 0 ORDER BY max(not_before, ?), place", (self.clock(),)
        )
        return [PullId(*row) for row in rows]

    def running(self) -> list[PullId]:
        """All that are being looked at."""
        return [PullId(*row) for row in self.database.run("SELECT repository, number FROM queue WHERE taken > 0")]

    def recover(self) -> int:
        rows = self.database.run("UPDATE queue SET taken = 0, not_before = 0 WHERE taken > 0 RETURNING number")
        return len(rows)

    # --- commands
    def unanswered(self, pull: PullId) -> list[Command]:
        rows = self.database.run(
            "SELECT comment_id, verb, login, argument, problem, said_at, line, delivery FROM commands "
            "WHERE repository = ? AND number = ? AND outcome = '' ORDER BY said_at, comment_id, line",
            (pull.repository, pull.number),
        )
        return [_command(pull, row) for row in rows]

    def heard_until(self, repository: str) -> float | None:
        rows = self.database.run("SELECT until FROM overheard WHERE repository = ?", (repository,))
        return float(rows[0][0]) if rows else None

    def overheard(self, repository: str, commands: Sequence[Command], until: float) -> int:
        with self.database.transaction():
            self.database.run(
                "INSERT INTO overheard (repository, until) VALUES (?1, ?2) ON CONFLICT DO UPDATE SET until = ?2",
                (repository, until),
            )
            return sum(self._hear(one) for one in commands if not self._is_overtaken(one))

    def _is_overtaken(self, said: Command) -> bool:
        key = (said.pull.repository, said.pull.number, said.said_at)
        later = "repository = ? AND number = ? AND said_at > ? AND outcome <> ''"
        return bool(self.database.run(f"SELECT 1 FROM commands WHERE {later} LIMIT 1", key))  # noqa: S608

    def _hear(self, said: Command, delivery: str = "") -> bool:
        """Whether it is new."""
        rows = self.database.run(
            "INSERT INTO commands (comment_id, line, repository, number, verb, argument, problem, login, "
            "said_at, delivery) VALUES (?,?,?,?,?,?,?,?,?,?) ON CONFLICT DO NOTHING RETURNING line",
            (
                said.comment_id, said.line, said.pull.repository, said.pull.number, said.verb.value,
                said.argument, said.problem, said.login, said.said_at, delivery,
            ),
        )  # fmt: skip
        return bool(rows)

    def answered(self, command: Command, outcome: str) -> None:
        self.database.run(
            "UPDATE commands SET outcome = ? WHERE comment_id = ? AND line = ?",
            (outcome, command.comment_id, command.line),
        )


def _command(pull: PullId, row: Row) -> Command:
    return Command(
        pull,
        row["comment_id"],
        Verb(row["verb"]),
        row["login"],
        row["argument"],
        row["problem"],
        row["said_at"],
        row["line"],
        row["delivery"],
    )

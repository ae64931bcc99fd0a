"""What is known of pull requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from sqlite3 import Row

from cx.core.names import Namespace
from cx.pulls import Failure, Known
from cx.pulls.values import PullId
from cx.store.database import Database

FACTS = {field.name for field in fields(Known)}


@dataclass(frozen=True)
class PullsTable:
    """cx.pulls.Pulls on disk."""

    database: Database

    def known(self, pull: PullId) -> Known | None:
        rows = self.database.run(
            "SELECT * FROM pulls WHERE repository = ? AND number = ?", (pull.repository, pull.number)
        )
        return _known(rows[0]) if rows else None

    def keep(self, known: Known) -> None:
        with self.database.transaction():
            self._keep(known)

    def settle(self, handed: Known, after: Known | None) -> bool:
        with self.database.transaction():
            if self.known(handed.pull) != handed:
                return False
            if after:
                self._keep(after)
            else:
                self._forget(handed.pull)
            return True

    def _keep(self, known: Known) -> None:
        facts = asdict(known)
        del facts["pull"], facts["namespace"]
        pull, name = known.pull, known.namespace.name
        self.database.run(
            "INSERT OR REPLACE INTO pulls VALUES (?,?,?,?)",
            (pull.repository, pull.number, name, json.dumps(facts)),
        )

    def of(self, namespace: Namespace, repository: str) -> Known | None:
        """What is known of the repository's pull request that wants the namespace."""
        wanting = "SELECT * FROM pulls WHERE namespace = ? AND repository = ?"
        rows = self.database.run(wanting, (namespace.name, repository))
        return _known(rows[0]) if rows else None

    def _forget(self, pull: PullId) -> None:
        self.database.run("DELETE FROM pulls WHERE repository = ? AND number = ?", (pull.repository, pull.number))

    def all_known(self, repository: str) -> Sequence[Known]:
        rows = self.database.run("SELECT * FROM pulls WHERE repository = ? ORDER BY number", (repository,))
        return [_known(row) for row in rows]


def _known(row: Row) -> Known:
    facts = {name: fact for name, fact in json.loads(row["facts"]).items() if name in FACTS}  # an older cx knew others
    failure = facts.pop("failure")
    if failure:
        failure = Failure(**failure | {"log": tuple(failure["log"])})
    notes = tuple(facts.pop("notes"))
    return Known(
        PullId(row["repository"], row["number"]), Namespace(row["namespace"]), failure=failure, notes=notes, **facts
    )

"""Intent and history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Row

from cx.core.history import Deployment, StepTaken
from cx.core.names import Namespace
from cx.core.state import Desired
from cx.store.database import Database

KEPT = 50  # attempts of one kind, of one namespace


@dataclass(frozen=True)
class Store:
    """What is wanted, and what was tried."""

    database: Database

    # --- intent
    def want(self, wish: Desired, now: float) -> None:
        """`wish` is the namespace's row."""
        self.database.run(
            "INSERT OR REPLACE INTO desired VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                wish.namespace.name, int(wish.present), wish.project, wish.origin, wish.commit, wish.tree,
                int(wish.dirty), wish.environment, json.dumps(dict(wish.values)), wish.host, int(wish.reset_data), now,
                int(wish.asleep), wish.expires_at,
            ),
        )  # fmt: skip

    def want_absent(self, namespace: Namespace, now: float) -> None:
        """The namespace is to go; also when it has no row yet (what is left of it is observed)."""
        with self.database.transaction():
            row = self.desired(namespace) or Desired(namespace)
            self.want(Desired(namespace, present=False, project=row.project, origin=row.origin), now)

    def want_asleep(self, namespace: Namespace, asleep: bool) -> None:
        """No effect on a namespace that has no row, or is to go."""
        self.database.run(
            "UPDATE desired SET asleep = ? WHERE namespace = ? AND present = 1", (int(asleep), namespace.name)
        )

    def expire(self, namespace: Namespace, at: float | None) -> None:
        self.database.run("UPDATE desired SET expires_at = ? WHERE namespace = ?", (at, namespace.name))

    def data_was_reset(self, namespace: Namespace) -> None:
        self.database.run("UPDATE desired SET reset_data = 0 WHERE namespace = ?", (namespace.name,))

    def desired(self, namespace: Namespace) -> Desired | None:
        rows = self.database.run("SELECT * FROM desired WHERE namespace = ?", (namespace.name,))
        return _desired(rows[0]) if rows else None

    def all_desired(self) -> list[Desired]:
        return [_desired(row) for row in self.database.run("SELECT * FROM desired ORDER BY namespace")]

    def forget(self, namespace: Namespace) -> None:
        """Nothing here speaks of the namespace any more, unless somebody wants it back by now."""
        with self.database.transaction():
            wish = self.desired(namespace)
            if wish and wish.present:
                return
            self.database.run("DELETE FROM deployments WHERE namespace = ?", (namespace.name,))
            self.database.run("DELETE FROM desired WHERE namespace = ?", (namespace.name,))

    # --- history
    def begin(self, wish: Desired, now: float, doing: str = "deploy") -> int:
        """A new attempt's id. Only the last KEPT of a kind are kept: sleeping often drives no deployment out. One that
        still runs has died."""
        with self.database.transaction():
            self.database.run(
                "UPDATE deployments SET outcome = 'died', finished_at = ? WHERE namespace = ? AND outcome = 'running'",
                (now, wish.namespace.name),
            )
            ((identity,),) = self.database.run(
                "INSERT INTO deployments (namespace, revision, version, started_at, doing) VALUES (?,?,?,?,?) "
                "RETURNING id",
                (wish.namespace.name, wish.revision, wish.version, now, doing),
            )
            self.database.run(
                "DELETE FROM deployments WHERE namespace = ?1 AND id NOT IN "
                "(SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY doing ORDER BY id DESC) AS place "
                "FROM deployments WHERE namespace = ?1) WHERE place <= ?2)",
                (wish.namespace.name, KEPT),
            )
        return int(identity)

    def turned_out(self, deployment: int, doing: str) -> None:
        """What the attempt does is known better by now."""
        self.database.run("UPDATE deployments SET doing = ? WHERE id = ?", (doing, deployment))

    def step(self, taken: StepTaken) -> None:
        self.database.run(
            "INSERT INTO steps SELECT ?1,?2,?3,?4,?5 WHERE EXISTS (SELECT 1 FROM deployments WHERE id = ?1)",
            (taken.deployment, taken.step, taken.started_at, taken.duration_s, taken.outcome),
        )

    def end(self, deployment: int, now: float, outcome: str, message: str = "", log: Sequence[str] = ()) -> None:
        self.database.run(
            "UPDATE deployments SET finished_at = ?, outcome = ?, message = ?, log = ? WHERE id = ?",
            (now, outcome, message, "\n".join(log), deployment),
        )

    def cut_off(self, namespace: Namespace, now: float, outcome: str) -> None:
        """The attempt that runs, if one does, has ended with `outcome`: somebody has killed its process."""
        self.database.run(
            "UPDATE deployments SET finished_at = ?, outcome = ? WHERE namespace = ? AND outcome = 'running'",
            (now, outcome, namespace.name),
        )

    def last(self, namespace: Namespace, *doing: str) -> Deployment | None:
        """The newest attempt at one of `doing`."""
        rows = self.database.run(
            "SELECT * FROM deployments WHERE namespace = ? AND doing IN (SELECT value FROM json_each(?)) "
            "ORDER BY id DESC LIMIT 1",
            (namespace.name, json.dumps(doing)),
        )
        return _deployment(rows[0]) if rows else None

    def deployments(self, namespace: Namespace, limit: int = 1000) -> list[Deployment]:
        """All attempts that are kept, newest first."""
        rows = self.database.run(
            "SELECT * FROM deployments WHERE namespace = ? ORDER BY id DESC LIMIT ?", (namespace.name, limit)
        )
        return [_deployment(row) for row in rows]

    def steps(self, namespace: Namespace) -> list[StepTaken]:
        """Oldest first, of all deployments that are kept."""
        rows = self.database.run(
            "SELECT steps.* FROM steps JOIN deployments ON id = deployment WHERE namespace = ? ORDER BY steps.rowid",
            (namespace.name,),
        )
        return [StepTaken(*row) for row in rows]


def _desired(row: Row) -> Desired:
    return Desired(
        Namespace(row["namespace"]),
        present=bool(row["present"]),
        project=row["project"],
        origin=row["origin"],
        commit=row["commit_sha"],
        tree=row["tree"],
        dirty=bool(row["dirty"]),
        environment=row["environment"],
        values=json.loads(row["variables"]),
        host=row["host"],
        reset_data=bool(row["reset_data"]),
        asleep=bool(row["asleep"]),
        expires_at=row["expires_at"],
    )


def _deployment(row: Row) -> Deployment:
    return Deployment(
        row["id"],
        row["namespace"],
        row["revision"],
        row["version"],
        row["started_at"],
        row["finished_at"],
        row["outcome"],
        row["message"],
        tuple(row["log"].splitlines()),
        row["doing"],
    )

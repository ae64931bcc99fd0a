"""Intent and history."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from sqlite3 import Row

from cx.core.errors import Busy
from cx.core.history import Deployment, StepTaken
from cx.core.names import Namespace
from cx.core.origin import Origin, owned
from cx.core.state import Desired
from cx.store.database import Database

KEPT = 50  # attempts of one kind, of one namespace


@dataclass(frozen=True)
class Store:
    """What is wanted, and what was tried.

    A namespace has one owner, its row's origin. Each change of a row says on whose behalf it is made (`by`), and is
    refused within its own transaction where another origin owns the namespace. `by=None`: the host's owner asks for it,
    who may do anything with any namespace.
    """

    database: Database

    # --- intent
    def want(self, wish: Desired, now: float, *, take_over: bool = False) -> None:
        """`wish` is the namespace's row. Raises Owned and Busy as `must_be_free_for`, unless it is to be taken over."""
        with self.database.transaction():
            if not take_over:
                self.must_be_free_for(wish.namespace, wish.origin)
            self._put(wish, now)

    def must_be_free_for(self, namespace: Namespace, origin: Origin) -> None:
        """Raises Owned where another origin owns the namespace, and Busy while that is being deleted."""
        row = self.desired(namespace)
        if row is None or origin.may_have(row.origin):
            return
        if not row.present:
            what = f"{namespace} of {row.origin.words} is being deleted"
            raise Busy(what, remedy="try again when it is gone")
        raise owned(namespace, row.origin)

    def must_own(self, namespace: Namespace, by: Origin | None) -> Desired | None:
        """The namespace's row. Raises Owned where another than `by` owns it; nobody owns what has no row."""
        row = self.desired(namespace)
        if row and by and not by.may_remove(row.origin):
            raise owned(namespace, row.origin)
        return row

    def _put(self, wish: Desired, now: float) -> None:
        self.database.run(
            "INSERT OR REPLACE INTO desired VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                wish.namespace.name, int(wish.present), wish.project, str(wish.origin), wish.commit, wish.tree,
                int(wish.dirty), wish.environment, json.dumps(dict(wish.values)), wish.host, int(wish.reset_data), now,
                int(wish.asleep), wish.expires_at,
            ),
        )  # fmt: skip

    def want_absent(self, namespace: Namespace, now: float, by: Origin | None = None) -> None:
        """The namespace is to go; also when it has no row yet (what is left of it is observed). Raises Owned."""
        with self.database.transaction():
            row = self.must_own(namespace, by) or Desired(namespace)
            self._put(Desired(namespace, present=False, project=row.project, origin=row.origin), now)

    def want_asleep(self, namespace: Namespace, asleep: bool, by: Origin | None = None) -> None:
        """No effect on a namespace that has no row, or is to go. Raises Owned."""
        self._change(namespace, by, "asleep = ?", int(asleep))

    def want_fresh_data(self, namespace: Namespace, by: Origin | None = None) -> None:
        """As `want_asleep`. What slept is awake with it."""
        self._change(namespace, by, "reset_data = ?, asleep = 0", 1)

    def expire(self, namespace: Namespace, at: float | None, by: Origin | None = None) -> None:
        """As `want_asleep`."""
        self._change(namespace, by, "expires_at = ?", at)

    def _change(self, namespace: Namespace, by: Origin | None, what: str, value: float | None) -> None:
        with self.database.transaction():
            self.must_own(namespace, by)
            self.database.run(
                f"UPDATE desired SET {what} WHERE namespace = ? AND present = 1",  # noqa: S608 - `what` is ours
                (value, namespace.name),
            )

    def data_was_reset(self, namespace: Namespace) -> None:
        self.database.run("UPDATE desired SET reset_data = 0 WHERE namespace = ?", (namespace.name,))

    def desired(self, namespace: Namespace) -> Desired | None:
        rows = self.database.run("SELECT * FROM desired WHERE namespace = ?", (namespace.name,))
        return _desired(rows[0]) if rows else None

    def all_desired(self) -> list[Desired]:
        """By name, as people count."""
        found = [_desired(row) for row in self.database.run("SELECT * FROM desired")]
        return sorted(found, key=lambda wish: wish.namespace)

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
        origin=Origin.parse(row["origin"]),
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

"""Intent and history, in SQLite (WAL, synchronous=FULL). What can be observed is not stored here."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cx.errors import Retryable, Terminal
from cx.model.names import Namespace
from cx.model.state import Desired

VERSION = 1
SCHEMA = """
-- What should be. One row for each namespace; the row of one that is to be absent goes last.
CREATE TABLE desired (
  namespace TEXT PRIMARY KEY, present INTEGER NOT NULL, project TEXT NOT NULL, origin TEXT NOT NULL,
  commit_sha TEXT NOT NULL, tree TEXT NOT NULL, dirty INTEGER NOT NULL, environment TEXT NOT NULL,
  variables TEXT NOT NULL, host TEXT NOT NULL, reset_data INTEGER NOT NULL, changed_at REAL NOT NULL
) STRICT;
-- Attempts to bring a namespace to a revision. Times are Unix seconds; finished_at is NULL while it runs, or
-- when the process died in it.
CREATE TABLE deployments (
  id INTEGER PRIMARY KEY, namespace TEXT NOT NULL, revision TEXT NOT NULL, version TEXT NOT NULL,
  started_at REAL NOT NULL, finished_at REAL, outcome TEXT NOT NULL DEFAULT 'running',
  message TEXT NOT NULL DEFAULT '', log TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX deployments_of ON deployments (namespace, id);
CREATE TABLE steps (
  deployment INTEGER NOT NULL REFERENCES deployments ON DELETE CASCADE, step TEXT NOT NULL,
  started_at REAL NOT NULL, duration_s REAL NOT NULL, outcome TEXT NOT NULL
) STRICT;
CREATE INDEX steps_of ON steps (deployment);
"""
KEPT = 50  # deployments of one namespace


@dataclass(frozen=True)
class Deployment:
    """One attempt. `outcome`: running, ready, failed, superseded, died; times in Unix seconds."""

    id: int
    namespace: str
    revision: str
    version: str
    started_at: float
    finished_at: float | None
    outcome: str
    message: str
    log: tuple[str, ...]


@dataclass(frozen=True)
class StepTaken:
    deployment: int
    step: str
    started_at: float
    duration_s: float
    outcome: str


class Store:
    """Opened at once, closed by `close`. Used by one thread at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
            path.chmod(0o600)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
            self._migrate()
        except PermissionError as exc:
            raise Terminal(f"{path}: {exc.strerror}", remedy="run as the user that owns it") from exc
        except sqlite3.DatabaseError as exc:
            raise _translated(path, exc) from exc
        except OSError as exc:
            raise Terminal(f"{path}: {exc.strerror}") from exc

    def close(self) -> None:
        self._db.close()

    # --- intent
    def want(self, wish: Desired, now: float) -> None:
        """`wish` is the namespace's row."""
        self._write(
            "INSERT OR REPLACE INTO desired VALUES (?,?,?,?,?,?,?,?,?,?,?,?)",
            (
                wish.namespace.name, int(wish.present), wish.project, wish.origin, wish.commit, wish.tree,
                int(wish.dirty), wish.environment, json.dumps(dict(wish.values)), wish.host, int(wish.reset_data), now,
            ),
        )  # fmt: skip

    def want_absent(self, namespace: Namespace, now: float) -> None:
        """The namespace is to go; also when it has no row yet (what is left of it is observed)."""
        with self._transaction():
            row = self.desired(namespace) or Desired(namespace)
            self.want(Desired(namespace, present=False, project=row.project, origin=row.origin), now)

    def data_was_reset(self, namespace: Namespace) -> None:
        self._write("UPDATE desired SET reset_data = 0 WHERE namespace = ?", (namespace.name,))

    def desired(self, namespace: Namespace) -> Desired | None:
        rows = self._read("SELECT * FROM desired WHERE namespace = ?", (namespace.name,))
        return _desired(rows[0]) if rows else None

    def all_desired(self) -> list[Desired]:
        return [_desired(row) for row in self._read("SELECT * FROM desired ORDER BY namespace")]

    def forget(self, namespace: Namespace) -> None:
        """Nothing here speaks of the namespace any more, unless somebody wants it back by now."""
        with self._transaction():
            wish = self.desired(namespace)
            if wish and wish.present:
                return
            self._write("DELETE FROM deployments WHERE namespace = ?", (namespace.name,))
            self._write("DELETE FROM desired WHERE namespace = ?", (namespace.name,))

    # --- history
    def begin(self, wish: Desired, now: float) -> int:
        """A new deployment's id. Only the last KEPT of a namespace are kept. One that still runs has died."""
        with self._transaction():
            self._write(
                "UPDATE deployments SET outcome = 'died', finished_at = ? WHERE namespace = ? AND outcome = 'running'",
                (now, wish.namespace.name),
            )
            identity = self._db.execute(
                "INSERT INTO deployments (namespace, revision, version, started_at) VALUES (?,?,?,?)",
                (wish.namespace.name, wish.revision, wish.version, now),
            ).lastrowid
            self._write(
                "DELETE FROM deployments WHERE namespace = ?1 AND id NOT IN "
                "(SELECT id FROM deployments WHERE namespace = ?1 ORDER BY id DESC LIMIT ?2)",
                (wish.namespace.name, KEPT),
            )
        return int(identity or 0)

    def step(self, taken: StepTaken) -> None:
        self._write(
            "INSERT INTO steps SELECT ?1,?2,?3,?4,?5 WHERE EXISTS (SELECT 1 FROM deployments WHERE id = ?1)",
            (taken.deployment, taken.step, taken.started_at, taken.duration_s, taken.outcome),
        )

    def end(self, deployment: int, now: float, outcome: str, message: str = "", log: Sequence[str] = ()) -> None:
        self._write(
            "UPDATE deployments SET finished_at = ?, outcome = ?, message = ?, log = ? WHERE id = ?",
            (now, outcome, message, "\n".join(log), deployment),
        )

    def deployments(self, namespace: Namespace, limit: int = KEPT) -> list[Deployment]:
        """Newest first."""
        rows = self._read(
            "SELECT * FROM deployments WHERE namespace = ? ORDER BY id DESC LIMIT ?", (namespace.name, limit)
        )
        return [_deployment(row) for row in rows]

    def steps(self, namespace: Namespace) -> list[StepTaken]:
        """Oldest first, of all deployments that are kept."""
        rows = self._read(
            "SELECT steps.* FROM steps JOIN deployments ON id = deployment WHERE namespace = ? ORDER BY steps.rowid",
            (namespace.name,),
        )
        return [StepTaken(*row) for row in rows]

    # --- parts
    def _migrate(self) -> None:
        with self._transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise Terminal(f"{self.path} was written by a newer cx", remedy="use that version")
            if version == 0:
                for statement in SCHEMA.split(";\n"):
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {VERSION}")

    def _read(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        try:
            return list(self._db.execute(sql, values))
        except sqlite3.DatabaseError as exc:
            raise _translated(self.path, exc) from exc

    def _write(self, sql: str, values: Sequence[object] = ()) -> None:
        self._read(sql, values)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._write("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._db.execute("ROLLBACK")
            raise
        self._write("COMMIT")


def _desired(row: Sequence[object]) -> Desired:
    name, present, project, origin, commit, tree, dirty, environment, values, host, reset, _ = row
    return Desired(
        Namespace(str(name)), bool(present), str(project), str(origin), str(commit), str(tree), bool(dirty),
        str(environment), json.loads(str(values)), str(host), bool(reset),
    )  # fmt: skip


def _deployment(row: Sequence[Any]) -> Deployment:
    identity, namespace, revision, version, started, finished, outcome, message, log = row
    lines = tuple(log.splitlines())
    return Deployment(identity, namespace, revision, version, started, finished, outcome, message, lines)


def _translated(path: Path, exc: sqlite3.DatabaseError) -> Retryable | Terminal:
    said = str(exc)
    if "locked" in said:
        return Retryable(f"{path} is in use by another cx", remedy="try again")
    if "full" in said:
        return Terminal(f"{path}: the disk is full", remedy="free some space")
    return Terminal(f"{path}: {said}", remedy="restore it from a backup, or move it away to begin anew")

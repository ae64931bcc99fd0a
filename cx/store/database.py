"""The file, its schema, and its errors. WAL, synchronous=FULL: what was said to be stored is stored."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cx.core.errors import Retryable, Terminal
from cx.store.migrations import MIGRATIONS

PROBE_BYTES = 64 * 1024  # more than one delivery writes


class Database:
    """Opened at once, closed by `close`. Threads may share it: they take turns. Raises Retryable, Terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._turn = threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._db = sqlite3.connect(path, timeout=10, isolation_level=None, check_same_thread=False)
        except PermissionError as exc:
            raise Terminal(f"{path}: {exc.strerror}", remedy="run as the user that owns it") from exc
        except sqlite3.DatabaseError as exc:
            raise _translated(path, exc) from exc
        except OSError as exc:
            raise Terminal(f"{path}: {exc.strerror}") from exc
        self._db.row_factory = sqlite3.Row
        try:
            path.chmod(0o600)
            self._db.executescript("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA foreign_keys=ON;")
            self._migrate()
        except BaseException as exc:
            self._db.close()
            if isinstance(exc, sqlite3.DatabaseError):
                raise _translated(path, exc) from exc
            if isinstance(exc, OSError):
                raise Terminal(f"{path}: {exc.strerror}", remedy="run as the user that owns it") from exc
            raise

    def close(self) -> None:
        with self._turn:
            self._db.close()

    def run(self, sql: str, values: Sequence[object] = ()) -> list[sqlite3.Row]:
        """Run one statement; give its rows, whose columns are read by name or by place."""
        try:
            with self._turn:
                return list(self._db.execute(sql, values))
        except sqlite3.DatabaseError as exc:
            raise _translated(self.path, exc) from exc

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """What runs in the block is stored whole, or not at all. Not to be nested."""
        with self._turn:
            self.run("BEGIN IMMEDIATE")
            try:
                yield
                self.run("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # SQLite ends it by itself where the disk is full
                    self._db.execute("ROLLBACK")
                raise

    def probe(self) -> None:
        """The disk takes a durable write, as a delivery is written. Raises Retryable, Terminal."""
        self.run("INSERT OR REPLACE INTO probe VALUES (1, randomblob(?))", (PROBE_BYTES,))

    def _migrate(self) -> None:
        with self.transaction():
            (version,) = self._db.execute("PRAGMA user_version").fetchone()
            if version > len(MIGRATIONS):
                raise Terminal(f"{self.path} was written by a newer cx", remedy="use that version")
            for step in MIGRATIONS[version:]:
                for statement in step.split(";\n"):
                    self._db.execute(statement)
            if version < len(MIGRATIONS):
                self._db.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _translated(path: Path, exc: sqlite3.DatabaseError) -> Retryable | Terminal:
    code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF  # without what extends it
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Retryable(f"{path} is in use by another cx", remedy="try again")
    if code == sqlite3.SQLITE_FULL:
        return Terminal(f"{path}: the disk is full", remedy="free some space")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return Terminal(
            f"{path}: {exc}", remedy="run as the user that owns it, and see that its disk can be written to"
        )
    return Terminal(f"{path}: {exc}", remedy="restore it from a backup, or move it away to begin anew")

"""The status of each commit that is, or was, the head of a pull request (cx.pulls.statuses.Heads)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from sqlite3 import Row

from cx.pulls.statuses import State, Status, Untold, combined, ended, superseded
from cx.pulls.values import PullId
from cx.store.database import Database

KEPT_S = 30 * 86400  # what the forge refuses to show; the commit is the head of nothing any more
_OF = "repository = ? AND number = ?"


@dataclass(frozen=True)
class HeadsTable:
    """On disk. `clock` gives Unix seconds."""

    database: Database
    clock: Callable[[], float] = time.time

    def show(self, pull: PullId, sha: str, status: Status | None) -> None:
        if self.of(pull, sha) == status and (status or pull not in self.current(pull.repository)):
            return
        with self.database.transaction():
            for row in self._rows(f"{_OF} AND current = 1 AND sha <> ?", pull.repository, pull.number, sha):
                self._put(pull, row["sha"], superseded(_status(row)), current=False)
            if status:
                self._put(pull, sha, status, current=True)

    def of(self, pull: PullId, sha: str) -> Status | None:
        rows = self._rows(f"{_OF} AND sha = ? AND current = 1", pull.repository, pull.number, sha)
        return _status(rows[0]) if rows else None

    def end(self, pull: PullId, why: str) -> None:
        with self.database.transaction():
            for row in self._rows(f"{_OF} AND current = 1", pull.repository, pull.number):
                self._put(pull, row["sha"], ended(_status(row), why), current=False)

    def current(self, repository: str) -> Mapping[PullId, str]:
        rows = self._rows("repository = ? AND current = 1", repository)
        return {PullId(repository, row["number"]): row["sha"] for row in rows}

    def untold(self, repository: str) -> Sequence[Untold]:
        rows = self._rows("repository = ? AND told = 0 ORDER BY changed_at", repository)
        found = [self._combined(repository, sha) for sha in dict.fromkeys(row["sha"] for row in rows)]
        return sorted((one for one in found if one), key=lambda one: not one.status.final)

    def told(self, repository: str, sha: str, status: Status) -> None:
        with self.database.transaction():
            now = self._combined(repository, sha)
            if now and now.status == status:
                of = (repository, sha)
                self.database.run("DELETE FROM heads WHERE repository = ? AND sha = ? AND current = 0", of)
                self.database.run("UPDATE heads SET told = 1 WHERE repository = ? AND sha = ?", of)

    def leave(self, followed: Collection[str], why: str) -> Sequence[str]:
        self.database.run("DELETE FROM heads WHERE current = 0 AND changed_at < ?", (self.clock() - KEPT_S,))
        left = {row["repository"] for row in self._rows("1")} - set(followed)
        for repository in left:
            for pull in self.current(repository):
                self.end(pull, why)
        return sorted(left)

    # --- parts
    def _combined(self, repository: str, sha: str) -> Untold | None:
        rows = self._rows("repository = ? AND sha = ?", repository, sha)
        if not rows:
            return None
        pull, status = combined(
            [(PullId(repository, row["number"]), _status(row), bool(row["current"])) for row in rows]
        )
        return Untold(pull, sha, status)

    def _put(self, pull: PullId, sha: str, status: Status, *, current: bool) -> None:
        facts = (status.state.value, status.description, status.url, int(status.final), int(current), self.clock())
        self.database.run("INSERT OR REPLACE INTO heads VALUES (?,?,?,?,?,?,?,?,0,?)", (*_key(pull), sha, *facts))

    def _rows(self, where: str, *values: object) -> list[Row]:
        return self.database.run(f"SELECT * FROM heads WHERE {where}", values)  # noqa: S608 - `where` is ours


def _key(pull: PullId) -> tuple[str, int]:
    return pull.repository, pull.number


def _status(row: Row) -> Status:
    return Status(State(row["state"]), row["description"], row["url"], bool(row["final"]))

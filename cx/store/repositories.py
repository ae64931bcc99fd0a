"""Which repositories are followed, as GitHub knows them (cx.pulls.Repositories)."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cx import logs
from cx.core.errors import Terminal
from cx.core.origin import Origin
from cx.pulls.repositories import Remembered
from cx.store.database import Database


@dataclass
class RepositoriesTable:
    """On disk, for the host configuration's repositories: `names`, of which some have a number there (`pinned`).

    One process follows pull requests at a time, so that what was read once holds."""

    database: Database
    names: Collection[str]
    pinned: Mapping[str, int] = field(default_factory=dict)
    _kept: Remembered = field(init=False)
    _turn: threading.Lock = field(default_factory=threading.Lock, init=False)

    def __post_init__(self) -> None:
        self._kept = Remembered(self.pinned)
        for name, number, current in self.database.run("SELECT name, number, current FROM repositories"):
            if name in self.names and self.pinned.get(name, number) == number:
                self._kept.learn(name, number, current)

    def current(self, repository: str) -> str:
        return self._kept.current(repository)

    def number(self, repository: str) -> int | None:
        return self._kept.number(repository)

    def named(self, number: int) -> str | None:
        return self._kept.named(number)

    def learn(self, repository: str, number: int, current: str) -> None:
        with self._turn:
            if (self._kept.number(repository), self._kept.current(repository)) == (number, current) and (
                self._kept.named(number) == repository
            ):
                return
            other = self._kept.named(number)
            if other and other != repository:
                raise Terminal(
                    f"{other} and {repository} are one repository: it was renamed",
                    remedy=f'take github.repositories."{other}" out of the host configuration',
                )
            with self.database.transaction():
                self._adopt(repository, number)
                self.database.run("INSERT OR REPLACE INTO repositories VALUES (?,?,?)", (repository, number, current))
            self._kept.learn(repository, number, current)
        if current != repository:
            logs.warning("a repository has another name by now", repository=repository, current=current)

    def _adopt(self, repository: str, number: int) -> None:
        """What there is of a name that is not followed any more, and was this repository's, is of this name."""
        rows = self.database.run("SELECT name FROM repositories WHERE number = ? AND name <> ?", (number, repository))
        for (before,) in rows:
            names = (repository, before)
            for table in ("pulls", "queue", "commands", "overheard", "heads"):
                self.database.run(f"UPDATE OR IGNORE {table} SET repository = ? WHERE repository = ?", names)  # noqa: S608
                self.database.run(f"DELETE FROM {table} WHERE repository = ?", (before,))  # noqa: S608
            for fork in (False, True):
                origins = tuple(str(Origin.pulls_of(name, fork=fork)) for name in names)
                self.database.run("UPDATE desired SET origin = ? WHERE origin = ?", origins)
            self.database.run("DELETE FROM repositories WHERE name = ?", (before,))
            logs.info("a repository is followed under another name", before=before, repository=repository)

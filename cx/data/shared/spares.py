"""Spares: finished clones of each golden that wait for a namespace, which takes one by renaming it.

They are made in the background. A spare is marked last, as all that is made here: what has no mark was being made
when somebody died, and goes. Only the holder of the source's lock makes or drops spares; whoever takes one needs none.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

from psycopg import errors, sql

from cx.core.names import Names
from cx.data import marks
from cx.data.errors import GoldenMissing, NoSpace
from cx.data.session import Session, locked, revoke_all, script, session, statement, tried_lock
from cx.data.shared import naming, observing, opening, volume
from cx.data.shared.copying import check_room, copy, opened_once
from cx.data.shared.dropping import allow, cut, drop_database
from cx.data.shared.observing import Found
from cx.data.shared.strategy import room_needed
from cx.data.values import Checkpoint, Connection, Golden, Server, Spare, Terms, nowhere


class PostgresSpares:
    """The spares of one instance on one server."""

    def __init__(self, server: Server, names: Names, *, checkpoint: Checkpoint = nowhere) -> None:
        self._server = server
        self._names = names
        self._checkpoint = checkpoint

    def list(self) -> tuple[Spare, ...]:
        with session(self._server) as connection:
            return observing.spares(observing.look(connection, self._names))

    def sources(self) -> frozenset[str]:
        """The sources that there are spares of, half-made ones too."""
        with session(self._server) as connection:
            databases = observing.look(connection, self._names, self._start).databases
        return frozenset(name.removeprefix(self._start).rpartition("__")[0] for name in databases)

    def leftovers(self, terms: Mapping[str, Terms]) -> tuple[str, ...]:
        """The databases that nobody will take: half-made, of a golden or a source that is gone, more than are wanted.

        `terms` has all sources that there are. What somebody is at work on is not among them.
        """
        left: list[str] = []
        with session(self._server) as connection:
            for source in sorted(self.sources()):
                if tried_lock(connection, self._lock(source)):
                    wanted = terms[source].spares if source in terms else 0
                    left += self._surplus(self._look(connection, source), source, wanted)[0]
        return tuple(left)

    def refill(self, source: str, terms: Terms, *, make: bool = True) -> int:
        """There are `terms.spares` spares of the newest golden, and no others. Gives how many were made.

        Where somebody else is at it nothing is done. With `make` False those that are missing stay so.
        Raises NoSpace before the disk is short, ServerUnavailable.
        """
        made = 0
        with session(self._server) as connection:
            if not tried_lock(connection, self._lock(source)):
                return 0
            while True:
                surplus, missing, golden = self._surplus(self._look(connection, source), source, terms.spares)
                for database in surplus:
                    self._drop(connection, database)
                if golden is None or missing <= 0 or not make:
                    return made
                try:
                    self._make(connection, golden, terms)
                except errors.InvalidCatalogName:  # a refresh has replaced the golden just now
                    continue
                made += 1

    @contextmanager
    def borrowed(self, source: str, terms: Terms) -> Iterator[Connection]:
        """A copy of the newest golden, and a role that reads all of it; both gone afterwards. Raises GoldenMissing.

        The superuser can connect, too, but must touch no row: what is in it came from elsewhere, and a function of
        it (of a policy, a cast, a view) is done with SET ROLE by saying RESET ROLE.
        """
        with session(self._server) as connection:
            locked(connection, self._lock(source))  # without a mark, a refill would drop it
            found = observing.look(connection, self._names, self._names.golden_prefix(source))
            golden = observing.newest(observing.goldens(self._names, found), source)
            if golden is None:
                raise GoldenMissing(source)
            database = naming.spare(self._names, source)
            by = terms.strategy or golden.strategy
            owner = self._server.user
            reader = Connection(self._server.host, self._server.port, database, database, secrets.token_urlsafe(32))
            check_room(connection, golden.database, by)
            try:
                copy(connection, golden.database, database, by=by, filesystem=golden.filesystem, owner=owner)
                connection.execute(script(*opening.to_read(reader, self._names.golden_owner(source)), allow(database)))
                self._checkpoint("borrow:copied")
                yield reader
            finally:
                if not connection.closed:
                    self._drop(connection, database)

    def _drop(self, connection: Session, database: str) -> None:
        """The spare is gone, and the role of whoever had borrowed it. Safe to repeat."""
        name = sql.Identifier(database)
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [database]).fetchone():
            gone = [
                statement("REVOKE ALL ON DATABASE {name} FROM {name}", name=name),
                statement("DROP ROLE {name}", name=name),
            ]
            connection.execute(script(*gone))
        drop_database(self._server, connection, database)

    def _make(self, connection: Session, golden: Golden, terms: Terms) -> None:
        by = terms.strategy or golden.strategy
        free = volume.look(connection).free_bytes
        if free is not None and free < room_needed(golden.size_bytes, by):
            raise NoSpace(
                f"the database server has {free / 1e9:.1f} GB free, too few for a spare of {golden.source}",
                remedy=f"give its volume more disk, or set databases.{golden.source}.spares = 0",
            )
        database = naming.spare(self._names, golden.source)
        copy(
            connection,
            golden.database,
            database,
            by=by,
            filesystem=golden.filesystem,
            owner=self._server.user,
        )
        self._checkpoint("spare:copied")
        connection.execute(script(revoke_all(database), allow(database)))
        opened_once(self._server, database)
        cut(self._server, connection, database)
        self._checkpoint("spare:opened")
        mark = marks.written(
            self._names,
            marks.SPARE,
            source=golden.source,
            golden=golden.database,
            created=datetime.now(UTC).isoformat(),
        )
        parts = {"database": sql.Identifier(database), "mark": sql.Literal(mark)}
        connection.execute(
            script(
                *opening.prepared(database, golden.settings),
                statement("COMMENT ON DATABASE {database} IS {mark}", **parts),
            )
        )
        self._checkpoint("spare:marked")

    def _look(self, connection: Session, source: str) -> Found:
        prefixes = (self._names.golden_prefix(source), self._names.spare_prefix(source))
        return observing.look(connection, self._names, *prefixes)

    def _lock(self, source: str) -> str:
        return f"spares {self._names.instance} {source}"

    def _surplus(self, found: Found, source: str, wanted: int) -> tuple[tuple[str, ...], int, Golden | None]:
        """What must go, how many are missing, and the golden that they are to be of."""
        golden = observing.newest(observing.goldens(self._names, found), source)
        prefix = self._names.spare_prefix(source)
        mine = [name for name in found.databases if name.startswith(prefix)]
        good = [one.database for one in observing.spares(found) if golden and one.golden == golden.database]
        kept = [name for name in good if name in mine][:wanted]
        return tuple(name for name in mine if name not in kept), wanted - len(kept), golden

    @property
    def _start(self) -> str:
        return self._names.spare_prefix("").removesuffix("__")

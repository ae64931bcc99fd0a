"""One clone, held by one session: nobody else changes it meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from psycopg import sql

from cx.core.names import Names, Namespace
from cx.data import marks
from cx.data.session import Session, lock_key, script, session
from cx.data.shared import naming, observing
from cx.data.shared.dropping import drop_database
from cx.data.shared.observing import Found
from cx.data.values import Server, Snapshot


@dataclass(frozen=True)
class Held:
    """One clone, held by this session: nobody else changes it. `found` was read under the lock."""

    connection: Session
    namespace: Namespace
    source: str
    database: str
    found: Found

    @property
    def owner(self) -> tuple[Namespace, str]:
        return self.namespace, self.source

    @property
    def exists(self) -> bool:
        return self.database in self.found.databases


@contextmanager
def hold(server: Server, names: Names, namespace: Namespace, source: str) -> Iterator[Held]:
    """The clone for nobody else, and what there is of it by exact names: another's may begin with its own."""
    database = names.database(namespace, source)
    own = (database, naming.staging(database), naming.replaced(database))
    shared = (names.golden_prefix(source), names.spare_prefix(source), names.snapshot_prefix(namespace, source))
    with session(server) as connection:
        lock = sql.SQL("SELECT pg_advisory_lock({})").format(sql.Literal(lock_key(f"clone {database}")))
        # At once: one round trip. The second statement sees what was there when the lock was had.
        cursor = connection.execute(script(lock, observing.query(names, *own, *shared)))
        cursor.nextset()
        found = observing.answered(names, cursor.fetchall())
        databases = {n: m for n, m in found.databases.items() if n in own or n.startswith(shared)}
        roles = {name: mark for name, mark in found.roles.items() if name == database}
        yield Held(connection, namespace, source, database, Found(databases, roles, found.connectable))


def sweep(server: Server, names: Names, held: Held) -> None:
    """Drops what a reset or a snapshot that was cut has left."""
    left = [naming.staging(held.database), naming.replaced(held.database)]
    left += observing.unfinished_snapshots(names, held.found, *held.owner)
    for name in left:
        if name in held.found.databases:
            drop_database(server, held.connection, name)


def snapshots_of(held: Held) -> tuple[Snapshot, ...]:
    return tuple(one for one in observing.snapshots(held.found) if (one.namespace, one.source) == held.owner)


def serves(held: Held) -> bool:
    """Whether there is a finished clone, which serves until the new one is there."""
    mark = held.found.databases.get(held.database)
    return mark is not None and mark.kind == marks.CLONE

"""Clones: a namespace's own copy of a golden. What a clone's role may do, and why: docs/decisions/0003.

A clone is a role, then a database of the same name, in this order, and goes in the reverse order: whatever
dies in between leaves a marked role behind, by which the rest is found. Where a spare is ready, both come in one
transaction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TypeVar

from psycopg import sql

from cx.core.names import Names, Namespace
from cx.data import marks
from cx.data.errors import SnapshotMissing
from cx.data.session import Session, script, session, statement
from cx.data.shared import naming, observing, opening
from cx.data.shared.copying import check_room
from cx.data.shared.dropping import drop_database
from cx.data.shared.held import hold, serves, snapshots_of, sweep
from cx.data.shared.making import Making, Template
from cx.data.values import Checkpoint, Clone, Connection, ObservedClone, Server, Snapshot, Terms, nowhere

_Sized = TypeVar("_Sized", ObservedClone, Snapshot)


class PostgresClones:
    """The clones of one instance on one server.

    Roles' passwords are made from `password_key`, which must outlive the process and be kept secret.
    Every method raises ServerUnavailable and ServerBusy (try again) and ServerRefused.
    """

    def __init__(self, server: Server, names: Names, password_key: bytes, *, checkpoint: Checkpoint = nowhere) -> None:
        self._server = server
        self._names = names
        self._key = password_key
        self._checkpoint = checkpoint
        self._making = Making(server, names, password_key, checkpoint)

    @property
    def made(self) -> list[Clone]:
        """What this object has made so far: spares may have to be made in its place."""
        return self._making.new

    def observe(self, namespace: Namespace, *, sizes: bool = False) -> tuple[ObservedClone, ...]:
        """The clones of `namespace`, half-made ones too."""
        return tuple(c for c in self.observe_all(sizes=sizes) if c.namespace == namespace)

    def observe_all(self, *, sizes: bool = False) -> tuple[ObservedClone, ...]:
        """The clones of all namespaces of this instance. `sizes` costs a stat of each of their files."""
        with session(self._server) as connection:
            clones = observing.clones(self._names, observing.look(connection, self._names))
            return _sized(connection, clones) if sizes else clones

    def connection(self, clone: Clone | ObservedClone) -> Connection:
        """How the namespace's pooler reaches the clone."""
        return Connection(
            self._server.host,
            self._server.port,
            clone.database,
            clone.database,
            naming.role_password(self._key, clone.database),
        )

    def clone(self, namespace: Namespace, source: str, terms: Terms = Terms()) -> Clone:  # noqa: B008 - frozen
        """Makes the namespace's clone of `source` from its newest golden, or finds it there. Safe to repeat.

        A finished clone keeps its data, also where the golden is newer. A half-made one is made anew.
        Raises GoldenMissing, GoldenTooOld, BudgetSpent, NoSpace.
        """
        with hold(self._server, self._names, namespace, source) as held:
            sweep(self._server, self._names, held)
            if clone := self._making.finished(held):
                if self._making.stale(held, terms):
                    self._making.run(
                        held.connection,
                        *self._making.role(held, terms),
                        *opening.limited(self._names, held.database, terms),
                    )
                return clone
            if held.exists:
                drop_database(self._server, held.connection, held.database)
            return self._making.made(held, terms)

    def reset(self, namespace: Namespace, source: str, terms: Terms = Terms()) -> Clone:  # noqa: B008
        """Replaces the namespace's clone by a new one from the newest golden. Safe to repeat.

        The old one serves until the new one is there; then its connections are cut, and it is dropped.
        Makes the clone where there is none. Raises as `clone`; the old one serves then.
        """
        with hold(self._server, self._names, namespace, source) as held:
            sweep(self._server, self._names, held)
            if held.exists and not serves(held):
                drop_database(self._server, held.connection, held.database)
            clone = self._making.made(held, terms)
            self._making.drop_replaced(held)
            return clone

    def drop(self, namespace: Namespace, source: str) -> None:
        """Leaves nothing of the namespace's clone of `source`, nor of its snapshots. Safe to repeat."""
        with hold(self._server, self._names, namespace, source) as held:
            sweep(self._server, self._names, held)
            for snapshot in snapshots_of(held):
                drop_database(self._server, held.connection, snapshot.database)
            if held.exists:
                drop_database(self._server, held.connection, held.database)
            self._checkpoint("drop:database")
            for role in (naming.dumper(held.database), held.database):
                held.connection.execute(statement("DROP ROLE IF EXISTS {role}", role=sql.Identifier(role)))

    def drop_all(self, namespace: Namespace) -> None:
        """Leaves nothing of any of the namespace's clones. Safe to repeat."""
        for clone in self.observe(namespace):
            self.drop(namespace, clone.source)

    # --- snapshots and branches

    def snapshots(self, *, sizes: bool = False) -> tuple[Snapshot, ...]:
        """The snapshots of all namespaces, the oldest of each first."""
        with session(self._server) as connection:
            found = observing.snapshots(observing.look(connection, self._names))
            return _sized(connection, found) if sizes else found

    def snapshot(self, namespace: Namespace, source: str, name: str) -> Snapshot:
        """Keeps what the clone holds now as `name`, in the place of an older snapshot of that name.

        The clone's connections are cut for the time of the copy. Raises GoldenMissing (there is no clone), NoSpace.
        """
        naming.check_snapshot(name)
        with hold(self._server, self._names, namespace, source) as held:
            sweep(self._server, self._names, held)
            template = self._making.template(held, held.namespace)
            older = [one.database for one in snapshots_of(held) if one.name == name]
            database = naming.snapshot(self._names, namespace, source, name, taken=held.found.databases)
            check_room(held.connection, template.database, template.strategy)
            self._making.copied(held, template, database, closing=True)
            snapshot = Snapshot(namespace, source, name, database, datetime.now(UTC))
            facts = {"settings": dict(template.settings), "golden": template.origin, "name": name}
            mark = self._making.mark(marks.SNAPSHOT, held, snapshot.created_at, **facts)
            parts = {"database": sql.Identifier(database), "mark": sql.Literal(mark)}
            gone = [statement("COMMENT ON DATABASE {d} IS NULL", d=sql.Identifier(one)) for one in older]
            held.connection.execute(script(statement("COMMENT ON DATABASE {database} IS {mark}", **parts), *gone))
            self._checkpoint("snapshot:marked")
            for one in older:
                drop_database(self._server, held.connection, one)
            return snapshot

    def restore(self, namespace: Namespace, source: str, name: str, terms: Terms = Terms()) -> Clone:  # noqa: B008
        """The clone holds what its snapshot `name` does. What it held is gone. Safe to repeat.

        Raises SnapshotMissing, BudgetSpent, NoSpace; the clone serves on as it was then.
        """
        with hold(self._server, self._names, namespace, source) as held:
            sweep(self._server, self._names, held)
            snapshot = next((one for one in snapshots_of(held) if one.name == name), None)
            if snapshot is None:
                known = ", ".join(sorted(one.name for one in snapshots_of(held))) or "none"
                raise SnapshotMissing(
                    f"{namespace} has no snapshot {name} of {source}; it has {known}", remedy="`cx db list`"
                )
            mark = held.found.databases[snapshot.database]
            kept = mark.facts.get("settings") if mark else None
            template = Template(
                snapshot.database,
                mark.text("golden") if mark else "",
                tuple(kept.items()) if isinstance(kept, dict) else (),
                *self._making.way(held),
            )
            return self._making.replaced_by(held, template, terms)

    def forget(self, namespace: Namespace, source: str, name: str) -> None:
        """The snapshot `name` is gone. Safe to repeat."""
        with hold(self._server, self._names, namespace, source) as held:
            sweep(self._server, self._names, held)
            for snapshot in snapshots_of(held):
                if snapshot.name == name:
                    drop_database(self._server, held.connection, snapshot.database)

    def branch(self, namespace: Namespace, source: str, of: Namespace, terms: Terms = Terms()) -> Clone:  # noqa: B008
        """The namespace's clone holds what that of `of` does, which goes on with its own. Safe to repeat.

        The connections of both are cut for the time of a copy. Raises GoldenMissing, BudgetSpent, NoSpace.
        """
        with hold(self._server, self._names, namespace, source) as held:
            sweep(self._server, self._names, held)
            with hold(self._server, self._names, of, source) as other:
                template = self._making.template(held, of, other)
                check_room(held.connection, template.database, template.strategy)
                self._making.run(held.connection, *self._making.role(held, terms))
                staging = naming.staging(held.database)
                self._making.copied(other, template, staging, closing=True, disown=True)
            clone = self._making.put(held, template, staging, terms, made=template.strategy)
            self._making.drop_replaced(held)
            return clone


def _sized(connection: Session, found: Sequence[_Sized]) -> tuple[_Sized, ...]:
    return tuple(replace(one, size_bytes=observing.size_bytes(connection, one.database)) for one in found)

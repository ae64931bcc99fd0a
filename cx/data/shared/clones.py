"""Clones: a namespace's own copy of a golden. What a clone's role may do, and why: docs/decisions/0003.

A clone is a role, then a database of the same name, in this order, and goes in the reverse order: whatever
dies in between leaves a marked role behind, by which the rest is found. Where a spare is ready, both come in one
transaction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

import psycopg
from psycopg import errors, sql

from cx.core.names import Names, Namespace
from cx.data import marks
from cx.data.errors import BudgetSpent, GoldenMissing, GoldenTooOld, SnapshotMissing
from cx.data.session import Session, lock_key, script, session, statement
from cx.data.shared import naming, observing, opening
from cx.data.shared.copying import check_room, copy
from cx.data.shared.dropping import allow, cut, drop_database
from cx.data.shared.observing import Found
from cx.data.values import Checkpoint, Clone, Connection, Golden, ObservedClone, Server, Snapshot, Terms, nowhere

_GOLDEN_ATTEMPTS = 5
_DAY_S = 86400
_OWNED = """
SELECT FROM pg_shdepend AS s JOIN pg_database AS d ON d.oid = s.dbid JOIN pg_roles AS r ON r.oid = s.refobjid
WHERE s.refclassid = 'pg_authid'::regclass AND d.datname = %s AND r.rolname = %s LIMIT 1"""
_Sized = TypeVar("_Sized", ObservedClone, Snapshot)


@dataclass(frozen=True)
class _Held:
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


@dataclass(frozen=True)
class _Template:
    """What a copy is made from: `origin` is the golden that its data began as."""

    database: str
    origin: str
    settings: tuple[tuple[str, str], ...]
    strategy: str
    filesystem: str


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
        self.made: list[Clone] = []  # by this object so far: spares may have to be made in their place

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
        with self._held(namespace, source) as held:
            self._sweep(held)
            if clone := self._finished(held):
                if self._stale(held, terms):
                    self._run(
                        held.connection,
                        *self._role(held, terms),
                        *opening.limited(self._names, held.database, terms),
                    )
                return clone
            if held.exists:
                drop_database(self._server, held.connection, held.database)
            return self._made(held, terms)

    def reset(self, namespace: Namespace, source: str, terms: Terms = Terms()) -> Clone:  # noqa: B008
        """Replaces the namespace's clone by a new one from the newest golden. Safe to repeat.

        The old one serves until the new one is there; then its connections are cut, and it is dropped.
        Makes the clone where there is none. Raises as `clone`; the old one serves then.
        """
        with self._held(namespace, source) as held:
            self._sweep(held)
            if held.exists and not self._serving(held):
                drop_database(self._server, held.connection, held.database)
            clone = self._made(held, terms)
            self._drop_replaced(held)
            return clone

    def drop(self, namespace: Namespace, source: str) -> None:
        """Leaves nothing of the namespace's clone of `source`, nor of its snapshots. Safe to repeat."""
        with self._held(namespace, source) as held:
            self._sweep(held)
            for snapshot in self._snapshots(held):
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
        with self._held(namespace, source) as held:
            self._sweep(held)
            template = self._template(held, held.namespace)
            older = [one.database for one in self._snapshots(held) if one.name == name]
            database = naming.snapshot(self._names, namespace, source, name, taken=held.found.databases)
            check_room(held.connection, template.database, template.strategy)
            self._copied(held, template, database, closing=True)
            snapshot = Snapshot(namespace, source, name, database, datetime.now(UTC))
            facts = {"settings": dict(template.settings), "golden": template.origin, "name": name}
            mark = self._mark(marks.SNAPSHOT, held, snapshot.created_at, **facts)
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
        with self._held(namespace, source) as held:
            self._sweep(held)
            snapshot = next((one for one in self._snapshots(held) if one.name == name), None)
            if snapshot is None:
                known = ", ".join(sorted(one.name for one in self._snapshots(held))) or "none"
                raise SnapshotMissing(
                    f"{namespace} has no snapshot {name} of {source}; it has {known}", remedy="`cx db list`"
                )
            mark = held.found.databases[snapshot.database]
            kept = mark.facts.get("settings") if mark else None
            template = _Template(
                snapshot.database,
                mark.text("golden") if mark else "",
                tuple(kept.items()) if isinstance(kept, dict) else (),
                *self._way(held),
            )
            return self._replaced_by(held, template, terms)

    def forget(self, namespace: Namespace, source: str, name: str) -> None:
        """The snapshot `name` is gone. Safe to repeat."""
        with self._held(namespace, source) as held:
            self._sweep(held)
            for snapshot in self._snapshots(held):
                if snapshot.name == name:
                    drop_database(self._server, held.connection, snapshot.database)

    def branch(self, namespace: Namespace, source: str, of: Namespace, terms: Terms = Terms()) -> Clone:  # noqa: B008
        """The namespace's clone holds what that of `of` does, which goes on with its own. Safe to repeat.

        The connections of both are cut for the time of a copy. Raises GoldenMissing, BudgetSpent, NoSpace.
        """
        with self._held(namespace, source) as held:
            self._sweep(held)
            with self._held(of, source) as other:
                template = self._template(held, of, other)
                check_room(held.connection, template.database, template.strategy)
                self._run(held.connection, *self._role(held, terms))
                staging = naming.staging(held.database)
                self._copied(other, template, staging, closing=True, disown=True)
            clone = self._put(held, template, staging, terms, made=template.strategy)
            self._drop_replaced(held)
            return clone

    # --- parts

    @contextmanager
    def _held(self, namespace: Namespace, source: str) -> Iterator[_Held]:
        """The clone for nobody else, and what there is of it by exact names: another's may begin with its own."""
        names = self._names
        database = names.database(namespace, source)
        own = (database, naming.staging(database), naming.replaced(database))
        shared = (names.golden_prefix(source), names.spare_prefix(source), names.snapshot_prefix(namespace, source))
        with session(self._server) as connection:
            lock = sql.SQL("SELECT pg_advisory_lock({})").format(sql.Literal(lock_key(f"clone {database}")))
            # At once: one round trip. The second statement sees what was there when the lock was had.
            cursor = connection.execute(script(lock, observing.query(names, *own, *shared)))
            cursor.nextset()
            found = observing.answered(names, cursor.fetchall())
            databases = {n: m for n, m in found.databases.items() if n in own or n.startswith(shared)}
            roles = {name: mark for name, mark in found.roles.items() if name == database}
            yield _Held(connection, namespace, source, database, Found(databases, roles, found.connectable))

    def _sweep(self, held: _Held) -> None:
        """Drops what a reset or a snapshot that was cut has left."""
        left = [naming.staging(held.database), naming.replaced(held.database)]
        left += observing.unfinished_snapshots(self._names, held.found, *held.owner)
        for name in left:
            if name in held.found.databases:
                drop_database(self._server, held.connection, name)

    def _snapshots(self, held: _Held) -> tuple[Snapshot, ...]:
        return tuple(one for one in observing.snapshots(held.found) if (one.namespace, one.source) == held.owner)

    def _finished(self, held: _Held) -> Clone | None:
        mark = held.found.databases.get(held.database)
        created_at = mark.moment("created") if mark else None
        if mark is None or mark.kind != marks.CLONE or created_at is None or held.database not in held.found.roles:
            return None
        if held.database not in held.found.connectable:  # a reset died after the connections were cut
            held.connection.execute(allow(held.database))
        return Clone(
            held.namespace, held.source, held.database, mark.text("golden"), created_at, made=mark.text("made")
        )

    def _stale(self, held: _Held, terms: Terms) -> bool:
        mark = held.found.roles[held.database]
        wanted = (naming.key_id(self._key), terms.connection_limit, terms.statement_timeout_s)
        return mark is None or (mark.text("key"), mark.number("limit"), mark.number("timeout")) != wanted

    def _role(self, held: _Held, terms: Terms) -> list[sql.Composable]:
        exists = held.database in held.found.roles
        return opening.role(self._names, self._key, held.owner, terms, exists=exists)

    def _run(self, connection: Session, *statements: sql.Composable) -> None:
        """The statements in one round trip and one transaction."""
        try:
            connection.execute(script(*statements))
        except psycopg.Error as exc:
            if exc.sqlstate == opening.NO_BUDGET:
                raise BudgetSpent(
                    f"the database server has no connections left: {exc.diag.message_primary}",
                    remedy="delete previews, or raise postgres.max_connections",
                ) from exc
            raise

    def _made(self, held: _Held, terms: Terms) -> Clone:
        """The clone is a new one of the newest golden: a spare where there is one, else a copy."""
        for _ in range(_GOLDEN_ATTEMPTS):
            golden = self._golden(held, terms)
            template = _Template(
                golden.database,
                golden.database,
                golden.settings,
                terms.strategy or golden.strategy,
                golden.filesystem,
            )
            spare = next((one for one in observing.spares(held.found) if one.golden == golden.database), None)
            try:
                if spare:
                    return self._put(held, template, spare.database, terms, made="spare")
                check_room(held.connection, template.database, template.strategy)
                self._run(
                    held.connection,
                    statement("SET LOCAL synchronous_commit = off"),  # the copy's WAL comes after it, and is flushed
                    *self._role(held, terms),
                    opening.budget(self._names, held.database, terms, apply=False),
                )
                self._checkpoint("clone:role")
                new = naming.staging(held.database) if self._serving(held) else held.database
                by = self._copied(held, template, new)
                self._checkpoint("clone:copied")
                return self._put(held, template, new, terms, made=by)
            except errors.UndefinedObject as exc:  # the owner comes with the first golden
                raise GoldenMissing(held.source) from exc
            except errors.InvalidCatalogName:  # a refresh has replaced the golden, or somebody took the spare
                held = self._looked_again(held)
        raise GoldenMissing(held.source)

    def _looked_again(self, held: _Held) -> _Held:
        """With the goldens, the spares and the role that there are by now."""
        prefixes = (self._names.golden_prefix(held.source), self._names.spare_prefix(held.source))
        found = observing.look(held.connection, self._names, *prefixes, held.database)
        rest = {name: mark for name, mark in held.found.databases.items() if not name.startswith(prefixes)}
        fresh = {name: mark for name, mark in found.databases.items() if name.startswith(prefixes)}
        roles = {name: mark for name, mark in found.roles.items() if name == held.database}
        return replace(held, found=Found({**rest, **fresh}, roles, found.connectable))

    def _serving(self, held: _Held) -> bool:
        """Whether there is a finished clone, which serves until the new one is there."""
        mark = held.found.databases.get(held.database)
        return mark is not None and mark.kind == marks.CLONE

    def _golden(self, held: _Held, terms: Terms) -> Golden:
        golden = observing.newest(observing.goldens(self._names, held.found), held.source)
        if golden is None:
            raise GoldenMissing(held.source)
        age_s = (datetime.now(UTC) - golden.created_at).total_seconds()
        if terms.max_age_s and age_s > terms.max_age_s:
            raise GoldenTooOld(
                f"the golden of {held.source} is {age_s / _DAY_S:.1f} days old,"
                f" databases.{held.source}.max_age_h allows {terms.max_age_s / _DAY_S:.1f}",
                remedy=f"cx db refresh {held.source}",
            )
        return golden

    def _copied(
        self, held: _Held, template: _Template, database: str, *, closing: bool = False, disown: bool = False
    ) -> str:
        """`database` is a copy of the template; with `closing` the template is `held`, and serves again."""
        try:
            if closing:
                cut(self._server, held.connection, template.database, self._checkpoint)
            by = copy(
                held.connection,
                template.database,
                database,
                by=template.strategy,
                filesystem=template.filesystem,
                owner=self._server.user,
            )
        finally:
            if closing and not held.connection.closed:
                held.connection.execute(allow(template.database))
        if disown:
            self._disown(held, database)
        if closing:
            self._checkpoint("snapshot:copied")
        return by

    def _disown(self, held: _Held, database: str) -> None:
        """What the role of `held` made in its own name is the objects' owner's in the copy: the role may go."""
        owned = held.connection.execute(_OWNED, [database, held.database]).fetchone()
        if owned is None:
            return
        parts = {"role": sql.Identifier(held.database), "owner": sql.Identifier(self._names.golden_owner(held.source))}
        held.connection.execute(allow(database))
        with session(self._server, database) as inside:
            inside.execute(
                script(
                    statement("REASSIGN OWNED BY {role} TO {owner}", **parts),
                    statement("DROP OWNED BY {role}", **parts),
                    # That took what is granted to it everywhere, its own database among it.
                    statement("GRANT CONNECT ON DATABASE {role} TO {role}", **parts),
                )
            )
        held.connection.execute(
            statement("ALTER DATABASE {name} ALLOW_CONNECTIONS false", name=sql.Identifier(database))
        )

    def _put(self, held: _Held, template: _Template, new: str, terms: Terms, *, made: str) -> Clone:
        """`new` takes the clone's place, in one transaction: role, name, rights, and last of all the mark."""
        database = held.database
        replacing = self._serving(held)
        clone = Clone(held.namespace, held.source, database, template.origin, datetime.now(UTC), made)
        mark = self._mark(marks.CLONE, held, clone.created_at, golden=template.origin, made=made)
        parts = {
            "database": sql.Identifier(database),
            "new": sql.Identifier(new),
            "old": sql.Identifier(naming.replaced(database)),
        }
        statements: list[sql.Composable] = []
        if made == "spare":
            statements += self._role(held, terms)
        if replacing:
            statements += [
                statement("ALTER DATABASE {database} RENAME TO {old}", **parts),
                statement("ALTER DATABASE {old} CONNECTION LIMIT -1", **parts),  # no longer counted
                statement("COMMENT ON DATABASE {old} IS NULL", **parts),
            ]
        if new != database:
            statements.append(statement("ALTER DATABASE {new} RENAME TO {database}", **parts))
        if made != "spare":
            statements += opening.prepared(database, template.settings)
        statements += opening.opened(self._names, held.owner, terms, mark)
        if replacing:
            cut(self._server, held.connection, database, self._checkpoint)
        try:
            self._run(held.connection, *statements)
        except BaseException:
            with suppress(psycopg.Error):  # the error is what is raised below
                if replacing and not held.connection.closed:
                    held.connection.execute(allow(database))
            raise
        self._checkpoint("clone:open")
        self.made.append(clone)
        return clone

    def _replaced_by(self, held: _Held, template: _Template, terms: Terms) -> Clone:
        check_room(held.connection, template.database, template.strategy)
        self._run(held.connection, *self._role(held, terms))
        staging = naming.staging(held.database)
        by = self._copied(held, template, staging)
        self._checkpoint("clone:copied")
        clone = self._put(held, template, staging, terms, made=by)
        self._drop_replaced(held)
        return clone

    def _drop_replaced(self, held: _Held) -> None:
        if self._serving(held):
            drop_database(self._server, held.connection, naming.replaced(held.database))

    def _template(self, held: _Held, of: Namespace, other: _Held | None = None) -> _Template:
        """The clone of `of`, as it is, to copy from. Raises GoldenMissing where it is not there."""
        from_ = other or held
        clone = self._finished(from_)
        if clone is None:
            raise GoldenMissing(
                from_.source, f"{of} has no database {from_.source}", "`cx db list` shows what there is"
            )
        settings = opening.settings_of(from_.connection, from_.database)
        return _Template(from_.database, clone.golden, settings, *self._way(from_))

    def _way(self, held: _Held) -> tuple[str, str]:
        """How a clone is copied: as its source's golden is."""
        golden = observing.newest(observing.goldens(self._names, held.found), held.source)
        return (golden.strategy, golden.filesystem) if golden else ("", "")

    def _mark(self, kind: str, held: _Held, created_at: datetime, **facts: object) -> str:
        return marks.written(
            self._names,
            kind,
            namespace=held.namespace.name,
            source=held.source,
            created=created_at.isoformat(),
            **facts,
        )


def _sized(connection: Session, found: Sequence[_Sized]) -> tuple[_Sized, ...]:
    return tuple(replace(one, size_bytes=observing.size_bytes(connection, one.database)) for one in found)

"""Clones: a namespace's own copy of a golden. What a clone's role may do, and why: docs/decisions/0003.

A clone is a role, then a database of the same name, in this order, and goes in the reverse order: whatever
dies in between leaves a marked role behind, by which the rest is found.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

from psycopg import errors, sql

from cx.adapters.postgres import marks, naming, observing
from cx.adapters.postgres.errors import GoldenMissing
from cx.adapters.postgres.observing import Found
from cx.adapters.postgres.server import Session, locked, script, session, statement, verifier
from cx.adapters.postgres.values import (
    Checkpoint,
    Clone,
    Connection,
    Golden,
    ObservedClone,
    Server,
    nowhere,
)
from cx.model.names import Names, Namespace

_GOLDEN_ATTEMPTS = 5
_TERMINATE = (
    "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity"
    " WHERE datname = %s AND backend_type = 'client backend'"
)
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = %s"


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

    def observe(self, namespace: Namespace, *, sizes: bool = False) -> tuple[ObservedClone, ...]:
        """The clones of `namespace`, half-made ones too."""
        return tuple(c for c in self.observe_all(sizes=sizes) if c.namespace == namespace)

    def observe_all(self, *, sizes: bool = False) -> tuple[ObservedClone, ...]:
        """The clones of all namespaces of this instance. `sizes` costs a stat of each of their files."""
        with session(self._server) as connection:
            clones = observing.clones(self._names, observing.look(connection, self._names))
            if not sizes:
                return clones
            return tuple(_with_size(clone, observing.size_bytes(connection, clone.database)) for clone in clones)

    def connection(self, clone: Clone | ObservedClone) -> Connection:
        """How the namespace's pooler reaches the clone."""
        return Connection(
            self._server.host,
            self._server.port,
            clone.database,
            clone.database,
            naming.role_password(self._key, clone.database),
        )

    def clone(self, namespace: Namespace, source: str, *, connection_limit: int = 20) -> Clone:
        """Makes the namespace's clone of `source` from its newest golden, or finds it there. Safe to repeat.

        A finished clone keeps its data, also where the golden is newer. A half-made one is made anew.
        `connection_limit` holds for the role. Raises GoldenMissing, NoSpace.
        """
        database = self._names.database(namespace, source)
        with self._held(database) as connection:
            found = self._look(connection, database)
            self._sweep(connection, database, found)
            if (clone := self._finished(connection, namespace, source, found)) is None:
                if database in found.databases:
                    self._drop_database(connection, database)
                self._make_role(connection, namespace, source, found, connection_limit)
                golden = self._copy(connection, source, database)
                clone = self._open(connection, namespace, source, golden, database, connection_limit)
            elif self._stale_role(found, database, connection_limit):
                self._make_role(connection, namespace, source, found, connection_limit)
                connection.execute(_limit(database, connection_limit))
            return clone

    def reset(self, namespace: Namespace, source: str, *, connection_limit: int = 20) -> Clone:
        """Replaces the namespace's clone by a new one from the newest golden. Safe to repeat.

        The old one serves until the new one is there; then its connections are cut, and it is dropped.
        Makes the clone where there is none. Raises GoldenMissing, NoSpace; the old one serves then.
        """
        database = self._names.database(namespace, source)
        with self._held(database) as connection:
            found = self._look(connection, database)
            self._sweep(connection, database, found)
            self._make_role(connection, namespace, source, found, connection_limit)
            golden = self._copy(connection, source, naming.staging(database))
            old = database if database in found.databases else None
            if old:
                self._cut(connection, database)
            clone = self._open(
                connection,
                namespace,
                source,
                golden,
                naming.staging(database),
                connection_limit,
                replacing=old,
            )
            if old:
                self._drop_database(connection, naming.replaced(database))
            return clone

    def drop(self, namespace: Namespace, source: str) -> None:
        """Leaves nothing of the namespace's clone of `source`. Safe to repeat."""
        database = self._names.database(namespace, source)
        with self._held(database) as connection:
            found = self._look(connection, database)
            self._sweep(connection, database, found)
            if database in found.databases:
                self._drop_database(connection, database)
            self._checkpoint("drop:database")
            connection.execute(statement("DROP ROLE IF EXISTS {role}", role=sql.Identifier(database)))

    def drop_all(self, namespace: Namespace) -> None:
        """Leaves nothing of any of the namespace's clones. Safe to repeat."""
        for clone in self.observe(namespace):
            self.drop(namespace, clone.source)

    # --- parts

    @contextmanager
    def _held(self, database: str) -> Iterator[Session]:
        """A session that nobody else holds for this clone."""
        with session(self._server) as connection:
            locked(connection, f"clone {database}")
            yield connection

    def _look(self, connection: Session, database: str) -> Found:
        """The clone's own things, by exact names: another's name may begin with this one's."""
        found = observing.look(connection, self._names, database)
        own = {database, naming.staging(database), naming.replaced(database)}
        for later in own - set(found.databases):
            if not later.startswith(database):  # shortened: its name begins otherwise
                more = observing.look(connection, self._names, later)
                found = Found({**found.databases, **more.databases}, found.roles, found.connectable)
        return Found(
            {name: mark for name, mark in found.databases.items() if name in own},
            {name: mark for name, mark in found.roles.items() if name == database},
            found.connectable,
        )

    def _sweep(self, connection: Session, database: str, found: Found) -> None:
        """Drops what a reset that was cut has left."""
        for name in (naming.staging(database), naming.replaced(database)):
            if name in found.databases:
                self._drop_database(connection, name)

    def _finished(self, connection: Session, namespace: Namespace, source: str, found: Found) -> Clone | None:
        database = self._names.database(namespace, source)
        mark = found.databases.get(database)
        created_at = mark.moment("created") if mark else None
        if mark is None or mark.kind != marks.CLONE or created_at is None or database not in found.roles:
            return None
        if database not in found.connectable:  # a reset died after the connections were cut
            connection.execute(_allow(database))
        return Clone(namespace, source, database, mark.text("golden"), created_at)

    def _stale_role(self, found: Found, database: str, connection_limit: int) -> bool:
        mark = found.roles[database]
        return mark is None or mark.text("key") != naming.key_id(self._key) or mark.number("limit") != connection_limit

    def _make_role(
        self, connection: Session, namespace: Namespace, source: str, found: Found, connection_limit: int
    ) -> None:
        """The role that may do what the objects' owner may, in the one database that it may connect to."""
        role = self._names.database(namespace, source)
        mark = marks.written(
            self._names,
            marks.CLONE_ROLE,
            namespace=namespace.name,
            source=source,
            key=naming.key_id(self._key),
            limit=connection_limit,
        )
        parts = {
            "role": sql.Identifier(role),
            "owner": sql.Identifier(self._names.golden_owner(source)),
            "limit": sql.Literal(connection_limit),
            "password": verifier(connection, role, naming.role_password(self._key, role)),
            "mark": sql.Literal(mark),
        }
        make = statement("ALTER ROLE {role}" if role in found.roles else "CREATE ROLE {role}", **parts)
        rights = statement(
            " LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            " CONNECTION LIMIT {limit} PASSWORD {password}",
            **parts,
        )
        try:
            connection.execute(
                script(
                    make + rights,
                    statement("COMMENT ON ROLE {role} IS {mark}", **parts),
                    statement("GRANT {owner} TO {role}", **parts),
                    statement("ALTER ROLE {role} SET role = {owner}", **parts),
                )
            )
        except errors.UndefinedObject as exc:  # the owner comes with the first golden
            raise GoldenMissing(source) from exc
        self._checkpoint("clone:role")

    def _copy(self, connection: Session, source: str, database: str) -> Golden:
        """`database` is a copy of the newest golden that nobody can connect to."""
        if connection.info.server_version >= 180000:
            connection.execute("SET file_copy_method = clone")  # copies where the file system cannot
        for _ in range(_GOLDEN_ATTEMPTS):
            finished = observing.goldens(
                self._names, observing.look(connection, self._names, self._names.golden_prefix(source))
            )
            golden = observing.newest(finished, source)
            if golden is None:
                break
            try:
                connection.execute(
                    statement(
                        "CREATE DATABASE {database} TEMPLATE {golden} OWNER {admin}"
                        " ALLOW_CONNECTIONS false STRATEGY file_copy",
                        database=sql.Identifier(database),
                        golden=sql.Identifier(golden.database),
                        admin=sql.Identifier(self._server.user),
                    )
                )
            except errors.InvalidCatalogName:  # a refresh has replaced it just now
                continue
            self._checkpoint("clone:copied")
            return golden
        raise GoldenMissing(source)

    def _open(
        self,
        connection: Session,
        namespace: Namespace,
        source: str,
        golden: Golden,
        copy: str,
        connection_limit: int,
        *,
        replacing: str | None = None,
    ) -> Clone:
        """`copy` becomes the clone, in one transaction: name, rights, and last of all the mark."""
        database = self._names.database(namespace, source)
        clone = Clone(namespace, source, database, golden.database, datetime.now(UTC))
        mark = marks.written(
            self._names,
            marks.CLONE,
            namespace=namespace.name,
            source=source,
            golden=golden.database,
            created=clone.created_at.isoformat(),
        )
        parts = {
            "database": sql.Identifier(database),
            "role": sql.Identifier(database),
            "copy": sql.Identifier(copy),
            "old": sql.Identifier(naming.replaced(database)),
            "limit": sql.Literal(connection_limit),
            "mark": sql.Literal(mark),
        }
        statements = []
        if replacing:
            statements += [
                statement("ALTER DATABASE {database} RENAME TO {old}", **parts),
                statement("COMMENT ON DATABASE {old} IS NULL", **parts),
            ]
        if copy != database:
            statements.append(statement("ALTER DATABASE {copy} RENAME TO {database}", **parts))
        statements += [
            statement("REVOKE ALL ON DATABASE {database} FROM PUBLIC", **parts),
            # PUBLIC, because these two are checked for the objects' owner, whom all clones of a source
            # share and whose grants any of them could take from its siblings by DROP OWNED. CONNECT is
            # checked for the role that logs in, so nobody else can make use of PUBLIC's.
            statement("GRANT CREATE, TEMPORARY ON DATABASE {database} TO PUBLIC", **parts),
            statement("GRANT CONNECT ON DATABASE {database} TO {role}", **parts),
            *(_setting(database, name, value) for name, value in golden.settings),
            statement("ALTER DATABASE {database} ALLOW_CONNECTIONS true CONNECTION LIMIT {limit}", **parts),
            statement("COMMENT ON DATABASE {database} IS {mark}", **parts),
        ]
        connection.execute(script(*statements))
        self._checkpoint("clone:open")
        return clone

    def _cut(self, connection: Session, database: str) -> None:
        """Nobody is connected to `database`, and nobody can connect."""
        refuse = statement("ALTER DATABASE {name} ALLOW_CONNECTIONS false", name=sql.Identifier(database))
        connection.execute(refuse)
        self._checkpoint("reset:cut")
        connection.execute(_TERMINATE, [database])
        if connection.execute(_PREPARED, [database]).fetchone():  # one of them would hold up the rename
            _release(self._server, connection, database)
            connection.execute(refuse)
            connection.execute(_TERMINATE, [database])

    def _drop_database(self, connection: Session, database: str) -> None:
        drop_database(self._server, connection, database)


def drop_database(server: Server, connection: Session, database: str) -> None:
    """`database` is gone, whoever is connected to it and whatever it is marked as. Safe to repeat."""
    drop = statement("DROP DATABASE IF EXISTS {name} WITH (FORCE)", name=sql.Identifier(database))
    try:
        try:
            connection.execute(drop)
        except errors.WrongObjectType:
            connection.execute(statement("ALTER DATABASE {name} IS_TEMPLATE false", name=sql.Identifier(database)))
            connection.execute(drop)
    except errors.ObjectInUse:
        _release(server, connection, database)
        connection.execute(drop)


def _release(server: Server, connection: Session, database: str) -> None:
    """Nothing inside `database` holds up its drop: no prepared transaction, no subscription."""
    connection.execute(_allow(database))
    with session(server, database) as inside:
        prepared = inside.execute("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()")
        for (gid,) in prepared.fetchall():
            inside.execute(statement("ROLLBACK PREPARED {gid}", gid=sql.Literal(gid)))
        subscriptions = inside.execute(
            "SELECT subname FROM pg_subscription AS s JOIN pg_database AS d ON d.oid = s.subdbid"
            " WHERE d.datname = current_database()"
        )
        for (name,) in subscriptions.fetchall():
            for change in ("DISABLE", "SET (slot_name = NONE)"):
                inside.execute(statement("ALTER SUBSCRIPTION {n} ", n=sql.Identifier(name)) + sql.SQL(change))
            inside.execute(statement("DROP SUBSCRIPTION {n}", n=sql.Identifier(name)))


def _allow(database: str) -> sql.Composed:
    return statement("ALTER DATABASE {name} ALLOW_CONNECTIONS true", name=sql.Identifier(database))


def _limit(database: str, connection_limit: int) -> sql.Composed:
    return statement(
        "ALTER DATABASE {name} CONNECTION LIMIT {limit}",
        name=sql.Identifier(database),
        limit=sql.Literal(connection_limit),
    )


def _setting(database: str, name: str, value: str) -> sql.Composed:
    values = [value]
    if name == "search_path":  # a list: each element is a literal of its own
        values = [_unquoted(part) for part in re.findall(r'"(?:[^"]|"")*"|[^,\s"]+', value)]
    return statement(
        "ALTER DATABASE {database} SET {name} = {values}",
        database=sql.Identifier(database),
        name=sql.Identifier(name),
        values=sql.SQL(", ").join(map(sql.Literal, values or [""])),
    )


def _unquoted(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier


def _with_size(clone: ObservedClone, size_bytes: int) -> ObservedClone:
    return ObservedClone(
        clone.namespace,
        clone.source,
        clone.database,
        clone.complete,
        clone.golden,
        clone.created_at,
        clone.leftovers,
        size_bytes,
    )

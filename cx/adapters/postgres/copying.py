"""One database becomes a copy of another, by the strategy that is fastest, and quick to connect to."""

from __future__ import annotations

from psycopg import sql

from cx.adapters.postgres import observing, room, strategy
from cx.adapters.postgres.errors import NoSpace
from cx.adapters.postgres.naming import lock_key
from cx.adapters.postgres.server import Session, locked, script, session, statement
from cx.adapters.postgres.values import Server

_CLONE_SINCE = 180000  # file_copy_method
_SERIAL = "copies on btrfs"
_READ_FIRST = (  # by whoever connects and asks something
    "pg_class",
    "pg_attribute",
    "pg_index",
    "pg_type",
    "pg_proc",
    "pg_operator",
    "pg_opclass",
    "pg_amop",
    "pg_amproc",
    "pg_statistic",
)


def copy(connection: Session, template: str, database: str, *, by: str, filesystem: str, owner: str) -> str:
    """`database` is a copy of `template` that nobody can connect to. Gives the strategy that was taken.

    `by` is one of STRATEGIES; "" takes what shares blocks where that can be. Raises NoSpace before a full copy
    fills the disk, and psycopg's errors.
    """
    by = by or strategy.REFLINK
    cloning = connection.info.server_version >= _CLONE_SINCE
    if cloning:
        method = sql.SQL("clone" if by == strategy.REFLINK else "copy")
        connection.execute(statement("SET file_copy_method = {method}", method=method))
    elif by == strategy.REFLINK:
        by = strategy.FILE_COPY
    if by != strategy.REFLINK:
        _check_room(connection, template, by)
    if filesystem == "btrfs" and by != strategy.WAL_LOG:  # four at once took 4.8 s there, one after another 0.9 s
        locked(connection, _SERIAL)
    how = sql.SQL("wal_log" if by == strategy.WAL_LOG else "file_copy")
    try:
        connection.execute(
            statement(
                "CREATE DATABASE {database} TEMPLATE {template} OWNER {owner} ALLOW_CONNECTIONS false STRATEGY {how}",
                database=sql.Identifier(database),
                template=sql.Identifier(template),
                owner=sql.Identifier(owner),
                how=how,
            )
        )
    finally:
        if filesystem == "btrfs" and by != strategy.WAL_LOG and not connection.closed:
            connection.execute("SELECT pg_advisory_unlock(%s)", [lock_key(_SERIAL)])
    return by


def opened_once(server: Server, database: str) -> None:
    """Sessions in `database`, and the first ones in copies of its files, begin sooner than they would. Safe to repeat.

    A database's first session builds what the server keeps of the catalogs, and writes it to `pg_internal.init` in
    its folder; FILE_COPY copies that file too, which the server expects (load_relcache_init_file in relcache.c). A
    change of the catalogs removes it, and so does a start of the server.
    """
    with session(server, database) as inside:
        read = [statement("SELECT count(*) FROM {name}", name=sql.Identifier("pg_catalog", n)) for n in _READ_FIRST]
        inside.execute(script(*read))


def _check_room(connection: Session, template: str, by: str) -> None:
    need = observing.size_bytes(connection, template) * (2 if by == strategy.WAL_LOG else 1)
    there = room.look(connection)
    if there.spare < need:
        raise NoSpace(
            f"the database server has no space left: a copy needs {need / 1e6:.0f} MB of {there.spare / 1e6:.0f}",
            remedy="remove previews (cx list, cx delete) or give its volume more disk",
        )

"""One database becomes a copy of another, by the strategy that is fastest, and quick to connect to."""

from __future__ import annotations

from psycopg import sql

from cx.data.errors import NoSpace
from cx.data.session import Session, lock_key, locked, script, session, statement
from cx.data.shared import observing, room, strategy
from cx.data.values import Server

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

    `by` is one of STRATEGIES; "" takes what shares blocks where that can be. Whoever asks has checked the room.
    Raises psycopg's errors.
    """
    by = _possible(connection, by)
    if connection.info.server_version >= _CLONE_SINCE:
        method = sql.SQL("clone" if by == strategy.REFLINK else "copy")
        connection.execute(statement("SET file_copy_method = {method}", method=method))
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


def check_room(connection: Session, template: str, by: str) -> None:
    """A copy of `template` leaves the server what it needs of the disk. Raises NoSpace.

    Also where blocks are shared, which takes next to none: the server does not outlive that its own files find no room.
    """
    times = {strategy.REFLINK: 0, strategy.WAL_LOG: 2}.get(_possible(connection, by), 1)
    need = times * observing.size_bytes(connection, template) if times else 0
    there = room.look(connection)
    if there.spare < max(need, 1):
        raise NoSpace(
            f"the database server has no space left: a copy needs {need / 1e6:.0f} MB, {there.free / 1e6:.0f} MB are"
            f" free, and {(there.free - there.spare) / 1e6:.0f} MB are kept for the server itself",
            remedy="remove previews (cx list, cx delete) or give its volume more disk",
        )


def _possible(connection: Session, by: str) -> str:
    by = by or strategy.REFLINK
    old = connection.info.server_version < _CLONE_SINCE
    return strategy.FILE_COPY if old and by == strategy.REFLINK else by


def opened_once(server: Server, database: str) -> None:
    """Sessions in `database`, and the first ones in copies of its files, begin sooner than they would. Safe to repeat.

    A database's first session builds what the server keeps of the catalogs, and writes it to `pg_internal.init` in
    its folder; FILE_COPY copies that file too, which the server expects (load_relcache_init_file in relcache.c). A
    change of the catalogs removes it, and so does a start of the server. Autovacuum comes where the statistics tell of
    changes, and would change the catalogs: they are reset.
    """
    with session(server, database) as inside:
        read = [statement("SELECT count(*) FROM {name}", name=sql.Identifier("pg_catalog", n)) for n in _READ_FIRST]
        inside.execute(script(*read, sql.SQL("SELECT pg_stat_reset()")))

"""Databases are cut off from who uses them, and dropped, whatever is inside them."""

from __future__ import annotations

from psycopg import errors, sql

from cx.data.session import Session, script, session, statement
from cx.data.values import Checkpoint, Server, nowhere

# pg_terminate_backend waits by itself as well, but looks ten times a second only.
_TERMINATE = """
DECLARE until timestamptz := clock_timestamp() + interval '5 s';
BEGIN
  PERFORM pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = {name} AND backend_type = 'client backend';
  LOOP
    PERFORM pg_stat_clear_snapshot();
    EXIT WHEN clock_timestamp() > until OR NOT EXISTS (
      SELECT FROM pg_stat_activity WHERE datname = {name} AND backend_type = 'client backend');
    PERFORM pg_sleep(0.001);
  END LOOP;
END"""
_PREPARED = "SELECT gid FROM pg_prepared_xacts WHERE database = {name}"


def cut(server: Server, connection: Session, database: str, checkpoint: Checkpoint = nowhere) -> None:
    """Nobody is connected to `database`, and nobody can connect."""
    refuse = statement("ALTER DATABASE {name} ALLOW_CONNECTIONS false", name=sql.Identifier(database))
    connection.execute(refuse)
    checkpoint("reset:cut")
    if _terminated(connection, database):  # one of them would hold up the rename
        _release(server, connection, database)
        connection.execute(refuse)
        _terminated(connection, database)


def _terminated(connection: Session, database: str) -> bool:
    """Nobody's session in `database` lives; gives whether a prepared transaction does."""
    name = sql.Literal(database)
    end = sql.SQL("DO {}").format(sql.Literal(sql.SQL(_TERMINATE).format(name=name).as_string()))
    cursor = connection.execute(script(end, statement(_PREPARED, name=name)))
    cursor.nextset()
    return cursor.fetchone() is not None


def allow(database: str) -> sql.Composed:
    return statement("ALTER DATABASE {name} ALLOW_CONNECTIONS true", name=sql.Identifier(database))


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
    connection.execute(allow(database))
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

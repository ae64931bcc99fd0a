"""Who reads a clone for a dump of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from cx.core.names import Names
from cx.data.session import locked, script, session, statement
from cx.data.shared import naming
from cx.data.values import Server


@contextmanager
def dumper(server: Server, names: Names, database: str) -> Iterator[str]:
    """A role that reads all of the clone `database`, from within the server's container; gone afterwards.

    pg_dump begins an archive with what is set on the database, and said of it. A clone's own role may not read these
    catalogs, which tell of all databases; and the superuser must not read the clone, whose rows may run code of its
    author's. One dump of a clone at a time; what one has left that was killed goes with the next, or with the clone.
    """
    role = naming.dumper(database)
    parts = {
        "role": sql.Identifier(role),
        "clone": sql.Identifier(database),
        "settings": sql.Identifier(naming.settings_reader(names)),
    }
    gone = script(
        statement("REVOKE CONNECT ON DATABASE {clone} FROM {role}", **parts),
        statement("DROP ROLE {role}", **parts),
    )
    made = script(
        statement(
            "CREATE ROLE {role} LOGIN INHERIT BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION", **parts
        ),
        statement("GRANT {clone}, {settings} TO {role}", **parts),
        statement("GRANT CONNECT ON DATABASE {clone} TO {role}", **parts),
    )
    with session(server) as connection:
        locked(connection, f"dump {database}")
        if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone():
            connection.execute(gone)
        connection.execute(made)
        try:
            yield role
        finally:
            if not connection.closed:
                connection.execute(gone)

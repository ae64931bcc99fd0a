"""A copy becomes somebody's clone: the statements that give it a role, rights, limits and its mark.

They are values: who sends them decides what goes in one transaction with what.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from psycopg import sql

from cx.core.names import Names, Namespace
from cx.data import marks
from cx.data.session import Session, lock_key, revoke_all, statement, verifier
from cx.data.shared import naming
from cx.data.values import Connection, Terms

Statements = list[sql.Composable]

NO_BUDGET = "CX001"  # SQLSTATE of `budget`
_LEAST_CONNECTIONS = 2
_OWN_CONNECTIONS = 10  # of cx itself, beside those that the server keeps for superusers

# One after another; the sum of all clones' limits never exceeds what the server has.
_BUDGET = """
DECLARE
  own name := {database}; least int := {least}; wanted int := {wanted}; n int; other name;
  room int := current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - {kept};
BEGIN
  PERFORM pg_advisory_xact_lock({lock});
  SELECT count(*) + 1 INTO n FROM pg_database
    WHERE starts_with(datname::text, {prefix}) AND datconnlimit > 0 AND datname <> own;
  WHILE n * wanted > room AND wanted > least LOOP wanted := greatest(least, wanted / 2); END LOOP;
  IF n * wanted > room THEN
    RAISE EXCEPTION USING ERRCODE = {code},
      MESSAGE = format('%s clones with %s each are all that its %s allow', room / wanted, wanted, room);
  END IF;
  IF {apply} THEN
    EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT %s', own, wanted);
    FOR other IN SELECT datname FROM pg_database
      WHERE starts_with(datname::text, {prefix}) AND datname <> own AND datconnlimit > wanted
    LOOP
      EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT %s', other, wanted);
    END LOOP;
  END IF;
END"""


def role(names: Names, key: bytes, owner: tuple[Namespace, str], terms: Terms, *, exists: bool) -> Statements:
    """The role that may do what the objects' owner may, in the one database that it may connect to."""
    namespace, source = owner
    name = names.database(namespace, source)
    mark = marks.written(
        names,
        marks.CLONE_ROLE,
        namespace=namespace.name,
        source=source,
        key=naming.key_id(key),
        limit=terms.connection_limit,
        timeout=terms.statement_timeout_s,
    )
    parts = {
        "role": sql.Identifier(name),
        "owner": sql.Identifier(names.golden_owner(source)),
        "limit": sql.Literal(terms.connection_limit),
        "password": verifier(naming.role_password(key, name)),
        "mark": sql.Literal(mark),
    }
    make = statement("ALTER ROLE {role}" if exists else "CREATE ROLE {role}", **parts)
    rights = statement(
        " LOGIN INHERIT NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
        " CONNECTION LIMIT {limit} PASSWORD {password}",
        **parts,
    )
    return [
        make + rights,
        statement("COMMENT ON ROLE {role} IS {mark}", **parts),
        statement("GRANT {owner} TO {role}", **parts),
        statement("ALTER ROLE {role} SET role = {owner}", **parts),
    ]


def to_read(reader: Connection, owner: str) -> Statements:
    """A new role reads what is `owner`'s in the one database that it may connect to.

    BYPASSRLS, so that it counts all rows, and no policy runs for it.
    """
    parts = {
        "role": sql.Identifier(reader.user),
        "owner": sql.Identifier(owner),
        "database": sql.Identifier(reader.database),
        "password": verifier(reader.password),
    }
    return [
        statement(
            "CREATE ROLE {role} LOGIN INHERIT BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
            " PASSWORD {password}",
            **parts,
        ),
        statement("GRANT {owner} TO {role}", **parts),
        revoke_all(reader.database),
        statement("GRANT CONNECT ON DATABASE {database} TO {role}", **parts),
    ]


def prepared(database: str, settings: Iterable[tuple[str, str]]) -> Statements:
    """What is the same for every clone of a golden: done beforehand for a spare."""
    parts = {"database": sql.Identifier(database)}
    return [
        statement("REVOKE ALL ON DATABASE {database} FROM PUBLIC", **parts),
        # PUBLIC, because these two are checked for the objects' owner, whom all clones of a source
        # share and whose grants any of them could take from its siblings by DROP OWNED. CONNECT is
        # checked for the role that logs in, so nobody else can make use of PUBLIC's.
        statement("GRANT CREATE, TEMPORARY ON DATABASE {database} TO PUBLIC", **parts),
        *(setting(database, name, value) for name, value in settings),
    ]


def opened(names: Names, owner: tuple[Namespace, str], terms: Terms, mark: str) -> Statements:
    """The namespace's role may connect to the database that has its name; last of all the mark."""
    database = names.database(*owner)
    parts = {"database": sql.Identifier(database), "mark": sql.Literal(mark)}
    return [
        statement("GRANT CONNECT ON DATABASE {database} TO {database}", **parts),
        statement("ALTER DATABASE {database} ALLOW_CONNECTIONS true", **parts),
        *limited(names, database, terms),
        statement("COMMENT ON DATABASE {database} IS {mark}", **parts),
    ]


def limited(names: Names, database: str, terms: Terms) -> Statements:
    """Time and connections of `database`, and of all others where theirs must shrink for it."""
    return [
        setting(database, "statement_timeout", f"{terms.statement_timeout_s}s"),
        budget(names, database, terms, apply=True),
    ]


def budget(names: Names, database: str, terms: Terms, *, apply: bool) -> sql.Composed:
    """Fails with SQLSTATE NO_BUDGET where no connections are left for `database`; `apply` gives it its share."""
    facts: dict[str, str | int | bool] = {
        "database": database,
        "wanted": terms.connection_limit,
        "least": min(_LEAST_CONNECTIONS, terms.connection_limit),
        "kept": _OWN_CONNECTIONS,
        "lock": lock_key("connections"),
        "prefix": f"{names.instance}__",
        "code": NO_BUDGET,
        "apply": apply,
    }
    body = sql.SQL(_BUDGET).format(**{name: sql.Literal(value) for name, value in facts.items()})
    return sql.SQL("DO {}").format(sql.Literal(body.as_string()))


def setting(database: str, name: str, value: str) -> sql.Composed:
    values = [value]
    if name == "search_path":  # a list: each element is a literal of its own
        values = [_unquoted(part) for part in re.findall(r'"(?:[^"]|"")*"|[^,\s"]+', value)]
    return statement(
        "ALTER DATABASE {database} SET {name} = {values}",
        database=sql.Identifier(database),
        name=sql.Identifier(name),
        values=sql.SQL(", ").join(map(sql.Literal, values or [""])),
    )


def settings_of(connection: Session, database: str) -> tuple[tuple[str, str], ...]:
    """What is set on `database` for all, but for what follows from Terms."""
    rows = connection.execute(
        "SELECT unnest(setconfig) FROM pg_db_role_setting AS s JOIN pg_database AS d ON d.oid = s.setdatabase"
        " WHERE s.setrole = 0 AND d.datname = %s",
        [database],
    ).fetchall()
    pairs = (text.partition("=") for (text,) in rows)
    return tuple((name, value) for name, _, value in pairs if name != "statement_timeout")


def _unquoted(identifier: str) -> str:
    return identifier[1:-1].replace('""', '"') if identifier.startswith('"') else identifier

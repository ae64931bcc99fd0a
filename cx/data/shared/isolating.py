"""What a database shows of the rest of the server, changed in the golden: every clone is a copy of it."""

from __future__ import annotations

from contextlib import suppress

from psycopg import errors, sql

from cx.data.session import Session, script, statement

_SETTINGS = sql.SQL(", ").join(
    sql.Identifier("pg_catalog", name) for name in ("pg_db_role_setting", "pg_shdescription")
)
_ACTIVITY = "SELECT pg_get_viewdef('pg_catalog.pg_stat_activity'::regclass)"


def own_activity_only(inside: Session) -> None:
    """pg_stat_activity shows the sessions of its own database only. Safe to repeat.

    Everybody's are listed there, with application name and role, whoever looks. The view's own text is taken, as it
    is another in each version.
    """
    row = inside.execute(_ACTIVITY).fetchone()
    text = str(row[0]).strip().rstrip(";") if row else ""
    if not text or " WHERE " in text.upper():
        return
    own = "WHERE s.datid = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())"
    inside.execute(
        script(
            sql.SQL("SET LOCAL allow_system_table_mods = on"),
            statement("CREATE OR REPLACE VIEW pg_catalog.pg_stat_activity AS {query}", query=_trusted(f"{text} {own}")),
        )
    )


def own_settings_only(inside: Session, reader: str) -> None:
    """What is set on other databases, and what is said of them, is for the role `reader`, which is there, and not for
    PUBLIC. Safe to repeat.

    These catalogs are the server's, but who may read them is each database's own. A source's settings may hold
    secrets (`ALTER DATABASE ... SET app.jwt_secret`), and are in a golden's mark.
    """
    parts = {"catalogs": _SETTINGS, "reader": sql.Identifier(reader)}
    with suppress(errors.DuplicateObject):
        inside.execute(statement("CREATE ROLE {reader} NOLOGIN", **parts))
    inside.execute(
        script(
            statement("REVOKE ALL ON {catalogs} FROM PUBLIC", **parts),
            statement("GRANT SELECT ON {catalogs} TO {reader}", **parts),
        )
    )


def _trusted(text: str) -> sql.Composable:
    """A view's definition as the server gave it: only a superuser can have changed a view of pg_catalog."""
    return sql.SQL(text)

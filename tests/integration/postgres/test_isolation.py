"""What a preview's role tries, and does not get. Each attempt is made from within a clone, as its own role."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import psycopg.sql
import pytest
from pgworld import KEY, ONE, TWO, World

from cx.data.shared import naming
from cx.data.values import Clone, Terms


@pytest.fixture
def siblings(fresh: World) -> tuple[Clone, Clone]:
    return fresh.clones.clone(ONE, "shop"), fresh.clones.clone(TWO, "shop")


def test_a_write_in_one_is_not_seen_in_the_other(fresh: World, siblings: tuple[Clone, Clone]) -> None:
    one, two = siblings
    with fresh.as_preview(one) as mine, fresh.as_preview(two) as theirs:
        mine.execute("DELETE FROM customer")
        assert theirs.execute("SELECT count(*) FROM customer").fetchone() == (2000,)


@pytest.mark.parametrize("where", ["sibling", "golden", "postgres", "template1", "cx"])
def test_a_role_connects_to_its_own_clone_only(
    fresh: World, siblings: tuple[Clone, Clone], shop_golden: str, where: str
) -> None:
    one, two = siblings
    database = {"sibling": two.database, "golden": shop_golden}.get(where, where)
    with pytest.raises(psycopg.OperationalError, match=r"permission denied for database|not currently accepting"):
        fresh.as_preview(one, dbname=database).__enter__()


def test_another_password_is_refused(fresh: World, siblings: tuple[Clone, Clone]) -> None:
    one, two = siblings
    for password in (naming.role_password(KEY, two.database), naming.role_password(b"other", one.database), ""):
        with pytest.raises(psycopg.OperationalError, match=r"authentication failed|no password supplied"):
            fresh.as_preview(one, password=password).__enter__()


FORBIDDEN = {
    "drop the golden": "DROP DATABASE {golden}",
    "drop its own database": "DROP DATABASE {own}",
    "drop a sibling": "DROP DATABASE {sibling}",
    "open the golden": "ALTER DATABASE {golden} ALLOW_CONNECTIONS true",
    "forge a mark": "COMMENT ON DATABASE {own} IS 'x'",
    "forge a role's mark": "COMMENT ON ROLE {own} IS 'x'",
    "raise its limit": "ALTER DATABASE {own} CONNECTION LIMIT -1",
    "raise its role's limit": "ALTER ROLE {own} CONNECTION LIMIT -1",
    "let others in": "GRANT CONNECT ON DATABASE {own} TO PUBLIC",
    "make a database": "CREATE DATABASE stolen",
    "copy the golden": "CREATE DATABASE stolen TEMPLATE {golden}",
    "make a role": "CREATE ROLE friend",
    "let the owner log in": "ALTER ROLE {owner} LOGIN",
    "become superuser": "ALTER ROLE {own} SUPERUSER",
    "become the superuser": "SET ROLE cx",
    "become the sibling": "SET ROLE {sibling}",
    "give the owner away": "GRANT {owner} TO {sibling}",
    "take the sibling's role": "GRANT {sibling} TO {own}",
    "change the sibling's role": "ALTER ROLE {sibling} PASSWORD 'x'",
    "drop the owner": "DROP ROLE {owner}",
    "run a program": "COPY customer TO PROGRAM 'id'",
    "read a file": "COPY customer FROM '/etc/passwd'",
    "read a file by function": "SELECT pg_read_file('PG_VERSION')",
    "list files": "SELECT pg_ls_dir('.')",
    "import a file": "SELECT lo_import('/etc/passwd')",
    "load a library": "LOAD 'auto_explain'",
    "write C": "CREATE FUNCTION x() RETURNS int LANGUAGE c AS 'libc', 'getpid'",
    "call home": "CREATE EXTENSION dblink",
    "call a sibling": "CREATE EXTENSION dblink; SELECT * FROM dblink('dbname={sibling}', 'SELECT 1') AS t (n int)",
    "call home by wrapper": "CREATE EXTENSION postgres_fdw",
    "subscribe": "CREATE SUBSCRIPTION s CONNECTION 'host=x' PUBLICATION p WITH (connect = false)",
    "watch everything": "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
    "change the server": "ALTER SYSTEM SET log_statement = 'all'",
    "read passwords": "SELECT * FROM pg_authid",
    "reload": "SELECT pg_reload_conf()",
    "log for another": "SET log_statement = 'none'",
}


@pytest.mark.parametrize("attempt", FORBIDDEN)
@pytest.mark.parametrize("as_itself", [False, True], ids=["as the owner", "as itself"])
def test_forbidden(fresh_pair: tuple[World, Clone, Clone], shop_golden: str, attempt: str, as_itself: bool) -> None:
    world, one, two = fresh_pair
    statement = FORBIDDEN[attempt].format(
        golden=shop_golden, own=one.database, sibling=two.database, owner=world.names.golden_owner("shop")
    )
    with world.as_preview(one) as app:
        if as_itself:
            app.execute("SET ROLE NONE")
        app.execute("CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END'")
        if attempt == "watch everything":
            statement = statement.replace("f()", "pg_temp.f()")
        if attempt == "let others in":  # a grant that nobody may give is a warning, not an error
            app.execute(statement)
            granted = "SELECT has_database_privilege(%s, %s, 'CONNECT')"
            assert app.execute(granted, [two.database, one.database]).fetchone() == (False,)
            return
        with pytest.raises((psycopg.errors.InsufficientPrivilege, psycopg.errors.WrongObjectType)) as refused:
            app.execute(statement)
        if refused.type is psycopg.errors.WrongObjectType:
            assert "cannot drop a template database" in str(refused.value)


@pytest.fixture(scope="module")
def fresh_pair(world: World, refreshed: None) -> tuple[World, Clone, Clone]:
    return world, world.clones.clone(ONE, "shop"), world.clones.clone(TWO, "shop")


def test_only_sessions_of_its_own_are_listed(fresh: World, siblings: tuple[Clone, Clone]) -> None:
    one, two = siblings
    with fresh.as_preview(one) as mine, fresh.as_preview(one), fresh.as_preview(two):
        listed = mine.execute("SELECT datname, usename, query FROM pg_stat_activity").fetchall()
        assert [row[:2] for row in listed] == [(one.database, one.database)] * 2
        assert mine.execute("SELECT count(*) FROM pg_stat_database WHERE datname = %s", [one.database]).fetchone()


def test_nobody_ends_or_sees_a_siblings_session(fresh: World, siblings: tuple[Clone, Clone]) -> None:
    one, two = siblings
    with fresh.as_preview(one) as mine, fresh.as_preview(two) as theirs:
        theirs.execute("SELECT 'their secret'")
        seen = mine.execute("SELECT query FROM pg_stat_activity WHERE datname = %s", [two.database]).fetchall()
        assert seen == []
        beneath = mine.execute("SELECT query FROM pg_stat_get_activity(%s)", [theirs.info.backend_pid]).fetchall()
        assert beneath == [("<insufficient privilege>",)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            mine.execute("SELECT pg_terminate_backend(%s)", [theirs.info.backend_pid])
        assert theirs.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("catalog", ["pg_db_role_setting", "pg_shdescription"])
def test_what_is_set_on_other_databases_is_not_read(
    fresh: World, siblings: tuple[Clone, Clone], catalog: LiteralString
) -> None:
    one, two = siblings
    with fresh.machine.connect() as superuser:
        for database in (one.database, two.database):
            setting = psycopg.sql.SQL("ALTER DATABASE {} SET app.secret = 'hush'")
            superuser.execute(setting.format(psycopg.sql.Identifier(database)))
    with fresh.as_preview(one) as mine:
        assert mine.execute("SHOW app.secret").fetchone() == ("hush",)
        for role in ("DEFAULT", "NONE"):
            mine.execute("RESET ROLE" if role == "DEFAULT" else "SET ROLE NONE")
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                mine.execute(f"SELECT * FROM {catalog}")


@pytest.mark.parametrize("revenge", ["DROP OWNED BY {owner} CASCADE", "REASSIGN OWNED BY {owner} TO {own}"])
def test_what_a_preview_does_to_the_shared_owner_does_not_reach_siblings(
    fresh: World, siblings: tuple[Clone, Clone], shop_golden: str, revenge: str
) -> None:
    """The owner is shared: what is granted to it on databases could be taken from all. Nothing is."""
    one, two = siblings
    owner = fresh.names.golden_owner("shop")
    with fresh.as_preview(one) as mine:
        if "REASSIGN" in revenge:
            mine.execute("SET ROLE NONE")
        mine.execute(revenge.format(owner=owner, own=one.database))
        # A role may change its own settings, and the preview is the owner at this moment.
        mine.execute(f"SET ROLE {owner}")
        mine.execute(f"ALTER ROLE {owner} SET search_path = evil")
        mine.execute(f"ALTER ROLE {owner} SET default_transaction_read_only = on")
    with fresh.as_preview(two) as theirs:
        assert theirs.execute("SHOW search_path").fetchone() == ('"$user", public',)
        theirs.execute("CREATE TABLE public.t (); CREATE SCHEMA s; CREATE TEMP TABLE x (); CREATE EXTENSION hstore")
        assert theirs.execute("SELECT count(*), current_user FROM customer GROUP BY 2").fetchone() == (2000, owner)
    again = fresh.clones.reset(ONE, "shop")
    with fresh.as_preview(again) as mine:
        assert mine.execute("SELECT count(*) FROM customer").fetchone() == (2000,)
        mine.execute("CREATE SCHEMA s")


def test_the_connection_limit_holds(fresh: World) -> None:
    clone = fresh.clones.clone(ONE, "shop", Terms(connection_limit=2))
    with fresh.as_preview(clone), fresh.as_preview(clone):
        with pytest.raises(psycopg.OperationalError, match="too many connections"):
            fresh.as_preview(clone).__enter__()
        fresh.clones.clone(ONE, "shop", Terms(connection_limit=3))
        with fresh.as_preview(clone):
            pass


def test_public_may_not_connect_anywhere(fresh: World, siblings: tuple[Clone, Clone]) -> None:
    with fresh.machine.connect() as connection:
        open_to_all = connection.execute(
            "SELECT datname FROM pg_database, aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl"
            " WHERE datallowconn AND acl.grantee = 0 AND acl.privilege_type = 'CONNECT'"
        ).fetchall()
    assert open_to_all == []

"""The files of a namespace's pooler: a PgBouncer that looks to the app like the database it expects.

It takes the app's own user and password, whatever database the app names, and is connected to the clone
as the clone's role. Reference: https://www.pgbouncer.org/config.html
"""

from __future__ import annotations

from collections.abc import Mapping

from cx.core.blueprint import DatabaseUse
from cx.core.errors import Invalid
from cx.data.values import Connection

FOLDER = "/etc/pgbouncer"
INI = f"{FOLDER}/pgbouncer.ini"
USERS = f"{FOLDER}/userlist.txt"

_USER_MAX_BYTES = 127
_PASSWORD_MAX_BYTES = 995  # the client's message with it must fit in PgBouncer's buffer

# DISCARD ALL, spelled out, for two reasons. Its SET SESSION AUTHORIZATION DEFAULT sets the role to none, and
# its RESET ALL spares the role: what the next client made would belong to the login role, and the clients
# after it could not touch it. RESET ROLE brings back what ALTER ROLE ... SET role says. And DISCARD ALL
# refuses to run beside another statement.
_RESET = (
    "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; DEALLOCATE ALL; UNLISTEN *;"
    " SELECT pg_catalog.pg_advisory_unlock_all(); DISCARD PLANS; DISCARD TEMP; DISCARD SEQUENCES; RESET ROLE"
)


def pooler_files(
    use: DatabaseUse, connection: Connection, *, pool_size: int = 20, password: str = "", mode: str = "session"
) -> Mapping[str, bytes]:
    """The pooler's configuration by absolute path; secret, for the pooler's container only.

    `password` is what the app logs in with where `use.password` is None. `pool_size` bounds the connections
    to the clone, of which a client has one for its session or, by `mode`, for one transaction; up to ten times as
    many clients wait. The app's sessions see the clone's database name, and `current_user` as the owner of all
    objects; they are nobody's superuser, whatever `use.user` is.
    Raises Invalid for credentials that PgBouncer cannot hold.
    """
    expected = password if use.password is None else use.password
    _check(use, expected)
    settings = {
        "listen_addr": "*",
        "listen_port": use.port,
        "unix_socket_dir": "",
        "auth_type": "scram-sha-256",
        "auth_file": USERS,
        "admin_users": "",
        "stats_users": "",
        "pool_mode": mode,
        "max_prepared_statements": 200,  # a client's prepared ones are followed to whatever connection it gets
        "default_pool_size": pool_size,
        "max_db_connections": pool_size,
        "max_client_conn": max(100, 10 * pool_size),
        "ignore_startup_parameters": "extra_float_digits,options,search_path,statement_timeout,lock_timeout,"
        "idle_in_transaction_session_timeout,geqo,jit",
        "server_reset_query": _RESET,
        "server_check_query": "SELECT 1",
        "server_check_delay": 0,  # a reset of the clone cuts idle connections: never hand out a dead one
        "server_connect_timeout": 5,
        "server_login_retry": 0.1,
        "server_idle_timeout": 60,  # a sleeping preview holds no connection
        "server_tls_sslmode": "disable",
        "query_wait_timeout": 30,
        "autodb_idle_timeout": 3600,
        "log_connections": 0,
        "log_disconnections": 0,
        "log_pooler_errors": 1,
        "log_stats": 0,
    }
    target = {
        "host": connection.host,
        "port": str(connection.port),
        "dbname": connection.database,
        "user": connection.user,
        "password": connection.password,
    }
    fields = " ".join(f"{key}={_ini_quoted(value)}" for key, value in target.items())
    lines = ["[databases]", f"* = {fields}", "", "[pgbouncer]"]
    lines += [f"{key} = {value}" for key, value in settings.items()]
    users = f"{_user_quoted(use.user)} {_user_quoted(expected)}\n"
    return {INI: ("\n".join(lines) + "\n").encode(), USERS: users.encode()}


def _check(use: DatabaseUse, password: str) -> None:
    for key, value, most in (
        ("user", use.user, _USER_MAX_BYTES),
        ("password", password, _PASSWORD_MAX_BYTES),
    ):
        where = f"database {use.name}"
        if not value:
            raise Invalid(where, key, "must not be empty")
        if not value.isprintable():
            raise Invalid(where, key, "must be printable characters in one line")
        if len(value.encode()) > most:
            raise Invalid(where, key, f"must be at most {most} bytes")


def _ini_quoted(value: str) -> str:
    doubled = value.replace("'", "''")
    return f"'{doubled}'"


def _user_quoted(value: str) -> str:
    doubled = value.replace('"', '""')
    return f'"{doubled}"'

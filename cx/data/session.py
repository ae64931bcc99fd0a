"""A session on the previews' server as its superuser, errors translated, and the server's hardening."""

from __future__ import annotations

import atexit
import hashlib
import hmac
import os
import secrets
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, LiteralString

import psycopg
from psycopg import sql
from psycopg.pq import Conninfo

from cx.core.errors import CxError, Retryable, Terminal
from cx.data.errors import NoSpace, ServerBusy, ServerRefused, ServerUnavailable
from cx.data.values import Server

Session = psycopg.Connection[tuple[Any, ...]]

# The superuser looks up nothing in a schema that a preview could write to (CVE-2018-1058), and a statement
# that fails is not written to the server's log with what it holds.
_OPTIONS = "-c search_path=pg_catalog -c lock_timeout=60s -c lc_messages=C -c log_min_error_statement=panic"
_OF_SESSIONS = ("PGDATESTYLE", "PGTZ", "PGGEQO")  # which libpq sets, and does not list
_CONNECT_TIMEOUT_S = 5
_IDLE_MAX = 4
_idle: list[tuple[Server, Session]] = []

_UNAVAILABLE = ("08", "57P", "53300", "53200")
_UNWRITTEN = "checkpoint request failed"  # all that a session is told: the cause is in the server's log
_BUSY = ("55P03", "55006", "40001", "40P01")


@contextmanager
def session(server: Server, database: str | None = None, *, role: tuple[str, str] | None = None) -> Iterator[Session]:
    """A connection in autocommit mode; psycopg's errors leave it translated.

    As the superuser, or as `role` (name, password), to whose search path nothing is done.
    Raises ServerUnavailable, ServerBusy, ServerRefused, NoSpace.
    """
    kept = role is None and database is None
    with translated():
        connection = (_taken(server) if kept else None) or _connected(server, database, role)
        well = False
        try:
            yield connection
            well = kept and not connection.closed
            if well:  # also one that is closed: the server notices that after who asks next for what it had locked
                connection.execute("SELECT pg_advisory_unlock_all(); RESET ALL")
        except BaseException:
            well = False
            with suppress(psycopg.Error):  # likewise; a session in the middle of a statement is not waited for
                if not connection.closed and connection.info.transaction_status is psycopg.pq.TransactionStatus.IDLE:
                    connection.execute("SELECT pg_advisory_unlock_all()")
            raise
        finally:
            if well and len(_idle) < _IDLE_MAX:
                _idle.append((server, connection))
            else:
                connection.close()


def _taken(server: Server) -> Session | None:
    """A session that is kept from before, if it lives: making one takes ten times as long as most that is asked."""
    for one in list(_idle):
        if one[0] != server:
            continue
        try:
            _idle.remove(one)
        except ValueError:  # another thread has it
            continue
        with suppress(psycopg.Error):
            one[1].execute("SELECT 1")
            return one[1]
        one[1].close()
    return None


@atexit.register
def _close_idle() -> None:
    while _idle:
        _idle.pop()[1].close()


def _connected(server: Server, database: str | None, role: tuple[str, str] | None) -> Session:
    user, password = role or (server.user, server.password)
    _forget_variables()
    try:
        return psycopg.connect(
            host=server.host,
            port=server.port,
            user=user,
            password=password,
            dbname=database or server.database,
            options="" if role else _OPTIONS,
            connect_timeout=_CONNECT_TIMEOUT_S,
            sslmode="disable",  # the host's own bridge; a handshake would cost more than the clone
            gssencmode="disable",
            application_name="cx",
            autocommit=True,
        )
    except psycopg.OperationalError as exc:
        if fault := server.fault():  # somebody else may answer at its address
            raise ServerUnavailable(fault, remedy="`cx up` starts it") from exc
        raise


def _forget_variables() -> None:
    """A variable of the shell's, such as PGHOSTADDR or PGSERVICE, would send cx and its password to another server."""
    if any(name.startswith("PG") for name in os.environ):
        for name in (*_OF_SESSIONS, *(one.envvar.decode() for one in Conninfo.get_defaults() if one.envvar)):
            os.environ.pop(name, None)


@contextmanager
def translated() -> Iterator[None]:
    """Turns psycopg's errors into Retryable and Terminal ones."""
    try:
        yield
    except psycopg.Error as exc:
        raise translation(exc) from exc


def translation(exc: psycopg.Error) -> CxError:
    state = exc.sqlstate or ""
    message = " ".join(str(exc.diag.message_primary or exc).split())
    if not state and isinstance(exc, psycopg.OperationalError):
        return _connection_failure(message)
    if state == "53100":
        return NoSpace(
            f"the database server has no space left ({message})",
            remedy="remove previews (cx list, cx delete) or give its volume more disk",
        )
    if message == _UNWRITTEN:
        return ServerUnavailable(
            f"the database server cannot write to its disk ({message})",
            remedy="it is full: remove previews, first those that wrote most (cx list, cx delete), or give its volume"
            " more disk; if it is not, the server's log says what is wrong",
        )
    if state.startswith(_UNAVAILABLE):
        return ServerUnavailable(f"the database server is unavailable ({message})", remedy="cx doctor")
    if state in _BUSY:
        return ServerBusy(f"the database server is busy ({message})", remedy="try again in a minute")
    if state.startswith("28"):
        return ServerRefused(f"the database server refuses cx ({message})", remedy="cx doctor")
    kind = Retryable if state.startswith(("XX", "58")) else Terminal
    return kind(f"the database server answers: {message} (SQLSTATE {state or 'none'})")


def _connection_failure(message: str) -> CxError:
    # libpq gives no SQLSTATE for a connection that never was: its text is all there is.
    if "authentication failed" in message or "no pg_hba.conf entry" in message:
        return ServerRefused(
            f"the database server refuses cx ({message})",
            remedy="its password is in the state folder with which `cx up` made it: set CX_STATE_DIR to that one",
        )
    return ServerUnavailable(f"the database server does not answer ({message})", remedy="cx up, or cx doctor")


def lock_key(text: str) -> int:
    """The advisory lock of `text`, as a signed 64-bit integer."""
    return int.from_bytes(hashlib.sha256(f"cx {text}".encode()).digest()[:8], "big", signed=True)


def locked(connection: Session, text: str) -> None:
    """Holds the advisory lock of `text` until the session ends; waits for it up to lock_timeout.

    Raises psycopg's LockNotAvailable, which `session` turns into ServerBusy.
    """
    connection.execute("SELECT pg_advisory_lock(%s)", [lock_key(text)])


def tried_lock(connection: Session, text: str) -> bool:
    """Whether the advisory lock of `text` is now held by this session, without waiting."""
    row = connection.execute("SELECT pg_try_advisory_lock(%s)", [lock_key(text)]).fetchone()
    return bool(row and row[0])


def statement(text: LiteralString, **parts: sql.Composable) -> sql.Composed:
    return sql.SQL(text).format(**parts)


def script(*statements: sql.Composable) -> sql.Composed:
    """Several statements sent at once: one round trip, and one transaction."""
    return sql.SQL("; ").join(statements)


def verifier(password: str) -> sql.Literal:
    """The SCRAM verifier (RFC 5802) that PASSWORD takes: the server never sees the password itself.

    With one iteration: the many of others slow down who guesses at passwords, and each connection that is made.
    Ours are 256 random bits, which nobody guesses.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, 1)
    client = hmac.digest(salted, b"Client Key", "sha256")
    stored, server = hashlib.sha256(client).digest(), hmac.digest(salted, b"Server Key", "sha256")
    shown = [b64encode(part).decode() for part in (salt, stored, server)]
    return sql.Literal("SCRAM-SHA-256$1:{}${}:{}".format(*shown))


def revoke_all(database: str) -> sql.Composed:
    return statement("REVOKE ALL ON DATABASE {name} FROM PUBLIC", name=sql.Identifier(database))


def prepare(server: Server) -> None:
    """Nobody but the superuser may connect to, or create in, a database that is not a clone. Safe to repeat.

    A role of a preview that had CONNECT on `postgres` could fill it, and see what else is there.
    """
    with session(server) as connection:
        locked(connection, "prepare")
        open_to_all = connection.execute(
            "SELECT datname FROM pg_database WHERE datallowconn AND EXISTS (SELECT FROM"
            " aclexplode(coalesce(datacl, acldefault('d', datdba))) AS acl"
            " WHERE acl.grantee = 0 AND acl.privilege_type = 'CONNECT')"
        ).fetchall()
        for (name,) in open_to_all:
            connection.execute(revoke_all(name))

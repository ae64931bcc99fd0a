"""A PostgreSQL server for each preview: its golden is made as on the previews' server, on a server that is then
stopped for good, and whose data directory is copied.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from psycopg import sql

from cx.core.blueprint import DatabaseUse
from cx.data.errors import ServerUnavailable
from cx.data.session import session, statement
from cx.data.values import Server, Source
from cx.data.workbench.making import Making
from cx.data.workbench.values import DATA, GOLDEN, GOLDEN_SERVER, Compared, FillFailed, Serving, Spec, Volume
from cx.data.workbench.volumes import mount
from cx.docker.connection import translated
from cx.docker.files import tarred

ADMIN = "cx_admin"
KEPT = "cx_data"  # what the database is called in the golden
_START_TIMEOUT_S = 60
_BEGIN = f"""
initdb --pgdata={GOLDEN}/data --username={ADMIN} --pwfile=/cx-password --auth=scram-sha-256 --encoding=UTF8 > /dev/null
echo 'host all all all scram-sha-256' >> {GOLDEN}/data/pg_hba.conf
exec postgres -D {GOLDEN}/data -c listen_addresses='*' -c unix_socket_directories=/tmp -c max_wal_size=2GB \
  -c fsync=off -c full_page_writes=off -c wal_level=minimal -c max_wal_senders=0 -c archive_mode=off"""

# The server's own socket; the one database is called as the project expects it, or KEPT.
_HERE = "-h /tmp -p $(sed -n 4p /cx-data/postmaster.pid) -U cx_admin"
_FIND = "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY oid LIMIT 1"
_DATABASE = f"name=$(psql -XAt {_HERE} -d template1 -c '{_FIND}')\n"
_COUNTS = """
SELECT format('SELECT %L, count(*) FROM ONLY %I.%I', quote_ident(n.nspname) || '.' || quote_ident(c.relname), n.nspname,
  c.relname)
FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'r' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' ORDER BY c.oid
\\gexec
"""
_NOISE = re.compile(r"^(?:--.*|SET .*|\\.*|SELECT pg_catalog\.set_config.*|\s*)$")


class Postgres:
    user = "postgres"
    without_golden = False
    masking = None  # the server that a golden is filled through masks its rows
    client: tuple[str, ...] = (
        "sh",
        "-c",
        f"exec psql -X {_HERE} template1",
    )
    alive: tuple[str, ...] = ("sh", "-c", f"exec pg_isready -q {_HERE}")

    def fill(self, making: Making) -> Mapping[str, str]:
        spec, names = making.spec, making.volumes.names
        with self._server(making) as server:
            making.checkpoint("refresh:server")
            source = Source(
                spec.name,
                spec.url,
                spec.file,
                spec.sanitise,
                spec.extensions,
                spec.jobs,
                spec.masks,
                spec.command,
                spec.command_image,
            )
            golden = making.refresh_on(
                server, source, image=spec.image, progress=making.progress, checkpoint=making.checkpoint
            )
            owner = names.golden_owner(spec.name)
            parts = {
                "golden": sql.Identifier(golden.database),
                "kept": sql.Identifier(KEPT),
                "owner": sql.Identifier(owner),
            }
            with session(server, "template1") as connection:
                for one in (
                    statement("ALTER DATABASE {golden} IS_TEMPLATE false ALLOW_CONNECTIONS true", **parts),
                    statement("COMMENT ON DATABASE {golden} IS NULL", **parts),
                    statement("ALTER DATABASE {golden} OWNER TO {owner}", **parts),
                    statement("ALTER DATABASE {golden} RENAME TO {kept}", **parts),
                    statement("DROP DATABASE IF EXISTS postgres WITH (FORCE)"),
                ):
                    connection.execute(one)
                for name, value in golden.settings:
                    setting = {"name": sql.Identifier(name), "value": sql.Literal(value), **parts}
                    connection.execute(statement("ALTER DATABASE {kept} SET {name} = {value}", **setting))
                connection.execute("CHECKPOINT")
        return {"owner": owner, "sanitised_by": golden.sanitised_by, "notes": "; ".join(golden.notes)}

    @contextmanager
    def _server(self, making: Making) -> Iterator[Server]:
        """A server on the golden, in the data network; stopped in order at the end."""
        spec, volumes = making.spec, making.volumes
        api, network = volumes.engine.api, volumes.names.data_network()
        password = secrets.token_urlsafe(24)
        preload = f" -c shared_preload_libraries={','.join(spec.preload)}" if spec.preload else ""
        with translated(f"start a server of {spec.image}"):
            made = api.create_container(
                spec.image,
                entrypoint=["sh", "-euc", _BEGIN + preload],
                user=self.user,
                labels=making.labels(GOLDEN_SERVER),
                networking_config=api.create_networking_config({network: api.create_endpoint_config()}),
                host_config=api.create_host_config(
                    mounts=[mount(making.golden.name, GOLDEN)],
                    network_mode=network,
                    cap_drop=["ALL"],
                    security_opt=["no-new-privileges"],
                    shm_size="256m",
                ),
            )["Id"]
        try:
            with translated(f"start a server of {spec.image}"):
                api.put_archive(made, "/", tarred({"cx-password": password.encode()}, mode=0o444))
                api.start(made)
                found = api.inspect_container(made)["NetworkSettings"]["Networks"][network]
            server = Server(found["IPAddress"], 5432, password, ADMIN, "template1")
            self._await(making, made, server)
            yield server
            with translated("stop the golden's server"):
                api.stop(made, timeout=300)
                status = api.inspect_container(made)["State"]["ExitCode"]
            if status:
                raise FillFailed(f"{spec.name}: the golden's server ended with status {status}", log=_log(making, made))
        finally:
            volumes.remove_container(made)

    def _await(self, making: Making, container: str, server: Server) -> None:
        until = time.monotonic() + _START_TIMEOUT_S
        while True:
            try:
                with session(server):
                    return
            except ServerUnavailable:
                with translated("look at the golden's server"):
                    state = making.volumes.engine.api.inspect_container(container)["State"]
                if not state["Running"] or time.monotonic() > until:
                    lines = _log(making, container)
                    why = lines[-1] if lines else "it said nothing"
                    raise FillFailed(
                        f"{making.spec.name}: a server of {making.spec.image} does not start: {why}", log=lines
                    ) from None
            time.sleep(0.1)

    def serve(self, spec: Spec, use: DatabaseUse, password: str, copy: Volume) -> Serving:
        settings = {
            "listen_addresses": "*",
            "port": str(use.port),
            "hba_file": "/cx/pg_hba.conf",
            "unix_socket_directories": "/tmp",  # noqa: S108 - in a container of its own
            "max_connections": str(spec.connection_limit + 5),
            "shared_buffers": "32MB",
            "statement_timeout": f"{spec.statement_timeout_s}s",
            "shared_preload_libraries": ",".join(spec.preload),
        }
        flags = " ".join(f"-c {key}='{value}'" for key, value in settings.items() if value)
        script = f"""rm -f {DATA}/postmaster.pid
if ! said=$(postgres --single -j -D {DATA} {flags} -c log_min_error_statement=panic template1 < /cx/init.sql 2>&1) ||
  printf %s "$said" | grep -E 'ERROR|FATAL'; then
  printf '%s\\n' "$said"
  exit 1
fi
exec postgres -D {DATA} {flags}
"""
        return Serving(
            script,
            ("pg_isready", "-q", "-h", "/tmp", "-p", str(use.port)),  # noqa: S108
            {
                "/cx/init.sql": _users(spec, use, password, copy.facts.get("owner", "")).encode(),
                "/cx/pg_hba.conf": b"local all all trust\nhost all all all scram-sha-256\n",
            },
        )

    def dump(self, copy: Volume) -> tuple[str, ...]:
        dump = "exec pg_dump --format=custom --no-owner --no-acl"
        return ("sh", "-euc", f'{_DATABASE}{dump} {_HERE} --dbname "$name"')

    def compared(self, spec: Spec, copy: Volume) -> Compared:
        settings = {
            "listen_addresses": "",
            "hba_file": "/cx/pg_hba.conf",
            "unix_socket_directories": "/tmp",  # noqa: S108 - in a container of its own
            "shared_preload_libraries": ",".join(spec.preload),
        }
        flags = " ".join(f"-c {key}='{value}'" for key, value in settings.items())
        schema = "exec pg_dump --schema-only --no-owner --no-acl --no-comments"
        counts = f'{_DATABASE}exec psql -XAtqF "$1" -v ON_ERROR_STOP=1 {_HERE} -d "$name" <<\'QUERY\'{_COUNTS}QUERY\n'
        return Compared(
            f"rm -f {DATA}/postmaster.pid\nexec postgres -D {DATA} {flags}\n",
            ("sh", "-euc", f'{_DATABASE}{schema} {_HERE} --dbname "$name"'),
            ("sh", "-euc", counts, "sh", "\t"),
            _NOISE,
            {"/cx/pg_hba.conf": b"local all all trust\n"},
        )


def _users(spec: Spec, use: DatabaseUse, password: str, owner: str) -> str:
    """What single-user mode runs at each start. It reads a statement to a semicolon and an empty line."""
    parts = {
        "name": sql.Literal(use.database),
        "login": sql.Literal(use.user),
        "user": sql.Identifier(use.user),
        "owner": sql.Identifier(owner),
        "password": sql.Literal(password),
        "limit": sql.Literal(spec.connection_limit),
    }
    rights = "SUPERUSER" if spec.superuser else "NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
    statements = [
        statement(
            # In a branch of another namespace's clone it is called as that expects it.
            f"DO $cx$ DECLARE kept text := ({_FIND}); BEGIN"
            " IF kept IS NOT NULL AND NOT EXISTS (SELECT FROM pg_database WHERE datname = {name}) THEN"
            " EXECUTE format('ALTER DATABASE %I RENAME TO %I', kept, {name}); END IF; END $cx$",
            **parts,
        ),
        statement(
            "DO $cx$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {login}) THEN"
            " EXECUTE format('CREATE ROLE %I', {login}); END IF; END $cx$",
            **parts,
        ),
        statement("ALTER ROLE {user} LOGIN INHERIT PASSWORD {password} CONNECTION LIMIT {limit} ", **parts)
        + sql.SQL(rights),
        statement("GRANT {owner} TO {user}", **parts),
        statement("ALTER ROLE {user} RESET role", **parts)
        if spec.superuser
        else statement("ALTER ROLE {user} SET role = {owner}", **parts),
    ]
    return "".join(f"{one.as_string(None)};\n\n" for one in statements)


def _log(making: Making, container: str) -> tuple[str, ...]:
    with translated("read a log"):
        raw = making.volumes.engine.api.logs(container, tail=20)
    return tuple(raw.decode(errors="replace").splitlines())

"""One refresh of a golden: from the source to the mark that makes it THE golden."""

from __future__ import annotations

import hashlib
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from psycopg import errors, sql

from cx.core.names import Names
from cx.data import marks
from cx.data.masking import foreign, literals
from cx.data.masking.auditing import Audit
from cx.data.masking.checking import Plan, checked
from cx.data.masking.dialects.postgres import leaks, personal
from cx.data.masking.dialects.postgres.reading import Origin, Reading
from cx.data.masking.personal import Suspect
from cx.data.masking.searching import refuse
from cx.data.refresh import definitions
from cx.data.refresh import masked as refreshing
from cx.data.refresh.auditing import Auditing
from cx.data.refresh.dump import Dump, examined, from_file
from cx.data.refresh.restore import Restore, Target
from cx.data.refresh.scratch import Scratch
from cx.data.refresh.source import LiveSource, Seen, commanded
from cx.data.session import Session, script, session, statement, verifier
from cx.data.shared import naming, observing, strategy
from cx.data.shared import volume as volumes
from cx.data.shared.copying import opened_once
from cx.data.shared.isolating import own_activity_only, own_settings_only
from cx.data.shared.previews import Previews
from cx.data.values import Checkpoint, Connection, Golden, Masks, Progress, Server, Source, nowhere
from cx.data.workbench.tools import Tools

if TYPE_CHECKING:
    from docker import DockerClient

ROLE = "refresh"
_CANARIES = 200  # of each column that is masked


@dataclass(frozen=True)
class Workplace:
    """Where goldens are made: the previews' server, and the engine that its tools run on. `image` is the server's."""

    server: Server
    names: Names
    client: DockerClient
    image: str
    checkpoint: Checkpoint = nowhere


class Refresh:
    """One refresh, from the source to the mark, in the order of its methods."""

    def __init__(
        self,
        at: Workplace,
        connection: Session,
        source: Source,
        sanitise: tuple[bytes, str] | None,
        progress: Progress,
    ) -> None:
        self._at = at
        self._server = at.server
        self._names = at.names
        self._connection = connection
        self._source = source
        self._sanitise = sanitise
        self._progress = progress
        self._loader = naming.loader(self._names, source.name)
        self._password = secrets.token_urlsafe(32)
        self._database = self._next_name()
        self._plan: Plan | None = None  # with rules: what they make of the source
        self._began_at = self._ended_at = ""  # where the server's WAL was

    def _next_name(self) -> str:
        """Greater than the serving golden's, also where the clock was set back."""
        prefix = self._names.golden_prefix(self._source.name)
        serving = observing.current(self._connection, self._names, self._source.name)
        last = int(serving.database.removeprefix(prefix)) if serving else 0
        return f"{prefix}{max(int(time.time()), last + 1):010}"

    def _tools(self, network: str, volume_of: Tools | None = None, read_of: str = "") -> Tools:
        labels = self._names.labels(None, ROLE, service=self._source.name)
        return Tools(self._at.client, self._at.image, labels, network=network, volume_of=volume_of, read_of=read_of)

    def run(self) -> Golden:
        masks = self._source.masks
        server = leaks.server_container(self._at.client, self._server.host) if masks else ""
        with self._tools("host", read_of=server) as tools:
            self._at.checkpoint("refresh:tools")
            if masks:
                dump = self._masked(tools, masks)
            else:
                dump = self._commanded(tools) if self._source.command else self._dumped(tools)
                self._at.checkpoint("refresh:dumped")
                if self._sanitise:
                    dump = self._sanitised(tools, dump, *self._sanitise)
                    self._at.checkpoint("refresh:sanitised")
                dump = self._restored(tools, dump)
            self._at.checkpoint("refresh:restored")
            self._hand_over()
            self._at.checkpoint("refresh:handed")
            if self._plan:
                self._scan(tools)
                self._at.checkpoint("refresh:scanned")
        return self._swap_in(dump)

    # --- with rules

    def _masked(self, tools: Tools, masks: Masks) -> Dump:
        """The source's rows, masked on their way, are on the previews' server. Raw ones never were there.

        A script runs on a scratch server in between: it gets masked rows of a live source, and the raw ones of a
        file, which have to be on a server for once to be read.
        """
        name = self._source.name
        with ExitStack() as stack:
            raw, origin = self._origin(tools, stack)
            reading = Reading(origin)
            reading.hold()
            self._at.checkpoint("refresh:held")
            self._progress(f"{name}: holding the rules against its schema")
            plan = self._plan = refreshing.planned(reading, self._source, masks)
            with ThreadPoolExecutor(1) as beside:
                released = beside.submit(leaks.release, reading, plan, _CANARIES)
                dump = refreshing.schema(reading, plan, f"source {name}")
                self._progress(f"{name}: {released.result()} of its values are canaries")
            dump = replace(dump, locale=raw.locale, source_version=raw.source_version, settings=raw.settings)
            dump = replace(dump, notes=(*raw.notes, *dump.notes))
            self._at.checkpoint("refresh:dumped")
            if self._sanitise and self._source.url:
                scratch = self._scratch(stack, tools)
                dump = self._filled(reading, plan, masks, dump, scratch)
                self._at.checkpoint("refresh:filled")
                clean = self._scripted(scratch, dump, self._sanitise[0])
                self._at.checkpoint("refresh:sanitised")
                self._examine(tools, reading, plan, clean)
                return self._restored(tools, clean)
            self._examine(tools, reading, plan, dump)
            return self._filled(reading, plan, masks, dump, self._previews(tools))

    def _origin(self, tools: Tools, stack: ExitStack) -> tuple[Dump, Origin]:
        """Where the rows are read: the source itself, or a scratch server with the dump file's."""
        name, masks = self._source.name, self._source.masks
        if self._source.file is None:
            live = LiveSource(self._source, tools)
            seen = live.look(self._connection.info.server_version)
            self._tell(seen)
            raw = Dump(f"source {name}", "", True, seen.locale, (), {})
            raw = replace(raw, source_version=seen.version_text, settings=seen.settings)
            return raw, Origin(tools, live.environment, seen.version, seen.locale.encoding, live.failure)
        raw = self._dumped(tools)
        scratch = self._scratch(stack, tools)
        self._restore(raw).into(scratch)
        if self._sanitise:
            self._progress(f"{name}: running {self._source.sanitise}")
            scratch.sanitise(self._sanitise[0], str(self._source.sanitise))
        environment = scratch.as_source(masks.key_hex if masks else "")
        (found,) = scratch.rows(sql.SQL("SELECT getdatabaseencoding()::text"), self._database)
        return raw, Origin(tools, environment, self._connection.info.server_version, found[0], scratch.failure)

    def _filled(self, reading: Reading, plan: Plan, masks: Masks, dump: Dump, target: Target) -> Dump:
        filling = refreshing.Filling(reading, plan, self._source, masks, self._restore(dump), self._progress)
        filling.into(target)
        return replace(dump, notes=(*dump.notes, *filling.notes))

    def _examine(self, tools: Tools, reading: Reading, plan: Plan, dump: Dump) -> None:
        """No definition that is to be restored holds a raw value. Raises LeakFound."""
        self._progress(f"{self._source.name}: looking for raw values in its definitions")
        literals.refuse(self._source.name, definitions.held(reading, plan, definitions.of_dump(tools, dump)))

    def _scan(self, tools: Tools) -> None:
        """No canary is in what the new golden is made of. Raises LeakFound."""
        self._progress(f"{self._source.name}: looking for raw values in its files")
        with session(self._server, self._database) as inside:
            self._ended_at = self._wal_position()
            place = leaks.Place(self._database, self._began_at, self._ended_at)
            refuse(leaks.scan(tools, self._connection, inside, place))

    def _wal_position(self) -> str:
        row = self._connection.execute("SELECT pg_current_wal_insert_lsn()::text").fetchone()
        return str(row[0]) if row else ""

    # --- looking only

    def suspects(self) -> tuple[Suspect, ...]:
        masks = self._source.masks or Masks({}, {}, b"")
        with ExitStack() as stack:
            tools = stack.enter_context(self._tools("host"))
            _, origin = self._origin(tools, stack)
            reading = Reading(origin)
            reading.hold()
            return personal.suspects(reading, checked(self._source.name, masks, reading.catalog()))

    def audit(self, masks: Masks, golden: Golden, copy: Connection) -> Audit:
        with ExitStack() as stack:
            server = leaks.server_container(self._at.client, self._server.host)
            tools = stack.enter_context(self._tools("host", read_of=server))
            _, origin = self._origin(tools, stack)
            reading = Reading(origin)
            reading.hold()
            plan = checked(self._source.name, masks, reading.catalog())
            inside = stack.enter_context(session(self._server, copy.database))
            auditing = Auditing(tools, reading, plan, copy, masks.key_hex)
            same = golden.sanitised_by == self._sanitised_by()
            return auditing.run(self._connection, inside, golden, same_rules=same)

    # --- without

    def _commanded(self, tools: Tools) -> Dump:
        """What the command made of the source, which is the command's to sanitise."""
        name = self._source.name
        self._progress(f"{name}: running {self._source.command[0]} in {self._source.command_image}")
        labels = self._names.labels(None, ROLE, service=name)
        tool = commanded(self._source)
        foreign.run(self._at.client, tools, labels, tool, self._progress)
        return examined(tools, tool.path, f"what databases.{name}.command wrote", parallel=False)

    def _tell(self, seen: Seen) -> None:
        self._progress(
            f"{self._source.name}: source is PostgreSQL {seen.version_text}, {seen.tables} tables,"
            f" {seen.size_bytes / 1e6:.1f} MB"
        )

    def _dumped(self, tools: Tools) -> Dump:
        name = self._source.name
        if self._source.file:
            self._progress(f"{name}: reading {self._source.file}")
            return from_file(tools, self._source.file)
        live = LiveSource(self._source, tools)
        seen = live.look(self._connection.info.server_version)
        self._tell(seen)
        path = live.dump(seen, self._progress)
        dump = examined(tools, path, f"source {name}", parallel=True)
        return replace(dump, locale=seen.locale, source_version=seen.version_text, settings=seen.settings)

    def _sanitised(self, tools: Tools, dump: Dump, content: bytes, _digest: str) -> Dump:
        with ExitStack() as stack:
            scratch = self._scratch(stack, tools)
            self._at.checkpoint("refresh:scratch")
            self._restore(dump).into(scratch)
            return self._scripted(scratch, dump, content)

    def _scratch(self, stack: ExitStack, tools: Tools) -> Scratch:
        self._progress(f"{self._source.name}: starting a scratch server")
        inside = stack.enter_context(self._tools("none", volume_of=tools))
        scratch = Scratch(inside, self._server.user, self._loader, self._database)
        scratch.start()
        return scratch

    def _scripted(self, scratch: Scratch, dump: Dump, content: bytes) -> Dump:
        """What is in the scratch server after the script."""
        name = self._source.name
        self._progress(f"{name}: running {self._source.sanitise}")
        scratch.sanitise(content, str(self._source.sanitise))
        path = scratch.dump(self._source.jobs)
        clean = examined(scratch.tools, path, f"source {name}, sanitised", parallel=True)
        return replace(
            clean,
            locale=dump.locale,
            source_version=dump.source_version,
            settings=dump.settings,
            notes=dump.notes,
        )

    def _restore(self, dump: Dump) -> Restore:
        return Restore(self._names, self._source, dump, self._database, self._loader, self._progress)

    def _restored(self, tools: Tools, dump: Dump) -> Dump:
        restore = self._restore(dump)
        restore.into(self._previews(tools))
        return replace(dump, notes=(*dump.notes, *restore.notes))

    def _previews(self, tools: Tools) -> Previews:
        """The previews' server, with the loader's role on it."""
        connection = self._connection
        self._began_at = self._wal_position()
        parts = {
            "role": sql.Identifier(self._loader),
            "password": verifier(self._password),
        }
        connection.execute(
            statement(
                "CREATE ROLE {role} LOGIN BYPASSRLS NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION"
                " PASSWORD {password}",
                **parts,
            )
        )
        return Previews(self._server, tools, self._loader, self._password, self._database)

    def _hand_over(self) -> None:
        """Everything is vacuumed, and the objects' owner's; the loader is gone.

        The loader vacuums its tables itself: an index's expression runs code of the dump's. What is committed here is
        on disk with the golden's mark at the latest.
        """
        self._progress(f"{self._source.name}: vacuuming and analysing")
        with session(self._server, self._database, role=(self._loader, self._password)) as loader:
            loader.execute("SET synchronous_commit = off")
            loader.execute("VACUUM (FREEZE, ANALYZE)")
        parts = {
            "loader": sql.Identifier(self._loader),
            "owner": sql.Identifier(self._names.golden_owner(self._source.name)),
        }
        with session(self._server, self._database) as inside:
            with suppress(errors.DuplicateObject):
                inside.execute(statement("CREATE ROLE {owner} NOLOGIN", **parts))
            inside.execute("SET synchronous_commit = off")
            inside.execute(
                script(
                    statement("REASSIGN OWNED BY {loader} TO {owner}", **parts),
                    statement("DROP OWNED BY {loader}", **parts),
                )
            )
            inside.execute(statement("DROP ROLE {loader}", **parts))
            own_activity_only(inside)
            own_settings_only(inside, naming.settings_reader(self._names))
            catalog = inside.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'pg_catalog'::regnamespace"
                " AND relkind = 'r' AND NOT relisshared ORDER BY relname"
            ).fetchall()
            tables = sql.SQL(", ").join(sql.Identifier("pg_catalog", name) for (name,) in catalog)
            inside.execute(statement("VACUUM (FREEZE, ANALYZE) {tables}", tables=tables))

    def _sanitised_by(self) -> str:
        """A digest of all that had a say in it; "" where nothing had."""
        source = self._source
        said = [source.masks.digest] if source.masks else []
        said += [self._sanitise[1]] if self._sanitise else []
        said += [hashlib.sha256(repr(source.command).encode()).hexdigest()] if source.command else []
        return said[0] if len(said) < 2 and said else hashlib.sha256("".join(said).encode()).hexdigest() if said else ""

    def _swap_in(self, dump: Dump) -> Golden:
        """The new golden is complete, and thereby THE golden: its mark is written last."""
        connection = self._connection
        opened_once(self._server, self._database)  # all that changes its catalogs was before this
        size_bytes = observing.size_bytes(connection, self._database)
        where, files = volumes.look(connection), volumes.files(connection, self._database)
        golden = Golden(
            source=self._source.name,
            database=self._database,
            created_at=datetime.now(UTC),
            size_bytes=size_bytes,
            files=files,
            strategy=strategy.chosen(size_bytes, files, where, connection.info.server_version),
            filesystem=where.filesystem,
            sanitised_by=self._sanitised_by(),
            server_version=connection.info.server_version,
            source_version=dump.source_version,
            settings=tuple(sorted(dump.settings.items())),
            notes=dump.notes,
            wal=(self._began_at, self._ended_at) if self._plan else ("", ""),
        )
        mark = marks.written(
            self._names,
            marks.GOLDEN,
            source=golden.source,
            created=golden.created_at.isoformat(),
            size_bytes=golden.size_bytes,
            files=golden.files,
            strategy=golden.strategy,
            filesystem=golden.filesystem,
            sanitised_by=golden.sanitised_by,
            server_version=golden.server_version,
            source_version=golden.source_version,
            settings=dict(golden.settings),
            notes=list(golden.notes),
            wal=list(golden.wal),
        )
        parts = {"database": sql.Identifier(self._database), "mark": sql.Literal(mark)}
        connection.execute(
            script(
                statement("ALTER DATABASE {database} IS_TEMPLATE true ALLOW_CONNECTIONS false", **parts),
                statement("COMMENT ON DATABASE {database} IS {mark}", **parts),
            )
        )
        self._at.checkpoint("refresh:marked")
        self._progress(f"{self._source.name}: golden ready, {golden.size_bytes / 1e6:.1f} MB")
        return golden

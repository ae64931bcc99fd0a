"""Goldens: the templates that clones are made from, one per source, replaced as a whole by a refresh."""

from __future__ import annotations

import secrets
from builtins import list as list_
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import docker.errors
import psycopg
from psycopg import errors, sql

from cx.core.errors import CxError, Invalid
from cx.core.names import Names
from cx.data import marks
from cx.data.errors import GoldenMissing, ServerBusy
from cx.data.masking.auditing import Audit
from cx.data.masking.personal import Suspect
from cx.data.refresh.dump import dump_kind
from cx.data.refresh.scratch import script_of
from cx.data.refresh.source import connection_parts
from cx.data.session import Session, session, statement, tried_lock
from cx.data.shared import naming, observing
from cx.data.shared.dropping import drop_database
from cx.data.shared.refresh import ROLE, Refresh, Workplace
from cx.data.shared.room import watched
from cx.data.values import Checkpoint, Connection, Golden, Progress, Server, Source, nowhere
from cx.data.workbench.tools import remove

if TYPE_CHECKING:
    from docker import DockerClient


class PostgresGoldens:
    """The goldens of one instance on one server. `image` is the server's, for its programs."""

    def __init__(
        self,
        server: Server,
        names: Names,
        client: DockerClient,
        image: str,
        *,
        checkpoint: Checkpoint = nowhere,
    ) -> None:
        self._at = Workplace(server, names, client, image, checkpoint)
        self._server = server
        self._names = names
        self._client = client

    def list(self) -> tuple[Golden, ...]:
        """The golden of each source, by the source's name."""
        with session(self._server) as connection:
            finished = observing.goldens(self._names, observing.look(connection, self._names))
        newest = {golden.source: golden for golden in reversed(finished)}
        return tuple(newest[source] for source in sorted(newest))

    def current(self, source: str) -> Golden | None:
        """The golden that a clone of `source` would be made from."""
        with session(self._server) as connection:
            return observing.current(connection, self._names, source)

    def refresh(self, source: Source, *, progress: Progress = nowhere) -> Golden:
        """Makes a new golden of `source`, and puts it in the place of the one that was there.

        Until the last step the old one serves; where anything fails it serves on, and nothing is left of the
        new one. What a killed refresh left is removed by the next. Clones keep what they were made from.
        Raises ServerBusy (another refresh of it runs), SourceUnavailable, SourceRefused, DumpUnusable,
        SanitiseFailed, Unmasked, LeakFound, RestoreFailed, NoSpace, Invalid.
        """
        if (source.url is None) == (source.file is None):
            raise Invalid("host configuration", f"databases.{source.name}", "needs either source or file")
        if source.file:
            dump_kind(source.file)
        else:
            connection_parts(source)
        sanitise = script_of(source.sanitise, source.name) if source.sanitise else None
        with session(self._server) as connection:
            self._lock(connection, source.name)
            self._sweep(connection, source.name)
            try:
                with watched(self._server, naming.loader(self._names, source.name), f"a golden of {source.name}"):
                    golden = Refresh(self._at, connection, source, sanitise, progress).run()
            except BaseException:
                with suppress(CxError, psycopg.Error):  # what is left is the next refresh's to remove
                    self._sweep(connection, source.name)
                raise
            self._sweep(connection, source.name)
            return golden

    def classify(self, source: Source, *, progress: Progress = nowhere) -> tuple[Suspect, ...]:
        """The source's columns that look personal and have no rule yet. Nothing is changed anywhere."""
        with self._busy(source) as connection:
            return Refresh(self._at, connection, source, None, progress).suspects()

    def audit(self, source: Source, copy: Connection, *, progress: Progress = nowhere) -> Audit:
        """Whether values of the source's masked columns are in its golden, of which `copy` is a copy.

        Raises Invalid (no rules), GoldenMissing.
        """
        if source.masks is None:
            raise Invalid("host configuration", f"databases.{source.name}.mask", "is missing: nothing is masked")
        golden = self.current(source.name)
        if golden is None:
            raise GoldenMissing(source.name)
        script = script_of(source.sanitise, source.name) if source.sanitise else None
        once = replace(source.masks, key=secrets.token_bytes(32))
        with self._busy(source) as connection:
            return Refresh(self._at, connection, replace(source, masks=once), script, progress).audit(
                once, golden, copy
            )

    @contextmanager
    def _busy(self, source: Source) -> Iterator[Session]:
        """A session that keeps refreshes of the source away, and nothing left of it afterwards."""
        with session(self._server) as connection:
            self._lock(connection, source.name)
            try:
                yield connection
            finally:
                with suppress(CxError, psycopg.Error):
                    self._sweep(connection, source.name)

    def drop(self, source: str) -> None:
        """Leaves no golden of `source`; its clones stay. Safe to repeat."""
        with session(self._server) as connection:
            self._lock(connection, source)
            while golden := observing.current(connection, self._names, source):
                drop_database(self._server, connection, golden.database)
            self._sweep(connection, source)

    def leftovers(self) -> tuple[tuple[str, str], ...]:
        """Source and database of what refreshes that died have left. What one is at work on is not among them."""
        start = self._names.golden_prefix("").removesuffix("__")
        with session(self._server) as connection:
            found = observing.look(connection, self._names, start)
            named = ((name.removeprefix(start).rpartition("__")[0], name) for name in sorted(found.databases))
            kept = {one.source: one.database for one in reversed(observing.goldens(self._names, found))}
            left = [(source, name) for source, name in named if kept.get(source) != name]
            return tuple(one for one in left if tried_lock(connection, self._key(one[0])))

    def tidy(self, source: str) -> None:
        """Nothing is left of refreshes of `source` that died. Raises ServerBusy (one runs). Safe to repeat."""
        with session(self._server) as connection:
            self._lock(connection, source)
            self._sweep(connection, source)

    def _key(self, source: str) -> str:
        return f"refresh {self._names.instance} {source}"

    def _lock(self, connection: Session, source: str) -> None:
        if not tried_lock(connection, self._key(source)):
            raise ServerBusy(f"a refresh of {source} is running", remedy="wait for it to end")

    def _sweep(self, connection: Session, source: str) -> None:
        """All that remains of `source` is its newest golden, and the roles that this and clones need."""
        self._remove_containers(source)
        found = observing.look(connection, self._names, self._names.golden_prefix(source))
        serving = observing.newest(observing.goldens(self._names, found), source)
        for database in found.databases:
            if serving is None or database != serving.database:
                drop_database(self._server, connection, database)
        roles = [naming.loader(self._names, source)]
        roles += [] if serving else [self._names.golden_owner(source)]
        roles += self._policy_roles(connection, source)
        for role in roles:
            with suppress(errors.DependentObjectsStillExist):  # clones that still need it
                connection.execute(statement("DROP ROLE IF EXISTS {role}", role=sql.Identifier(role)))

    def _remove_containers(self, source: str) -> None:
        labels = self._names.labels(None, ROLE, service=source)
        mine: dict[str, str | list_[str] | bool] = {"label": [f"{key}={value}" for key, value in labels.items()]}
        for container in self._client.containers.list(all=True, ignore_removed=True, filters=mine):
            remove(container)
        for volume in self._client.volumes.list(filters=mine):
            with suppress(docker.errors.APIError):  # goes with its container, which is on its way
                volume.remove()

    def _policy_roles(self, connection: Session, source: str) -> tuple[str, ...]:
        rows = connection.execute(
            "SELECT rolname, shobj_description(oid, 'pg_authid') FROM pg_roles WHERE NOT rolcanlogin"
        ).fetchall()
        read = ((name, marks.read(self._names, comment)) for name, comment in rows)
        return tuple(
            name for name, mark in read if mark and mark.kind == marks.POLICY_ROLE and mark.text("source") == source
        )

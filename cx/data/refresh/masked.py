"""The steps of a masked refresh, in the order in which a refresh takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cx.core.errors import CxError
from cx.data.errors import SourceRefused
from cx.data.masking.catalog import quoted
from cx.data.masking.checking import Plan, checked
from cx.data.masking.dialects.postgres.moving import Moving
from cx.data.masking.dialects.postgres.personal import suspects
from cx.data.masking.dialects.postgres.reading import MIN_VERSION, Reading
from cx.data.masking.dialects.postgres.subset import choose
from cx.data.masking.personal import unmasked
from cx.data.masking.searching import refuse, search_output
from cx.data.refresh.dump import Dump, examined
from cx.data.refresh.restore import Restore, Target
from cx.data.refresh.source import DUMPED
from cx.data.values import Masks, Progress, Source
from cx.data.workbench.tools import WORK, Ran

_SCHEMA = f"{WORK}/schema"
_OBJECTS = f"{WORK}/objects"

# Materialised views that hold rows, each after those that it reads.
_VIEWS = """
WITH RECURSIVE edge AS (
  SELECT r.ev_class AS reads, d.refobjid AS read FROM pg_depend AS d JOIN pg_rewrite AS r ON d.objid = r.oid
  WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> r.ev_class),
deep AS (
  SELECT oid, 0 AS depth FROM pg_class WHERE relkind = 'm'
  UNION SELECT reads, depth + 1 FROM deep JOIN edge ON read = deep.oid WHERE depth < 100)
SELECT format('%I.%I', n.nspname, c.relname) FROM deep JOIN pg_class AS c USING (oid)
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind = 'm' AND c.relispopulated GROUP BY n.nspname, c.relname ORDER BY max(depth), 1"""


def planned(reading: Reading, source: Source, masks: Masks) -> Plan:
    """The rules hold for the source's schema, and no column that looks personal is without one.

    Raises Invalid, SourceRefused, Unmasked.
    """
    if (version := reading.origin.version) < MIN_VERSION:
        raise SourceRefused(
            f"source {source.name} runs PostgreSQL {version // 10000}, which cannot make keyed digests itself",
            remedy="rules need PostgreSQL 11; sanitise by a script",
        )
    plan = checked(source.name, masks, reading.catalog())
    if found := suspects(reading, plan):
        raise unmasked(source.name, found)
    return plan


def schema(reading: Reading, plan: Plan, origin: str) -> Dump:
    """The source's definitions, without what the rules leave out."""
    tools = reading.origin.tools
    gone = [f"--exclude-table={quoted(one.schema)}.{quoted(one.name)}" for one in plan.left_out]
    argv = ["pg_dump", "-d", "service=source", "-w", "-Fc", "-f", _SCHEMA, "--schema-only"]
    ran = tools.run([*argv, f"--snapshot={reading.snapshot}", *DUMPED, *gone], environment=reading.origin.environment)
    if not ran.ok:
        raise reading.origin.failure(ran)
    dump = examined(tools, _SCHEMA, origin, parallel=True)
    tables = plan.catalog.tables
    broken = [f" FK CONSTRAINT {tables[o.table].schema} {tables[o.table].name} {o.name} " for o in plan.broken]
    if dump.contents is None:
        return dump
    keep = tuple(line for line in dump.contents.keep if not any(one in line for one in broken))
    notes = list(dump.notes)
    if plan.left_out:
        notes.append(f"left out: table {', '.join(one.said for one in plan.left_out)}")
    if ends := [f"{tables[o.table].said} {o.name}" for o in plan.broken if o.to in {t.oid for t in plan.left_out}]:
        notes.append(f"left out: foreign key {', '.join(ends)}")
    return replace(dump, contents=replace(dump.contents, keep=keep), notes=tuple(notes))


@dataclass(frozen=True)
class Filling:
    """A plan's rows, and all that is around them, on their way into `target`."""

    reading: Reading
    plan: Plan
    source: Source
    masks: Masks
    restore: Restore
    progress: Progress

    def into(self, target: Target) -> None:
        """Raises SourceUnavailable, SourceRefused, RestoreFailed, NoSpace."""
        untrusted = self.restore.begin(target)
        self.restore.section(target, untrusted, "pre-data")
        chosen = choose(self.reading, self.plan)
        if chosen.places:
            rows = sum(map(len, chosen.places.values()))
            self.progress(f"{self.source.name}: {rows} rows of {len(chosen.places)} tables are chosen")
        self.progress(f"{self.source.name}: copying {len(self.plan.moved)} tables, masked")
        environment = target.environment
        Moving(self.reading, self.plan, chosen, environment, self.source.jobs, self._failure).run()
        if self.masks.large_objects:
            self._large_objects(target)
        self.progress(f"{self.source.name}: building indexes and constraints")
        self.restore.section(target, untrusted, "post-data")
        self._views(target)

    def _failure(self, ran: Ran) -> CxError:
        return self.restore.failure(ran)

    def _large_objects(self, target: Target) -> None:
        tools = self.reading.origin.tools
        argv = ["pg_dump", "-d", "service=source", "-w", "-Fc", "-f", _OBJECTS, "--section=data", "--blobs"]
        argv += [f"--snapshot={self.reading.snapshot}", "--exclude-table-data=*.*", *DUMPED]
        ran = tools.run(argv, environment=self.reading.origin.environment)
        if not ran.ok:
            raise self.reading.origin.failure(ran)
        refuse(search_output(tools, ["pg_restore", "-f", "-", _OBJECTS], {}, "large objects"))
        restore = ["pg_restore", "-d", "service=target", "-w", "--exit-on-error", "--section=data", "--no-owner"]
        self._must(target.environment, [*restore, "--no-privileges", _OBJECTS])

    def _views(self, target: Target) -> None:
        views = self.reading.lines([_VIEWS]) if self.plan.catalog.views else []
        if views:
            path = f"{WORK}/views.sql"
            script = "".join(f"REFRESH MATERIALIZED VIEW {one};\n" for one in views)
            self.reading.origin.tools.put(path, script.encode())
            argv = ["psql", "-Xqw", "-v", "ON_ERROR_STOP=1", "-d", "service=target", "-f", path]
            self._must(target.environment, argv)

    def _must(self, environment: Mapping[str, str], argv: Sequence[str]) -> None:
        ran = self.reading.origin.tools.run(argv, environment=environment)
        if not ran.ok:
            raise self._failure(ran)

    @property
    def notes(self) -> tuple[str, ...]:
        count = self.plan.catalog.large_objects
        left = [f"left out: {count} large objects"] if count and not self.masks.large_objects else []
        return (*self.restore.notes, *left)

"""A source as of one moment: a session in the tools container holds its snapshot, and others read by it.

The session waits until its container ends, and that ends with cx. It locks every table against changes of its
definition, as pg_dump does; so a row's place in its table (ctid) names it until then.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cx.core.errors import CxError
from cx.core.names import shown
from cx.data.errors import SourceRefused
from cx.data.masking.catalog import Catalog
from cx.data.masking.dialects.postgres import columns
from cx.data.masking.dialects.postgres.columns import literal
from cx.data.workbench.tools import WORK, Ran, Tools

MIN_VERSION = 110000  # sha256() is built in

_QUIET = """SET search_path = pg_catalog; SET statement_timeout = 0; SET lock_timeout = '60s';
SET idle_in_transaction_session_timeout = 0; SET row_security = off;
SET DateStyle = ISO; SET IntervalStyle = postgres; SET extra_float_digits = 3; SET bytea_output = hex;
SET standard_conforming_strings = on; SET synchronize_seqscans = off; SET work_mem = '64MB';
"""
_BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;\n"
_LOCK = """SELECT 'LOCK TABLE ' || string_agg(format('%I.%I', n.nspname, c.relname), ', ') || ' IN ACCESS SHARE MODE'
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
  AND has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') HAVING count(*) > 0
\\gexec
"""
_HOLD = f"""exec 3>{WORK}/hold.err
psql -XAtqw -v ON_ERROR_STOP=1 -d service=source -f {WORK}/hold.sql </dev/null >/dev/null 2>&3 &
exec 3>&-
while [ ! -s {WORK}/snapshot ]; do
  if ! kill -0 $! 2>/dev/null; then cat {WORK}/hold.err >&2; exit 1; fi
  sleep 0.01
done
cat {WORK}/snapshot"""


@dataclass(frozen=True)
class Origin:
    """Where rows come from: `environment` makes the service "source" of it, for psql in `tools`.

    `version` is the server's, as in 180001; `encoding` is the database's, so that nothing is converted. `failure` says
    what a command's end means.
    """

    tools: Tools
    environment: Mapping[str, str]
    version: int
    encoding: str
    failure: Callable[[Ran], CxError]

    @property
    def folding(self) -> str:
        """The collation by which upper case is found fastest: a quarter of what masking takes is that."""
        return "pg_catalog.pg_c_utf8" if self.version >= 170000 and self.encoding == "UTF8" else ""


@dataclass
class Reading:
    """One source, read as of the moment at which `hold` returned."""

    origin: Origin
    snapshot: str = ""

    def hold(self) -> None:
        """Raises what `origin.failure` makes of it."""
        export = f"SELECT pg_export_snapshot() \\g {WORK}/snapshot\n\\! exec sleep infinity\n"
        self.origin.tools.put(f"{WORK}/hold.sql", (_QUIET + _BEGIN + _LOCK + export).encode())
        ran = self._run(["bash", "-c", _HOLD])
        if not ran.ok:
            raise self.origin.failure(ran)
        self.snapshot = ran.output.strip()

    @property
    def environment(self) -> Mapping[str, str]:
        return {**self.origin.environment, "PGCLIENTENCODING": self.origin.encoding}

    def _run(self, argv: Sequence[str]) -> Ran:
        return self.origin.tools.run(argv, environment=self.environment)

    @property
    def prologue(self) -> str:
        """What a script begins with, to read as of that moment."""
        return (
            f"\\restrict {secrets.token_hex(16)}\n{_QUIET}{_BEGIN}SET TRANSACTION SNAPSHOT {literal(self.snapshot)};\n"
        )

    def lines(self, statements: Sequence[str], to: str = "") -> list[str]:
        """What the statements print; into the container's file `to` if there is one."""
        path = f"{WORK}/ask.sql"
        self.origin.tools.put(path, (self.prologue + "".join(f"{one};\n" for one in statements)).encode())
        argv = ["psql", "-XAtqw", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d", "service=source", "-f", path]
        if to:
            argv = ["bash", "-c", f'"$@" > {to}', "bash", *argv]
        ran = self._run(argv)
        if not ran.ok:
            raise self.origin.failure(without_values(ran))
        return ran.output.splitlines()

    def catalog(self) -> Catalog:
        """Raises SourceRefused where to read rows would run code of the source's, as whoever reads them."""
        if casts := self.lines([columns.CASTS]):
            raise SourceRefused(
                f"the source casts {shown(casts[0])} to text by a function of its own, which rules would run there",
                remedy="drop the cast, or sanitise by a script",
            )
        facts: Any = json.loads("".join(self.lines([columns.QUERY])))
        return columns.read(facts)


_VALUE = re.compile(r'(: )".*')


def without_values(ran: Ran) -> Ran:
    """PostgreSQL's messages quote the value that they do not like, after a colon: it is cut off."""
    return Ran(ran.exit_code, "", tuple(_VALUE.sub(r"\1a value", line) for line in ran.errors))

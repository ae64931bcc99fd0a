"""Rows on their way: `COPY (SELECT ...) TO STDOUT` at the source, `COPY ... FROM STDIN` at the target, a pipe between.

What the source's psql prints is a script for the target's: statements of ours, and rows as text in which a line of its
own never begins with a backslash and a dot. So one pair of sessions takes any number of tables, and `jobs` pairs work
side by side, inside the tools container: rows do not pass through Python.

A table is filled in the transaction that empties it, with its rows frozen: the vacuum afterwards writes nothing again.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from cx.core.errors import CxError
from cx.data.masking.catalog import Table, quoted
from cx.data.masking.checking import Plan
from cx.data.masking.dialects.postgres.columns import literal
from cx.data.masking.dialects.postgres.expressions import select
from cx.data.masking.dialects.postgres.reading import Reading, without_values
from cx.data.masking.dialects.postgres.subset import Chosen
from cx.data.masking.searching import CANARIES, Leak, refuse, search_hits, search_output
from cx.data.workbench.tools import WORK, Ran

# Canaries are looked for on the way, as a search of files does not see what is long, which is compressed on arrival.
# tee ends where the search has ended early, and so does the pipe: what was not looked at is not there. The search says
# on 3 how it ended; who waits for that waits for all of it.
_PIPE = """set -o pipefail
look() {{ # without patterns grep ends before it has read anything
  if [ -e {canaries}.only ] && [ ! -s {canaries}.only ]; then cat > /dev/null; return 1; fi
  LC_ALL=C grep -aoFf {canaries}.only
}}
moving() {{
  {{ cat {work}/restrict."$1"
    exec psql -XAtqw -v ON_ERROR_STOP=1 -d service=source -f {work}/move."$1".sql 2>{work}/out."$1" 3>&-; }} |
    tee >({{ look; echo $? >&3; }} | LC_ALL=C sort -u > {canaries}.moved."$1") |
    PGSERVICEFILE="$2" PGPASSFILE="$3" psql -XAtqw -v ON_ERROR_STOP=1 -d service=target -f - \\
      2>{work}/in."$1" 3>&- >/dev/null
}}
ended=0
looked=$(moving "$@" 3>&1) || ended=$?
case $looked in 0 | 1) ;; *) echo 'source: error: the search for raw values on the way has failed' >&2; ended=1 ;; esac
sed 's/^/source: /' {work}/out."$1" >&2
sed 's/^/target: /' {work}/in."$1" >&2
exit $ended"""


# A digest costs the source far more than the operator that its planner takes it for: several of its processes may make
# them, as many as its own settings allow.
PARALLEL = "SET cpu_operator_cost = 0.05;\n"
ALONE = "SET max_parallel_workers_per_gather = 0;\n"


@dataclass(frozen=True)
class Moving:
    """The rows of a plan, from `reading` to the service "target" of `environment`; both in the same container.

    `target_failure` says what the target's refusal means.
    """

    reading: Reading
    plan: Plan
    chosen: Chosen
    environment: Mapping[str, str]
    jobs: int
    target_failure: Callable[[Ran], CxError]

    def run(self) -> None:
        """All rows, and the values of sequences, are there, and no canary was on the way.

        Raises what the failures make of it, LeakFound.
        """
        shares = _shared([(self._weight(table), list(self._table(table))) for table in self.plan.moved], self.jobs)
        shares[-1] += self._sequences()
        with ThreadPoolExecutor(len(shares)) as pool:
            for ran in list(pool.map(self._pipe, range(len(shares)), shares)):
                if not ran.ok:
                    raise self._failure(ran)
        if leak := search_hits(self.reading.origin.tools, f"{CANARIES}.moved.*"):
            refuse(Leak(leak.columns, tuple(self._places())))

    def _places(self) -> Iterator[str]:
        """The tables at the target that hold canaries."""
        tools = self.reading.origin.tools
        for table in self.plan.moved:
            copy = ["psql", "-XAtqw", "-d", "service=target", "-c", f"COPY {table.quoted} TO STDOUT"]
            if search_output(tools, copy, self.environment, table.said):
                yield table.said

    def _weight(self, table: Table) -> float:
        share = self.chosen.share(table)
        return 8192 + table.bytes * share

    def _pipe(self, number: int, statements: Sequence[str]) -> Ran:
        tools = self.reading.origin.tools
        script = (self.reading.prologue, PARALLEL if self.jobs > 1 else ALONE, *statements)
        restricted = f"\\restrict {secrets.token_hex(16)}\n"
        files = {f"move.{number}.sql": "".join(script), f"restrict.{number}": restricted}
        tools.put_parts(WORK, ((name, text.encode()) for name, text in files.items()))
        argv = ["bash", "-c", _PIPE.format(work=WORK, canaries=CANARIES), "bash", str(number)]
        argv += [self.environment["PGSERVICEFILE"], self.environment.get("PGPASSFILE", "/dev/null")]
        return tools.run(argv, environment=self.reading.environment)

    def _failure(self, ran: Ran) -> CxError:
        said = without_values(ran).errors
        source = tuple(line.removeprefix("source: ") for line in said if line.startswith("source: "))
        target = tuple(line.removeprefix("target: ") for line in said if line.startswith("target: "))
        # Where the source fails, the target's psql says nothing, or that its input ended.
        if any("error:" in line.lower() or "fatal:" in line.lower() for line in source):
            return self.reading.origin.failure(Ran(ran.exit_code, "", source))
        return self.target_failure(Ran(ran.exit_code, "", target or source))

    def _table(self, table: Table) -> Iterator[str]:
        into = self.plan.into(table)
        kept = [one for one in table.columns.values() if not one.generated]
        names = f" ({', '.join(quoted(one.name) for one in kept)})" if kept else ""
        own = into == table.quoted
        begin = f"BEGIN; TRUNCATE ONLY {into};" if own else "BEGIN;"
        frozen = " WITH (FREEZE)" if own else ""
        yield f"SELECT {literal(begin)};\n"
        for conditions in self.chosen.conditions(table):
            rules = self.plan.rules[table.oid]
            rows = select(table.quoted, table.columns, rules, conditions, self.reading.origin.folding)
            yield f"SELECT {literal(f'COPY {into}{names} FROM STDIN{frozen};')};\n"
            yield f"COPY ({rows}) TO STDOUT;\nSELECT {literal(chr(92) + '.')};\n"
        yield "SELECT 'COMMIT;';\n"

    def _sequences(self) -> list[str]:
        gone = {one.oid for one in self.plan.left_out}
        return [
            f"SELECT format('SELECT pg_catalog.setval(%L, %s, %L);', {literal(one.quoted)}, last_value, is_called)"
            f" FROM {one.quoted};\n"
            for one in self.plan.catalog.sequences
            if one.owned_by not in gone
        ]


def _shared(weighed: Sequence[tuple[float, list[str]]], jobs: int) -> list[list[str]]:
    """The statements in at most `jobs` shares of about the same weight, the heaviest first."""
    shares: list[list[str]] = [[] for _ in range(max(1, min(jobs, len(weighed))))]
    loads = [0.0] * len(shares)
    for weight, statements in sorted(weighed, key=lambda one: -one[0]):
        lightest = loads.index(min(loads))
        shares[lightest] += statements
        loads[lightest] += weight
    return shares

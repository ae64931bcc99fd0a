"""The group `sanitise`: refreshes of a golden by rules, against `pg_dump -Fc | pg_restore` of the same data.

The source is a database on the benchmark's own server: reading and writing share its disk, for cx and for the pipe.
"""

from __future__ import annotations

import contextlib
import statistics

from figures import Figure, Report
from host import Bench, free_port, source_of
from rows import Rounds

SOURCE = "people"
ROWS = 2_000_000  # customers; quick: a tenth
FILL = """
CREATE TABLE customer (
  id bigint PRIMARY KEY, email text UNIQUE NOT NULL, name text, phone text, born date, iban text, home text, note text);
INSERT INTO customer
SELECT g, 'person' || g || '@corp' || g % 500 || '.example', 'Given' || g % 9999 || ' Family' || g,
  '+49 30 ' || 5550000 + g, '1950-01-01'::date + (g % 20000)::int, 'DE' || md5(g::text),
  'Long Street ' || g || ', 10115 Town', md5(g::text) || md5((g + 1)::text) || md5((g + 2)::text)
FROM generate_series(1, {rows}::bigint) AS g;
CREATE TABLE purchase (
  id bigint PRIMARY KEY, customer bigint NOT NULL REFERENCES customer, placed timestamptz, what text);
INSERT INTO purchase SELECT g, 1 + g % {rows}, '2026-01-01'::timestamptz + g * interval '1 s', md5(g::text)
FROM generate_series(1, 2 * {rows}::bigint) AS g;
CREATE INDEX ON purchase (customer);
"""
RULES = """
[databases.{of}.mask.customer]
email = "fake email"
name = {{ fake = "name", by = "id" }}
phone = "fake phone"
born = {{ shift_days = 30, by = "id" }}
iban = "hash"
home = "fake address"
note = "keep"
"""
SUBSET = """
[databases.{of}.rows]
purchase = {{ newest = {newest} }}
"""


def sanitise(bench: Bench, report: Report, quick: bool) -> None:
    folder = bench.folder / "sanitise"
    folder.mkdir()
    one = Bench(folder, (), free_port(), bench.say, "benchmask", "10.221.0.0/16", "spares = 0")
    rows = ROWS // 10 if quick else ROWS
    try:
        one.up()
        one.say(f"fill a source with {rows} people")
        size_mb = one.filled(SOURCE, FILL.format(rows=rows))
        of = source_of(SOURCE)
        whole, plain, part = RULES.format(of=of), "", SUBSET.format(of=of, newest=rows // 50)
        pipe = f"createdb restored && pg_dump -Fc {SOURCE} | pg_restore -d restored && dropdb restored"
        took: dict[str, list[float]] = {name: [] for name in ("pipe", "masked", "without rules", "subset of 1%")}
        for number in Rounds(2 if quick else 4, 600, least=2 if quick else 4):
            runs = {"pipe": one.shell(pipe).took_s}
            for name, rules in (("masked", whole), ("without rules", plain), ("subset of 1%", whole + part)):
                one.ruled(SOURCE, rules)
                runs[name] = one.cx("db", "refresh", of).took_s
            if number > 1:
                for name, seconds in runs.items():
                    took[name].append(seconds)
        said = f"of {size_mb:.0f} MB"
        for name, goal in (("masked", 1.0), ("without rules", None), ("subset of 1%", None)):
            figure = Figure(f"refresh, {name}, {said}", "pg_dump -Fc | pg_restore", took[name], took["pipe"], goal=goal)
            report.figures.append(figure)
        rate = size_mb / statistics.median(took["masked"])
        report.facts["masked refresh"] = f"{rate:.0f} MB of tables and indexes a second, leak scan included"
    finally:
        with contextlib.suppress(Exception):
            one.cx("down", "--volumes", "--force")
        one.sweep()

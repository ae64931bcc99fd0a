"""The group `data`: clones by every strategy, on the machine's own file system and on a loop-mounted XFS (with root).

Each place is a host of its own. What is asked of cx is what a deployment asks: role, clone, rights, and the first
query as the preview's user.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import psycopg
from figures import Figure, Report, shown
from host import SCALES, Bench, free_port, source_of
from rows import Rounds, _session

from cx.core.names import Namespace
from cx.data.session import session
from cx.data.shared import volume
from cx.data.values import Clone, Terms
from cx.host import Host

ONE = Namespace("one")
FIRST_S = {"1gb": 0.15, "4gb": 0.4, "8gb": 0.4}  # request to first query, by reflink
SPARE_S, RESET_S, SWAP_S = 0.02, 0.25, 0.01
FRESH_BYTES, MANY_SHARE = 1e6, 0.01


@dataclass(frozen=True)
class Place:
    host: Host
    bench: Bench
    report: Report
    name: str
    reflink: bool

    def fact(self, what: str, value: float, unit: str = "s", goal: float | None = None, n: int = 1) -> None:
        verdict = "" if goal is None else f" (goal {shown(goal, unit)}: {'met' if value <= goal else 'missed'})"
        self.report.facts[f"{what}, {self.name}"] = f"{shown(value, unit)}{verdict}, n={n}"

    def times(self, what: str, took: Sequence[float], goal: float | None = None) -> None:
        """A median, and the shortest: what it takes while nothing else is at work."""
        self.fact(f"{what}, shortest", min(took))
        self.fact(what, statistics.median(took), goal=goal, n=len(took))

    def first_query(self, clone: Clone) -> None:
        to = self.host.clones.connection(clone)
        with psycopg.connect(
            host=to.host, port=to.port, dbname=to.database, user=to.user, password=to.password, sslmode="disable"
        ) as app:
            app.execute("SELECT count(*) FROM (SELECT FROM pgbench_accounts LIMIT 1) AS x")


def data(bench: Bench, report: Report, quick: bool) -> None:
    for name, pool, more in _places(bench, report):
        if bench.places and name not in bench.places:
            report.skipped[f"data on {name}"] = "--place"
            continue
        one = Bench(bench.folder / name, bench.sizes, free_port(), bench.say, f"bench{name}", pool, more)
        one.folder.mkdir()
        bench.say(f"data on {name}")
        try:
            one.up()
            with one.host() as host:
                with session(host.server) as connection:
                    found = volume.look(connection)
                report.facts[f"file system of {name}"] = f"{found.filesystem}, reflinks: {found.reflink}"
                place = Place(host, one, report, name, found.reflink)
                for size in bench.sizes:
                    _table(place, size, quick)
                _many(place, bench.sizes[0], 20 if quick else 50)
        finally:
            with contextlib.suppress(Exception):
                one.cx("down", "--volumes", "--force")
            one.sweep()


def _places(bench: Bench, report: Report) -> Iterator[tuple[str, str, str]]:
    yield "own", "10.219.0.0/16", "spares = 0"
    if os.geteuid():
        report.skipped["data on xfs"] = "mounting needs root"
        return
    large = [15 * SCALES[size] / 1000 for size in bench.sizes]
    room = round(8 + sum(large) + 2 * max(large))  # goldens, a source or two full copies, and the WAL
    yield "xfs", "10.220.0.0/16", f'spares = 0\nvolume_size = "{room}g"\npath = "{bench.folder / "xfs-volume"}"'


def _table(place: Place, size: str, quick: bool) -> None:
    host, source = place.host, source_of(size)
    original = host.clones.clone(Namespace("original"), source)
    golden = original.golden
    took: dict[str, list[float]] = {}
    with _session(host) as connection:

        def timed(name: str, do: Callable[[], object], undo: Callable[[], object]) -> None:
            connection.execute("CHECKPOINT")  # what was written before is not written within
            began = time.monotonic()
            do()
            seconds = time.monotonic() - began
            undo()
            if number > 1 or name == "dump":
                took.setdefault(name, []).append(seconds)

        def bare(method: str, strategy: str) -> None:
            connection.execute(f"SET file_copy_method = {method}")
            connection.execute(f"CREATE DATABASE bare TEMPLATE {golden} STRATEGY {strategy}")

        def gone(name: str) -> Callable[[], object]:
            return lambda: connection.execute(f"DROP DATABASE {name}")

        def dropped() -> None:
            host.clones.drop(ONE, source)

        def asked() -> None:
            place.first_query(host.clones.clone(ONE, source))

        pipe = f"createdb restored && pg_dump -Fc {original.database} | pg_restore -d restored"
        for number in Rounds(3 if quick else 4, 120 if quick else 300):
            if number == 1 or (size == "1gb" and number < 4):
                timed("dump", lambda: place.bench.shell(pipe), gone("restored"))
            timed("WAL_LOG", lambda: bare("copy", "WAL_LOG"), gone("bare"))
            timed("FILE_COPY", lambda: bare("copy", "FILE_COPY"), gone("bare"))
            if place.reflink:
                timed("reflink", lambda: bare("clone", "FILE_COPY"), gone("bare"))
            timed("clone", lambda: host.clones.clone(ONE, source), dropped)
            for _ in range(3 if place.reflink else 1):
                timed("first query", asked, dropped)
                host.spares.refill(source, Terms(spares=1))
                timed("from a spare", asked, dropped)
                host.clones.clone(ONE, source)
                timed("reset", lambda: _reset(place, source), lambda: None)
                host.spares.refill(source, Terms(spares=1))
                timed("reset with a spare", lambda: _reset(place, source), dropped)
        host.spares.refill(source, Terms(spares=0))
        _swap(place, connection)
    medians = {name: statistics.median(each) for name, each in took.items()}
    best = min(("WAL_LOG", "FILE_COPY", "reflink"), key=lambda name: medians.get(name, 1e9))
    for name in ("dump", "WAL_LOG", "FILE_COPY", "reflink"):
        if name in took:
            place.times(f"bare {name} of {size.upper()}", took[name])
    goal = {"4gb": 0.01, "8gb": 0.01}.get(size) if place.reflink else None
    every = [medians["dump"]] * len(took["clone"])
    what = f"clone of {size.upper()}, {place.name}"
    place.report.figures += [
        Figure(what, "pg_dump -Fc | pg_restore", took["clone"], every, goal=goal),
        Figure(what, f"bare {best}", took["clone"], took[best], goal=1.2),
    ]
    first = FIRST_S.get(size) if place.reflink else None
    place.times(f"request to first query, {size.upper()}", took["first query"], first)
    place.times(f"the same from a spare, {size.upper()}", took["from a spare"], SPARE_S)
    place.times(f"reset with a live connection, {size.upper()}", took["reset"], RESET_S if first else None)
    place.times(f"the same with a spare, {size.upper()}", took["reset with a spare"], RESET_S)
    host.clones.drop(Namespace("original"), source)


def _reset(place: Place, source: str) -> None:
    """With the app connected, and in a transaction."""
    clone = place.host.clones.clone(ONE, source)
    to = place.host.clones.connection(clone)
    with (
        contextlib.suppress(psycopg.OperationalError),
        psycopg.connect(host=to.host, dbname=to.database, user=to.user, password=to.password) as app,
    ):
        app.execute("SELECT FROM pgbench_accounts LIMIT 1")
        place.host.clones.reset(ONE, source)


def _swap(place: Place, connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """The two statements by which a refresh puts its golden in the place of the one before."""
    took = []
    for _ in range(5):
        connection.execute("CREATE DATABASE swapped STRATEGY WAL_LOG")
        began = time.monotonic()
        connection.execute(
            "ALTER DATABASE swapped IS_TEMPLATE true ALLOW_CONNECTIONS false; COMMENT ON DATABASE swapped IS 'x'"
        )
        took.append(time.monotonic() - began)
        connection.execute("ALTER DATABASE swapped IS_TEMPLATE false")
        connection.execute("DROP DATABASE swapped")
    place.fact("swap of goldens", statistics.median(took), goal=SWAP_S, n=len(took))


def _many(place: Place, size: str, wanted: int) -> None:
    """Four at once; then many, the last against the first, and what they take of the disk."""
    host, source = place.host, source_of(size)
    four = [Namespace(f"four-{number}") for number in range(4)]
    host.clones.clone(four[0], source)
    host.clones.drop(four[0], source)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: host.clones.clone(one, source), four))
    place.fact(f"4 clones of {size.upper()} at once", time.monotonic() - began)
    for one in four:
        host.clones.drop(one, source)
    if not place.reflink:
        place.report.skipped[f"{wanted} clones on {place.name}"] = "each is a full copy"
        return
    with session(host.server) as connection:

        def free() -> int:
            connection.execute("CHECKPOINT")
            return volume.look(connection).free_bytes or 0

        before, took = free(), []
        for number in range(wanted):
            began = time.monotonic()
            host.clones.clone(Namespace(f"many-{number}"), source)
            took.append(time.monotonic() - began)
            if number == 0:
                place.fact("disk of a fresh clone", (before - free()) / 1e6, "MB", FRESH_BYTES / 1e6)
        taken = before - free()
        golden = host.goldens.current(source)
    logical = wanted * (golden.size_bytes if golden else 0)
    place.fact(f"disk of {wanted} clones of {size.upper()}", taken / 1e6, "MB", MANY_SHARE * logical / 1e6)
    ends = _ends(took)
    place.report.figures.append(Figure(f"last 5 of {wanted} clones, {place.name}", "first 5", *ends, goal=1.2))
    for number in range(wanted):
        host.clones.drop(Namespace(f"many-{number}"), source)


def _ends(took: Sequence[float]) -> tuple[list[float], list[float]]:
    """The last five against the median of the first five; the very first found everything cold."""
    return list(took[-5:]), [statistics.median(took[1:6])] * 5

"""What is measured: each function adds the figures of one group to the report.

cx and its baseline take turns in every round, and the first round, which finds everything cold, does not count.
"""

from __future__ import annotations

import contextlib
import secrets
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from figures import Figure, Report, Step
from host import Bench, Failed, source_of
from pulls import burst, webhook

from cx.core.names import Namespace
from cx.host import Host

UP = ("up", "--detach", "--wait", "--quiet-pull")
DOWN = ("down", "--volumes")


@dataclass
class Rounds:
    """`wanted` rounds, fewer when they take more than `budget_s` seconds, but never fewer than `least`."""

    wanted: int
    budget_s: float
    least: int = 2

    def __iter__(self) -> Rounds:
        self._done, self._began = 0, time.monotonic()
        return self

    def __next__(self) -> int:
        late = time.monotonic() - self._began > self.budget_s
        if self._done >= self.wanted or (late and self._done >= self.least):
            raise StopIteration
        self._done += 1
        return self._done


def start(bench: Bench, report: Report, quick: bool) -> None:
    """What cx costs before it does anything."""
    bench.cx("deploy", bench.project("8mb"), "--namespace", "kept-8mb", "--json")
    commands = {"cx --help": ["--help"], "cx list": ["list"]}
    took: dict[str, list[float]] = {name: [] for name in ["python", *commands]}
    for number in Rounds(6 if quick else 31, 60):
        python = bench.run([sys.executable, "-c", "pass"]).took_s
        ours = {name: bench.cx(*argv).took_s for name, argv in commands.items()}
        if number > 1:
            took["python"].append(python)
            for name, seconds in ours.items():
                took[name].append(seconds)
    report.figures += [
        Figure("cx --help", "python -c pass", took["cx --help"], took["python"], goal=5),
        Figure("cx list, 1 namespace", "python -c pass", took["cx list"], took["python"]),
    ]
    for name, argv in {**commands, "cx deploy, unchanged": ["deploy", bench.project("8mb"), "-n", "kept-8mb"]}.items():
        peak = statistics.median(bench.peak_kb(*argv) for _ in range(3))
        report.facts[f"peak memory of {name}"] = f"{peak / 1024:.0f} MiB"
    bench.delete("kept-8mb")


def deploy(bench: Bench, report: Report, quick: bool, size: str = "1gb") -> None:
    """A preview as a whole against the same containers by `docker compose` alone, without database and route."""
    bench.deploy("kept", size)  # its image is what makes the others warm
    model, both = bench.plain("kept"), bench.plain("kept", pooler=True)
    names = ("deploy", "unchanged", "delete")
    ours: dict[str, list[float]] = {name: [] for name in names}
    theirs: dict[str, list[float]] = {name: [] for name in names}
    beside: list[float] = []
    steps: dict[str, dict[str, list[float]]] = {name: {} for name in names}
    for number in Rounds(4 if quick else 11, 90 if quick else 180, least=3):
        runs = {
            "deploy": bench.deploy("measured", size),
            "unchanged": bench.deploy("measured", size),
            "delete": bench.delete("measured"),
        }
        base = {
            "deploy": bench.compose(model, *UP),
            "unchanged": bench.compose(model, *UP),
            "delete": bench.compose(model, *DOWN),
        }
        with_pooler = bench.compose(both, *UP)
        bench.compose(both, *DOWN)
        if number == 1:
            continue
        beside.append(with_pooler.took_s)
        for name in names:
            ours[name].append(runs[name].took_s)
            theirs[name].append(base[name].took_s)
            for step, seconds in runs[name].steps.items():
                steps[name].setdefault(step, []).append(seconds)
    shown = size.upper()
    report.figures += [
        Figure(f"cx deploy, warm, {shown} golden", "docker compose up --wait", ours["deploy"], beside, goal=1),
        Figure(f"cx deploy, warm, {shown} golden", "the same, without the pooler", ours["deploy"], theirs["deploy"]),
        Figure("cx deploy, unchanged", "docker compose up --wait, unchanged", ours["unchanged"], theirs["unchanged"]),
        Figure("cx delete", "docker compose down -v", ours["delete"], theirs["delete"]),
    ]
    whole = {"deploy": f"cx deploy, warm, {shown} golden", "unchanged": "cx deploy, unchanged", "delete": "cx delete"}
    for name in names:
        report.parts[whole[name]] = [Step(step, took) for step, took in steps[name].items()]
    bench.delete("kept")


def clone(bench: Bench, report: Report, quick: bool) -> None:
    """cx's clone, with role, rights and mark, against a dump that is restored, and against the bare statement."""
    with bench.host() as host:
        for size in [one for one in bench.sources if one != "8mb"]:
            _clone(bench, host, report, size, Rounds(3, 30) if quick else Rounds(6, 150, least=1 + (size != "4gb")))


def _clone(bench: Bench, host: Host, report: Report, size: str, rounds: Rounds) -> None:
    source = source_of(size)
    original = host.clones.clone(Namespace("original"), source)
    ours: list[float] = []
    bare: list[float] = []
    restored: list[float] = []
    with _session(host) as connection:

        def timed(do: Callable[[], object], undo: str = "") -> float:
            connection.execute("CHECKPOINT")  # what was written before is not written within
            began = time.monotonic()
            do()
            took = time.monotonic() - began
            if undo:
                connection.execute(f"DROP DATABASE {undo}")
            return took

        template = f"CREATE DATABASE bare TEMPLATE {original.golden} STRATEGY FILE_COPY"
        pipe = f"createdb restored && pg_dump -Fc {original.database} | pg_restore -d restored"
        for number in rounds:
            took = (
                timed(lambda: host.clones.clone(Namespace("copy"), source)),
                timed(lambda: connection.execute(template), "bare"),
                timed(lambda: bench.shell(pipe), "restored"),
            )
            host.clones.drop(Namespace("copy"), source)
            if number > 1 or size == "4gb":
                ours.append(took[0])
                bare.append(took[1])
                restored.append(took[2])
        row = connection.execute("SELECT pg_database_size(%s)", [original.golden]).fetchone()
    report.facts[f"size of the {size.upper()} golden"] = f"{row[0] / 1e6 if row else 0:.0f} MB"
    name = f"clone of {size.upper()}"
    report.figures += [
        Figure(name, "pg_dump -Fc | pg_restore", ours, restored),
        Figure(name, "bare CREATE DATABASE, FILE_COPY", ours, bare),
    ]
    host.clones.drop(Namespace("original"), source)


@contextlib.contextmanager
def _session(host: Host) -> object:
    server = host.server
    with psycopg.connect(
        host=server.host, port=server.port, user=server.user, password=server.password, dbname="postgres",
        autocommit=True, sslmode="disable",
    ) as connection:  # fmt: skip
        yield connection


class Quiet:
    """A reporter that says nothing."""

    def began(self, wish: object) -> None: ...
    def step_began(self, step: str) -> None: ...
    def step_ended(self, step: str, started_at: float, duration_s: float, outcome: str) -> None: ...
    def line(self, step: str, text: str) -> None: ...
    def ended(self, outcome: str, error: object) -> None: ...


def scale(bench: Bench, report: Report, quick: bool) -> None:
    """The same deployment on a host that has ever more namespaces; what an idle host costs then."""
    marks = (1, 10, 20) if quick else (1, 50, 150)
    names: list[str] = []
    around: dict[int, list[float]] = {}
    beside: dict[int, list[float]] = {}
    idle: dict[int, list[float]] = {}
    listed: dict[int, list[float]] = {}
    steps: dict[int, dict[str, list[float]]] = {}
    bench.deploy("kept", "8mb")
    model = bench.plain("kept")
    began, budget_s = time.monotonic(), 75 if quick else 900
    for mark in marks:
        while len(names) < mark - 1 and time.monotonic() - began < budget_s:
            names.append(f"preview-{len(names) + 1}")
            bench.deploy(names[-1], "8mb")
        if len(names) < mark - 1:
            report.skipped[f"namespace {mark}"] = f"the time was up at {len(names) + 1}"
            mark = len(names) + 1
            if mark in around:
                break
        around[mark], beside[mark] = [], []
        for _ in range(3 if quick else 5):  # the mark-th namespace, made and taken away
            last = f"last-{secrets.token_hex(2)}"
            ran = bench.deploy(last, "8mb")
            around[mark].append(ran.took_s)
            for step, seconds in ran.steps.items():
                steps.setdefault(mark, {}).setdefault(step, []).append(seconds)
            beside[mark].append(bench.compose(model, *UP).took_s)
            bench.delete(last)
            bench.compose(model, *DOWN)
        names.append(f"preview-{len(names) + 1}")
        bench.deploy(names[-1], "8mb")
        idle[mark] = _idle(bench, names)
        listed[mark] = [bench.cx("list").took_s for _ in range(5)]
        bench.say(f"{len(names)} namespaces")
    first = marks[0]
    for mark in [one for one in idle if one != first]:
        report.figures += [
            Figure(f"deploy of namespace {mark}", f"namespace {first}", around[mark], around[first], goal=2),
            Figure(f"docker compose up beside {mark}", f"beside {first}", beside[mark], beside[first]),
            Figure(f"idle pass, {mark} namespaces, each", "with 1 namespace", *_even(idle[mark], idle[first])),
            Figure(f"cx list, {mark} namespaces", "with 1 namespace", listed[mark], listed[first]),
        ]
        report.parts[f"deploy of namespace {mark}"] = [Step(step, took) for step, took in steps[mark].items()]
        report.facts[f"idle pass over all {mark}"] = f"{sum(idle[mark]):.2f} s"
    report.facts[f"peak memory of cx list, {len(names)} namespaces"] = f"{bench.peak_kb('list') / 1024:.0f} MiB"


def _idle(bench: Bench, names: Sequence[str]) -> list[float]:
    """Seconds that one process takes for a pass over each namespace, of which none needs anything."""
    took = []
    with bench.host() as host:
        host.settle(Namespace(names[0]), Quiet(), "bench")  # imports and connections
        for name in names if len(names) > 1 else names * 5:
            began = time.monotonic()
            outcome = host.settle(Namespace(name), Quiet(), "bench")
            took.append(time.monotonic() - began)
            if outcome.outcome != "unchanged":
                raise Failed(f"{name} was not left alone: {outcome.outcome}")
    return took


def _even(measured: Sequence[float], compared: Sequence[float]) -> tuple[list[float], list[float]]:
    """Every one of `measured`, each against the median of `compared`: there are no rounds."""
    return list(measured), [statistics.median(compared)] * len(measured)


GROUPS: dict[str, Callable[[Bench, Report, bool], None]] = {
    "start": start,
    "deploy": deploy,
    "clone": clone,
    "scale": scale,
    "burst": burst,
    "webhook": webhook,
}


def sources(groups: Sequence[str], *, quick: bool, free_gb: float) -> tuple[str, ...]:
    """The goldens that `groups` need. 4 GB are cloned only where there is room for several of it."""
    wanted = ["8mb"] if {"start", "scale", "burst", "webhook"} & {*groups} else []
    if {"deploy", "clone"} & {*groups}:
        wanted += ["100mb"] if "clone" in groups else []
        wanted += ["1gb"]
    if "clone" in groups and not quick and free_gb > 25:
        wanted += ["4gb"]
    return tuple(wanted)

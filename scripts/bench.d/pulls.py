"""Pull requests: a burst of deliveries at one listener, and the way from a delivery to the first answer."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import secrets
import sqlite3
import statistics
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from figures import Figure, Report
from host import CX, Bench, Failed, free_port

from cx.web.webhook import signature

HERE = Path(__file__).parent
REPOSITORY = "bench/app"
TOKEN = "ghp_" + "a" * 36  # the fake's
SECRET = secrets.token_hex(16)
SENDERS = 16
PAYLOAD_BYTES = 24_000  # what GitHub's own are like


@dataclass
class Listening:
    """A listener of the benchmark's host, and the repository whose pull requests it follows."""

    bench: Bench
    port: int
    process: subprocess.Popen[bytes]
    repository: Path
    state: Path
    github: str
    taken_s: list[float] = field(default_factory=list)
    acknowledged: set[str] = field(default_factory=set)

    # --- what GitHub says
    def says(self, pulls: dict[int, str]) -> None:
        """Exactly these are open, each at its commit."""
        for number, head in pulls.items():
            self.bench.run(["git", "-C", str(self.repository), "update-ref", f"refs/pull/{number}/head", head])
        aside = self.state.with_suffix(".new")
        aside.write_text(json.dumps(pulls))
        aside.rename(self.state)

    def commit(self, number: int) -> str:
        """A commit of its own for a pull request, with the files of the project."""
        identity = ["-c", "user.name=cx", "-c", "user.email=cx@example.com"]
        git = ["git", "-C", str(self.repository), *identity]
        return self.bench.run([*git, "commit-tree", "-p", "HEAD", "-m", f"Pull {number}", "HEAD^{tree}"]).out.strip()

    # --- what it sends
    def send(self, connection: http.client.HTTPConnection, number: int, action: str, delivery: str) -> None:
        payload = {
            "action": action,
            "number": number,
            "pull_request": {"number": number, "body": "x" * PAYLOAD_BYTES},
            "repository": {"full_name": REPOSITORY, "default_branch": "main"},
        }
        body = json.dumps(payload).encode()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": "pull_request",
            "X-GitHub-Delivery": delivery,
            "X-Hub-Signature-256": signature(SECRET.encode(), body),
        }
        began = time.perf_counter()
        connection.request("POST", "/webhook", body, headers)
        answer = connection.getresponse()
        answer.read()
        self.taken_s.append(time.perf_counter() - began)
        if answer.status != 202:
            raise Failed(f"a delivery was answered with {answer.status}")
        self.acknowledged.add(delivery)

    def connection(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def burst(self, deliveries: Sequence[tuple[int, str, str]]) -> float:
        """All of them, from SENDERS senders at once; seconds until the last was acknowledged."""
        rest = list(deliveries)
        failed: list[BaseException] = []

        def sender() -> None:
            try:
                with contextlib.closing(self.connection()) as connection:
                    while rest and not failed:
                        with contextlib.suppress(IndexError):
                            self.send(connection, *rest.pop())
            except (Failed, OSError, http.client.HTTPException) as exc:
                failed.append(exc)

        threads = [threading.Thread(target=sender) for _ in range(SENDERS)]
        began = time.monotonic()
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        if failed:
            raise Failed(f"the burst: {failed[0]}")
        return time.monotonic() - began

    def ready(self) -> bool:
        try:
            with contextlib.closing(self.connection()) as connection:
                connection.request("GET", "/readyz")
                return connection.getresponse().status == 200
        except OSError:
            return False

    # --- what came of it
    def comments(self, number: int) -> int:
        """How many there are on the pull request, all by cx."""
        url = f"{self.github}/repos/{REPOSITORY}/issues/{number}/comments"
        request = urllib.request.Request(url, headers={"Authorization": f"token {TOKEN}"})
        with urllib.request.urlopen(request, timeout=10) as answer:
            return len(json.load(answer))

    def rows(self, sql: str) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(f"file:{self.bench.folder}/state/cx.db?mode=ro", uri=True)) as store:
            return list(store.execute(sql))

    def settled(self, timeout_s: float) -> float:
        """Seconds until nothing waits or runs. Raises Failed."""
        began = time.monotonic()
        while self.rows("SELECT 1 FROM queue LIMIT 1"):
            if time.monotonic() - began > timeout_s or self.process.poll() is not None:
                raise Failed("the queue did not empty: see CX_BENCH_LOG=1")
            time.sleep(0.1)
        return time.monotonic() - began

    def memory_kb(self, what: str = "VmRSS") -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition(f"{what}:")[2].split()[0])


@contextlib.contextmanager
def listening(bench: Bench, database: str) -> Iterator[Listening]:
    """`cx git listen` on the host of the benchmark, and a GitHub; its previews are gone afterwards."""
    project = Path(bench.project(database))
    repository, state, port = bench.folder / "pulls.git", bench.folder / "open.json", free_port()
    if not repository.exists():
        bench.run(["git", "clone", "--quiet", "--bare", str(project), str(repository)])
    state.write_text("{}")
    kept = bench.config.read_text()
    with contextlib.ExitStack() as stack:
        stack.callback(bench.config.write_text, kept)
        log = stack.enter_context((bench.folder / "listener.log").open("wb"))
        address = bench.folder / "github"
        address.unlink(missing_ok=True)
        _start(stack, [sys.executable, str(HERE / "fake.py"), str(state), str(address)], bench.environment, log)
        _until(address.exists, "the fake GitHub did not begin")
        head, _, rest = kept.partition("[router]")
        bench.config.write_text(
            f'{head}[listen]\nport = {port}\nsecrets = ["{SECRET}"]\n'
            f'[github]\nallow_local = true\ntoken = "{TOKEN}"\nbase_url = "{address.read_text()}"\n'
            f'[github.repositories."{REPOSITORY}"]\nurl = "{repository}"\n[router]{rest}'
        )
        process = _start(stack, [*CX, "git", "listen"], bench.environment, log)
        listener = Listening(bench, port, process, repository, state, address.read_text())
        try:
            _until(listener.ready, "the listener did not begin")
            yield listener
            listener.says({})
            numbers = [int(str(row[0]).rpartition("-")[2]) for row in listener.rows("SELECT namespace FROM desired")]
            listener.burst([(number, "closed", secrets.token_hex(8)) for number in numbers])
            listener.settled(300)
        finally:
            if os.environ.get("CX_BENCH_LOG"):
                sys.stderr.write((bench.folder / "listener.log").read_text())


def _start(
    stack: contextlib.ExitStack, argv: Sequence[str], environment: Mapping[str, str], log: IO[bytes]
) -> subprocess.Popen[bytes]:
    """A process that ends with `stack`."""
    process = subprocess.Popen(argv, env=environment, stdout=log, stderr=log)

    def end() -> None:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    stack.callback(end)
    return process


def _until(condition: Callable[[], object], otherwise: str) -> None:
    until = time.monotonic() + 60
    while not condition():
        if time.monotonic() > until:
            raise Failed(f"{otherwise}: see CX_BENCH_LOG=1")
        time.sleep(0.05)


def burst(bench: Bench, report: Report, quick: bool) -> None:
    """2,000 deliveries for 100 pull requests, of which a few are still open: late, repeated, in any order."""
    still_open = 4 if quick else 12
    numbers = range(1, 101)
    with listening(bench, "8mb") as listener:
        listener.says({number: listener.commit(number) for number in random.sample(numbers, still_open)})
        listener.settled(300)
        before_kb = listener.memory_kb()
        builds_before = len(listener.rows("SELECT 1 FROM deployments"))
        actions = ("opened", "synchronize", "synchronize", "closed", "reopened")
        deliveries = [
            (number, actions[times % 5], f"{number}-{times % 18}")  # the last two of twenty are repetitions
            for number in numbers
            for times in range(20)
        ]
        random.shuffle(deliveries)
        took_s = listener.burst(deliveries)
        acknowledged_kb = listener.memory_kb()
        settled_s = listener.settled(900)
        stored = {str(row[0]) for row in listener.rows("SELECT id FROM deliveries")}
        builds = Counter(str(row[0]) for row in listener.rows("SELECT namespace FROM deployments"))
        serving = [number for number in json.loads(listener.state.read_text()) if bench.get(f"preview-{number}") == 200]
        if len(serving) != still_open:
            raise Failed(f"{len(serving)} of {still_open} open pull requests answer")
        comments = [listener.comments(int(number)) for number in json.loads(listener.state.read_text())]
        if set(comments) != {1}:
            raise Failed(f"there should be one comment on each open pull request: {comments}")
        ordered = sorted(listener.taken_s)
        report.facts |= {
            "burst": f"{len(deliveries)} deliveries for {len(numbers)} pull requests, {still_open} of them open, "
            f"from {SENDERS} senders in {took_s:.1f} s",
            "burst, acknowledged p50": f"{statistics.median(ordered) * 1000:.0f} ms",
            "burst, acknowledged p99": f"{ordered[int(len(ordered) * 0.99)] * 1000:.0f} ms",
            "burst, deliveries lost": str(len(listener.acknowledged - stored)),
            "burst, deployments run": f"{sum(builds.values()) - builds_before}, at most "
            f"{max(builds.values(), default=0)} for one pull request",
            "burst, all as GitHub says after": f"{took_s + settled_s:.1f} s",
            "burst, memory of the listener": f"{before_kb / 1024:.0f} MiB before, {acknowledged_kb / 1024:.0f} MiB "
            f"when all were acknowledged, {listener.memory_kb() / 1024:.0f} MiB after, "
            f"{listener.memory_kb('VmHWM') / 1024:.0f} MiB at most",
        }


def webhook(bench: Bench, report: Report, quick: bool) -> None:
    """From the delivery of a new pull request to the first 200 at its URL, against `cx deploy` of the same."""
    ours: list[float] = []
    theirs: list[float] = []
    with listening(bench, "8mb") as listener:
        for number in range(101, 105 if quick else 112):
            baseline = bench.deploy("measured", "8mb").took_s
            bench.delete("measured")
            listener.says({number: listener.commit(number)})
            began = time.monotonic()
            with contextlib.closing(listener.connection()) as connection:
                listener.send(connection, number, "opened", secrets.token_hex(8))
            while bench.get(f"preview-{number}") != 200:
                if time.monotonic() - began > 120:
                    raise Failed(f"preview-{number} does not answer")
                time.sleep(0.02)
            took = time.monotonic() - began
            listener.settled(60)
            if number > 101:
                ours.append(took)
                theirs.append(baseline)
            listener.says({})
            with contextlib.closing(listener.connection()) as connection:
                listener.send(connection, number, "closed", secrets.token_hex(8))
            listener.settled(60)
    report.figures.append(Figure("webhook to first 200", "cx deploy to first 200", ours, theirs))

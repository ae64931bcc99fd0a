"""Sixty pull requests at once: the real listener, its queue and its workers, a GitHub that limits what is written, and
a host in memory. Time is simulated: a minute of it lasts a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

import pytest
from following import SHOP, World, sha
from forge.fake import TOKEN, FakeGitHub, fake_github
from listening import SECRET, Listener, pull_request

from cx.forges.github import open_github
from cx.host.following import Following
from cx.pulls.budget import Budget
from cx.pulls.repositories import Followed
from cx.pulls.workers import Workers
from cx.settings.github import GitHub, Repository
from cx.store import Database
from cx.store.deliveries import Deliveries
from cx.store.writes import WritesTable
from cx.web.listener import Hands, Place, assembled
from cx.web.serving import Server, bound, config

COUNT = 60
SPEED = 60.0
DEPLOY_S = 8.0


@dataclass
class Lapse:
    """Simulated seconds, as a clock gives them."""

    began: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return 1_000_000.0 + (time.monotonic() - self.began) * SPEED


class Town:
    """All of it. `start` begins a listener on the state that there is; `stop` ends it."""

    def __init__(self, folder: Path, github: FakeGitHub) -> None:
        self.github, self.clock = github, Lapse()
        github.limits.strict, github.limits.clock = True, self.clock
        github.repository(SHOP)
        self.world = World(folder)
        self.settings = GitHub(base_url=github.url, repositories={SHOP: Repository()}, at_once=4)
        self.looks: list[str] = []
        self.slowest_s = 0.0
        self.stack = ExitStack()

    def start(self) -> None:
        self.stack = ExitStack()
        database = Database(self.world.folder / "cx.db")
        self.stack.callback(database.close)
        self.box = Deliveries(database, self.clock)
        forge, announcer = open_github(
            self.settings, {"GITHUB_TOKEN": TOKEN}, Budget(WritesTable(database), self.clock)
        )
        follower = self.world.followed_by(forge, announcer, database, self.clock)
        follower.jobs = Slow(self.world.computer.run, self.clock)
        workers = Workers(follower, self.settings.at_once, [SHOP], 300.0, self.clock)
        stop = threading.Event()
        follower.stopped = stop.is_set
        host = SimpleNamespace(refilling=SimpleNamespace(last=lambda: None))
        hands = Hands(Following(host, follower, workers, stop), Followed({SHOP}))
        socket = bound("127.0.0.1", 0)
        self.listener = Listener(socket.getsockname()[1], self.box)
        server = Server(config(assembled(Place("127.0.0.1", 0, (SECRET,)), self.box, hands)))
        server.catches = ()
        workers.looked = self._looked
        self.telling, self.done = follower.telling, threading.Event()
        threads = [
            threading.Thread(target=server.run, kwargs={"sockets": [socket]}),
            threading.Thread(target=self._lapse),
        ]
        self.box.recover()
        for one in threads:
            one.start()
        hands.start()

        def end() -> None:
            stop.set()
            hands.stop(20)
            server.should_exit = True
            self.done.set()
            for one in threads:
                one.join(10)
                assert not one.is_alive()

        self.stack.callback(end)

    def stop(self) -> None:
        self.stack.close()

    def _lapse(self) -> None:
        while not self.done.wait(0.005):
            self.telling.wake()

    def _looked(self, outcome: str, duration_s: float) -> None:
        self.looks.append(outcome)
        if outcome == "parked":
            self.slowest_s = max(self.slowest_s, duration_s)

    def push(self, number: int, push: int) -> None:
        """GitHub knows it, and has sent its delivery."""
        self.world.push(number, push)
        if push == 1:
            self.github.open(SHOP, number, sha(number, push))
        else:
            self.github.push(SHOP, number, sha(number, push))
        assert self.listener.send("pull_request", pull_request(number=number), f"d-{number}-{push}").status == 202

    def told(self, push: int) -> bool:
        """Each pull request shows how it ended: comment, commit status and deployment."""
        for number in range(1, COUNT + 1):
            head = sha(number, push)
            said = self.github.comments_on(SHOP, number)
            statuses = [one["state"] for one in self.github.repository(SHOP).statuses.get(head, [])]
            if not (len(said) == 1 and "is ready" in said[0] and head[:8] in said[0] and statuses[-1:] == ["success"]):
                return False
            if self.github.states(SHOP, f"preview-{number}").get(head) != "success":
                return False
        return True

    def until(self, true: Callable[[], bool]) -> None:
        end = time.monotonic() + 120
        while not true():
            assert time.monotonic() < end, self.listener.ask("GET", "/metrics").body.decode()
            time.sleep(0.05)


@dataclass
class Slow:
    """Jobs that take a while."""

    job: Callable[..., object]
    clock: Lapse
    turn: threading.Lock = field(default_factory=threading.Lock)

    def run(self, order: object, cancelled: Callable[[], bool], told: Callable[[object], None]) -> object:
        until = self.clock() + DEPLOY_S
        told({"event": "step_began", "step": "build app"})
        while self.clock() < until and not cancelled():
            time.sleep(0.005)
        with self.turn:
            return self.job(order, cancelled, told)


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with fake_github() as github:
        town = Town(tmp_path, github)
        town.start()
        yield town
        town.stop()
        town.world.database.close()


def test_sixty_at_once_are_told_within_what_github_takes(town: Town) -> None:
    began = town.clock()
    for number in range(1, COUNT + 1):
        town.push(number, 1)
    town.until(lambda: town.told(1))
    limits = town.github.limits
    assert limits.refused == 0
    assert limits.most(60) <= 80
    assert limits.most(3600) <= 500
    assert "failed" not in town.looks
    assert town.clock() - began < 20 * 60
    assert {one for one in town.looks if one not in ("done", "parked")} == set(), "nobody waited for the telling"
    edits = sum(method == "PATCH" for method, _ in town.github.writes())
    assert edits <= 4 * COUNT
    metrics = town.listener.ask("GET", "/metrics").body.decode()
    assert 'cx_github_writes_left{window="hour"}' in metrics
    assert 'cx_reports_waiting{urgency="final"} 0.0' in metrics
    assert town.world.computer.builds.total() == COUNT


def test_a_restart_in_the_middle_gives_no_new_budget_and_loses_no_end(town: Town) -> None:
    for number in range(1, COUNT + 1):
        town.push(number, 1)
    for _ in range(3):
        least = len(town.github.limits.written) + 60
        town.until(lambda least=least: len(town.github.limits.written) >= least or town.told(1))
        town.stop()
        town.start()
    town.until(lambda: town.told(1))
    assert town.github.limits.refused == 0
    assert town.github.limits.most(60) <= 80
    known = town.world.follower.pulls
    town.until(lambda: all(not one.unsaid for one in known.all_known(SHOP)))


def test_looks_go_on_while_nothing_can_be_written(town: Town) -> None:
    """The hour's budget is used up: previews are deployed, and removed, as if it were not."""
    for _ in range(500):
        WritesTable(town.box.database).spend(town.clock(), lambda times: 0.0)
    for number in (1, 2, 3):
        town.push(number, 1)
    town.until(lambda: all(town.world.serving(number) == sha(number, 1) for number in (1, 2, 3)))
    town.github.close(SHOP, 2)
    town.world.change(2, open=False)
    assert town.listener.send("pull_request", pull_request("closed", number=2), "d-close").status == 202
    town.until(lambda: town.world.place(2) is None)
    town.until(lambda: town.box.waiting() == [] == town.box.running())
    assert town.github.writes() == []
    assert {"failed", "again"}.isdisjoint(town.looks)

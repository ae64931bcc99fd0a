"""The real listener with its queue and its workers, a GitHub that limits what is written, and a host in memory. Time is
simulated: it goes by many times as fast."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace

from following import SHOP, World, sha
from forge.fake import TOKEN, FakeGitHub
from forge.fake import Repository as GitHubRepository
from listening import SECRET, Listener, pull_request

from cx.forges.github import open_github
from cx.host.following import Following
from cx.pulls.budget import Budget
from cx.pulls.repositories import Followed
from cx.pulls.workers import Workers
from cx.settings import Settings
from cx.settings.github import GitHub, Repository
from cx.store import Database
from cx.store.deliveries import Deliveries
from cx.store.writes import WritesTable
from cx.web.listener import Hands, Place, assembled
from cx.web.serving import Server, bound, config

DEPLOY_S = 8.0


@dataclass
class Lapse:
    """Simulated seconds, as a clock gives them."""

    speed: float
    began: float = field(default_factory=time.monotonic)

    def __call__(self) -> float:
        return 1_000_000.0 + (time.monotonic() - self.began) * self.speed


class Town:
    """All of it. `start` begins a listener on the state that there is; `stop` ends it."""

    def __init__(self, folder: Path, github: FakeGitHub, speed: float) -> None:
        self.github, self.clock = github, Lapse(speed)
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
        workers = self.workers = Workers(follower, self.settings.at_once, [SHOP], 300.0 / self.clock.speed, self.clock)
        stop = threading.Event()
        follower.stopped = stop.is_set
        host = SimpleNamespace(settings=Settings(), refilling=SimpleNamespace(last=lambda: None))
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

    @property
    def there(self) -> GitHubRepository:
        return self.github.repository(SHOP)

    def stop(self) -> None:
        self.stack.close()

    def _lapse(self) -> None:
        while not self.done.wait(0.005):
            self.telling.wake()
            self.workers.wake()

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

    def told(self, push: int, numbers: Iterable[int]) -> bool:
        """Each of the pull requests shows how it ended: comment, commit status and deployment."""
        return all(self._told(number, sha(number, push)) for number in numbers)

    def _told(self, number: int, head: str) -> bool:
        said = self.github.comments_on(SHOP, number)
        statuses = [one["state"] for one in self.github.repository(SHOP).statuses.get(head, [])]
        deployed = self.github.states(SHOP, f"preview-{number}").get(head)
        shown = len(said) == 1 and "is ready" in said[0] and head[:8] in said[0]
        return shown and statuses[-1:] == ["success"] and deployed == "success"

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

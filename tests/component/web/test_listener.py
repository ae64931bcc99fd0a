"""What the listener refuses to be, and how it begins and ends."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from listening import SECRET, Listener, pull_request
from ports import free_port

from cx.core.errors import Invalid, Retryable
from cx.core.history import Chore
from cx.pulls import Gauge
from cx.pulls.repositories import Followed
from cx.pulls.values import PullId
from cx.schema import Secret
from cx.store import Database
from cx.store.deliveries import Deliveries
from cx.web.listener import Place, listen, place
from cx.web.serving import bound, is_loopback


class Hands:
    """What works the queue, by hand."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.wrong: list[str] = []
        self.newest: list[Chore] = []
        self.waiting_to_deploy = 0

    def repositories(self) -> Followed:
        return Followed({"acme/shop"})

    def start(self) -> None:
        self.said.append("start")

    def wake(self) -> None:
        self.said.append("wake")

    def measure(self, looked: Callable[[str, float], None]) -> None:
        looked("done", 0.5)

    def parked(self) -> int:
        return self.waiting_to_deploy

    def chores(self) -> list[Chore]:
        return self.newest

    def gauges(self) -> list[Gauge]:
        return [Gauge("cx_github_writes_left", "Writes.", 80, ("window", "minute"))]

    def problems(self) -> list[str]:
        return self.wrong

    def stop(self, timeout_s: float) -> None:
        self.said.append("stop")

    def drain(self) -> list[str]:
        return []


# --- who may make this host work
GOOD = Secret("0123456789abcdef")


@pytest.mark.parametrize(("host", "loopback"), [
    ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False),
    ("192.168.1.1", False), ("example.com", False), ("localhost.example.com", False), ("", False),
])  # fmt: skip
def test_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_with_a_secret_it_may_listen_anywhere() -> None:
    assert place("0.0.0.0", 1, [GOOD], insecure=False) == Place("0.0.0.0", 1, (b"0123456789abcdef",))


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_without_a_secret_it_does_not(host: str) -> None:
    with pytest.raises(Invalid, match=r"listen\.secrets: there is none"):
        place(host, 1, [], insecure=False)


def test_insecure_is_for_loopback() -> None:
    assert place("127.0.0.1", 1, [], insecure=True).secrets == ()
    with pytest.raises(Invalid, match="for loopback only"):
        place("0.0.0.0", 1, [], insecure=True)
    assert place("127.0.0.1", 1, [GOOD], insecure=True).secrets, "a secret that is there holds"


def test_a_weak_or_missing_secret_is_refused_and_not_shown() -> None:
    for weak in (Secret("hunter2"), Secret("env:WEAK", {"WEAK": "hunter2"})):
        with pytest.raises(Invalid, match="16 characters or more") as caught:
            place("127.0.0.1", 1, [GOOD, weak], insecure=True)
        assert "hunter2" not in str(caught.value)
    with pytest.raises(Invalid, match="NOT_SET"):
        place("127.0.0.1", 1, [Secret("env:NOT_SET", {})], insecure=False)


def test_a_port_that_is_taken() -> None:
    with bound("127.0.0.1", 0) as taken, pytest.raises(Retryable, match="cannot listen on 127"):
        bound("127.0.0.1", taken.getsockname()[1])


def test_an_address_of_another_machine() -> None:
    with pytest.raises(Retryable, match="cannot listen on 192"):
        bound("192.0.2.1", 1)


# --- beginning and end
@pytest.fixture
def box(tmp_path: Path) -> Iterator[Deliveries]:
    box = Deliveries(Database(tmp_path / "cx.db"))
    yield box
    box.database.close()


def until_signal(box: Deliveries, hands: Hands, do: Callable[[Listener], None], kind: int = signal.SIGTERM) -> None:
    """`listen` in this thread, where signals arrive; `do` in another one, then the signal."""
    at = Place("127.0.0.1", free_port(), (SECRET,))
    failed: list[BaseException] = []

    def aside() -> None:
        try:
            until = time.monotonic() + 10
            listener = Listener(at.port, box)
            while time.monotonic() < until:
                try:
                    listener.ask("GET", "/healthz")
                    break
                except ConnectionError:
                    time.sleep(0.01)
            do(listener)
        except BaseException as exc:  # noqa: BLE001 - raised again in the test's own thread
            failed.append(exc)
        os.kill(os.getpid(), kind)

    thread = threading.Thread(target=aside)
    thread.start()
    listen(at, box, hands)
    thread.join(10)
    if failed:
        raise failed[0]


@pytest.mark.parametrize("kind", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_what_works_for_it(box: Deliveries, kind: int) -> None:
    hands = Hands()
    before = signal.getsignal(kind)
    until_signal(box, hands, lambda listener: None, kind)
    assert hands.said == ["start", "stop"]
    assert signal.getsignal(kind) == before


def test_what_was_being_worked_on_when_it_died_is_due(box: Deliveries) -> None:
    pull = PullId("acme/shop", 3)
    box.ask(pull)
    box.take(time.time())
    until_signal(box, Hands(), lambda listener: None)
    assert box.waiting() == [pull]


def test_a_delivery_wakes_who_works(box: Deliveries) -> None:
    hands = Hands()

    def do(listener: Listener) -> None:
        assert listener.send("pull_request", pull_request()).status == 202
        assert b'cx_looks_total{outcome="done"} 1.0' in listener.ask("GET", "/metrics").body
        assert b'cx_github_writes_left{window="minute"} 80.0' in listener.ask("GET", "/metrics").body

    until_signal(box, hands, do)
    assert hands.said == ["start", "wake", "stop"]


def test_the_queue_tells_who_waits_for_a_place_from_who_is_at_work(box: Deliveries) -> None:
    hands = Hands()

    def do(listener: Listener) -> None:
        for number in range(5):
            box.ask(PullId("acme/shop", number + 1))
        for _ in range(3):
            box.take(time.time())
        hands.waiting_to_deploy = 2
        text = listener.ask("GET", "/metrics").body.decode()
        told = dict(line.split() for line in text.splitlines() if line.startswith("cx_queue_"))
        assert told == {"cx_queue_waiting": "2.0", "cx_queue_parked": "2.0", "cx_queue_running": "1.0"}

    until_signal(box, hands, do)


def test_a_chore_that_failed_is_counted(box: Deliveries) -> None:
    hands = Hands()
    hands.newest = [Chore("spares", 1000.0, 1001.0, "failed", "the disk is full")]

    def do(listener: Listener) -> None:
        text = listener.ask("GET", "/metrics").body
        assert b'cx_chore_failed{chore="spares"} 1.0' in text
        assert b'cx_chore_began_seconds{chore="spares"} 1000.0' in text

    until_signal(box, hands, do)


def test_ready_says_what_is_missing(box: Deliveries) -> None:
    hands = Hands()

    def do(listener: Listener) -> None:
        assert listener.ask("GET", "/readyz").status == 200
        hands.wrong = ["GitHub refuses the token"]
        said = listener.ask("GET", "/readyz")
        assert (said.status, json.loads(said.body)["missing"]) == (503, hands.wrong)
        assert listener.ask("GET", "/healthz").status == 200

    until_signal(box, hands, do)

"""Logs of containers that end, go, or whose engine dies while somebody reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from relay import Relay, relay

from cx.core.state import Container
from cx.docker import output
from cx.docker.address import Address
from cx.docker.connection import Engine, EngineUnavailable
from cx.docker.logs import log_lines

IMAGE = "debian:trixie-slim"
TALKS = "echo first; while :; do echo more; sleep 0.05; done"
Make = Callable[..., Container]


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def make(client: docker.DockerClient) -> Iterator[Make]:
    made = []

    def one(script: str, *, tty: bool = False) -> Container:
        container = client.containers.run(IMAGE, ["sh", "-c", script], detach=True, tty=tty, network_mode="none")
        made.append(container)
        return Container(container.id, container.name, container.name, "service", "r", "running")

    yield one
    for container in made:
        for left in client.containers.list(all=True, filters={"id": container.id}):
            left.remove(force=True)


@pytest.fixture
def between(tmp_path: Path) -> Iterator[Relay]:
    with relay(tmp_path / "engine.sock") as made:
        yield made


@pytest.fixture
def engine(between: Relay) -> Iterator[Engine]:
    engine = Engine(Address(between.address))
    yield engine
    engine.close()


@pytest.mark.parametrize("tty", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_a_log_is_not_whole_when_its_engine_dies(
    make: Make, engine: Engine, between: Relay, count: int, tty: bool
) -> None:
    lines = log_lines(engine, [make(TALKS, tty=tty) for _ in range(count)], follow=True, tail=10)
    assert next(lines)[1] == "first"
    between.cut()
    with pytest.raises(EngineUnavailable, match="does not answer"):
        list(lines)


@pytest.mark.parametrize("count", [1, 2])
def test_a_log_ends_with_its_container(make: Make, engine: Engine, count: int) -> None:
    lines = list(log_lines(engine, [make("echo a; echo b") for _ in range(count)], follow=True, tail=10))
    assert sorted(text for _, text in lines) == sorted(["a", "b"] * count)


@pytest.mark.parametrize("follow", [False, True])
def test_who_is_gone_says_nothing_and_the_others_go_on(
    client: docker.DockerClient, make: Make, engine: Engine, follow: bool
) -> None:
    gone, there = make("echo a"), make("echo b")
    client.containers.get(gone.id).remove(force=True)
    assert [text for _, text in log_lines(engine, [gone, there], follow=follow, tail=10)] == ["b"]
    assert list(log_lines(engine, [gone], follow=follow, tail=10)) == []


def test_who_goes_while_it_is_followed_ends_alone(client: docker.DockerClient, make: Make, engine: Engine) -> None:
    goes, stays = make(TALKS), make(TALKS)
    lines = log_lines(engine, [goes, stays], follow=True, tail=10)
    assert {next(lines)[0].id for _ in range(20)} == {goes.id, stays.id}
    client.containers.get(goes.id).remove(force=True)
    last = 0
    for number, (one, _) in enumerate(lines):
        last = number if one.id == goes.id else last
        if number > last + 20:
            break
    lines.close()


def test_whoever_stops_reading_waits_for_nobody(make: Make, engine: Engine) -> None:
    lines = log_lines(engine, [make("yes"), make("yes")], follow=True, tail=10)  # far more than anybody takes
    next(lines)
    lines.close()


def test_what_a_command_writes_is_not_whole_when_the_connection_breaks(
    make: Make, engine: Engine, between: Relay
) -> None:
    container, written = make("sleep 60"), list[bytes]()

    def write(data: bytes) -> None:
        written.append(data)
        between.sever()

    with pytest.raises(EngineUnavailable, match="dump it: the connection to the engine broke"):
        output.run(engine, container.id, ["sh", "-c", "echo half; sleep 60"], write, doing="dump it")
    assert written == [b"half\n"]

"""Looks at what is removed in that very moment, as each deployment removes things while somebody looks."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import docker
import pytest
from docker.errors import NotFound
from relay import Relay, relay

from cx.core.names import Names, Namespace
from cx.core.state import Container
from cx.docker import facts
from cx.docker.address import Address
from cx.docker.connection import Engine, Gone, translated
from cx.docker.logs import last_lines
from cx.docker.measuring import Use, measured
from cx.docker.networks import Networks
from cx.docker.workloads import Workloads

IMAGE = "debian:trixie-slim"
SPACE = Namespace("preview-1")


@pytest.fixture
def names() -> Names:
    return Names(f"t{secrets.token_hex(3)}")


@pytest.fixture
def client() -> Iterator[docker.DockerClient]:
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture
def between(tmp_path: Path) -> Iterator[Relay]:
    with relay(tmp_path / "engine.sock") as made:
        yield made


@pytest.fixture
def engine(between: Relay) -> Iterator[Engine]:
    engine = Engine(Address(between.address))
    yield engine
    engine.close()


@pytest.fixture
def network(client: docker.DockerClient, names: Names) -> Iterator[Any]:
    made = client.networks.create(names.network(SPACE, "r"), labels=names.labels(SPACE, "network", revision="r"))
    yield made
    for one in client.networks.list(names=[made.name]):
        one.remove()


@pytest.fixture
def running(client: docker.DockerClient, names: Names, network: Any) -> Iterator[Any]:
    labels = names.labels(SPACE, "service", service="app", revision="r")
    made = client.containers.run(IMAGE, ["sleep", "60"], detach=True, labels=labels, network=network.name)
    yield made
    for one in client.containers.list(all=True, filters={"id": made.id}):
        one.remove(force=True)


def removing(between: Relay, container: Any, word: str) -> None:
    """The container goes when somebody asks for what holds `word`, before the engine hears of it."""

    def before(request: str) -> None:
        if word in request:
            between.before = lambda request: None
            container.remove(force=True)

    between.before = before


def seen(engine: Engine, names: Names) -> Container:
    (one,) = facts.containers(engine, names, SPACE)
    return one


def test_what_runs_is_measured(engine: Engine, names: Names, running: Any) -> None:
    assert measured(engine, seen(engine, names)).memory_bytes > 0


def test_what_was_removed_before_it_is_measured(engine: Engine, between: Relay, names: Names, running: Any) -> None:
    one = seen(engine, names)
    removing(between, running, "/stats")
    assert measured(engine, one) == Use()


def test_what_is_removed_while_it_is_measured(engine: Engine, between: Relay, names: Names, running: Any) -> None:
    """The engine takes two samples, a second apart, and then has nothing to answer with."""
    one = seen(engine, names)
    going = Thread(target=running.remove, kwargs={"force": True})

    def before(request: str) -> None:
        if "/stats" in request:
            going.start()

    between.before = before
    assert measured(engine, one) == Use()
    going.join()


def test_what_is_gone_has_nothing_to_say(engine: Engine, between: Relay, names: Names, running: Any) -> None:
    one = seen(engine, names)
    removing(between, running, "/logs")
    assert last_lines(engine, one, 5) == ()


def test_a_namespace_is_observed_while_it_goes(engine: Engine, between: Relay, names: Names, running: Any) -> None:
    removing(between, running, "/networks")
    assert list(facts.observe(engine, names, SPACE).networks) == [names.network(SPACE, "r")]


def test_a_network_goes_whose_member_has_gone_before_it_was_taken_out(
    client: docker.DockerClient, engine: Engine, between: Relay, names: Names, network: Any, running: Any
) -> None:
    removing(between, running, "/disconnect")
    unused: Any = None
    Workloads(engine, names, Networks(engine, unused, unused), unused, "", 1, "", unused).remove(SPACE, "networks")
    with pytest.raises(NotFound):
        client.networks.get(network.id)


def test_what_is_gone_is_told_from_what_is_refused(engine: Engine) -> None:
    with pytest.raises(Gone, match="look: No such container"), translated("look"):
        engine.api.inspect_container("none-such")

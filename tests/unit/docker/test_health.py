"""Which command a container's health check is, and how often cx runs it: what cannot be asked has not answered."""

from __future__ import annotations

import time
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from docker.errors import APIError
from requests import ReadTimeout, Response

from cx.core.state import Container
from cx.docker.address import Address
from cx.docker.connection import Engine
from cx.docker.health import PAUSES_S, Asking, command


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, []),
        ({"Healthcheck": None}, []),
        ({"Healthcheck": {}}, []),
        ({"Healthcheck": {"Test": []}}, []),
        ({"Healthcheck": {"Test": ["NONE"]}}, []),
        ({"Healthcheck": {"Test": ["CMD", "curl", "-f", "a b"]}}, ["curl", "-f", "a b"]),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "curl a || exit 1"]}}, ["/bin/sh", "-c", "curl a || exit 1"]),
        ({"Healthcheck": {"Test": ["CMD-SHELL", "a"]}, "Shell": ["/bin/bash", "-euc"]}, ["/bin/bash", "-euc", "a"]),
    ],
)
def test_the_command(config: dict[str, Any], expected: list[str]) -> None:
    assert command(config) == expected


class Api:
    """What is asked of the engine; `says` is what becomes of each check: an exit code, None while it runs, an error."""

    def __init__(self, *says: int | Exception | None, test: tuple[str, ...] = ("CMD", "true")) -> None:
        self.says, self.test, self.begun = list(says), list(test), 0

    def inspect_container(self, _: str) -> dict[str, Any]:
        return {"Config": {"Healthcheck": {"Test": self.test}}}

    def exec_create(self, container: str, argv: list[str], **_: bool) -> dict[str, str]:
        self.begun += 1
        return {"Id": f"check-{self.begun}"}

    def exec_start(self, check: str, *, detach: bool) -> None:
        assert detach
        now = self.says[self.begun - 1]
        if isinstance(now, Exception):
            raise now

    def exec_inspect(self, check: str) -> dict[str, Any]:
        code = self.says[int(check.rpartition("-")[2]) - 1]
        return {"Running": code is None, "ExitCode": code}


APP = Container("1", "app", "app", "service", "r", "running", "starting")


def asked(api: Api, *, looks: int = 12, one: Container = APP) -> Asking:
    """It was looked at so often, each time when there was something to ask."""
    engine = Engine(Address("unix:///nothing.sock"))
    engine.__dict__["client"] = SimpleNamespace(api=api)
    asking = Asking(engine)
    for _ in range(looks):
        asking.look([one])
        until = time.monotonic() + 5
        while any(of.busy and not of.check for of in asking._of.values()) and time.monotonic() < until:
            time.sleep(0.001)
        pause = asking.pause_s()
        time.sleep(0 if pause == float("inf") else pause)
    return asking


def test_it_is_asked_until_it_says_yes() -> None:
    api = Api(1, 1, 0, 0)
    asking = asked(api)
    assert (asking.answered(APP), api.begun) == (True, 3)
    assert asking.pause_s() == float("inf")


@pytest.mark.parametrize("status", [400, 404, 409, 500, 0])
def test_who_cannot_be_asked_has_not_answered(status: int) -> None:
    """No program of that name, no such container, one that has just ended; 0: no answer at all."""
    answer = Response()
    answer.status_code = status
    error = APIError("no", answer) if status else ReadTimeout()
    api = Api(*[error] * 9)
    asking = asked(api)
    assert (asking.answered(APP), api.begun, asking.pause_s()) == (False, len(PAUSES_S), float("inf"))


def test_who_answers_at_last_is_heard() -> None:
    api = Api(APIError("no"), APIError("no"), 0)
    assert asked(api).answered(APP)


def test_one_check_at_a_time_and_whose_never_ends_is_left_to_the_engine() -> None:
    api = Api(None, 0)
    asking = asked(api)
    assert (asking.answered(APP), api.begun, asking.pause_s()) == (False, 1, float("inf"))


def test_without_a_command_nobody_is_asked() -> None:
    api = Api(test=("CMD",))
    asking = asked(api)
    assert (asking.answered(APP), api.begun, asking.pause_s()) == (False, 0, float("inf"))


@pytest.mark.parametrize("now", [replace(APP, health="healthy"), replace(APP, state="restarting"), None])
def test_what_is_no_longer_asked_is_not_waited_for(now: Container | None) -> None:
    """Else a wait for others would be none: pauses that are long over."""
    asking = asked(Api(1, 1, 1), looks=2)
    asking.look([now] if now else [])
    assert asking.pause_s() == float("inf")
    assert not asking.answered(APP)


def test_a_job_is_not_asked() -> None:
    api = Api(0)
    asked(api, one=replace(APP, role="job"))
    assert api.begun == 0

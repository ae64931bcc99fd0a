"""Which command a container's health check is: the engine runs it, and cx the same."""

from __future__ import annotations

from typing import Any

import pytest

from cx.adapters.docker.health import command


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

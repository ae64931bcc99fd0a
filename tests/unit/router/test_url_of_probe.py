"""A probe that fails names the URL that a browser would open."""

from __future__ import annotations

from typing import Any

import pytest

from cx.core.names import Names
from cx.router.routes import Router


@pytest.mark.parametrize(
    ("port", "tls", "url"),
    [
        (80, False, "http://a.example.com"),
        (8080, False, "http://a.example.com:8080"),
        (443, True, "https://a.example.com"),
        (8443, True, "https://a.example.com:8443"),
    ],
)
def test_the_port_is_in_it(port: int, tls: bool, url: str) -> None:
    engine: Any = None
    assert Router(engine, Names("cx"), address="127.0.0.1", port=port, tls=tls)._url("a.example.com") == url

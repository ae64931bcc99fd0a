"""What `cx doctor` says of addresses and ports, and when it cannot look."""

from __future__ import annotations

from ipaddress import IPv4Network
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cx.core.errors import Retryable
from cx.host import doctor as module
from cx.host.doctor import Check, Doctor
from cx.settings.keys import Network, Router
from cx.settings.loading import Settings


class Away:
    def __getattr__(self, name: str) -> Any:
        raise Retryable("it does not answer", remedy="wait")


@pytest.mark.parametrize("part", ["router", "postgres"])
def test_a_row_says_what_it_is_about(part: str) -> None:
    away: Any = Away()
    doctor = Doctor(away, away, away, away, away, away)
    assert doctor._guarded(getattr(doctor, f"_{part}")) == [Check(part, "broken", "it does not answer", "wait")]


TLS: Any = {"tls": "files", "certificate": Path("c.pem"), "key": Path("k.pem")}


@pytest.mark.parametrize(
    ("router", "keys"),
    [
        (Router(http_port=8080, https_port=8443), []),
        (Router(http_port=40000, https_port=50000), ["router.http_port"]),  # without TLS only one is listened on
        (
            Router(http_port=40000, https_port=50000, **TLS),
            ["router.http_port", "router.https_port"],
        ),
        (Router(admin_port=60999), ["router.admin_port"]),
    ],
)
def test_a_fixed_port_is_none_that_the_kernel_gives_away(
    router: Router, keys: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "handed_out", lambda: frozenset(range(32768, 61000)))
    local, away = (SimpleNamespace(host=host) for host in ("unix:///var/run/docker.sock", "ssh://elsewhere"))
    settings: Any = Settings(router=router)
    nobody: Any = None
    found = list(Doctor(local, nobody, nobody, settings, nobody, nobody)._fixed_ports())
    assert [(one.name, one.state) for one in found] == [(key, "advice") for key in keys]
    assert all("below 32768" in one.remedy for one in found)
    assert list(Doctor(away, nobody, nobody, settings, nobody, nobody)._fixed_ports()) == []


@pytest.mark.parametrize(
    ("pool", "info", "state"),
    [
        ("10.213.0.0/16", {}, "ok"),
        ("172.20.0.0/16", {}, "advice"),
        ("192.168.0.0/20", {}, "advice"),
        ("10.213.0.0/16", {"DefaultAddressPools": [{"Base": "10.0.0.0/8", "Size": 24}]}, "advice"),
        ("172.20.0.0/16", {"DefaultAddressPools": [{"Base": "10.0.0.0/8", "Size": 24}]}, "ok"),
    ],
)
def test_the_pool_is_none_that_the_engine_gives_networks_from(
    pool: str, info: dict[str, Any], state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_host_routes", lambda: iter(()))
    engine: Any = SimpleNamespace(api=SimpleNamespace(networks=list))
    data = SimpleNamespace(keeps_address=lambda: True)
    stack: Any = SimpleNamespace(names=SimpleNamespace(data_network=lambda: "cx_data"), data_network=data)
    networks: Any = SimpleNamespace(pool=IPv4Network(pool))
    doctor = Doctor(engine, networks, stack, Settings(network=Network(pool=pool)), engine, engine)
    assert [one.state for one in doctor._pools({}, info)] == [state]

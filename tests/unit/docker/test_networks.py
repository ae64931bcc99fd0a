"""Subnets from the pool: never two that overlap, and every one of them in the end."""

from __future__ import annotations

import ipaddress
from ipaddress import IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from cx.docker.networks import data_range, data_subnet, free, server_address

POOL = IPv4Network("10.64.0.0/20")


@st.composite
def subnets(draw: st.DrawFn) -> IPv4Network:
    """One that a host may have: inside the pool, beside it, or around it."""
    address = int(POOL.network_address) + draw(st.integers(-4096, 8191))
    return IPv4Network((address, draw(st.integers(12, 30))), strict=False)


@given(st.lists(subnets(), max_size=8), st.integers(24, 29))
def test_what_is_free_overlaps_nothing(taken: list[IPv4Network], prefix: int) -> None:
    found = list(free(POOL, prefix, taken))
    for one in found:
        assert one.prefixlen == prefix
        assert one.subnet_of(POOL)
        assert not one.overlaps(data_subnet(POOL))
        assert not any(one.overlaps(other) for other in taken)
    assert found == sorted(set(found))


@given(st.lists(subnets(), max_size=8), st.integers(24, 29))
def test_all_that_is_free_is_found(taken: list[IPv4Network], prefix: int) -> None:
    busy = [*taken, data_subnet(POOL)]
    expected = [one for one in POOL.subnets(new_prefix=prefix) if not any(one.overlaps(other) for other in busy)]
    assert list(free(POOL, prefix, taken)) == expected


def test_one_after_the_other_until_none_is_left() -> None:
    taken: list[IPv4Network] = []
    while one := next(iter(free(POOL, 26, taken)), None):
        taken.append(one)
    assert len(taken) == (POOL.num_addresses - data_subnet(POOL).num_addresses) // 64
    assert sum(one.num_addresses for one in ipaddress.collapse_addresses(taken)) == len(taken) * 64
    taken.remove(taken[3])
    assert len(list(free(POOL, 26, taken))) == 1


def test_the_database_server_has_an_address_in_the_data_network() -> None:
    for prefix in (10, 16, 20, 21, 24):
        pool = IPv4Network(("10.64.0.0", prefix))
        server = ipaddress.IPv4Address(server_address(pool))
        assert server in data_subnet(pool)
        assert server != data_subnet(pool)[1]  # the gateway's
        assert next(iter(free(pool, 28, [])))


def test_the_engine_hands_out_none_of_the_addresses_that_cx_fixes() -> None:
    for prefix in (10, 16, 20):
        pool = IPv4Network(("10.64.0.0", prefix))
        data, handed_out = data_subnet(pool), data_range(pool)
        assert handed_out.subnet_of(data)
        assert ipaddress.IPv4Address(server_address(pool)) not in handed_out
        assert data[1] not in handed_out  # the gateway's
        assert handed_out.num_addresses - 1 >= 1023  # as many members as a bridge has ports; the last one is broadcast

"""Kernel settings of a container's: which values of each name a project gets, and which it does not."""

from __future__ import annotations

import pytest

from cx.project.policy.sysctls import SYSCTLS

TAKEN = {
    "net.core.somaxconn": ["1", "4096", "65535"],
    "net.ipv4.ip_local_port_range": ["1024 65535", "1024\t2000", "3000 3000"],
    "net.ipv4.ip_unprivileged_port_start": ["0", "1024"],
    "net.ipv4.tcp_fin_timeout": ["1", "60"],
    "net.ipv4.tcp_keepalive_intvl": ["1", "32767"],
    "net.ipv4.tcp_keepalive_probes": ["1", "127"],
    "net.ipv4.tcp_keepalive_time": ["60", "7200"],
    "net.ipv4.tcp_max_syn_backlog": ["128", "65535"],
    "net.ipv4.tcp_syncookies": ["0", "2"],
    "net.ipv4.tcp_tw_reuse": ["0", "2"],
    "net.ipv6.conf.all.disable_ipv6": ["1"],
}
NOT_TAKEN = {
    "net.core.somaxconn": ["0", "65536", "4294967296", "1 2"],
    "net.ipv4.ip_local_port_range": ["1024", "1 65535", "65535 1024", "1024 65536", "1024 2000 3000"],
    "net.ipv4.ip_unprivileged_port_start": ["65536", "-1"],
    "net.ipv4.tcp_fin_timeout": ["0", "61", "86400"],
    "net.ipv4.tcp_keepalive_intvl": ["0", "32768"],
    "net.ipv4.tcp_keepalive_probes": ["0", "128"],
    "net.ipv4.tcp_keepalive_time": ["0", "99999999"],
    "net.ipv4.tcp_max_syn_backlog": ["0", "2147483647"],
    "net.ipv4.tcp_syncookies": ["3"],
    "net.ipv4.tcp_tw_reuse": ["3"],
    "net.ipv6.conf.all.disable_ipv6": ["0", "00", "2", "", "1 0", "0x1", True, None],  # 0: a link-local address
}
# What the kernel knows beside them, spelled as an engine might take it.
NOT_LISTED = [
    "net.ipv6.conf.default.disable_ipv6",
    "net.ipv6.conf.eth0.disable_ipv6",
    "net.ipv6.conf.lo.disable_ipv6",
    "net/ipv6/conf/all/disable_ipv6",
    "net.ipv6.conf.all/disable_ipv6",
    "NET.IPV6.CONF.ALL.DISABLE_IPV6",
    "net.ipv6.conf.all.disable_ipv6 ",
    "net.ipv6.conf.all.accept_ra",
    "net.ipv4.conf.all.arp_accept",
    "net.ipv4.conf.eth0.route_localnet",
    "net.ipv4.conf.IFNAME.arp_ignore",
    "net.ipv4.ip_forward",
    "net.ipv4.ip_nonlocal_bind",
    "net.core.rmem_max",
    "kernel.shmmax",
    "fs.mqueue.msg_max",
]
CASES = [(name, value) for name, values in NOT_TAKEN.items() for value in values]


def test_every_name_has_its_cases():
    assert set(TAKEN) == set(NOT_TAKEN) == set(SYSCTLS)


@pytest.mark.parametrize("name", SYSCTLS)
def test_harmless_values_are_kept(admitted, name):
    for value in TAKEN[name]:
        model = admitted({"sysctls": {name: value}}).services["web"].model
        assert model["sysctls"] == {name: " ".join(value.split())}


@pytest.mark.parametrize(("name", "value"), CASES)
def test_other_values_are_refused(refused, name, value):
    (reason,) = refused({"sysctls": {name: value}})
    assert reason.startswith(f"services.web.sysctls.{name}: should be ")


@pytest.mark.parametrize("name", NOT_LISTED)
@pytest.mark.parametrize("value", ["0", "1"])
def test_other_names_are_refused(refused, name, value):
    (reason,) = refused({"sysctls": {name: value}})
    assert reason.endswith(": is not one of the harmless ones of the container's own network")


def test_a_number_is_what_it_looks_like(admitted):
    """The kernel reads 010 as eight."""
    model = admitted({"sysctls": {"net.core.somaxconn": "010"}}).services["web"].model
    assert model["sysctls"] == {"net.core.somaxconn": "10"}


@pytest.mark.parametrize("value", [0, 1, "0"])
def test_the_owner_allows_a_name_at_any_number(admitted, value):
    granted = ("sysctl:net.ipv6.conf.all.disable_ipv6",)
    model = admitted({"sysctls": {"net.ipv6.conf.all.disable_ipv6": value}}, allow=granted).services["web"].model
    assert model["sysctls"] == {"net.ipv6.conf.all.disable_ipv6": str(value)}


def test_a_grant_of_a_name_takes_numbers_alone(refused):
    assert refused({"sysctls": {"net.ipv4.ip_forward": "1; x"}}, allow=("sysctl:net.ipv4.ip_forward",))

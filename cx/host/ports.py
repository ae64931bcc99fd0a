"""Ports of this machine: which are taken, and which the kernel gives away."""

from __future__ import annotations

import socket
from pathlib import Path

_KERNEL = Path("/proc/sys/net/ipv4")


def taken(address: str, port: int) -> bool:
    """True when something listens on the port already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def handed_out(kernel: Path = _KERNEL) -> frozenset[int]:
    """The ports that outgoing connections get, in no order that anybody knows; none where the kernel does not say.

    A program that is to listen on one of them may find it taken whenever it starts.
    https://docs.kernel.org/networking/ip-sysctl.html, ip_local_port_range and ip_local_reserved_ports
    """
    try:
        low, high = map(int, (kernel / "ip_local_port_range").read_text().split())
        reserved = (kernel / "ip_local_reserved_ports").read_text().strip()
    except OSError:
        return frozenset()
    kept: set[int] = set()
    for one in filter(None, reserved.split(",")):
        first, _, last = one.partition("-")
        kept |= set(range(int(first), int(last or first) + 1))
    return frozenset(range(low, high + 1)) - kept

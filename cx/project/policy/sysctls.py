"""Kernel settings that a project may choose for its own container: each with the values that harm nobody else.

They hold for the container's own network namespace. What they cost is the kernel's, and so the host's, which is why
the value counts and not only the name. A name with an interface in it is not on the list.
https://docs.kernel.org/networking/ip-sysctl.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cx.core.names import shown
from cx.project.policy.findings import Look, at


@dataclass(frozen=True)
class Range:
    """`numbers` whole numbers from `least` to `most`, none below the one before it."""

    least: int
    most: int
    numbers: int = 1

    def takes(self, given: tuple[int, ...]) -> bool:
        inside = all(self.least <= number <= self.most for number in given)
        return inside and len(given) == self.numbers and list(given) == sorted(given)

    def __str__(self) -> str:
        if self.least == self.most:
            return str(self.least)
        return f"{'a number' if self.numbers == 1 else f'{self.numbers} numbers'} from {self.least} to {self.most}"


_PORTS, _TIMES = 65_535, 32_767  # the kernel takes no longer time of keepalive from a socket either
SYSCTLS: Mapping[str, Range] = {
    "net.core.somaxconn": Range(1, _PORTS),
    "net.ipv4.ip_local_port_range": Range(1024, _PORTS, numbers=2),
    "net.ipv4.ip_unprivileged_port_start": Range(0, _PORTS),
    "net.ipv4.tcp_fin_timeout": Range(1, 60),  # longer: whole sockets stay, and all of the host share their number
    "net.ipv4.tcp_keepalive_intvl": Range(1, _TIMES),  # 0: the timer fires without a pause, in the kernel's time
    "net.ipv4.tcp_keepalive_probes": Range(1, 127),
    "net.ipv4.tcp_keepalive_time": Range(1, _TIMES),
    "net.ipv4.tcp_max_syn_backlog": Range(1, _PORTS),
    "net.ipv4.tcp_syncookies": Range(0, 2),
    "net.ipv4.tcp_tw_reuse": Range(0, 2),
    # 0 gives the container a link-local address, by which it reaches the host past every rule for IPv4.
    "net.ipv6.conf.all.disable_ipv6": Range(1, 1),
}


def sysctls(look: Look, key: str, value: Any) -> dict[str, str] | None:
    """In the kernel's own spelling: decimal, one space between."""
    if not isinstance(value, Mapping):
        look.refuse(key, "should be a table of names and numbers")
        return None
    kept: dict[str, str] = {}
    for name, given in value.items():
        where, granted = at(key, name), look.grants.allow(f"sysctl:{name}")
        if name not in SYSCTLS and not granted:
            look.refuse(where, "is not one of the harmless ones of the container's own network")
        elif not re.fullmatch(r"[0-9]{1,15}(?:[ \t]+[0-9]{1,15}){0,3}", str(given), re.ASCII):
            look.refuse(where, f"should be a number, is {shown(str(given)) or 'empty'}")
        elif not granted and not SYSCTLS[name].takes(tuple(map(int, str(given).split()))):
            look.refuse(where, f"should be {SYSCTLS[name]}, is {shown(str(given))}")
        else:
            kept[name] = " ".join(str(int(number)) for number in str(given).split())
    return kept

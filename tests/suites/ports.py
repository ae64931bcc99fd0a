"""A port that a program of a test is to listen on."""

from __future__ import annotations

import secrets

from cx.host.ports import handed_out, taken


def free_port() -> int:
    """Nobody listens on it, and the kernel gives it to no connection before the program listens."""
    fixed = sorted(set(range(10_000, 65_536)) - handed_out())
    while taken("0.0.0.0", port := secrets.choice(fixed)):
        pass
    return port

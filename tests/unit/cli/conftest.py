"""Fixtures of the command line."""

from calling import cx, host

__all__ = ["cx", "host"]

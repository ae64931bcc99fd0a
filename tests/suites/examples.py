"""How many examples a property takes: in proportion to Hypothesis's profile (tests/conftest.py)."""

from __future__ import annotations

from typing import Any

from hypothesis import settings

WHOLE = 25  # the examples of the profile `whole`, for a property that says nothing


def examples(whole: int, **more: Any) -> settings:
    """`whole` examples when everything is run; fewer in a quick run, more in a thorough one."""
    return settings(max_examples=max(1, whole * settings.default.max_examples // WHOLE), **more)

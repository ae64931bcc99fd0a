"""Texts without the host's secrets, before they leave it."""

from __future__ import annotations

import re
from collections.abc import Iterable

SHORTEST = 6  # characters: what is shorter stands in too many texts by chance


class Redactor:
    """Knows secrets, and takes them out."""

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {line for secret in secrets for line in (secret, *secret.splitlines()) if len(line) >= SHORTEST}
        longest_first = sorted(known, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first))) if longest_first else None

    def __call__(self, text: str) -> str:
        return self._pattern.sub("***", text) if self._pattern else text

    def __repr__(self) -> str:
        return "Redactor(...)"

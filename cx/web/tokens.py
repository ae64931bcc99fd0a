"""Who may use the API: bearer tokens."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from cx.core.errors import Invalid


@dataclass(frozen=True)
class Tokens:
    """Bearer tokens, compared in constant time by their digests: neither length nor place of a difference shows."""

    digests: tuple[bytes, ...]

    @classmethod
    def of(cls, tokens: Sequence[str]) -> Tokens:
        return cls(tuple(hashlib.sha256(one.encode()).digest() for one in tokens))

    def admit(self, header: str) -> bool:
        scheme, _, token = header.partition(" ")
        given = hashlib.sha256(token.strip().encode("utf-8", "surrogateescape")).digest()
        right = [hmac.compare_digest(given, one) for one in self.digests]  # all of them, always
        return scheme.lower() == "bearer" and any(right)


def tokens_of(secrets: Iterable[Any]) -> list[str]:
    """Raises Invalid for one that is too short to be safe."""
    found = [one.reveal() for one in secrets]
    if any(len(one) < 16 for one in found):
        raise Invalid("api.tokens", "", "should be 16 characters or more each (not shown here)",
                      remedy="`openssl rand -hex 32` makes one")  # fmt: skip
    return found

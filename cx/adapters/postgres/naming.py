"""What only this package's things are called; everything is derived from `cx.model.names`."""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode

from cx.model.names import IDENTIFIER_MAX, Names, shortened


def staging(database: str) -> str:
    """The new clone during a reset, until it takes the clone's name."""
    return shortened(f"{database}__next", IDENTIFIER_MAX)


def replaced(database: str) -> str:
    """The old clone during a reset, until it is dropped."""
    return shortened(f"{database}__last", IDENTIFIER_MAX)


def loader(names: Names, source: str) -> str:
    """The role that restores a source's dump; it lives as long as the refresh."""
    return f"{names.golden_owner(source)}__load"


def lock_key(text: str) -> int:
    """The advisory lock of `text`, as a signed 64-bit integer."""
    return int.from_bytes(hashlib.sha256(f"cx {text}".encode()).digest()[:8], "big", signed=True)


def role_password(key: bytes, role: str) -> str:
    """The password of `role`: the same as long as `key` is, so that it is stored nowhere."""
    digest = hmac.new(key, f"postgres role {role}".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def key_id(key: bytes) -> str:
    """Tells whether a role's password was made from `key`, and nothing about it."""
    return hmac.new(key, b"postgres key id", hashlib.sha256).hexdigest()[:12]

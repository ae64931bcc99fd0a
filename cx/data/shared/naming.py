"""What only this package's things are called; everything is derived from `cx.core.names`."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from collections.abc import Container

from cx.core.errors import Invalid
from cx.core.names import IDENTIFIER_MAX, Names, Namespace, shortened, shown

_SNAPSHOT = re.compile(r"[a-z0-9][a-z0-9_-]{0,24}")


def staging(database: str) -> str:
    """The new clone during a reset, until it takes the clone's name."""
    return shortened(f"{database}__next", IDENTIFIER_MAX)


def replaced(database: str) -> str:
    """The old clone during a reset, until it is dropped."""
    return shortened(f"{database}__last", IDENTIFIER_MAX)


def settings_reader(names: Names) -> str:
    """The role that may read what is set on all databases, which no preview may; it cannot log in."""
    return f"{names.instance}__settings"


def dumper(database: str) -> str:
    """The role that reads a clone for a dump; it lives as long as that."""
    return shortened(f"{database}__dump", IDENTIFIER_MAX)


def spare(names: Names, source: str) -> str:
    """A new spare; at most 60 characters."""
    return f"{names.spare_prefix(source)}{secrets.token_hex(4)}"


def check_snapshot(name: str) -> str:
    """Raises Invalid for a name that a snapshot cannot have."""
    if not _SNAPSHOT.fullmatch(name):
        raise Invalid("snapshot", shown(name), "must be 1 to 25 characters of a-z, 0-9, '-' and '_'")
    return name


def snapshot(names: Names, namespace: Namespace, source: str, name: str, *, taken: Container[str]) -> str:
    """A database for the snapshot `name` that is not yet there; at most 60 characters."""
    plain = f"{names.snapshot_prefix(namespace, source)}{name}"
    return next(each for each in (plain, f"{plain}~2") if each not in taken)


def loader(names: Names, source: str) -> str:
    """The role that restores a source's dump; it lives as long as the refresh."""
    return f"{names.golden_owner(source)}__load"


def role_password(key: bytes, role: str) -> str:
    """The password of `role`: the same as long as `key` is, so that it is stored nowhere."""
    digest = hmac.new(key, f"postgres role {role}".encode(), hashlib.sha256).digest()
    return urlsafe_b64encode(digest).decode().rstrip("=")


def key_id(key: bytes) -> str:
    """Tells whether a role's password was made from `key`, and nothing about it."""
    return hmac.new(key, b"postgres key id", hashlib.sha256).hexdigest()[:12]

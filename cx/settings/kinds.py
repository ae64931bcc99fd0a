"""Which keys of a database go with which engine."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from cx.core.kinds import MARIADB, MYSQL, POSTGRES, REDIS, VALKEY, VOLUME
from cx.core.names import shown
from cx.schema import Wrong

if TYPE_CHECKING:
    from cx.settings.keys import Database


_SQL = {POSTGRES.name: "PostgreSQL", MARIADB.name: "MariaDB", MYSQL.name: "MySQL"}


def is_identifier(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9_$-]{1,64}", text):
        raise ValueError(f"should be 1 to 64 letters, digits, '_', '$' and '-', is {shown(text)}")


def is_volume(text: str) -> None:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", text):
        raise ValueError(f"is not the name of a volume: {shown(text)}")


def check_database_keys(given: Database) -> None:
    """Raises Wrong."""
    facts = given.facts
    _check_origin(given)
    if facts is not POSTGRES or given.isolation != "server":
        for key in ("preload", "superuser"):
            if getattr(given, key):
                raise Wrong(key, 'is for PostgreSQL with isolation = "server"')
    if facts is not POSTGRES and given.isolation == "server" and facts is VOLUME:
        raise Wrong("isolation", 'says nothing of strategy = "volume": its services are the project\'s own')
    if facts is not VOLUME:
        for key in ("volume", "fill"):
            if getattr(given, key):
                raise Wrong(key, 'is for strategy = "volume"')
    for mine, other in ((MARIADB, MYSQL), (MYSQL, MARIADB)):
        if facts is mine and given.image and _word(given.image) in other.words:
            raise Wrong("image", f"runs {_SQL[other.name]}", f'engine = "{other.name}"')
    _check_masking(given)
    if facts.name not in _SQL and given.sanitise:
        raise Wrong("sanitise", f"cannot be run on {facts.name}", "give a file, or a command, that is sanitised")


def _word(image: str) -> str:
    return image.rpartition("/")[2].partition("@")[0].partition(":")[0]


def _check_masking(given: Database) -> None:
    for key in ("mask", "rows"):
        if getattr(given, key) and given.facts.name not in _SQL:
            raise Wrong(key, "is for PostgreSQL, MariaDB and MySQL")
    if given.large_objects and given.facts is not POSTGRES:
        raise Wrong("large_objects", "is for PostgreSQL: other engines have none")
    if given.command and given.facts.name not in _SQL:
        raise Wrong("command", "is for PostgreSQL, MariaDB and MySQL")
    if given.large_objects and not (given.mask or given.rows):
        raise Wrong("large_objects", "goes with mask or rows")
    if given.command and not (given.source and given.command_image):
        raise Wrong("command", "needs source, and command_image to run in")
    if given.command_image and not given.command:
        raise Wrong("command_image", "goes with command")
    if given.command and (given.mask or given.rows or given.sanitise):
        raise Wrong("command", "sanitises by itself: it goes with neither mask, rows nor sanitise")


def _check_origin(given: Database) -> None:
    facts = given.facts
    if facts in (REDIS, VALKEY):
        if given.source:
            raise Wrong("source", "is not for Redis", "give file with an RDB file, or nothing for an empty one")
        return
    if facts is VOLUME:
        if given.source or bool(given.file) == bool(given.fill):
            raise Wrong("fill", "should be given, or file instead; exactly one of the two, and no source")
        if given.fill and not given.image:
            raise Wrong("image", "is missing: fill runs in a container of it")
        return
    if (given.source is None) == (given.file is None):
        raise Wrong("source", "should be given, or file instead; exactly one of the two")
    if given.source and not given.source.variable:
        scheme = urlsplit(given.source.reveal()).scheme
        if scheme not in facts.live_source:
            raise Wrong("source", f"should be {facts.live_source[0]}://... for {_SQL[facts.name]} (not shown here)")

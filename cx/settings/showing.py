"""Which settings show in the containers of a preview: with another value of one of them it is another revision.

A value that is the default is left out: a setting that is new in a version makes no other revision of anything.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from msgspec import NODEFAULT, Struct
from msgspec.structs import FieldInfo, fields

from cx.settings.keys import Settings

# URLs stand for the ports and for tls.
_TABLES: Mapping[str, tuple[str, ...]] = {
    "": ("hostname",),
    "limits": ("memory", "cpus", "pids", "replicas", "log_size", "log_files", "start_timeout_s"),
}
_POOLED: Mapping[str, tuple[str, ...]] = {"pooler": ("image", "mode"), "postgres": ("connection_limit",)}
_SERVED: Mapping[str, tuple[str, ...]] = {"postgres": ("connection_limit", "statement_timeout_s")}
_DATABASE: Mapping[str, tuple[str, ...]] = {
    "pooler": ("engine", "env", "database"),
    "server": ("engine", "env", "database", "image", "memory", "preload", "superuser"),
    "volume": ("volume",),
}


def settings_digest(settings: Settings, *, project: str = "", repository: str = "") -> str:
    """Changes when what comes from the project would run otherwise under these settings.

    `settings` has the databases only that the project may have clones of; `project` is its name in [projects], and
    `repository` its one in github.repositories, where it has them.
    """
    return hashlib.sha256(json.dumps(showing(settings, project, repository), sort_keys=True).encode()).hexdigest()[:12]


def showing(settings: Settings, project: str, repository: str) -> dict[str, Any]:
    """The settings that show, as `settings_digest` says, by key."""
    found: dict[str, Any] = {"url": settings.base_url(settings.domain)}
    tables = [_TABLES]
    for name, given in settings.databases.items():
        found[f"databases.{name}"] = {"way": given.way} | _changed(given, _DATABASE[given.way])
        tables += [{"pooler": _POOLED, "server": _SERVED}.get(given.way, {})]
    for table, keys in ((table, keys) for one in tables for table, keys in one.items()):
        found |= {f"{table}.{key}": value for key, value in _changed(_table(settings, table), keys).items()}
    if (grants := settings.projects.get(project)) and grants.allow:
        found["allow"] = sorted(grants.allow)
    if rules := settings.github.rules.get(repository):
        found |= _changed(rules, ("submodules", "lfs"))
    return found


def _table(settings: Settings, name: str) -> Struct:
    table: Struct = getattr(settings, name) if name else settings
    return table


def _changed(struct: Struct, keys: tuple[str, ...]) -> dict[str, Any]:
    """Those of `keys` that have not their default."""
    given = {one.name: (getattr(struct, one.name), one) for one in fields(struct) if one.name in keys}
    return {name: value for name, (value, field) in given.items() if value != _default(field)}


def _default(field: FieldInfo) -> Any:
    return field.default if field.default_factory is NODEFAULT else field.default_factory()

"""The host's configuration from its file and the environment, and back for showing."""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct

from cx.core.errors import Invalid
from cx.schema import FromEnvironment, Secret, decode, joined, leaves, read_toml
from cx.settings.keys import HostFile, Settings

# Variables that begin like a key of ours and are none.
NOT_KEYS = frozenset({"CX_CONFIG", "CX_POSTGRES_PASSWORD", "CX_CERTIFICATE_KEY", "CX_REMOTE", "CX_REMOTE_TOKEN"})


def default_path(environ: Mapping[str, str]) -> Path:
    """$CX_CONFIG; else /etc/cx/host.toml for root, or where it exists; else ~/.config/cx/host.toml."""
    if named := environ.get("CX_CONFIG"):
        return Path(named)
    system = Path("/etc/cx/host.toml")
    if os.geteuid() == 0 or system.exists():
        return system
    home = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".config")
    return Path(home) / "cx" / "host.toml"


def load(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """The configuration at `path` (None: the default one), with the environment's values over it.

    A file that is not there means defaults, unless $CX_CONFIG names it. Raises Invalid.
    """
    path = path or default_path(environ)
    named = environ.get("CX_CONFIG")
    where = str(path)
    missing = not path.exists()
    if missing and named and Path(named) == path:
        raise Invalid("CX_CONFIG", "", f"names {path}, which is not there", remedy="mend it, or unset it")
    document = {} if missing else read_toml(path, where=where)
    merged, origins = _with_environment(document, environ, where)
    kept = decode(merged, HostFile, where=where, base=path.absolute().parent, environ=environ)
    return Settings(
        **{name: getattr(kept, name) for name in HostFile.__struct_fields__},
        file=None if missing else path,
        origins=origins,
    )


def _with_environment(
    document: Mapping[str, Any], environ: Mapping[str, str], where: str
) -> tuple[dict[str, Any], dict[str, str]]:
    merged = copy.deepcopy(dict(document))
    origins = {key: "file" for key, _ in _given(document)}
    known = dict(leaves(HostFile))
    for variable, text in sorted(environ.items()):
        if not variable.startswith("CX_") or variable in NOT_KEYS or text == "":
            continue
        key = _key_of(variable, known, merged)
        if key is None:
            _refuse_near(variable, known)
            continue
        table: Any = merged
        for number, part in enumerate(key[:-1]):
            table = table.setdefault(part, {}) if isinstance(table, dict) else table
            if not isinstance(table, dict):
                at = ".".join(key[: number + 1])
                raise Invalid(where, at, "should be a table, is something else")
        table[key[-1]] = FromEnvironment(variable, text)
        origins[".".join(key)] = variable
    return merged, origins


def _key_of(variable: str, known: Mapping[tuple[str, ...], Any], document: Mapping[str, Any]) -> tuple[str, ...] | None:
    for key in known:
        if "*" not in key:
            if variable == "_".join(("CX", *key)).upper():
                return key
            continue
        star = key.index("*")
        head, tail = "_".join(("CX", *key[:star], "")).upper(), f"_{key[-1]}".upper()
        if variable.startswith(head) and variable.endswith(tail) and len(variable) > len(head) + len(tail):
            wanted = variable[len(head) : -len(tail)]
            names: Any = document
            for part in key[:star]:
                names = names.get(part) if isinstance(names, Mapping) else None
            for name in names if isinstance(names, dict) else ():
                if re.sub(r"[^A-Z0-9]", "_", name.upper()) == wanted:
                    return (*key[:star], name, key[-1])
            return (*key[:star], wanted.lower(), key[-1])
    return None


def _refuse_near(variable: str, known: Mapping[tuple[str, ...], Any]) -> None:
    """Raises Invalid for a variable that begins like one of our tables but names none of its keys."""
    tables = {key[0] for key in known if len(key) > 1}
    if not any(variable.startswith(f"CX_{table.upper()}_") for table in tables):
        return
    names = ["_".join(("CX", *key)).upper() for key in known if "*" not in key]
    near = difflib.get_close_matches(variable, names, 1)
    raise Invalid(
        "environment",
        variable,
        "is not a known key" + (f"; did you mean {near[0]}?" if near else ""),
        remedy="unset it",
    )


def _given(document: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _given(value, joined(key, name))
        yield joined(key, name), value


# --- showing


def settings_document(settings: Settings) -> dict[str, dict[str, Any]]:
    """Every key with its effective value and where it came from: "default", the file, or the variable."""
    effective = {
        "router.http_port": settings.http_port,
        "router.https_port": settings.https_port,
        "router.tls": settings.tls,
        "state_dir": settings.state,
    }
    shown_keys: dict[str, dict[str, Any]] = {}
    for key, value in _values(settings, ""):
        origin = settings.origins.get(key, "default")
        value = effective.get(key, value)
        shown_keys[key] = {
            "value": str(value) if isinstance(value, Path | Secret) else _plain(value),
            "from": str(settings.file) if origin == "file" else origin,
        }
    return shown_keys


def _plain(value: Any) -> Any:
    """Rules in a table of tables as they were given."""
    if isinstance(value, Struct):
        return {name: one for name in value.__struct_fields__ if (one := getattr(value, name)) is not None}
    return {name: _plain(one) for name, one in value.items()} if isinstance(value, dict) else value


def _values(struct: Struct, key: str) -> Iterator[tuple[str, Any]]:
    for name in struct.__struct_fields__:
        if not key and name in ("file", "origins"):
            continue
        value = getattr(struct, name)
        at = joined(key, name)
        if isinstance(value, Struct):
            yield from _values(value, at)
        elif isinstance(value, dict) and all(isinstance(one, Struct) for one in value.values()):
            for inner, one in value.items():
                yield from _values(one, joined(at, inner))
        else:
            yield at, value

"""Submodules: what a commit says of them, which is hostile, and which of them the host's owner allows."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from cx.core.errors import Refused
from cx.core.names import shown
from cx.git.running import Remote

MODULES_MAX = 100
DEPTH_MAX = 5
GITMODULES_MAX_BYTES = 256 << 10

_SSH = re.compile(r"(?:ssh://)?git@([A-Za-z0-9.-]+)(?::22)?[:/]/?([^:]+)")
_GIT = re.compile(r"(\.git|git~[0-9]+)[. ]*(:.*)?", re.IGNORECASE)  # also as some file systems spell it
_URL = re.compile(r"((?:https|http|file)://[A-Za-z0-9.:\[\]-]*)?((?:/[A-Za-z0-9._~+-]+)+)/?")


@dataclass(frozen=True)
class Module:
    """`url` is "" for one that git leaves out (`update = none`)."""

    path: str
    url: str


def modules_of(what: str, listed: str) -> dict[str, Module]:
    """By path: what `git config --list --null` prints of .gitmodules. Raises Refused."""
    found: dict[str, dict[str, str]] = {}
    for record in listed.split("\0"):
        key, _, value = record.partition("\n")
        section, _, rest = key.partition(".")
        name, _, last = rest.rpartition(".")
        if section == "submodule" and last in ("path", "url", "update"):
            found.setdefault(name, {})[last] = value
    modules: dict[str, Module] = {}
    for name, given in found.items():
        if not _is_plain(name):
            raise Refused(what, [f".gitmodules has a submodule with the name {shown(name)}"])
        path = given.get("path", "").removesuffix("/")
        if not _is_plain(path) or path in modules:
            raise Refused(what, [f".gitmodules has a submodule at the path {shown(path)}"])
        modules[path] = Module(path, "" if given.get("update") == "none" else given.get("url", "none"))
    return modules


def _is_plain(path: str) -> bool:
    """A path that stays inside, and means nothing to git."""
    odd = any(part in ("", ".", "..") or _GIT.fullmatch(part) for part in path.split("/"))
    return not odd and not path.startswith("-") and "\\" not in path and path.isprintable()


def remote_of(main: Remote, base: Remote, module: Module) -> Remote:
    """Where the submodule is fetched from, with the credentials of `main` on its own server alone: `base` is the
    repository that names it. Raises Refused for what is not allowed."""
    what = f"{main.repository}: submodule {shown(module.path)}"
    url = resolved(what, module.url, base.url)
    if not any(_matches(url, pattern, main.url) for pattern in main.submodules):
        allow = f'github.repositories."{main.repository}".submodules'
        raise Refused(what, [f"{shown(url, 200)} is not allowed; the host's owner can list it in {allow}"])
    same = origin_of(url) == origin_of(main.url)
    known = main.credentials if same and main.trusted else None
    found = replace(main, repository=what, url=url, credentials=known)
    assert found.protocol  # noqa: S101 - it raises Refused
    return found


def resolved(what: str, url: str, base: str) -> str:
    """The URL without `..`; what git would fetch by SSH is fetched by HTTPS. Raises Refused."""
    if url.startswith(("./", "../")):
        root = base.rstrip("/")
        while url.startswith(("./", "../")):
            if url.startswith("../"):
                root = root.rpartition("/")[0]
            url = url.partition("/")[2]
        url = f"{root}/{url}"
        if origin_of(url) != origin_of(base):
            raise Refused(what, ["its URL leads above the server's root"])
    elif (parts := _SSH.fullmatch(url)) and not url.startswith("/"):
        host = urlsplit(base).hostname or ""
        url = f"{origin_of(base) if parts[1].lower() == host else 'https://' + parts[1]}/{parts[2]}"
    plain = _URL.fullmatch(url)
    if not plain or any(part in (".", "..") for part in plain[2].split("/")):
        raise Refused(what, [f"{shown(url, 200)} is not a URL that cx takes: https://HOST/PATH"])
    return url


def origin_of(url: str) -> str:
    """Scheme, host and port: what credentials are for."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}".lower().removesuffix(":443" if parts.scheme == "https" else ":80")


def _matches(url: str, pattern: str, main: str) -> bool:
    """`pattern` is owner/name, owner/* (on the server of `main`) or a URL, which may end with /*."""
    if not re.match(r"[a-z]+://|/", pattern):
        pattern = f"{origin_of(main)}/{pattern}".lower()
        url = url.lower()
    url, pattern = (one.rstrip("/").removesuffix(".git") for one in (url, pattern))
    return url == pattern or (pattern.endswith("/*") and url.startswith(pattern[:-1]))

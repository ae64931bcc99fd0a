"""Git LFS: pointers, and (as a program of its own, which dies with its fetch) the batch API by which files come.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md and docs/api/batch.md
"""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import os
import re
import ssl
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

POINTER_MIN_BYTES, POINTER_MAX_BYTES = 120, 1023
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\noid sha256:([0-9a-f]{64})\nsize ([0-9]{1,15})\n", re.ASCII
)
BATCH = 100
ANSWER_MAX_BYTES = 4 << 20
TIMEOUT_S = 60
TYPE = "application/vnd.git-lfs+json"
LOOPBACK = ("127.0.0.1", "localhost", "::1")
AGAIN, NEVER = 1, 3  # how the program ends


@dataclass(frozen=True, order=True)
class Pointer:
    oid: str
    size_bytes: int


def pointer_of(content: bytes) -> Pointer | None:
    found = _POINTER.fullmatch(content)
    return Pointer(found[1].decode(), int(found[2])) if found else None


def endpoint_of(url: str) -> str:
    """The server that goes with a repository's URL; what .lfsconfig says is not asked."""
    url = url.rstrip("/")
    return f"{url}/info/lfs" if url.endswith(".git") else f"{url}.git/info/lfs"


class Failure(Exception):
    def __init__(self, why: str, status: int = AGAIN) -> None:
        super().__init__(why)
        self.status = status


def bring(order: Mapping[str, Any]) -> None:
    """Each object of `objects` is a file of `folder`, named by its oid; its size and digest are right."""
    url, authorization, folder = str(order["url"]), str(order["authorization"]), Path(str(order["folder"]))
    wanted = {str(one["oid"]): int(one["size"]) for one in order["objects"]}
    oids = list(wanted)
    for at in range(0, len(oids), BATCH):
        some = {oid: wanted[oid] for oid in oids[at : at + BATCH]}
        for oid, action in _asked(url, authorization, some).items():
            _download(url, authorization, action, folder / oid, oid, wanted[oid])


def _asked(url: str, authorization: str, wanted: Mapping[str, int]) -> dict[str, Mapping[str, Any]]:
    """How to download each of them."""
    body = {
        "operation": "download",
        "transfers": ["basic"],
        "hash_algo": "sha256",
        "objects": [{"oid": oid, "size": size} for oid, size in wanted.items()],
    }
    headers = {"Accept": TYPE, "Content-Type": TYPE} | ({"Authorization": authorization} if authorization else {})
    with _answer("POST", f"{url}/objects/batch", headers, json.dumps(body).encode()) as answer:
        text = answer.read(ANSWER_MAX_BYTES + 1)
    if len(text) > ANSWER_MAX_BYTES:
        raise Failure("the server's answer is too long")
    try:
        said = json.loads(text)
        if said.get("transfer", "basic") != "basic":
            raise Failure("the server offers no plain downloads", NEVER)
        found: dict[str, Mapping[str, Any]] = {}
        for one in said["objects"]:
            if one["oid"] not in wanted:
                continue
            if "error" in one:
                code, why = int(one["error"].get("code", 0)), str(one["error"].get("message", ""))
                raise Failure(f"object {one['oid'][:12]}: {code} {why}", NEVER if code in (404, 410, 422) else AGAIN)
            found[one["oid"]] = one["actions"]["download"]
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Failure("the server's answer is not of the batch API") from exc
    if missing := next((oid for oid in wanted if oid not in found), None):
        raise Failure(f"the server says nothing of object {missing[:12]}", NEVER)
    return found


def _download(url: str, authorization: str, action: Mapping[str, Any], target: Path, oid: str, size: int) -> None:
    href, given = str(action.get("href", "")), action.get("header") or {}
    if not isinstance(given, Mapping):
        raise Failure("the server's answer is not of the batch API")
    headers = {str(name): str(value) for name, value in given.items()}
    headers = {name: value for name, value in headers.items() if name.lower() not in ("host", "content-length")}
    if authorization and _origin(href) == _origin(url) and "authorization" not in map(str.lower, headers):
        headers["Authorization"] = authorization
    digest, left = hashlib.sha256(), size
    if href.startswith("http://") and not url.startswith("http://"):
        raise Failure("the server names a URL that is not https://", NEVER)
    with _answer("GET", href, headers, None) as answer, target.open("xb") as file:
        while piece := answer.read(min(1 << 16, left + 1)):
            left -= len(piece)
            if left < 0:
                break
            digest.update(piece)
            file.write(piece)
    if left or digest.hexdigest() != oid:
        raise Failure(f"object {oid[:12]} is not what its pointer says", AGAIN if left > 0 else NEVER)


@contextmanager
def _answer(
    method: str, url: str, headers: Mapping[str, str], body: bytes | None
) -> Iterator[http.client.HTTPResponse]:
    """The answer with status 200. Redirections are not followed: credentials stay where they are for."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    connection: http.client.HTTPConnection | None = None
    try:
        if parts.username or parts.password or not host:
            raise Failure("the server names a URL that cx does not take", NEVER)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            connection = http.client.HTTPSConnection(host, parts.port, timeout=TIMEOUT_S, context=context)
        elif parts.scheme == "http" and host in LOOPBACK:
            connection = http.client.HTTPConnection(host, parts.port, timeout=TIMEOUT_S)
        else:
            raise Failure("the server names a URL that is not https://", NEVER)
        connection.request(
            method, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""), body, dict(headers)
        )
        answer = connection.getresponse()
        if answer.status != 200:
            raise Failure(f"{parts.scheme}://{host} answers {answer.status} to {method}")
        yield answer
    except (OSError, ValueError, http.client.HTTPException) as exc:
        raise Failure(f"{parts.scheme}://{host}: {type(exc).__name__}: {exc}") from exc
    finally:
        if connection:
            connection.close()


def _origin(url: str) -> tuple[str, str, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme)


def main() -> int:
    """The order comes by standard input, user and password by a pipe; a failure goes to standard error."""
    authorization = ""
    if end := os.environ.get("CX_ASKPASS_FD"):
        with os.fdopen(int(end), "rb") as pipe:
            given = b":".join(pipe.read().split(b"\n")[:2])
        authorization = f"Basic {base64.b64encode(given).decode()}"
    try:
        bring({**json.loads(sys.stdin.buffer.read()), "authorization": authorization})
    except Failure as failure:
        print(f"error: {failure}", file=sys.stderr)
        return failure.status
    except OSError as exc:
        print(f"error: {exc.strerror}", file=sys.stderr)
        return AGAIN
    return 0


if __name__ == "__main__":
    sys.exit(main())

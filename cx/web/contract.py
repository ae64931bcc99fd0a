"""The API's contract: what is sent and answered, and one table of endpoints.

The routes (cx/web/routes.py) and the OpenAPI description (cx/web/openapi.py) are both made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from cx.core.events import AnyEvent
from cx.core.previews import Detail, History, Row

JSON = "application/json"
EVENTS = "application/x-ndjson"
BUNDLE = "application/x-git-bundle"
Sha = Annotated[str, Meta(pattern=r"^[0-9a-f]{40}$(?!\n)")]
Variable = Annotated[str, Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$(?!\n)")]


class Problem(msgspec.Struct, kw_only=True):
    """What happened, what to do about it, and the exit code that `cx` ends with."""

    what: str
    remedy: str = ""
    log: list[str] = []
    exit_code: int = 1


class Namespaces(msgspec.Struct):
    namespaces: list[Row]


class Uploaded(msgspec.Struct):
    """The git tree that was in the bundle."""

    tree: Sha


class Deploy(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """`tree` as the upload gave it; `commit` ("" when none) and `dirty` are for people to read."""

    tree: Sha
    commit: Annotated[str, Meta(pattern=r"^([0-9a-f]{40})?$(?!\n)")] = ""
    dirty: bool = False
    environment: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,39}$(?!\n)")] = "preview"
    values: dict[Variable, Annotated[str, Meta(pattern=r"^[^\x00]*$")]] = {}
    reset_data: bool = False


class Reset(msgspec.Struct, forbid_unknown_fields=True):
    """`database` where there are several: it is only checked that the namespace has it."""

    database: str = ""


class Extend(msgspec.Struct, forbid_unknown_fields=True):
    """`12h`, `3d`, `2w`, or `never`."""

    time: Annotated[str, Meta(pattern=r"^(never|[1-9][0-9]{0,3}[hdw])$(?!\n)")]


class Extended(msgspec.Struct):
    """Unix seconds; null: it has no end."""

    namespace: str
    expires_at: float | None


class PullRequest(msgspec.Struct, forbid_unknown_fields=True):
    repository: Annotated[str, Meta(pattern=r"^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$(?!\n)")]
    number: Annotated[int, Meta(ge=1, le=2**31 - 1)]


class Asked(msgspec.Struct):
    """Its place among those that wait, from 1; 0 when it is being looked at."""

    position: int


class Services(msgspec.Struct, tag_field="event", tag="services"):
    """The first line of logs: which services the lines are of, one for each container."""

    services: list[str]


class Log(msgspec.Struct, tag_field="event", tag="log"):
    service: str
    text: str


LogEvent = Services | Log


@dataclass(frozen=True, kw_only=True)
class Query:
    """A parameter of the query, with its JSON schema."""

    name: str
    schema: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One endpoint. `handler` is the method of the routes that answers it, and `name` what programs call it.

    `sends` is the struct of the request's body, or BUNDLE; `answers` is the struct of a JSON answer, or for what
    takes time the kind of its events, one JSON object in a line. None: a document of its own.
    """

    method: str
    path: str
    handler: str
    summary: str
    answer: str
    answers: Any = None
    name: str = ""
    status: int = 200
    sends: Any = None
    sends_may_lack: bool = False
    query: tuple[Query, ...] = ()

    @property
    def streams(self) -> bool:
        return self.answers in (AnyEvent, LogEvent)


_ONE = "/api/namespaces/{namespace}"
_UNTIL_ITS_END = " One event in a line; the last one says how it ended."

ENDPOINTS = (
    Endpoint(
        method="GET", path="/api/openapi.json", handler="openapi", summary="This document", answer="The document."
    ),
    Endpoint(
        method="GET",
        path="/api/namespaces",
        handler="list",
        summary="All namespaces",
        answer="All of them.",
        answers=Namespaces,
    ),
    Endpoint(method="GET", path=_ONE, handler="show", summary="One namespace", answer="All about it.", answers=Detail),
    Endpoint(
        method="DELETE",
        path=_ONE,
        handler="delete",
        summary="Remove it and all that it has",
        answer=f"It goes.{_UNTIL_ITS_END}",
        answers=AnyEvent,
    ),
    Endpoint(
        method="PUT",
        path=f"{_ONE}/source",
        handler="upload",
        summary="Bring a folder, as a git bundle with the ref refs/cx/bundle",
        answer="It can be deployed.",
        answers=Uploaded,
        sends=BUNDLE,
    ),
    Endpoint(
        method="POST",
        path=f"{_ONE}/deploy",
        handler="deploy",
        summary="Deploy what was uploaded",
        answer=f"It goes on, also when nobody listens.{_UNTIL_ITS_END}",
        answers=AnyEvent,
        sends=Deploy,
    ),
    Endpoint(
        method="POST",
        path=f"{_ONE}/reset",
        handler="reset",
        summary="Fresh data",
        answer=f"A new clone, and the release command on it.{_UNTIL_ITS_END}",
        answers=AnyEvent,
        sends=Reset,
        sends_may_lack=True,
    ),
    Endpoint(
        method="POST",
        path=f"{_ONE}/sleep",
        handler="sleep",
        summary="Stop it, keep its data",
        answer=f"It falls asleep.{_UNTIL_ITS_END}",
        answers=AnyEvent,
    ),
    Endpoint(
        method="POST",
        path=f"{_ONE}/wake",
        handler="wake",
        summary="Start it again",
        answer=f"It wakes.{_UNTIL_ITS_END}",
        answers=AnyEvent,
    ),
    Endpoint(
        method="POST",
        path=f"{_ONE}/extend",
        handler="extend",
        summary="Put off its end",
        answer="Its end.",
        answers=Extended,
        sends=Extend,
    ),
    Endpoint(
        method="GET",
        path=f"{_ONE}/events",
        handler="events",
        summary="What was done to it, step by step",
        answer="Its attempts, and their steps.",
        answers=History,
    ),
    Endpoint(
        method="GET",
        path=f"{_ONE}/logs",
        handler="logs",
        summary="What its services print",
        answer="Lines as they come.",
        answers=LogEvent,
        query=(
            Query(name="service", schema={"type": "string"}),
            Query(name="follow", schema={"type": "boolean", "default": False}),
            Query(name="tail", schema={"type": "integer", "minimum": 0, "maximum": 100000, "default": 100}),
        ),
    ),
    Endpoint(
        method="POST",
        path="/api/pulls",
        handler="pulls",
        name="pull",
        summary="Look at a pull request of a configured repository",
        answer="It has a place in the queue.",
        answers=Asked,
        status=202,
        sends=PullRequest,
    ),
)

"""The OpenAPI 3.1 description of the API, made from its structs."""

from __future__ import annotations

from typing import Any

import msgspec

from cx import __version__
from cx.core.events import AnyEvent
from cx.core.names import NAMESPACE_RULE
from cx.core.previews import Detail
from cx.web.api import (
    BUNDLE,
    EVENTS,
    Asked,
    Deploy,
    Extend,
    Extended,
    Log,
    Namespaces,
    Problem,
    PullRequest,
    Reset,
    Services,
    Uploaded,
)

REF = "#/components/schemas/{name}"
ANSWERS = {
    "400": "something in the request is wrong",
    "401": "no token, or a wrong one",
    "404": "there is no such thing",
    "409": "somebody else is at work on the namespace",
    "413": "too large",
    "422": "the host's policy refuses it",
    "500": "failed; trying again changes nothing",
    "503": "try again: the engine, the router or the database server did not answer",
}


def document() -> dict[str, Any]:
    kinds: list[Any] = [
        Namespaces, Detail, Problem, Uploaded, Deploy, Reset, Extend, Extended, PullRequest, Asked, AnyEvent,
        Services | Log,
    ]  # fmt: skip
    schemas, components = msgspec.json.schema_components(kinds, ref_template=REF)
    of = dict(zip(("namespaces", "detail", "problem", "uploaded", "deploy", "reset", "extend", "extended", "pull",
                   "asked", "event", "log"), schemas, strict=True))  # fmt: skip
    components["Event"], components["LogEvent"] = of["event"], of["log"]
    event, log = ({"$ref": REF.format(name=name)} for name in ("Event", "LogEvent"))

    def answer(said: str, schema: Any, kind: str = "application/json") -> dict[str, Any]:
        return {"description": said, "content": {kind: {"schema": schema}}}

    def operation(name: str, summary: str, good: dict[str, Any], bodies: Any = None, **more: Any) -> dict[str, Any]:
        made: dict[str, Any] = {"operationId": name, "summary": summary} | more
        if bodies:
            kind, schema, required = bodies
            made["requestBody"] = {"required": required, "content": {kind: {"schema": schema}}}
        made["responses"] = good | {code: answer(said, of["problem"]) for code, said in ANSWERS.items()}
        return made

    def events(said: str) -> dict[str, Any]:
        return {"200": answer(f"{said} One event in a line; the last one says how it ended.", event, EVENTS)}

    def body(schema: Any, required: bool = True) -> tuple[str, Any, bool]:
        return "application/json", schema, required

    namespace = {
        "name": "namespace", "in": "path", "required": True, "description": NAMESPACE_RULE,
        "schema": {"type": "string"},
    }  # fmt: skip
    query = [
        {"name": "service", "in": "query", "schema": {"type": "string"}},
        {"name": "follow", "in": "query", "schema": {"type": "boolean", "default": False}},
        {"name": "tail", "in": "query", "schema": {"type": "integer", "minimum": 0, "maximum": 100000, "default": 100}},
    ]
    one = "/api/namespaces/{namespace}"
    paths: dict[str, Any] = {
        "/api/openapi.json": {
            "get": operation("openapi", "This document", {"200": answer("The document.", {"type": "object"})})
        },
        "/api/namespaces": {
            "get": operation("list", "All namespaces", {"200": answer("All of them.", of["namespaces"])})
        },
        one: {
            "get": operation("show", "One namespace", {"200": answer("All about it.", of["detail"])}),
            "delete": operation("delete", "Remove it and all that it has", events("It goes.")),
        },
        f"{one}/source": {
            "put": operation(
                "upload", "Bring a folder, as a git bundle with the ref refs/cx/bundle",
                {"200": answer("It can be deployed.", of["uploaded"])},
                (BUNDLE, {"type": "string", "format": "binary"}, True),
            )
        },
        f"{one}/deploy": {
            "post": operation("deploy", "Deploy what was uploaded", events("It goes on, also when nobody listens."),
                              body(of["deploy"]))
        },
        f"{one}/reset": {
            "post": operation("reset", "Fresh data", events("A new clone, and the release command on it."),
                              body(of["reset"], required=False))
        },
        f"{one}/sleep": {"post": operation("sleep", "Stop it, keep its data", events("It falls asleep."))},
        f"{one}/wake": {"post": operation("wake", "Start it again", events("It wakes."))},
        f"{one}/extend": {
            "post": operation("extend", "Put off its end",
                              {"200": answer("Its end.", of["extended"])}, body(of["extend"]))
        },
        f"{one}/logs": {
            "get": operation("logs", "What its services print", {"200": answer("Lines as they come.", log, EVENTS)},
                             parameters=query)
        },
        "/api/pulls": {
            "post": operation("pull", "Look at a pull request of a configured repository",
                              {"202": answer("It has a place in the queue.", of["asked"])}, body(of["pull"]))
        },
    }  # fmt: skip
    for path, operations in paths.items():
        if "{namespace}" in path:
            operations["parameters"] = [namespace]
    return {
        "openapi": "3.1.0",
        "info": {"title": "cx", "version": __version__, "summary": "Preview environments on a Docker host of your own"},
        "security": [{"token": []}],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }

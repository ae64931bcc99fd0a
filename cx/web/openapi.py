"""The OpenAPI 3.1 description of the API, made from its contract."""

from __future__ import annotations

from typing import Any

import msgspec

from cx import __version__
from cx.core.events import AnyEvent
from cx.core.names import NAMESPACE_RULE
from cx.web.contract import BUNDLE, ENDPOINTS, EVENTS, JSON, Endpoint, LogEvent, Problem

REF = "#/components/schemas/{name}"
ANSWERS = {
    "400": "something in the request is wrong",
    "401": "no token, or a wrong one",
    "404": "there is no such thing",
    "409": "another origin owns the namespace, or somebody is at work on it",
    "413": "too large",
    "422": "the host's policy refuses it",
    "500": "failed; trying again changes nothing",
    "503": "try again: the engine, the router or the database server did not answer",
}


# Unions have no name of their own.
EVENT_NAMES = {AnyEvent: "Event", LogEvent: "LogEvent"}


def document() -> dict[str, Any]:
    structs = [Problem, *dict.fromkeys(one for each in ENDPOINTS for one in (each.answers, each.sends))]
    kinds: list[Any] = [one for one in structs if one is not None and one is not BUNDLE]
    found, components = msgspec.json.schema_components(kinds, ref_template=REF)
    schemas = dict(zip(kinds, found, strict=True))
    for kind, name in EVENT_NAMES.items():
        components[name] = schemas[kind]
        schemas[kind] = {"$ref": REF.format(name=name)}
    paths: dict[str, Any] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    for path, operations in paths.items():
        if "{namespace}" in path:
            operations["parameters"] = [
                {"name": "namespace", "in": "path", "required": True, "description": NAMESPACE_RULE,
                 "schema": {"type": "string"}}
            ]  # fmt: skip
    return {
        "openapi": "3.1.0",
        "info": {"title": "cx", "version": __version__, "summary": "Preview environments on a Docker host of your own"},
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(endpoint: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    made: dict[str, Any] = {"operationId": endpoint.name or endpoint.handler, "summary": endpoint.summary}
    if endpoint.query:
        made["parameters"] = [{"name": one.name, "in": "query", "schema": one.schema} for one in endpoint.query]
    if endpoint.sends is BUNDLE:
        made["requestBody"] = {
            "required": True,
            "content": {BUNDLE: {"schema": {"type": "string", "format": "binary"}}},
        }
    elif endpoint.sends:
        content = {JSON: {"schema": schemas[endpoint.sends]}}
        made["requestBody"] = {"required": not endpoint.sends_may_lack, "content": content}
    good = _answer(endpoint.answer, schemas.get(endpoint.answers, {"type": "object"}), endpoint.streams)
    bad = {code: _answer(what, schemas[Problem]) for code, what in ANSWERS.items()}
    made["responses"] = {str(endpoint.status): good} | bad
    return made


def _answer(what: str, schema: Any, streams: bool = False) -> dict[str, Any]:
    return {"description": what, "content": {EVENTS if streams else JSON: {"schema": schema}}}

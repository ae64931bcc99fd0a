"""GitHub's own description of its REST API, cut to the paths that cx uses, for a proxy that validates traffic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

WHOLE = Path(__file__).parents[1] / "contract" / "node_modules/@octokit/openapi/generated/api.github.com.json"
R = "/repos/{owner}/{repo}"
USED = {
    "/user": ["get"],
    R: ["get"],
    f"{R}/pulls": ["get"],
    f"{R}/pulls/{{pull_number}}": ["get"],
    f"{R}/pulls/{{pull_number}}/files": ["get"],
    f"{R}/contents/.cx/{{path}}": ["get"],  # GitHub's has several segments, which the proxy does not know
    f"{R}/collaborators/{{username}}/permission": ["get"],
    f"{R}/issues/{{issue_number}}/comments": ["get", "post"],
    f"{R}/issues/comments": ["get"],
    f"{R}/issues/comments/{{comment_id}}": ["patch", "delete"],
    f"{R}/issues/comments/{{comment_id}}/reactions": ["post"],
    f"{R}/deployments": ["get", "post"],
    f"{R}/deployments/{{deployment_id}}/statuses": ["get", "post"],
    f"{R}/environments/{{environment_name}}": ["delete"],
    f"{R}/statuses/{{sha}}": ["post"],
    f"{R}/commits/{{ref}}/statuses": ["get"],
    f"{R}/installation": ["get"],
    "/app/installations/{installation_id}/access_tokens": ["post"],
}


def cut(public_url: str) -> dict[str, Any]:
    """The description with the used operations and what they refer to. `public_url` stands for api.github.com."""
    whole = json.loads(WHOLE.read_text())
    paths = {
        path: {key: value for key, value in _of(whole, path).items() if key in methods or key == "parameters"}
        for path, methods in USED.items()
    }
    kept: dict[str, dict[str, Any]] = {}
    waiting: list[Any] = [paths]
    while waiting:
        for reference in _references(waiting.pop()):
            _, _, kind, name = reference.split("/", 3)
            if name not in kept.setdefault(kind, {}):
                kept[kind][name] = whole["components"][kind][name]
                waiting.append(kept[kind][name])
    found = {"openapi": whole["openapi"], "info": whole["info"], "servers": [{"url": public_url}]}
    document = found | {"paths": paths, "components": kept}
    changed: dict[str, Any] = json.loads(json.dumps(document).replace("https://api.github.com", public_url))
    return changed


def _of(whole: Any, path: str) -> dict[str, Any]:
    found: dict[str, Any] = whole["paths"][path.replace("/.cx/", "/")]
    return found


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        own = [value["$ref"]] if isinstance(value.get("$ref"), str) else []
        return own + [one for inner in value.values() for one in _references(inner)]
    if isinstance(value, list):
        return [one for inner in value for one in _references(inner)]
    return []

"""What cx reads of GitHub's payloads is in them: GitHub's published examples, and its schemas."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cx.forges.github.payloads import EVENTS, PULL_ACTIONS, Malformed, read
from cx.pulls.commands import Verb
from cx.pulls.delivery import Delivery
from cx.pulls.repositories import Followed
from cx.pulls.values import PullId

HERE = Path(__file__).parent
PACKAGES = HERE / "node_modules" / "@octokit"
NOW = 1_550_000_000.0  # before the examples were made: no comment is old


@cache
def examples(source: str = "api.github.com") -> list[tuple[str, dict[str, Any]]]:
    """Event and payload of all that GitHub has published."""
    index = PACKAGES / "webhooks-examples" / source / "index.json"
    assert index.exists(), "run scripts/contract first"
    return [(one["name"], payload) for one in json.loads(index.read_text()) for payload in one["examples"]]


@cache
def schema() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((PACKAGES / "webhooks-schemas" / "schema.json").read_text())
    return found


def faults(event: str, payload: dict[str, Any]) -> set[str]:
    """What GitHub's own schema of the event finds wrong with the payload. Old examples lack what came later."""
    name = f"{event}${payload['action']}" if "action" in payload else f"{event}$event"
    if name not in schema()["definitions"]:
        return {f"there is no {name}"}
    validator = jsonschema.Draft7Validator({"$ref": f"#/definitions/{name}", "definitions": schema()["definitions"]})
    return {f"{one.json_path}: {one.validator} {one.schema_path}" for one in validator.iter_errors(payload)}


def taken(event: str, payload: dict[str, Any]) -> Delivery | str:
    """As a host would take it that follows the repository of the payload."""
    followed = {payload["repository"]["full_name"].lower()} if "repository" in payload else {"octocat/hello-world"}
    return read(event, json.dumps(payload).encode(), "d-1", Followed(followed), NOW)


def of(event: str) -> list[dict[str, Any]]:
    return [payload for name, payload in examples() if name == event]


def sources() -> list[str]:
    return [one.name for one in sorted((PACKAGES / "webhooks-examples").glob("*")) if one.is_dir()] or [
        "api.github.com"
    ]


@pytest.mark.parametrize("source", sources())
def test_every_example_of_every_event_is_taken_or_ignored(source: str) -> None:
    """Also those of old GitHub Enterprise servers."""
    found = examples(source)
    assert len(found) > 40
    for event, payload in found:
        said = taken(event, payload)
        assert isinstance(said, str) or event in EVENTS, event


def test_some_examples_of_each_event_are_all_that_the_schema_says() -> None:
    whole = {event for event in EVENTS for payload in of(event) if not faults(event, payload)}
    assert whole == set(EVENTS)


def test_pull_requests_are_asked_for_by_their_number() -> None:
    seen = set()
    for payload in of("pull_request"):
        said = taken("pull_request", payload)
        if payload["action"] in PULL_ACTIONS:
            name = payload["repository"]["full_name"].lower()
            assert isinstance(said, Delivery)
            assert said.asks == (PullId(name, payload["pull_request"]["number"]),)
            seen.add(payload["action"])
        else:
            assert isinstance(said, str), payload["action"]
    assert seen == PULL_ACTIONS - {"edited"}, "GitHub has published no example of the others"


def test_every_action_is_one_of_the_schema() -> None:
    for action in PULL_ACTIONS:
        assert f"pull_request${action}" in schema()["definitions"]


def of_a_fork(payload: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(payload)
    head = made["pull_request"]["head"]
    head["repo"] = {**head["repo"], "id": 999_999, "full_name": "stranger/shop", "fork": True}
    return made


def of_a_fork_that_was_deleted(payload: dict[str, Any]) -> dict[str, Any]:
    made = copy.deepcopy(payload)
    made["pull_request"]["head"]["repo"] = None
    return made


@pytest.mark.parametrize("derived", [of_a_fork, of_a_fork_that_was_deleted])
def test_a_fork_asks_for_the_same_look(derived: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    """Whether it is one is for GitHub to say, when it is looked at: a payload decides nothing."""
    for original in of("pull_request"):
        if original["action"] in PULL_ACTIONS:
            fork = derived(original)
            assert faults("pull_request", fork) <= faults("pull_request", original)
            assert taken("pull_request", fork) == taken("pull_request", original)


def on_a_pull_request(payload: dict[str, Any], body: str) -> dict[str, Any]:
    """GitHub has published comments on issues only; on a pull request it adds this."""
    made = copy.deepcopy(payload)
    made["comment"]["body"] = body
    url = made["issue"]["html_url"].replace("/issues/", "/pull/")
    made["issue"]["pull_request"] = {
        "url": made["issue"]["url"].replace("/issues/", "/pulls/"),
        "html_url": url,
        "diff_url": f"{url}.diff",
        "patch_url": f"{url}.patch",
    }
    return made


def test_comments() -> None:
    for original in of("issue_comment"):
        payload = on_a_pull_request(original, "Please:\r\n\r\n/cx extend 3d\r\n")
        assert faults("issue_comment", payload) <= faults("issue_comment", original)
        said = taken("issue_comment", payload)
        if payload["action"] != "created":
            assert isinstance(said, str)
            continue
        assert isinstance(said, Delivery)
        (command,) = said.commands
        assert (command.verb, command.argument) == (Verb.EXTEND, "3d")
        assert (command.login, command.comment_id) == (payload["comment"]["user"]["login"], payload["comment"]["id"])
        assert said.asks == (PullId(payload["repository"]["full_name"].lower(), payload["issue"]["number"]),)
        assert isinstance(taken("issue_comment", original), str), "nobody said /cx there"
        assert isinstance(taken("issue_comment", {**payload, "issue": original["issue"]}), str), "an issue has none"


def test_pushes_to_the_default_branch() -> None:
    for original in of("push"):
        payload = copy.deepcopy(original)
        payload["ref"] = f"refs/heads/{payload['repository']['default_branch']}"
        assert faults("push", payload) == faults("push", original)
        said = taken("push", payload)
        assert isinstance(said, Delivery)
        assert said.asks == (PullId(payload["repository"]["full_name"].lower(), 0),)
        payload["ref"] = "refs/heads/some-branch-of-mine"
        assert isinstance(taken("push", payload), str)


def test_installations() -> None:
    for event in ("installation", "installation_repositories"):
        for payload in of(event):
            lists = [payload.get(name) or [] for name in ("repositories", "repositories_added", "repositories_removed")]
            named = sorted({one["full_name"].lower() for some in lists for one in some})
            said = read(event, json.dumps(payload).encode(), "d-1", Followed({*named, "acme/other"}), NOW)
            assert isinstance(said, Delivery)
            assert [one.repository for one in said.asks] == (named or ["acme/other"])


@pytest.mark.parametrize("event", sorted(set(EVENTS) - {"ping"}))
def test_what_the_schema_requires_and_cx_reads_is_required_by_cx(event: str) -> None:
    """Without any of the keys that it reads, a payload is malformed, for GitHub's schema as for cx."""
    read_keys = {
        "pull_request": ["action", "number", "repository"],
        "issue_comment": ["action", "issue", "comment", "repository"],
        "push": ["ref", "repository"],
        "installation": ["action"],
        "installation_repositories": ["action"],
    }[event]
    for key in read_keys:
        payload = {name: value for name, value in of(event)[0].items() if name != key}
        assert faults(event, payload) - faults(event, of(event)[0])
        with pytest.raises(Malformed):
            read(event, json.dumps(payload).encode(), "d-1", Followed({"a/b"}), NOW)

"""cx's own template is right; a repository's is rendered by a process, in tests/component."""

from __future__ import annotations

import pytest

from cx.core.errors import Invalid
from cx.project.sandbox import literal
from cx.project.template import render_own
from cx.project.yaml import read_yaml

SERVICE = {
    **dict.fromkeys(["image", "build", "command", "healthcheck", "memory", "cpus", "replicas", "port"]),
    "environment": {},
}


def test_the_own_template_fills_in_what_is_said():
    service = SERVICE | {
        "build": {"context": ".", "dockerfile": "Dockerfile", "target": "prod", "args": {"A": "$x"}},
        "command": ["echo", 'a "b" $c'],
        "environment": {"A": "${B}\n# no comment"},
        "healthcheck": {"test": ["CMD", "x"], "interval": "5s"},
        "memory": "64m",
        "cpus": 0.5,
        "replicas": 2,
        "port": 80,
    }
    assert read_yaml(render_own({"services": {"a.b": service}}), "f") == {
        "services": {
            "a.b": {
                "build": {"context": ".", "dockerfile": "Dockerfile", "target": "prod", "args": {"A": "$$x"}},
                "command": ["echo", 'a "b" $$c'],
                "environment": {"A": "$${B}\n# no comment"},
                "healthcheck": {"test": ["CMD", "x"], "interval": "5s"},
                "expose": [80],
                "mem_limit": "64m",
                "cpus": 0.5,
                "scale": 2,
            }
        }
    }


def test_the_own_template_says_nothing_that_was_not_said():
    made = read_yaml(render_own({"services": {"x": SERVICE | {"image": "nginx"}}}), "f")
    assert made == {"services": {"x": {"image": "nginx", "environment": {}}}}


def test_the_own_template_wants_its_values():
    with pytest.raises(Invalid, match=r"compose.yml.j2: 'services' is undefined"):
        render_own({})


def test_literal_is_json():
    assert literal({"a": ["$b", True]}) == '{"a": ["$$b", true]}'

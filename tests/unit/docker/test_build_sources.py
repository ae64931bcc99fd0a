"""Whom a build shares caches with, and what it may take in, without an engine."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cx.core.names import Namespace
from cx.core.origin import Origin
from cx.core.state import Desired
from cx.docker.bake import Scope, Target, literal, source_policy

ONE, TWO = Namespace("preview-1"), Namespace("preview-2")


@pytest.mark.parametrize("origin", ["/srv/shop", "github:acme/shop"])
def test_a_projects_own_previews_share(origin):
    assert (
        Desired(ONE, origin=Origin.parse(origin)).cache_scope == Desired(TWO, origin=Origin.parse(origin)).cache_scope
    )


@pytest.mark.parametrize("origin", ["fork-of:acme/shop", "remote:preview-1", ""])
def test_what_comes_from_elsewhere_shares_with_itself_only(origin):
    one, two = (
        Desired(ONE, origin=Origin.parse(origin)).cache_scope,
        Desired(TWO, origin=Origin.parse(origin)).cache_scope,
    )
    assert one != two
    assert {"github:acme/shop", "/srv/shop"}.isdisjoint({one, two})


def names(scope):
    return {scope.mounts, scope.hostname, scope.contexts}


def test_nobody_without_the_key_can_name_what_a_scope_shares():
    own = Scope.of("key", "github:acme/shop")
    assert own == Scope.of("key", "github:acme/shop")
    assert len(names(own)) == 3
    assert names(own).isdisjoint(names(Scope.of("key", "/srv/shop")) | names(Scope.of("other", "github:acme/shop")))


def test_what_builds_may_print_tells_nothing_else_of_a_scope():
    scope = Scope.of("key", "a")
    assert re.fullmatch("[a-z0-9-]{1,63}", scope.hostname)
    assert "/" not in scope.mounts  # it ends the name
    assert not any(part in scope.hostname for part in (scope.mounts, scope.contexts))
    assert not any(scope.hostname.removeprefix("build-") in part for part in (scope.mounts, scope.contexts))


@pytest.mark.parametrize("args", [{}, {"BUILDKIT_SANDBOX_HOSTNAME": "theirs", "BUILDKIT_CACHE_MOUNT_NS": "theirs"}])
def test_every_build_is_told_its_scope(args):
    scope = Scope.of("key", "a")
    made = Target(Path("/c"), Path("/c/Dockerfile"), "cx/p/app:1", {}, args).definition(scope)["target"]["image"]
    assert made["args"] == {"BUILDKIT_CACHE_MOUNT_NS": scope.mounts, "BUILDKIT_SANDBOX_HOSTNAME": scope.hostname}
    assert made["network"] == "default"


@pytest.mark.parametrize(
    ("text", "written"),
    [("${A}", "$${A}"), ("$A", "$A"), ("%{if a}", "%%{if a}"), ("$${", "$$${"), ("a$", "a$"), ("%", "%"), ("", "")],
)
def test_a_text_is_no_template(text, written):
    assert literal({text: [text]}) == {written: [written]}


DENIED = {
    "docker-image://docker.io/cx/preview-2/app:0123": True,
    "docker-image://cx/preview-2/app:0123": True,
    "docker-image://docker.io/library/cx/app:1": True,
    "docker-image://docker.io/library/cx:1": False,
    "docker-image://ghcr.io/cx/app:1": False,
    "docker-image://docker.io/library/python:3.13-slim": False,
    "docker-image://docker.io/docker/dockerfile:1": False,
    "local://context": False,
    "http://127.0.0.1/": None,
    "https://example.com/x.tar": None,
    "git://github.com/acme/shop.git#main": None,
}


@pytest.mark.parametrize("source", DENIED)
@pytest.mark.parametrize("fetches", [False, True])
def test_what_a_build_may_not_take_in(source, fetches):
    rules = source_policy("cx", fetches=fetches)["rules"]
    hit = any(re.search(one["selector"]["identifier"], source) for one in rules)
    assert hit is (not fetches if DENIED[source] is None else DENIED[source])
    assert {(one["action"], one["selector"]["match_type"]) for one in rules} == {("DENY", "REGEX")}

"""Whom a build shares caches with, and what it may take in, without an engine."""

from __future__ import annotations

import re

import pytest

from cx.core.names import Namespace
from cx.core.state import Desired
from cx.docker.build import apart, caches, source_policy

ONE, TWO = Namespace("preview-1"), Namespace("preview-2")


@pytest.mark.parametrize("origin", ["/srv/shop", "github:acme/shop"])
def test_a_projects_own_previews_share(origin):
    assert Desired(ONE, origin=origin).cache_scope == Desired(TWO, origin=origin).cache_scope


@pytest.mark.parametrize("origin", ["fork-of:acme/shop", "remote:preview-1", ""])
def test_what_comes_from_elsewhere_shares_with_itself_only(origin):
    one, two = Desired(ONE, origin=origin).cache_scope, Desired(TWO, origin=origin).cache_scope
    assert one != two
    assert {"github:acme/shop", "/srv/shop"}.isdisjoint({one, two})


def test_nobody_without_the_key_can_name_a_scopes_caches():
    assert caches("key", "github:acme/shop") == caches("key", "github:acme/shop")
    assert len({caches("key", "a"), caches("key", "b"), caches("other", "a")}) == 3


def test_cache_mounts_and_what_is_made_with_them_are_told_apart():
    mounts = b"FROM x\nRUN --mount=type=CACHE,target=/c true"
    one, other = apart(caches("key", "a"), mounts), apart(caches("key", "b"), mounts)
    assert set(one) == {"BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_SANDBOX_HOSTNAME"}
    assert set(one.values()).isdisjoint(other.values())
    assert "/" not in one["BUILDKIT_CACHE_MOUNT_NS"]  # it ends the name
    assert re.fullmatch("[a-z0-9-]{1,63}", one["BUILDKIT_SANDBOX_HOSTNAME"])
    assert one["BUILDKIT_CACHE_MOUNT_NS"] not in one["BUILDKIT_SANDBOX_HOSTNAME"]  # which builds may print
    assert set(apart(caches("key", "a"), b"FROM x\nRUN true")) == {"BUILDKIT_CACHE_MOUNT_NS"}


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

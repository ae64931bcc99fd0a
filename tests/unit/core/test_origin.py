"""Who owns what: origins are read from what is stored, and compared."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.names import Namespace
from cx.core.origin import NOBODY, Origin, OriginKind

FOLDER, OTHER = Origin.folder("/srv/shop"), Origin.folder("/srv/other")
SHOP, SITE = Origin.pulls_of("Acme/Shop"), Origin.pulls_of("acme/site")
FORK = Origin.pulls_of("acme/shop", fork=True)
UPLOAD = Origin.upload(Namespace("preview-7"))
ALL = [FOLDER, OTHER, SHOP, SITE, FORK, UPLOAD]


@pytest.mark.parametrize(
    ("origin", "stored"),
    [
        (FOLDER, "/srv/shop"), (SHOP, "github:acme/shop"), (FORK, "fork-of:acme/shop"), (UPLOAD, "remote:preview-7"),
        (NOBODY, ""), (Origin.folder("/srv/github:shop"), "/srv/github:shop"),
    ],
)  # fmt: skip
def test_what_hosts_have_stored_is_read(origin, stored):
    assert (str(origin), Origin.parse(stored)) == (stored, origin)


@given(st.text())
def test_any_stored_text_stays_what_it_is(stored):
    assert str(Origin.parse(stored)) == stored


@pytest.mark.parametrize("owner", ALL)
@pytest.mark.parametrize("origin", ALL)
def test_a_namespace_is_its_own_origins_alone(origin, owner):
    assert origin.may_have(owner) is (origin == owner)
    same_pulls = {origin, owner} == {SHOP, FORK}  # a closed pull request is not told from a fork's
    assert origin.may_remove(owner) is (origin == owner or same_pulls)


@pytest.mark.parametrize("origin", ALL)
def test_what_nobody_owns_may_be_had(origin):
    assert origin.may_have(NOBODY)
    assert origin.may_remove(NOBODY)


def test_only_pull_requests_have_a_repository():
    assert [one.repository for one in ALL] == ["", "", "acme/shop", "acme/site", "acme/shop", ""]


def test_every_kind_has_words():
    assert {Origin(kind, "x").words for kind in OriginKind} == {
        "nobody", "the folder x", "a pull request of x", "a fork's pull request of x", "an upload through the API",
    }  # fmt: skip

"""What GitHub did not allow is told until it allows it."""

from __future__ import annotations

import pytest

from cx.forges.github.refusals import Refusals

SHOP, BLOG = "acme/shop", "acme/blog"
PULL, COMMENT = f"/repos/{SHOP}/pulls/7", f"/repos/{SHOP}/issues/7/comments"


def test_a_refused_login_is_over_with_the_next_success_of_whoever_logs_in() -> None:
    refusals = Refusals()
    refusals.login("", "GitHub refuses the token")
    refusals.login(BLOG, "the App is not installed")
    refusals.success("", SHOP, "GET", PULL)
    assert refusals.now() == ["the App is not installed"]
    refusals.success(BLOG, BLOG, "GET", f"/repos/{BLOG}/pulls")
    assert refusals.now() == []


def test_what_is_not_allowed_is_over_when_just_that_is_allowed() -> None:
    refusals = Refusals()
    refusals.request(SHOP, "POST", COMMENT)
    refusals.success("", SHOP, "GET", PULL)
    refusals.success("", SHOP, "GET", COMMENT)
    refusals.success("", BLOG, "POST", COMMENT.replace(SHOP, BLOG))
    assert refusals.now() == ["GitHub does not allow to write comments"]
    refusals.success("", SHOP, "PATCH", f"/repos/{SHOP}/issues/comments/1")
    assert refusals.now() == []


def test_it_is_told_once_and_names_nobody() -> None:
    refusals = Refusals()
    for repository in (SHOP, BLOG):
        refusals.request(repository, "GET", f"/repos/{repository}")
        refusals.request(repository, "POST", f"/repos/{repository}/statuses/{'a' * 40}")
    assert refusals.now() == [
        "GitHub does not allow to read repositories",
        "GitHub does not allow to write commit statuses",
    ]


@pytest.mark.parametrize(
    ("verb", "url"),
    [
        ("DELETE", f"/repos/{SHOP}/environments/preview-7"),
        ("DELETE", f"/repos/{SHOP}/issues/comments/1"),
        ("GET", "/user"),
    ],
)
def test_what_cx_does_without_is_no_refusal(verb: str, url: str) -> None:
    refusals = Refusals()
    refusals.request(SHOP, verb, url)
    assert refusals.now() == []

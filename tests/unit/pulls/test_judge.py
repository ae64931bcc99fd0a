"""What a pull request may have, by its facts and the owner's rules."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.pulls.rules import May, Said, Verdict, covers, judge
from cx.pulls.values import Pull, PullId
from cx.settings.github import Repository

HEAD, OTHER = "a" * 40, "b" * 40
PULL = Pull(PullId("acme/shop", 7), 1, 1, HEAD, "main", open=True)
NOTHING = Said()
FORK = replace(PULL, head_repository_id=2)
GONE = replace(PULL, head_repository_id=None)


def verdict(pull: Pull = PULL, said: Said = NOTHING, paths: tuple[str, ...] = ("app.py",), **rules: object) -> Verdict:
    return judge(pull, Repository(**rules), said, lambda: paths)


@pytest.mark.parametrize(
    ("pull", "rules", "paths", "may"),
    [
        (PULL, {}, (), May.HAVE),
        (replace(PULL, open=False), {}, (), May.NOT),
        (replace(PULL, draft=True), {}, (), May.HAVE),
        (replace(PULL, draft=True), {"drafts": False}, (), May.NOT),
        (PULL, {"labels": "preview"}, (), May.NOT),
        (replace(PULL, labels=frozenset({"preview"})), {"labels": "preview"}, (), May.HAVE),
        (replace(PULL, labels=frozenset({"no-preview"})), {"labels": "no-preview"}, (), May.NOT),
        (replace(PULL, labels=frozenset({"no-preview"})), {"labels": "all"}, (), May.HAVE),
        (PULL, {"branches": ["release/*"]}, (), May.NOT),
        (replace(PULL, base="release/1"), {"branches": ["main", "release/*"]}, (), May.HAVE),
        (replace(PULL, base="release/1/x"), {"branches": ["release/*"]}, (), May.NOT),
        (PULL, {"ignore": ["docs/**", "*.md"]}, ("docs/a/b.png", "sub/README.md"), May.NOT),
        (PULL, {"ignore": ["docs/**", "*.md"]}, ("docs/a.png", "app.py"), May.HAVE),
        (PULL, {"ignore": ["docs/**"]}, (), May.HAVE),
        (FORK, {}, (), May.WAIT),
        (GONE, {}, (), May.WAIT),
        (FORK, {"forks": "never"}, (), May.NOT),
    ],
)
def test_the_rules(pull, rules, paths, may):
    assert verdict(pull, paths=paths, **rules).may is may


def test_an_approval_is_for_one_commit():
    assert verdict(FORK, Said(approved=HEAD)).may is May.HAVE
    assert verdict(replace(FORK, head=OTHER), Said(approved=HEAD)).may is May.WAIT
    assert verdict(FORK, Said(approved=HEAD), forks="never").may is May.NOT


def test_paths_are_asked_for_only_where_they_decide():
    def never() -> tuple[str, ...]:
        raise AssertionError

    assert judge(PULL, Repository(), Said(), never).may is May.HAVE
    assert judge(replace(PULL, open=False), Repository(ignore=["*"]), Said(), never).may is May.NOT


@given(
    st.builds(
        replace,
        st.just(PULL),
        head_repository_id=st.sampled_from([1, 2, None]),
        open=st.booleans(),
        draft=st.booleans(),
        labels=st.frozensets(st.sampled_from(["preview", "no-preview", "x"])),
        base=st.sampled_from(["main", "dev"]),
    ),
    st.builds(Said, approved=st.sampled_from(["", HEAD, OTHER]), deleted=st.booleans()),
    st.builds(
        Repository,
        labels=st.sampled_from(["all", "preview", "no-preview"]),
        drafts=st.booleans(),
        branches=st.sampled_from([[], ["main"]]),
        ignore=st.sampled_from([[], ["*.md"], ["**"]]),
        forks=st.sampled_from(["approve", "never"]),
    ),
)
def test_what_never_holds(pull, said, rules):
    may = judge(pull, rules, said, lambda: ["a.md"]).may
    if may is not May.NOT:
        assert pull.open
        assert not said.deleted
    if pull.fork and may is May.HAVE:
        assert said.approved == pull.head
        assert rules.forks == "approve"


@pytest.mark.parametrize(
    ("pattern", "path", "covered"),
    [
        ("*.md", "README.md", True),
        ("*.md", "a/b/README.md", True),
        ("*.md", "a.mdx", False),
        ("docs/", "docs/a/b", True),
        ("docs/", "mydocs/a", False),
        ("docs/*", "docs/a/b", False),
        ("/docs/*", "docs/a", True),
        ("**/test/**", "test/a", True),
        ("**/test/**", "x/y/test/a", True),
        ("a?c", "abc", True),
        ("[ab]", "a", False),
        ("a.c", "abc", False),
    ],
)
def test_patterns(pattern, path, covered):
    assert covers(pattern, path) is covered

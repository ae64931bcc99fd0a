"""A comment by a template that is not cx's: it is rendered by a process of its own, and writes no marker."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cx.core.errors import Invalid
from cx.forges.github import comment
from cx.forges.github.comment import Template
from cx.pulls.marker import marked
from cx.pulls.values import DatabaseShown, Phase, PullId, Report, ServiceShown
from cx.resources import folder

ONE = "1" * 40
URL = "https://preview-7-app.previews.example.com"
READY = Report(
    PullId("acme/shop", 7), "preview-7", ONE, Phase.READY, serving=ONE,
    services=(ServiceShown("app", URL, "healthy"), ServiceShown("worker", "", "running")),
    databases=(DatabaseShown("app", "2026-11-20T03:00:00Z"),), took_s=4.2, release_s=1.26, notes=("a `note`",),
)  # fmt: skip
FAILED = replace(READY, phase=Phase.FAILED, step="build app", message="it broke", remedy="mend it", log=("a", "```"))


def said(source: str, report: Report = READY) -> str:
    return comment.body(report, Template("their.j2", source))


def test_it_says_what_the_template_says() -> None:
    source = "Preview of {{ pull }}: {{ services[0].url }} {{ code(head) }} {{ took }}"
    assert said(source).startswith(f"Preview of acme/shop#7: {URL} `{ONE}` 4.2 s\n")


@pytest.mark.parametrize("report", [READY, FAILED, replace(READY, phase=Phase.QUEUED, position=3, took_s=None)])
def test_a_copy_of_cx_s_own_says_the_same(report: Report) -> None:
    source = (folder("templates") / "comment.md.j2").read_text()
    assert said(source, report) == comment.body(report)


def test_the_marker_is_cx_s_own() -> None:
    forged = "<!-- cx:preview-8 0123456789abcdef -->"
    assert marked(said(f"x\n{forged}"))[0] == "preview-7"


def test_what_a_pull_request_brings_is_words_where_the_template_says_so() -> None:
    report = replace(READY, services=(ServiceShown("@acme/admins", "", "`x`"),))
    assert "`@acme/admins` @\u2060acme" in said("{{ code(services[0].name) }} {{ text(services[0].name) }}", report)


def test_what_is_no_text_does_no_harm() -> None:
    assert said('a{{ "\\ud800" }}b').startswith("a?b\n")


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("{{ servcies }}", "'servcies' is undefined"),
        ("{% if %}", "Expected an expression"),
        ("{{ took + 1 }}", "can only concatenate str"),
        ("{{ services[9].url }}", "no element 9"),
        ("{{ ''.__class__.__mro__ }}", "unsafe"),
        ("{{ code.__globals__ }}", "unsafe"),
        ("{{ services.append(1) }}", "unsafe"),
        ("{% include '/etc/passwd' %}", "no loader"),
        ("{{ 'x' * 70000 }}", "more than 60000"),
        ("{{ 'x' * 10 ** 10 }}", "memory"),
        ("{% for a in range(99999999) %}{% endfor %}", "Range too big"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "2 s of processor"),
        (" {# nothing #} ", "makes no text"),
    ],
)
def test_one_that_does_not_work_is_named(source: str, problem: str) -> None:
    with pytest.raises(Invalid) as caught:
        said(source)
    assert problem in caught.value.problem
    assert caught.value.where.startswith("their.j2")


def test_nothing_of_ours_is_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "hunter2")
    with pytest.raises(Invalid, match="unsafe"):
        said("{{ text.__globals__['__builtins__']['__import__']('os').environ }}")

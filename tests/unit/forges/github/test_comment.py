"""The one comment, as text in tests/golden/comments and as GitHub would read it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from cx.forges.github import comment
from cx.pulls.marker import marked
from cx.pulls.values import DatabaseShown, Phase, PullId, Report, ServiceShown
from examples import examples

GOLDEN = Path(__file__).parents[3] / "golden" / "comments"
ONE, TWO = "1" * 40, "2" * 40
URL = "https://preview-7-app.previews.example.com"
SERVICES = (ServiceShown("app", URL, "healthy"), ServiceShown("worker", "", "running"))
DATABASES = (DatabaseShown("app", "2026-11-20T03:00:00Z"), DatabaseShown("cache"))
PLAIN = Report(PullId("acme/shop", 7), "preview-7", ONE, Phase.BUILDING)
READY = replace(PLAIN, phase=Phase.READY, serving=ONE, services=SERVICES, databases=DATABASES, took_s=4.2)
FAILED = replace(
    READY, head=TWO, phase=Phase.FAILED, step="build app", message="the build ended with status 1",
    remedy="mend the Dockerfile, or say `/cx deploy` to try again",
    log=("#7 RUN npm ci", "npm error code E404", "```", "</details> @acme/admins"),
)  # fmt: skip
REPORTS = {
    "held": replace(PLAIN, phase=Phase.HELD),
    "held-after-an-approved-commit": replace(READY, head=TWO, phase=Phase.HELD),
    "queued": replace(PLAIN, phase=Phase.QUEUED, position=3),
    "queued-next": replace(PLAIN, phase=Phase.QUEUED, position=1),
    "building": PLAIN,
    "building-while-another-serves": replace(READY, head=TWO, phase=Phase.BUILDING, took_s=None),
    "ready": READY,
    "ready-with-answers": replace(
        READY,
        notes=(
            "- `/cx deploy`: try again\n- `/cx extend 3d`: keep it",
            "The last lines of `app`:\n```\n<b>started</b> at http://127.0.0.1\n```",
            "`/cx delete` is for people who may write to this repository",
        ),
    ),
    "ready-with-a-release-command": replace(READY, release_s=1.26),
    "failed": FAILED,
    "failed-at-its-release-command": replace(
        FAILED, step="release", message="the release command ended with status 4", release_s=2.5, log=("no column x",)
    ),
    "failed-at-first": replace(FAILED, serving="", services=(), databases=(), step="", remedy="", log=("alone",)),
    "sleeping": replace(READY, phase=Phase.SLEEPING, took_s=None),
    "removed": replace(PLAIN, phase=Phase.REMOVED),
    "removed-while-open": replace(PLAIN, phase=Phase.REMOVED, message="it has the label no-preview"),
}
MARKDOWN = MarkdownIt("gfm-like", {"html": True, "linkify": False})


@pytest.mark.parametrize("name", REPORTS)
def test_each_state_is_golden(name: str) -> None:
    said = comment.body(REPORTS[name])
    golden = GOLDEN / f"{name}.md"
    if os.environ.get("CX_UPDATE_GOLDEN"):
        golden.write_text(said)
    assert said == golden.read_text(), "CX_UPDATE_GOLDEN=1 pytest updates it"


def test_no_golden_file_is_left_over() -> None:
    assert {path.stem for path in GOLDEN.iterdir()} == {*REPORTS}


# --- nothing that a pull request brings is read as more than words
HOSTILE = (
    "@acme/admins", "![x](https://evil.example/x.png)", "[x](https://evil.example)", "<img src=x>", "</details>",
    "https://evil.example", "www.evil.example", "#1", "```", "\x00```\n", "`\u200b``", "``\x1b[0m`", "~~~", "|", "\n\n",
    "# x", "---",
    "&lt;img&gt;", "\\", "`", "-->", "<!-- ", "\r\n", "* ", "1. ", "    x", "$x$", "evil@evil.example", "\ud800",
)  # fmt: skip
anything = st.lists(st.sampled_from(HOSTILE) | st.text(max_size=5), max_size=6).map("".join)
ADDRESS = {URL}
TAGS = {"<details><summary>The last line</summary>", "<details><summary>The last 2 lines</summary>", "</details>"}


def inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or [token]


def shape(said: str) -> list[str]:
    """What GitHub would make of it, without the words and the lists of an answer."""
    return [token.type for token in MARKDOWN.parse(said) if token.type != "inline"]


@examples(80)
@given(anything, anything)
@example("x\n```\n</details>\n\n@acme", "\x1b]8;;https://evil.example\x1b\\x")
@example("`\x00``\n![x](https://evil.example/x.png)", "```")
def test_what_a_pull_request_brings_is_words(one: str, two: str) -> None:
    report = replace(
        FAILED, step=one, message=two, remedy=one, log=(one, two), databases=(DatabaseShown(two, "2026"),),
        services=(ServiceShown(one, URL, two), ServiceShown(two, "", one)),
        notes=(f"The last lines of `app`:\n```\n{one}\n```", f"- so: {' '.join(two.split())}"),
    )  # fmt: skip
    said = comment.body(report)
    assert marked(said)[0] == "preview-7"
    said.encode()
    plain = replace(
        report, step="x", message="x", remedy="x", log=("x", "x"), databases=(DatabaseShown("x", "2026"),),
        services=(ServiceShown("x", URL, "x"), ServiceShown("x", "", "x")),
        notes=("The last lines of `app`:\n```\nx\n```", "- so: x"),
    )  # fmt: skip
    assert shape(said) == shape(comment.body(plain))
    for token in inline(MARKDOWN.parse(said)):
        assert token.type not in ("image", "link_open"), token
        if token.type == "html_block":
            assert token.content.startswith("<!-- cx:") or token.content.strip() in TAGS
        if token.type == "html_inline":
            assert token.content in ("<sub>", "</sub>", "</summary>", "</details>", "<summary>", "<details>")
        if token.type == "text":
            words = token.content.replace(URL, "")
            assert "://" not in words
            assert "www." not in words.lower()
            assert not any(mark + letter in words for mark in "@#" for letter in "acmeilvx0123456789")


@examples(60)
@given(st.lists(anything, max_size=4))
def test_an_answer_is_words_too(lines: list[str]) -> None:
    said = comment.body(replace(PLAIN, phase=Phase.REMOVED, notes=("\n".join(lines),)))
    tokens = list(inline(MARKDOWN.parse(said)))
    assert {one.content for one in tokens if one.type == "html_inline"} <= {"<sub>", "</sub>"}
    assert {one.type for one in tokens}.isdisjoint({"image", "link_open", "fence", "code_block", "hr", "table_open"})
    assert [one.tag for one in tokens if one.type == "heading_open"] == ["h3"]


def test_a_log_reads_as_a_terminal_would_show_it_in_the_end() -> None:
    said = comment.body(replace(FAILED, log=("10%\r50%\r100%", "\x1b[31mred\x1b[0m\r\n", "tab\tbed")))
    assert "100%\nred\n" in said
    assert "50%" not in said
    assert "[31m" not in said
    assert "tab\tbed" in said


def test_however_much_there_is_the_comment_is_whole() -> None:
    report = replace(
        FAILED,
        log=tuple("`" * 400 + "x" * 500 for _ in range(200)),
        notes=tuple("The last lines of `app`:\n```\n" + "y\n" * 20_000 + "```" for _ in range(5)),
        services=tuple(ServiceShown("s" * 300, URL, "z" * 100) for _ in range(90)),
    )
    said = comment.body(report)
    assert len(said) < 65_536
    assert said.count("</details>") == 1
    assert shape(said)[-1] == "html_block"  # the marker is outside of every fence


def test_one_long_line_is_shown_in_part() -> None:
    assert "x" * 1000 + "…" in comment.body(replace(FAILED, log=("x" * 100_000,)))

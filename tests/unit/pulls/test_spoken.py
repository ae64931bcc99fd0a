"""What a comment tells cx."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.pulls.commands import LONGEST_S, SPOKEN_MAX, USAGE, Spoken, Verb, lasting_s, spoken


@pytest.mark.parametrize(
    ("body", "verb", "argument"),
    [
        ("/cx deploy", Verb.DEPLOY, ""),
        ("/cx delete\r\n", Verb.DELETE, ""),
        ("Please:\n\n  /cx reset-db  \n\nthanks", Verb.RESET_DB, ""),
        ("/cx\tsleep", Verb.SLEEP, ""),
        ("/cx WAKE", Verb.WAKE, ""),
        ("/cx extend 3d", Verb.EXTEND, "3d"),
        ("/cx logs app", Verb.LOGS, "app"),
        ("/cx approve", Verb.APPROVE, ""),
        (f"/cx approve {'A' * 40}", Verb.APPROVE, "a" * 40),
        ("/cx help", Verb.HELP, ""),
        ("/cx", Verb.HELP, ""),
    ],
)
def test_a_command(body: str, verb: Verb, argument: str) -> None:
    assert spoken(body) == (Spoken(verb, argument),)


@pytest.mark.parametrize(
    "body",
    [
        "", "cx deploy", "run /cx deploy", "/cxdeploy", "/cx-deploy", "> /cx deploy", "    /cx deploy", "`/cx deploy`",
        "```\n/cx deploy\n```", "~~~sh\n/cx delete\n```\n/cx delete\n~~~", "````\n```\n/cx delete\n````",
        "```\n/cx delete", "<!-- what to write:\n/cx delete\n-->", "look <!--\n```\n/cx delete\n-->",
        *(f"> looks nice{ending}/cx delete" for ending in "\u2028\u2029\x85\x0b\x0c\x1c\x1d\x1e"),
        "| /cx deploy |", "- /cx deploy",
    ],
)  # fmt: skip
def test_not_for_cx(body: str) -> None:
    assert spoken(body) == ()


@pytest.mark.parametrize(
    "body",
    [
        "/cx deploi", "/cx unknown", "/cx deploy now", "/cx extend", "/cx extend 3", "/cx extend 0d", "/cx extend 91d",
        "/cx extend 3d 4d", "/cx logs", "/cx logs a/b", "/cx logs a b", "/cx approve xyz", "/cx approve abc",
        f"/cx approve {'a' * 12}", f"/cx approve {'a' * 39}",
        f"/cx approve {'a' * 41}",
    ],
)  # fmt: skip
def test_what_is_not_understood_says_why(body: str) -> None:
    (one,) = spoken(body)
    assert one.verb is Verb.UNKNOWN
    assert one.problem


def test_several_in_one_comment_and_not_too_many() -> None:
    assert [one.verb for one in spoken("/cx wake\ntext\n/cx extend 1w")] == [Verb.WAKE, Verb.EXTEND]
    assert len(spoken("/cx deploy\n" * 100)) == SPOKEN_MAX


def test_after_what_html_hides_it_is_read_again() -> None:
    assert spoken("<!-- a -->\n/cx wake") == (Spoken(Verb.WAKE),)
    assert spoken("<!--\n/cx delete\n-->\n/cx deploy") == (Spoken(Verb.DEPLOY),)
    assert spoken("`<!--` is how it begins\n/cx deploy") == (Spoken(Verb.DEPLOY),)


def test_after_a_code_block_it_is_read_again() -> None:
    assert spoken("```\n/cx delete\n```\n/cx deploy") == (Spoken(Verb.DEPLOY),)


@pytest.mark.parametrize(("text", "seconds"), [("1h", 3600), ("3d", 259200), ("2w", 1209600), ("90d", LONGEST_S)])
def test_times(text: str, seconds: int) -> None:
    assert lasting_s(text) == seconds


def test_every_command_has_its_usage_and_the_usage_is_understood() -> None:
    assert set(USAGE) == set(Verb) - {Verb.UNKNOWN}
    for verb, (usage, _) in USAGE.items():
        (one,) = spoken(usage.replace("SERVICE", "app").replace("SHA", "a" * 40))
        assert one.verb is verb


@given(st.text(st.sampled_from("/cx deploy`~>\n\r\t extn3d\x00\u2028é"), max_size=60))
def test_any_text_is_read(body: str) -> None:
    for one in spoken(body):
        assert bool(one.problem) == (one.verb is Verb.UNKNOWN)
        assert "\n" not in one.argument

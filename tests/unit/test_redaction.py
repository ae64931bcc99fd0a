"""Which secrets are taken out of texts, and where."""

from __future__ import annotations

import pytest

from cx.redaction import Redactor

TEXT = 'drawn by raw: connection of "raw" to postgresql://raw:raw@host, raw1, RAW'


def test_a_short_password_is_hidden_as_a_word_of_its_own() -> None:
    hide = Redactor((), ["raw"])
    assert hide(TEXT) == 'drawn by ***: connection of "***" to postgresql://***:***@host, raw1, RAW'
    assert Redactor((), ["é1"])("café1 é1") == "café1 é1"  # two characters tell nothing
    assert Redactor((), ["é1x"])("café1x é1x") == "café1x ***"
    assert Redactor((), ["a+b"])("xa+b a+b a+by") == "xa+b *** a+by"


@pytest.mark.parametrize("password", ["", "a", "at", " "])
def test_what_is_shorter_is_hidden_nowhere(password: str) -> None:
    assert Redactor((), [password])("a table at rest") == "a table at rest"


def test_a_long_one_is_hidden_inside_words_too() -> None:
    assert Redactor((), ["secret-1"])("xsecret-1x secret-1") == "x***x ***"


def test_the_longest_is_hidden_first() -> None:
    assert Redactor((), ["raw", "raw-and-more"])("raw raw-and-more") == "*** ***"


def test_short_values_that_are_no_passwords_stand_as_they_are() -> None:
    """A variable may hold `true`; it is in too many texts."""
    assert Redactor(["true", "8080"])("port 8080 is true") == "port 8080 is true"

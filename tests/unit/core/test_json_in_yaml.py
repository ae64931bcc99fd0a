"""What is written for a reader of YAML is what it reads, whatever the characters."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cx.core.json_in_yaml import json_in_yaml


@given(st.recursive(st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(min_size=1), inner)))
@example("\U0001f642")
@example("\\\U0001f642\\\\\U0001f642")
@example("\\ud83d\\ude42")
def test_both_readers_see_the_same(value: object) -> None:
    text = json_in_yaml(value)
    assert json.loads(text) == value
    assert yaml.safe_load(text) == value


@pytest.mark.parametrize("value", ["\ud83d", "\ude42\ud83d", "\\\ud83d"])
def test_half_of_a_pair_stays_an_escape(value: str) -> None:
    assert json_in_yaml(value).isascii()
    assert json.loads(json_in_yaml(value)) == value

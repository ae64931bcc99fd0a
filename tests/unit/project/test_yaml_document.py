"""Our own strict reading of YAML, against what Compose makes of the same text."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.errors import Invalid
from cx.project.yaml import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 22:22", "22:22"),
        ("a: yes", "yes"),
        ("a: on", "on"),
        ("a: true", True),
        ("a: 2024-01-01", "2024-01-01"),
        ("a: 1.10", 1.1),
        ("a: 0777", 511),
        ("a: 0o17", 15),
        ("a: 0x1F", 31),
        ("a: 1_000", 1000),
        ("a: -5", -5),
        ("a: 1e3", 1000.0),
        ("a: .inf", ".inf"),
        ("a: 99999999999999999999", "99999999999999999999"),
        ("a: ~", None),
        ("a:", None),
        ('a: "5"', "5"),
        ("a: !!str 5", "5"),
        ("a: !!int '5'", 5),
        ("a: !!float 5", 5),
        ("a: |\n  x\n  y\n", "x\ny\n"),
        ("a: {1: x, true: y, null: z}", {"1": "x", "true": "y", "null": "z"}),
        ("x: &x {b: 1}\na: {<<: *x, c: 2}", {"b": 1, "c": 2}),
        ("x: &x {b: 1}\na: {b: 3, <<: *x}", {"b": 3}),
        ("x: &x {b: 1}\ny: &y {b: 2, c: 2}\na: {<<: [*x, *y]}", {"b": 1, "c": 2}),
        ('a: {"<<": 1}', {"<<": 1}),
    ],
)
def test_values_are_those_of_compose(text, value):
    assert read_yaml(text, "f")["a"] == value


@pytest.mark.parametrize(
    ("text", "where", "key", "problem"),
    [
        ("services: {web: {image: a, image: b}}", "f:1", "services.web.image", "is there twice"),
        ("a: 1\nb: 2\na: 3", "f:3", "a", "is there twice"),
        ("services:\n  web: !reset null", "f:2", "services.web", "the tag !reset"),
        ("a: !!python/object/apply:os.system [id]", "f:1", "a", "the tag !!python/object"),
        ("a: !!binary aGk=", "f:1", "a", "the tag !!binary"),
        ("a: !!int five", "f:1", "a", "is no int"),
        ("a: !!seq {}", "f:1", "a", "the tag !!seq"),
        ("a: &a [*a]", "f:1", "", "refers to itself"),
        ("a: &a {<<: *a}", "f:1", "", "refers to itself"),
        ("a: *b", "f:1", "", "is not defined"),
        ("a: {<<: 5}", "f:1", "a", "<< takes a mapping"),
        ("? [a]\n: b", "f:1", "", "a key that is not text"),
        ("? {a: b}\n: b", "f:1", "", "a key that is not text"),
        ("a: [", "f:2", "", "is not YAML"),
        ("a:\n\t- b", "f:2", "", "is not YAML"),
        ("a: 1\n---\nb: 2", "f:2", "", "more than one YAML document"),
        ('a: "\\0"', "f:1", "a", "control character"),
        ('a: ["x", "\\e[31m"]', "f:1", "a[1]", "control character"),
        ("- a", "f", "", "should be a mapping"),
        ("", "f", "", "should be a mapping"),
        ("just text", "f", "", "should be a mapping"),
        ("a: " + "[" * 40 + "]" * 40, "f:1", "a" + "[0]" * 30, "more than 32 deep"),
        ("%YAML 5\n---\na: 1", "f:1", "", "is not YAML"),
    ],
)
def test_what_is_wrong_is_named(text, where, key, problem):
    with pytest.raises(Invalid) as caught:
        read_yaml(text, "f")
    assert (caught.value.where, caught.value.key) == (where, key)
    assert problem in caught.value.problem
    assert caught.value.exit_code == 2


def bomb(of: str) -> str:
    lines = [f"a0: &a0 [{', '.join([of] * 10)}]"]
    return "\n".join([*lines, *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))])


@pytest.mark.parametrize("of", ["x", "{}", "x" * 200_000], ids=["words", "tables", "long text"])
def test_an_alias_bomb_does_not_go_off(of):
    with pytest.raises(Invalid, match="too large once its aliases are written out"):
        read_yaml(bomb(of), "f")


def test_a_bomb_of_merges_does_not_go_off():
    text = "a0: &a0 {k: v}\n" + "\n".join(
        f"a{n}: &a{n} {{x: *a{n - 1}, <<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40)
    )
    with pytest.raises(Invalid, match="too large"):
        read_yaml(text, "f")


def test_many_nodes_are_too_many():
    with pytest.raises(Invalid, match="too large"):
        read_yaml("a: [" + "x," * 30_000 + "]", "f")


fragments = st.sampled_from(
    ["a", ": ", "- ", "\n", "  ", "&x ", "*x", "<<: ", "{", "}", "[", "]", "'", '"', "!t ", "|", "# "]
)


@given(st.text(max_size=40) | st.lists(fragments, max_size=25).map("".join))
def test_any_text_is_a_mapping_or_an_error_of_ours(text):
    with contextlib.suppress(Invalid):
        json.dumps(read_yaml(text, "f"), allow_nan=False)

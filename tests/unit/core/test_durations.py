"""One reader of durations for all of cx: exact, and it refuses what is none, nothing, or too much."""

from __future__ import annotations

import contextlib
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.durations import COMPOSE, LASTING, MOST_NS, compose_duration, duration_ns, duration_s

NS = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
LONG = {"h": 3600 * 10**9, "d": 86_400 * 10**9, "w": 7 * 86_400 * 10**9}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10s", 10.0),
        ("1m30s", 90.0),
        ("1.5h", 5400.0),
        ("0.1s", 0.1),
        ("100ms", 0.1),
        ("1h1m1s1ms1us1ns", 3661.001001001),
        ("1µs", 1e-6),
    ],
)
def test_a_duration_is_read_exactly(text: str, expected: float) -> None:
    assert duration_s(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "10",
            "s",
            "soon",
            "-1s",
            "0",
            "0s",
            "0.0h",
            "0.1ns",
            "nan",
            "inf",
            "1e3s",
            "1_0s",
            "1.5.5s",
            ".5s",
            "1.s",
        ),
        *("2562048h", "9223372037s", "99999999999999999999h", " 1s", "1s ", "1s\n", "\u0661s", "1S", "1d", "2w", "1s1"),
        *(0, 1, 1.5, True, None, [], "1s" * 100),
    ],
)
def test_what_is_no_duration_or_too_small_or_too_large_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"should be|is too"):
        duration_ns(text)


def test_zero_is_a_duration_where_it_means_something() -> None:
    assert [duration_ns(one, zero=True) for one in ("0", "0s", "0m0s", "0.1ns")] == [0, 0, 0, 0]


@pytest.mark.parametrize(("of", "units"), [(COMPOSE, NS), (LASTING, LONG)])
@given(data=st.data())
def test_every_duration_is_what_its_digits_say(of: frozenset[str], units: dict[str, int], data: st.DataObject) -> None:
    part = st.tuples(st.integers(0, 5000), st.text("0123456789", max_size=9), st.sampled_from(sorted(units)))
    parts = data.draw(st.lists(part, min_size=1, max_size=5))
    texts = [(f"{whole}.{fraction}" if fraction else str(whole), unit) for whole, fraction, unit in parts]
    exact = sum(int(Fraction(number) * units[unit]) for number, unit in texts)
    written = "".join(number + unit for number, unit in texts)
    if 0 < exact <= MOST_NS:
        assert duration_ns(written, units=of) == exact
        assert duration_s(written, units=of) == exact / 10**9
    else:
        with pytest.raises(ValueError, match=r"should be|is too"):
            duration_ns(written, units=of)


@given(st.integers(1, 10**9))
def test_what_compose_is_told_is_read_back(milliseconds: int) -> None:
    assert duration_ns(compose_duration(milliseconds / 1000)) == milliseconds * 10**6


@given(st.one_of(st.text("0123456789.hmsdw", max_size=20), st.text(max_size=20), st.floats(), st.none()))
def test_whatever_is_given_is_a_duration_or_a_value_error(value: object) -> None:
    with contextlib.suppress(ValueError):
        assert 0 <= duration_ns(value, zero=True) <= MOST_NS

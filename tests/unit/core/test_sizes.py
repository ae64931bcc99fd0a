"""One reader of sizes for all of cx: exact, and it refuses what is no size, nothing, or too much."""

from __future__ import annotations

import contextlib
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.sizes import MOST_BYTES, size_bytes

UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4, "p": 1024**5}
HERE = Path(__file__).parents[3] / "cx"
# Only these hold a pattern of sizes or times: the two readers, and the API's contract, which lasting_s reads after it.
READERS = {"core/sizes.py", "core/durations.py", "web/contract.py"}
PATTERN = re.compile(r"\[k?mgt?p?\]|kmg|\[hdw\]|\|ms\||KMG")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.5g", 512 << 20),
        ("1.5g", 1536 << 20),
        ("0.1g", 107_374_182),  # as Docker: a fraction of a byte is dropped
        ("512m", 512 << 20),
        ("512MB", 512 << 20),
        ("512MiB", 512 << 20),
        ("2 GB", 2 << 30),
        ("1048576", 1 << 20),
        (1048576, 1 << 20),
        ("9007199254740993", 2**53 + 1),  # which a float cannot hold
        ("8191.999999999p", int(Fraction("8191.999999999") * 1024**5)),
    ],
)
def test_a_size_is_read_to_the_byte(text: str | int, expected: int) -> None:
    assert size_bytes(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "g", "lots", "-1", "-1g", "0", "0g", "0.0g", "0.4b", "nan", "inf", "1e9", "1_0m", "1.5.5g", ".5g", "1.g"),
        *("8192p", "9223372036854775808", "99999999999999999999", " 1g", "1g ", "1g\n", "512\u212a", "\u0661g", "1gg"),
        *(0, -1, 2**63, True, False, None, 1.5, float("nan"), float("inf"), [], {}),
    ],
)
def test_what_is_no_size_or_too_small_or_too_large_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match=r"should be|is too"):
        size_bytes(text)


@given(
    st.integers(0, 10**6),
    st.text("0123456789", max_size=12),
    st.sampled_from(sorted(UNITS)),
    st.sampled_from(["", "i", "b", "ib"]),
)
def test_every_size_is_what_its_digits_say(whole: int, fraction: str, unit: str, suffix: str) -> None:
    text = f"{whole}.{fraction}" if fraction else str(whole)
    written = text + (unit + suffix if unit not in ("", "b") else unit)
    exact = Fraction(text) * UNITS[unit]
    if 1 <= exact < MOST_BYTES + 1:
        assert size_bytes(written) == size_bytes(written.upper()) == int(exact)
    else:
        with pytest.raises(ValueError, match=r"should be|is too"):
            size_bytes(written)


@given(st.one_of(st.text(max_size=30), st.integers(), st.floats(), st.booleans(), st.none()))
def test_whatever_is_given_is_a_size_or_a_value_error(value: object) -> None:
    with contextlib.suppress(ValueError):
        assert 1 <= size_bytes(value) <= MOST_BYTES


def test_no_other_module_reads_sizes_or_durations() -> None:
    readers = {path.relative_to(HERE).as_posix() for path in HERE.rglob("*.py") if PATTERN.search(path.read_text())}
    assert readers == READERS

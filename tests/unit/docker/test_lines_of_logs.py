"""What containers print, as lines."""

from __future__ import annotations

import itertools

from cx.docker.logs import LINE_MAX_BYTES, _lines


def test_lines_come_whole_however_they_are_cut():
    assert list(_lines([b"on", b"e\r\ntw", b"o\n", b"\xff three"])) == ["one", "two", "\ufffd three"]


def test_a_line_that_never_ends_comes_in_parts():
    parts = itertools.islice(_lines(itertools.repeat(b"x" * 10_000)), 3)
    assert all(LINE_MAX_BYTES < len(one) <= LINE_MAX_BYTES + 10_000 for one in parts)

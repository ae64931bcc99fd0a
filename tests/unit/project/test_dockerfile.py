"""The ports that a Dockerfile exposes, read as the builder reads it."""

from __future__ import annotations

import time
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.project.dockerfile import exposed


@pytest.mark.parametrize(
    ("text", "ports"),
    [
        ("FROM x\nEXPOSE 8000", [8000]),
        ("from x\nexpose 8000/tcp 9000/udp 9001", [8000, 9001]),
        ("FROM x\nEXPOSE 8000-8002", [8000]),
        ("FROM x\nEXPOSE \\\n  # a comment\n\n  80 \\\n  81", [80, 81]),
        ("FROM x\n# EXPOSE 1\nRUN echo EXPOSE 2", []),
        ("FROM x\nRUN <<A <<-'B'\nEXPOSE 1\nA\nEXPOSE 2\n\tB\nEXPOSE 3", [3]),
        ("FROM x\nCOPY <<EOF /x\nEXPOSE 1\nEOF\nEXPOSE 3", [3]),
        ("ARG P=80\nFROM x\nARG P\nEXPOSE $P", [80]),
        ("ARG P=80\nFROM x\nEXPOSE ${P:-90}", [90]),
        ("FROM x\nARG P=80\nENV Q=${P} R='5'\nEXPOSE ${Q}", [80]),
        ("FROM x\nENV Q 70\nEXPOSE $Q", [70]),
        ("FROM x AS one\nEXPOSE 1\nFROM y\nEXPOSE 2", [2]),
        ("FROM x AS one\nEXPOSE 1\nFROM One\nEXPOSE 2", [1, 2]),
        ("# escape=`\nFROM x\nEXPOSE `\n 5", [5]),
        ("FROM x\nEXPOSE 0 65536 -1 x ${NOPE} 99999999", []),
        ("EXPOSE 1\nFROM x", []),
        ("FROM --platform=$BUILDPLATFORM x AS y\nEXPOSE 7", [7]),
        ("FROM x\nEXPOSE 8 \\", [8]),
        ("", []),
        ("FROM", []),
        ("FROM x\r\nEXPOSE 80\r\n", [80]),
    ],
)
def test_exposed_ports(text, ports):
    assert exposed(text) == ports


def test_a_target_is_the_last_stage():
    text = "FROM x AS dev\nEXPOSE 1\nFROM x AS prod\nEXPOSE 2"
    assert exposed(text, target="dev") == [1]
    assert exposed(text, target="PROD") == [2]


def test_build_arguments_win_over_defaults():
    assert exposed("FROM x\nARG P=1\nEXPOSE $P", args={"P": "2"}) == [2]


lines = st.sampled_from(["FROM x AS a", "FROM a", "EXPOSE 1 ${A}", "ARG A=2", "ENV A=$A", "RUN <<E", "E", "#", "\\"])


@given(st.text() | st.lists(lines).map("\n".join))
def test_no_dockerfile_breaks_it(text):
    assert all(0 < port < 65536 for port in exposed(text))


BOMBS = {
    "each twice the one before it": "ARG a0=xxxxxxxxxx\n"
    + "".join(f"ARG a{n + 1}=$a{n}$a{n}\n" for n in range(24))
    + "FROM x\nEXPOSE $a24 80",
    "one long word": "FROM x\nENV a=b " + "a" * 200_000 + "\nEXPOSE 80",
    "variables that do not end": "FROM x\nEXPOSE 80\nEXPOSE " + "${a:-" * 40_000,
    "ports that many stages inherit": "FROM x\nEXPOSE 80\nEXPOSE "
    + " ".join(map(str, range(1000, 21_000)))
    + "".join(f"\nFROM {n}" for n in range(10_000)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_does_not_go_off(bomb):
    tracemalloc.start()
    began_at_s = time.process_time()
    try:
        assert exposed(BOMBS[bomb])[0] == 80
        assert tracemalloc.get_traced_memory()[1] < 64 << 20
    finally:
        tracemalloc.stop()
    assert time.process_time() - began_at_s < 10

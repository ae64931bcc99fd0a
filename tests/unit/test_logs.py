"""A line of the log says what it is about."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest

from cx import logs
from cx.schema import Secret


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    stream = io.StringIO()
    logs.start(stream)
    yield stream
    root.handlers[:] = before
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_what_it_is_about_is_in_every_line_of_the_block(stream: io.StringIO) -> None:
    with logs.about(delivery="d-1", pull="acme/shop#7"):
        logs.info("looked", duration_s=0.5)
        with logs.about(namespace="preview-7", delivery=""):
            logs.warning("cut\nshort", why=ValueError("x\ny"))
        assert logs.context() == {"delivery": "d-1", "pull": "acme/shop#7"}
    logs.info("after")
    first, second, last = lines(stream)
    assert (first["event"], first["delivery"], first["duration_s"]) == ("looked", "d-1", 0.5)
    assert (second["delivery"], second["namespace"], second["why"]) == ("d-1", "preview-7", "x\ny")
    assert "delivery" not in last


def test_a_defect_comes_with_its_traceback_on_one_line(stream: io.StringIO) -> None:
    try:
        raise ValueError("boom")
    except ValueError:
        logs.error("a defect")
    (line,) = lines(stream)
    assert "boom" in str(line["traceback"])
    assert len(stream.getvalue().splitlines()) == 1


def test_secrets_are_not_logged_and_values_are_not_endless(stream: io.StringIO) -> None:
    logs.info("started", secret=Secret("hunter2"), long="x" * 10**6)
    assert "hunter2" not in stream.getvalue()
    assert len(stream.getvalue()) < 3000


def test_other_libraries_speak_only_up_when_they_warn(stream: io.StringIO) -> None:
    logging.getLogger("urllib3").info("chatter")
    with logs.about(delivery="d-2"):
        logging.getLogger("urllib3").warning("trouble")
    (line,) = lines(stream)
    assert (line["logger"], line["delivery"]) == ("urllib3", "d-2")

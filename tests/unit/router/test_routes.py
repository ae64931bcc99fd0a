"""The router's file of a namespace: what is written is what is read, for Traefik and for cx."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from cx.core.blueprint import Route
from cx.core.errors import ProbeFailed
from cx.core.names import Names
from cx.router.routes import Published, Router, Routes, parsed, rendered, ways

revisions = st.from_regex(r"[0-9a-f]{12}", fullmatch=True)
hosts = st.from_regex(r"[a-z][a-z0-9-]{0,20}\.localhost", fullmatch=True)
servers = st.lists(st.from_regex(r"http://10\.1\.2\.[1-9]:80", fullmatch=True), min_size=1, max_size=3).map(tuple)


@st.composite
def routes(draw: st.DrawFn) -> Routes:
    current = draw(st.dictionaries(hosts, servers, max_size=3))
    trial = draw(st.dictionaries(hosts, servers, max_size=3))
    return Routes(
        draw(revisions) if current else "",
        draw(revisions) if trial else "",
        ways(current) + ways(trial, candidate=True),
        draw(st.booleans()),
    )


@given(routes(), st.booleans(), st.sampled_from(["", "acme"]))
def test_what_is_rendered_is_parsed_to_the_same(given_: Routes, tls: bool, resolver: str) -> None:
    assert parsed(rendered("cx-preview-1", given_, tls=tls, resolver=resolver)) == given_


@given(routes(), st.booleans(), st.sampled_from(["", "acme"]))
def test_traefik_reads_the_same(given_: Routes, tls: bool, resolver: str) -> None:
    http = yaml.safe_load(rendered("cx-preview-1", given_, tls=tls, resolver=resolver))["http"]
    found = []
    for router in (http["routers"] or {}).values():
        answers = http["middlewares"][router["middlewares"][0]]["headers"]["customResponseHeaders"]
        candidate = "Header" in router["rule"]
        assert answers["X-Cx-Revision"] == (given_.candidate if candidate else given_.revision)
        assert router["entryPoints"] == ["websecure" if tls else "web"]
        assert ("tls" in router) == tls
        if candidate:
            assert f"Header(`X-Cx-Candidate`, `{given_.candidate}`)" in router["rule"]
        balanced = http["services"][router["service"]]["loadBalancer"]["servers"]
        host = router["rule"].split("`")[1]
        found.append(Published(host, tuple(one["url"] for one in balanced), candidate))
    asleep = given_.asleep  # nothing stands behind what serves then: the router answers 503
    assert tuple(found) == tuple(
        replace(way, servers=()) if asleep and not way.candidate else way for way in given_.ways
    )


def test_a_candidate_comes_before_what_serves() -> None:
    text = rendered("x", Routes("1" * 12, "2" * 12, ways({"a": ["http://1"]}) + ways({"a": ["http://2"]}, candidate=True)), tls=False, resolver="")  # fmt: skip  # noqa: E501
    current, candidate = yaml.safe_load(text)["http"]["routers"].values()
    assert candidate["priority"] > current["priority"]


def test_only_what_everyone_may_ask_for_is_a_host() -> None:
    assert Routes("1", "2", ways({"a": ["x"]}) + ways({"b": ["y"]}, candidate=True)).hosts == ("a",)


@given(routes(), st.data())
def test_a_file_that_is_not_whole_is_a_trial_that_is_not_over(given_: Routes, data: st.DataObject) -> None:
    """So the next pass writes it anew, or removes it."""
    text = rendered("cx-preview-1", given_, tls=False, resolver="")
    cut = parsed(text[: data.draw(st.integers(0, len(text) - 1))])
    assert (cut.revision, bool(cut.candidate), cut.ways) == ("", True, ())


@pytest.mark.parametrize("text", ["http: {}\n", "# cx: nonsense", "# ways: [[]]\n"])
def test_a_file_that_is_not_cx_s_serves_nothing(text: str) -> None:
    assert parsed(text).hosts == ()


def test_a_port_that_was_guessed_wrong_is_told_with_what_mends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """As logstash's 5044 would be: nothing there speaks HTTP."""

    def refused(*_: object) -> tuple[int, str]:
        raise ConnectionRefusedError

    monkeypatch.setattr(Router, "_ask", refused)
    engine: Any = None
    router = Router(engine, Names("cx"), "127.0.0.1", 80, tls=False)
    with pytest.raises(ProbeFailed) as caught:
        router.probe(Route("queue", "preview-7-queue.localhost", 5044, "/"), "r", candidate=False, timeout_s=0)
    assert "does queue listen on 0.0.0.0:5044?" in str(caught.value)
    assert str(caught.value).endswith("[services.queue] in cx.toml says another port, or route = false")


@pytest.mark.parametrize(("status", "told"), [(500, "app says so itself: see its log"), (502, "does app listen on")])
def test_an_app_that_answers_with_an_error_is_not_asked_whether_it_listens(
    monkeypatch: pytest.MonkeyPatch, status: int, told: str
) -> None:
    monkeypatch.setattr(Router, "_ask", lambda *_: (status, "r"))
    engine: Any = None
    router = Router(engine, Names("cx"), "127.0.0.1", 80, tls=False)
    with pytest.raises(ProbeFailed) as caught:
        router.probe(Route("app", "preview-7-app.localhost", 8000, "/"), "r", candidate=False, timeout_s=0)
    assert caught.value.remedy.startswith(told)

"""A repository's template can do no harm: it is rendered by a process of its own."""

from __future__ import annotations

import pytest
from jinja2.filters import FILTERS

from cx.core.errors import Invalid
from cx.project import template
from cx.project.template import render_theirs
from cx.project.yaml import read_yaml

WHERE = ".cx/compose.yml.j2"


def rendered(source, **values):
    return render_theirs(source, values, WHERE)


def test_a_template_sees_its_values():
    assert rendered("{{ a }}: {{ b.c | upper }}\n", a="x", b={"c": "y"}) == "x: Y\n"


@pytest.mark.parametrize(
    "value", ["$A ${B}", 'a"b', "a\nb: c", "{{ x }}", "é\u2028", "\\\U0001f642", 5, None, ["$x"], {"a$": "b"}]
)
def test_a_literal_is_one_value(value):
    def plain(one):
        if isinstance(one, dict):
            return {key.replace("$$", "$"): plain(inner) for key, inner in one.items()}
        if isinstance(one, list):
            return [plain(inner) for inner in one]
        return one.replace("$$", "$") if isinstance(one, str) else one

    assert plain(read_yaml(rendered("a: {{ literal(v) }}", v=value), "f")["a"]) == value


@pytest.mark.parametrize(
    ("source", "where", "problem"),
    [
        ("a: 1\nb: {{ nope }}", f"{WHERE}:2", "'nope' is undefined"),
        ("a: {{ services.web.prot }}", f"{WHERE}:1", "has no attribute 'prot'"),
        ("a: 1\n\n{% if %}", f"{WHERE}:3", "Expected an expression"),
        ("{{ 1 +", f"{WHERE}:1", "unexpected"),
        ("{% include '/etc/passwd' %}", f"{WHERE}:1", "no loader"),
        ("{% extends 'x' %}", f"{WHERE}:1", "no loader"),
        ("{% import 'os' as os %}", f"{WHERE}:1", "no loader"),
        ("{{ ''.__class__.__mro__ }}", f"{WHERE}:1", "unsafe"),
        ("{{ cycler }}", f"{WHERE}:1", "'cycler' is undefined"),
        ("{{ ().__class__.__bases__[0].__subclasses__() }}", f"{WHERE}:1", "unsafe"),
        ("{{ literal.__globals__ }}", f"{WHERE}:1", "unsafe"),
        ("{{ '{0.__class__.__mro__}'.format(1) }}", f"{WHERE}:1", "unsafe"),
        ("{{ services.update({}) }}", f"{WHERE}:1", "unsafe"),
        ("{{ 1 / 0 }}", f"{WHERE}:1", "division by zero"),
        ("{% for a in range(99999999) %}{% endfor %}", f"{WHERE}:1", "Range too big"),
        ("{{ nope() }}", f"{WHERE}:1", "'nope' is undefined"),
        ("{% for a in range(90000) %}{{ 'x' * 100 }}{% endfor %}", WHERE, "makes more than 1024 KiB"),
        ("{{ 'x' * 10 ** 10 }}", WHERE, "memory"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", WHERE, "2 s of processor"),
        ("{{ " + "(" * 3000 + ")" * 3000 + " }}", WHERE, "nested too deeply"),
    ],
)
def test_a_bad_template_names_file_and_line(source, where, problem):
    with pytest.raises(Invalid) as caught:
        rendered(source, services={"web": {"port": 1}})
    assert caught.value.where.startswith(where)
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)


def test_nothing_of_ours_is_in_reach(monkeypatch):
    monkeypatch.setenv("CX_POSTGRES_PASSWORD", "hunter2")
    text = rendered("{{ self._TemplateReference__context | default('none') if false else 'x' }}{{ literal }}")
    assert "hunter2" not in text


ESCAPED = """
import os, runpy, socket, sys
sys.path[:0] = sys.argv[2:]
module = runpy.run_path(sys.argv[1])

def render(source, name, values, kind):
    tried = []
    for what in (lambda: open("/etc/passwd"), lambda: socket.socket(socket.AF_UNIX), lambda: os.pipe()):
        try:
            what()
            tried.append("opened")
        except OSError as exc:
            tried.append(exc.strerror)
    return ", ".join(tried)

module["main"].__globals__["render"] = render
module["main"]()
"""


def test_who_gets_out_of_the_sandbox_can_open_nothing(monkeypatch):
    """As if a template had found a way to run Python of its own."""
    monkeypatch.setattr(template, "_START", ESCAPED)
    assert rendered("") == ", ".join(["Too many open files"] * 3)


@pytest.mark.parametrize("name", sorted(FILTERS))
def test_no_filter_needs_a_file(name):
    """Whether it likes what it is given does not matter here."""
    arguments = {"attr": "('x')", "batch": "(2)", "format": "(1)", "groupby": "('x')", "replace": "('a', 'b')"}
    said = ""
    try:
        rendered(f"{{{{ v | {name}{arguments.get(name, '')} | string }}}}", v="a b https://example.com <i>é</i>")
    except Invalid as exc:
        said = exc.problem
    assert "No module" not in said
    assert "open files" not in said

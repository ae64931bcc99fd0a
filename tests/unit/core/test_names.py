"""Names keep to their limits, and each thing's name is spelled in one place."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import cx
from cx.core import names as spelled
from cx.core.errors import Invalid
from cx.core.names import (
    LABEL_PREFIX,
    LABELS,
    NAMESPACE_RULE,
    Names,
    Namespace,
    check_database,
    check_instance,
    check_service,
    dns_label,
    natural,
    shortened,
    shown,
)

PACKAGE = Path(cx.__file__).parent
namespaces = st.from_regex(r"[a-z](-?[a-z0-9]){1,19}", fullmatch=True).filter(lambda name: len(name) <= 40)
instances = st.from_regex(r"[a-z][a-z0-9]{0,11}", fullmatch=True)
databases = st.from_regex(r"[a-z](_?[a-z0-9]){0,14}", fullmatch=True).filter(lambda name: len(name) <= 30)
services = st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}", fullmatch=True)


# --- the rule of a namespace
@pytest.mark.parametrize("name", ["preview-123", "ab", "a1", "pr-1-2-3", "a" * 40, "a-" * 19 + "ab"])
def test_a_namespace_may_be_called(name: str) -> None:
    assert str(Namespace(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "", "a", "a" * 41, "1a", "-a", "a-", "a--b", "A1", "Preview-1", "preview_1", "preview.1", "preview 1",
        "preview/1", "../../etc", "a;rm -rf /", "$(id)", "a\n", "a\nb", "a\0b", "ünï", "pr-１", "a'b", 'a"b',
        "a\x1b[2J",
    ],
)  # fmt: skip
def test_a_namespace_may_not_be_called(name: str) -> None:
    with pytest.raises(Invalid) as caught:
        Namespace(name)
    assert caught.value.problem == NAMESPACE_RULE
    assert caught.value.exit_code == 2
    assert str(caught.value).isprintable()
    assert str(caught.value).endswith("for example preview-123")


def test_the_error_of_a_long_name_is_short() -> None:
    with pytest.raises(Invalid) as caught:
        Namespace("x" * 100_000)
    assert len(str(caught.value)) < 300


@given(st.text(max_size=50))
def test_the_rule_says_what_is_checked(name: str) -> None:
    allowed = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    fits = (
        2 <= len(name) <= 40
        and set(name) <= allowed
        and "--" not in name
        and name[0] in "abcdefghijklmnopqrstuvwxyz"
        and name[-1] != "-"
    )
    try:
        Namespace(name)
    except Invalid:
        assert not fits
    else:
        assert fits


@pytest.mark.parametrize("name", ["", "1", "A", "a-b", "a_b", "a" * 13, "a\n"])
def test_an_instance_may_not_be_called(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 12"):
        check_instance(name)


@pytest.mark.parametrize("name", ["", "1", "A", "a-b", "a__b", "_a", "a_", "a" * 31, "a\n", 'a"', "golden;"])
def test_a_database_may_not_be_called(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 30"):
        check_database(name)


@pytest.mark.parametrize("name", ["", "-a", ".a", "a b", "a/b", "a" * 64, "a\n", "a$b", "ä"])
def test_a_service_may_not_be_called(name: str) -> None:
    with pytest.raises(ValueError, match="1 to 63"):
        check_service(name)


# --- limits
@given(instances, namespaces, databases)
@example("i" * 12, "n" * 40, "d" * 30)
@example("i" * 12, "n" * 17, "d" * 30)
def test_a_clone_s_name_fits_postgresql(instance: str, namespace: str, database: str) -> None:
    name = Names(instance).database(Namespace(namespace), database)
    assert len(name.encode()) <= 63
    assert re.fullmatch(r"[a-z][a-z0-9_-]*", name)


@given(instances, st.tuples(namespaces, databases), st.tuples(namespaces, databases))
def test_two_clones_have_two_names(instance: str, one: tuple[str, str], other: tuple[str, str]) -> None:
    names = Names(instance)
    same = names.database(Namespace(one[0]), one[1]) == names.database(Namespace(other[0]), other[1])
    assert same == (one == other)


def test_two_clones_with_long_names_have_two_names() -> None:
    names = Names("instance")
    found = {names.database(Namespace("a" * 40), "b" * 28 + end) for end in ("aa", "ab")}
    found |= {names.database(Namespace("a" * 39 + "b"), "b" * 28 + "aa")}
    assert len(found) == 3


@given(st.text(min_size=1, max_size=100) | st.text("ab-", min_size=60, max_size=70))
@example("a" * 64)
@example("a" * 53 + "--" + "b" * 20)
@example("A" * 64)
def test_a_dns_label_is_one(text: str) -> None:
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", dns_label(text))


names_like_these = st.text("aAbB-_.é", min_size=1, max_size=4) | st.text("ab-", min_size=60, max_size=70)


@given(names_like_these, names_like_these)
def test_two_texts_have_two_dns_labels(one: str, other: str) -> None:
    assert (dns_label(one) == dns_label(other)) == (one == other)


@given(st.text(min_size=1, max_size=100), st.integers(10, 63))
def test_what_is_shortened_keeps_to_its_limit(text: str, limit: int) -> None:
    assert len(shortened(text, limit)) <= limit
    assert shortened(text, len(text)) == text


# https://pkg.go.dev/github.com/distribution/reference: path components, then a tag.
COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
IMAGE = re.compile(rf"{COMPONENT}/{COMPONENT}/{COMPONENT}:[A-Za-z0-9_][A-Za-z0-9_.-]{{0,127}}")


@given(instances, namespaces, services)
@example("i" * 12, "n" * 40, "S" * 63)
@example("i", "nn", "0._-" * 15)
def test_an_image_has_a_name_that_docker_takes(instance: str, namespace: str, service: str) -> None:
    names, name = Names(instance), Namespace(namespace)
    image = names.image(name, service, "0123456789abcdef")
    assert IMAGE.fullmatch(image)
    assert len(image) <= 255
    assert image.startswith(names.image_prefix(name))


@given(instances, namespaces)
def test_networks_volumes_and_projects_have_names_that_docker_takes(instance: str, namespace: str) -> None:
    names, name = Names(instance), Namespace(namespace)
    project = re.compile(r"[a-z0-9][a-z0-9_-]*")
    for text in (names.project(name, "0123456789ab"), names.project(name), names.network(name), names.data_network()):
        assert project.fullmatch(text)
    for text in (
        names.volume(name, "My.Vol"),
        names.files_volume(name, "0123456789ab"),
        names.kept_files_volume(name, "0123456789ab"),
    ):
        assert re.fullmatch(r"[a-zA-Z0-9][a-zA-Z0-9_.-]+", text)


@given(namespaces, namespaces)
def test_no_name_of_one_namespace_is_another_s(one: str, other: str) -> None:
    def all_of(namespace: str) -> set[str]:
        names, name = Names("cx"), Namespace(namespace)
        return {
            names.project(name, "0123456789ab"), names.project(name), names.volume(name, "data"),
            names.files_volume(name, "0123456789ab"), names.kept_files_volume(name, "0123456789ab"),
            names.image_prefix(name), names.route_file(name),
        }  # fmt: skip

    assert one == other or all_of(one).isdisjoint(all_of(other))


# --- what is printed
@given(st.text(max_size=200))
def test_shown_is_one_printable_line(text: str) -> None:
    assert shown(text).isprintable()
    assert len(shown(text)) <= 60


# --- labels
def sources() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def test_the_package_is_looked_at() -> None:
    assert len(sources()) > 40


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_labels_are_spelled_in_names_only(path: Path) -> None:
    if path != Path(spelled.__file__):
        assert LABEL_PREFIX not in path.read_text()


def test_every_label_that_is_spelled_is_declared() -> None:
    spelt = set(re.findall(r'"(dev\.cx\.[a-z-]+)"', Path(spelled.__file__).read_text()))
    assert spelt == LABELS


def given_labels(text: str) -> set[str]:
    """What is handed on to Names.labels as `labels(namespace, role, KEY=...)`, or put into what is handed on as **."""
    keys: set[str] = set()
    unpacked: set[str] = set()
    if "labels" not in text:
        return keys
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "labels":
            keys |= {one.arg for one in node.keywords if one.arg}
            for one in node.keywords:
                if one.arg is None and isinstance(one.value, ast.Name):
                    unpacked.add(one.value.id)
                elif one.arg is None:
                    keys |= literal_keys(one.value)
    for node in ast.walk(tree):
        target = node.targets[0] if isinstance(node, ast.Assign) else None
        if isinstance(target, ast.Name) and target.id in unpacked and isinstance(node, ast.Assign):
            keys |= literal_keys(node.value)
        if isinstance(target, ast.Subscript) and isinstance(target.value, ast.Name) and target.value.id in unpacked:
            assert isinstance(target.slice, ast.Constant)
            keys.add(str(target.slice.value))
    return keys


def literal_keys(value: ast.AST) -> set[str]:
    found = (key for node in ast.walk(value) if isinstance(node, ast.Dict) for key in node.keys)
    return {str(key.value) for key in found if isinstance(key, ast.Constant)}


def test_every_label_that_is_given_is_declared() -> None:
    found = {key for path in sources() for key in given_labels(path.read_text())}
    assert found >= {"service", "revision", "build", "replica"}  # the search finds what is known to be there
    assert {LABEL_PREFIX + key for key in found} <= LABELS


def test_a_label_that_is_not_declared_is_refused() -> None:
    with pytest.raises(ValueError, match="colour"):
        Names("cx").labels(None, "stack", colour="red")


def test_labels_say_whose_a_thing_is() -> None:
    assert Names("cx").labels(Namespace("preview-1"), "service", revision="0123") == {
        "dev.cx.instance": "cx",
        "dev.cx.namespace": "preview-1",
        "dev.cx.role": "service",
        "dev.cx.revision": "0123",
    }


def test_names_are_sorted_as_people_count() -> None:
    names = ["preview-1", "preview-2", "preview-10", "preview-10-b", "shop-9", "shop-11", "v2-a10", "v10-a2"]
    assert sorted(sorted(names), key=natural) == names
    assert [str(one) for one in sorted(map(Namespace, sorted(names)))] == names
    assert sorted([(Namespace("preview-10"), "a"), (Namespace("preview-2"), "b")])[0][1] == "b"


@given(st.lists(st.text("ab0123456789-", max_size=8), max_size=6))
def test_the_order_is_total_and_loses_nothing(texts: list[str]) -> None:
    assert sorted(sorted(texts, key=natural, reverse=True), key=natural) == sorted(texts, key=natural)
    assert len({natural(one) for one in texts}) == len(set(texts))

"""cx.toml, and what a repository is without one."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.errors import CxError, Invalid
from cx.project.cx_toml import PLACEHOLDERS, Document, Release, words
from cx.project.reading import check_environment, read_document, read_project, release_of, variables
from cx.schema import decode, leaves, meta, reference
from examples import examples

DOC = Path(__file__).parents[3] / "docs" / "cx-toml.md"
BEGIN, END = "<!-- reference: made from cx/project/cx_toml.py -->\n", "<!-- end of reference -->\n"

BAD = [
    ("servces = {}", "servces", "did you mean services?"),
    ("services = []", "services", "should be a table, is a list"),
    ("services.web.prt = 1", "services.web.prt", "did you mean port?"),
    ("services.web.port = '80'", "services.web.port", "should be an integer, is a string"),
    ("services.web.port = 0", "services.web.port", "at least 1"),
    ("services.web = {build = '.', image = 'x'}", "services.web.image", "does not go with build"),
    ("services.web.build = '../x'", "services.web.build", "inside the repository"),
    ("services.web.build = '/etc'", "services.web.build", "inside the repository"),
    ("services.web.build.dockerfile = '../../Dockerfile'", "services.web.build.dockerfile", "inside"),
    ("services.web.image = 'a b'", "services.web.image", "name of an image"),
    ("services.web.image = '--privileged'", "services.web.image", "name of an image"),
    ("services.web.command = ''", "services.web.command", "should not be empty"),
    ("services.web.command = 'echo \"'", "services.web.command", "quote that is not closed"),
    ("services.web.command = 'a && b'", "services.web.command", "has &&, but no shell runs it"),
    ("release = 'a; b'", "release", "has ;, but no shell runs it"),
    ("services.web.healthcheck.test = []", "services.web.healthcheck.test", "should not be empty"),
    ("services.web.command = [1]", "services.web.command[0]", "should be a string, is an integer"),
    ("services.web.environment = {'A B' = 1}", "services.web.environment.A B", "environment variable"),
    ("services.web.environment = {A = []}", "services.web.environment.A", "is a list"),
    ('services.web.environment.A = "x\\u0000"', "services.web.environment.A", "NUL"),
    ("services.web.memory = '5 apples'", "services.web.memory", "256m"),
    ("services.web.cpus = 0", "services.web.cpus", "at least 0.01"),
    ("services.web.replicas = -1", "services.web.replicas", "at least 0"),
    ("services.web.route = 'Not A Label'", "services.web.route", "one DNS label"),
    ("services.web.update = 'sometimes'", "services.web.update", '"rolling" or "in-place"'),
    ("services.web.healthcheck.path = 'up'", "services.web.healthcheck.path", "/healthz"),
    ("services.web.healthcheck.interval = '5'", "services.web.healthcheck.interval", "10s"),
    ("services.'-x'.image = 'y'", "services.-x", "must be 1 to 63"),
    ("compose = '/etc/passwd'", "compose", "inside the repository"),
    ("release = []", "release", "should not be empty"),
    ("release.timeout_s = 5", "release.command", "is missing"),
    ("databases.App = {}", "databases.App", "must be 1 to 30"),
    ("databases.app.mode = 'copy'", "databases.app.mode", '"clone" or "container"'),
    ('databases.app.password = "a\\n"', "databases.app.password", "printable"),
    ("environments.Prod.environment = {}", "environments.Prod", "characters"),
    ("name = ''", "name", "characters"),
    ('name = "a\\n"', "name", "characters"),
    ("a." * 20 + "b = 1", "", "nested more than 16"),
    ("a . 'b' . " * 20_000 + "b = 1", "", "nested more than 16"),
    ("name = " + "1" * 5000, "", "not TOML"),
]


@pytest.fixture
def repository(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_toml", ".toml").replace("_yml", ".yml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.mark.parametrize(("text", "key", "problem"), BAD, ids=[one[1] or "deep" for one in BAD])
def test_bad_documents_name_file_and_key(repository, text, key, problem):
    with pytest.raises(Invalid) as caught:
        read_document(repository(cx_toml=text))
    assert (caught.value.where, caught.value.key, caught.value.exit_code) == ("cx.toml", key, 2)
    assert problem in caught.value.problem
    assert "\n" not in str(caught.value)


def test_a_document_has_a_size(repository):
    with pytest.raises(Invalid, match="longer than 256 KiB"):
        read_document(repository(cx_toml="#" * 300_000))


def test_a_document_outside_is_not_read(repository, tmp_path_factory):
    secret = tmp_path_factory.mktemp("host") / "secret.toml"
    secret.write_text("token = 'x'")
    root = repository()
    (root / "cx.toml").symlink_to(secret)
    with pytest.raises(Invalid, match=r"cx.toml: leads out of the repository"):
        read_document(root)


@pytest.mark.parametrize("target", ["/dev/zero", "cx.toml"])
def test_a_document_that_never_ends_is_not_read(repository, target):
    root = repository()
    (root / "cx.toml").symlink_to(target)
    with pytest.raises(Invalid, match="leads out"):
        read_document(root)


def test_a_pipe_does_not_hold_us_up(repository):
    root = repository()
    os.mkfifo(root / "cx.toml")
    with pytest.raises(Invalid, match="not a regular file"):
        read_document(root)


def test_a_dockerfile_alone_is_one_service(repository):
    project = read_project(repository(Dockerfile="FROM x\nEXPOSE 8000\n"))
    assert project.kind == "services"
    assert project.document.services["app"].port == 8000


def test_a_dockerfile_without_port_names_the_key(repository):
    with pytest.raises(Invalid) as caught:
        read_project(repository(Dockerfile="FROM x"))
    assert (caught.value.where, caught.value.key) == ("cx.toml", "services.app.port")


def test_a_port_of_cx_toml_wins(repository):
    root = repository(Dockerfile="FROM x\nEXPOSE 1", cx_toml="services.app = {build = '.', port = 2}")
    assert read_project(root).document.services["app"].port == 2


@pytest.mark.parametrize(
    ("files", "kind", "file"),
    [
        (["compose.yml", "Dockerfile"], "compose", "compose.yml"),
        (["compose.yml", "compose.yaml", "docker-compose.yml"], "compose", "compose.yaml"),
        (["docker-compose.yml"], "compose", "docker-compose.yml"),
        ([".cx/compose.yml.j2", "compose.yml"], "template", ".cx/compose.yml.j2"),
    ],
)
def test_what_a_repository_is(tmp_path, files, kind, file):
    for name in files:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("EXPOSE 1")
    project = read_project(tmp_path)
    assert (project.kind, project.file) == (kind, file)


def test_cx_toml_names_another_compose_file(repository):
    root = repository(cx_toml="compose = 'deploy/stack.yml'", deploy__stack_yml="services: {}", compose_yml="x")
    assert read_project(root).file == "deploy/stack.yml"


def test_what_is_missing_is_named(repository):
    with pytest.raises(Invalid, match=r"cx.toml: compose: names stack.yml, which is not there"):
        read_project(repository(cx_toml="compose = 'stack.yml'"))
    with pytest.raises(Invalid, match=r"services.web: has neither build nor image"):
        read_project(repository(cx_toml="services.web.port = 1"))


def test_nothing_to_run_says_what_to_add(repository):
    with pytest.raises(Invalid, match=r"has no compose.yml, no Dockerfile and no services"):
        read_project(repository())


def test_text_that_is_not_utf8_names_the_line(repository):
    root = repository()
    (root / "compose.yml").write_bytes(b"services:\n  x: \xff\n")
    with pytest.raises(Invalid, match=r"compose.yml:2: is not UTF-8"):
        read_project(root)


def test_the_last_word_of_an_environment_wins(repository):
    document = read_document(
        repository(
            cx_toml="""
            [environment]
            A = 1
            B = 1
            C = 1
            D = 1
            E = 1
            F = true
            [services.web.environment]
            B = 2
            C = 2
            D = 2
            E = 2
            [environments.preview.environment]
            C = 3
            D = 3
            E = 3
            [environments.preview.services.web.environment]
            D = 4
            E = 4
            """
        )
    )
    assert variables(document, "preview", {"E": "5"}, "web") == {
        **{"A": "1", "B": "2", "C": "3", "D": "4", "E": "5", "F": "true"}
    }
    assert variables(document, "other", {}, "web")["C"] == "2"
    assert variables(document, "preview", {})["B"] == "1"


def test_an_environment_may_release_otherwise(repository):
    document = read_document(
        repository(cx_toml="release = {command = 'a', timeout_s = 5}\n[environments.demo]\nrelease = 'b'")
    )
    assert release_of(document, "demo") == Release(command="b", timeout_s=5)
    assert release_of(document, "preview") == Release(command="a", timeout_s=5)
    assert release_of(Document(), "preview") is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a 'b c' --d=\"e f\"", ["a", "b c", "--d=e f"]),
        ("sh -c 'a && b > c'", ["sh", "-c", "a && b > c"]),
        ("a '&&' b", ["a", "&&", "b"]),
    ],
)
def test_a_command_is_split_as_a_shell_would(text, expected):
    assert words(text) == expected


def test_an_unknown_environment_names_the_known_ones(repository):
    document = read_document(repository(cx_toml="[environments.demo]"))
    check_environment(document, "demo")
    check_environment(document, "preview")
    with pytest.raises(Invalid, match=r"environments.dmeo: is not there; there are: demo, preview"):
        check_environment(document, "dmeo")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["services", "web", "build", "command", "release", "healthcheck", "databases", "x"]), inner
        )
    ),
)


@examples(40)
@given(st.dictionaries(st.sampled_from(Document.__struct_fields__), values))
def test_any_document_is_read_or_an_error_of_ours(document):
    with contextlib.suppress(CxError):
        assert isinstance(decode(document, Document, where="cx.toml"), Document)


def test_the_page_is_made_from_the_structs():
    text = DOC.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = before + BEGIN + "\n" + reference(Document, placeholders=PLACEHOLDERS) + "\n" + END + after
    if os.environ.get("CX_UPDATE_GOLDEN"):
        DOC.write_text(made)
    assert text == made, "CX_UPDATE_GOLDEN=1 pytest updates the page"


def test_the_pages_example_is_right(repository):
    example = DOC.read_text().partition("```toml\n")[2].partition("```")[0]
    document = read_document(repository(cx_toml=example))
    assert document.services["web"].healthcheck.path == "/healthz"


def test_every_key_is_explained():
    assert [key for key, type_ in leaves(Document) if not meta(type_).description] == []

"""The host's configuration: what it means, what is wrong with it, and that its page says the same."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cx.core.errors import CxError, Invalid
from cx.core.names import Namespace
from cx.schema import decode, json_schema, leaves, meta, reference
from cx.settings import HostFile, default_path, load, settings_document
from examples import examples

DOC = Path(__file__).parents[3] / "docs" / "host-configuration.md"
BEGIN, END = "<!-- reference: made from cx/settings/ -->\n", "<!-- end of reference -->\n"
SOURCE = '[databases.app]\nsource = "postgresql://u:s3cr3t@h/db"\n'
PREVIEW = Namespace("preview-7")


def written(tmp_path, text):
    path = tmp_path / "host.toml"
    path.write_text(text)
    return path


MYSQL = "[databases.app]\nengine = 'mysql'\nsource = 'mysql://u:p@h/d'\n"
BAD = [
    ("router.http_port = 'x'", {}, "router.http_port", "should be an integer, is a string"),
    ("router.http_port = 0", {}, "router.http_port", "at least 1"),
    ("router.http_port = 70000", {}, "router.http_port", "at most 65535"),
    ("router.http_port = true", {}, "router.http_port", "should be an integer, is true or false"),
    ("router.bind = 'here'", {}, "router.bind", "is not an IP address"),
    ("router.tls = 'on'", {}, "router.tls", '"off", "acme" or "files"'),
    ("router.tls = 'files'", {}, "router.certificate", "is missing"),
    ("router.http_port = 8079", {}, "router.admin_port", "is taken by router.http_port"),
    ("router.admin_port = 8080", {}, "router", "two of its ports are the same"),
    ("router = 5", {}, "router", "should be a table, is an integer"),
    ("routr.http_port = 1", {}, "routr", "did you mean router?"),
    ("router.http_prt = 1", {}, "router.http_prt", "did you mean http_port?"),
    ("domain = 'Example.com'", {}, "domain", "is not a DNS name"),
    ("domain = 'a..b'", {}, "domain", "is not a DNS name"),
    ("domain = 'x;y'", {}, "domain", "is not a DNS name"),
    ("domain = 'previews.example.com'", {}, "router.acme_email", "is missing"),
    ("domain = 'previews.example.com'\nrouter.acme_email = 'a\"b'", {}, "router.acme_email", "e-mail"),
    ("hostname = '{namespace}.{domain}'", {}, "hostname", "{namespace} and {service} once each"),
    ("hostname = '{namespace}-{service}'", {}, "hostname", "should end with .{domain}"),
    ("hostname = '{namespace}{service}.{domain}'", {}, "hostname", "dash between"),
    ("hostname = '{namespace}.{service}.{domain}'", {}, "hostname", "one DNS label"),
    ("hostname = '{namespace}-{service.__class__}.{domain}'", {}, "hostname", "only, not {service.__class__}"),
    ("hostname = '{namespace}-{service!r}.{domain}'", {}, "hostname", "once each"),
    ("hostname = '{namespace.{domain}'", {}, "hostname", "brace"),
    ("instance = 'Not-This'", {}, "instance", "1 to 12 characters"),
    (
        "[databases.files]\nstrategy = 'volume'\nfile = '/srv/x'\nenv = {FILES = 'url'}",
        {},
        "databases.files.env",
        "a volume has no URL",
    ),
    ("network.pool = '8.8.0.0/20'", {}, "network.pool", "private IPv4"),
    ("network.pool = '10.0.0.0/24'", {}, "network.pool", "too small: /24"),
    ("network.pool = '10.0.0.1/16'", {}, "network.pool", "is not a network"),
    ("limits.memory = 'lots'", {}, "limits.memory", "a size such as 512m"),
    ("limits.memory = '1m'", {}, "limits.memory", "at least 16m"),
    ("limits.cpus = nan", {}, "limits.cpus", "should be at least"),
    ("limits.cpus = inf", {}, "limits.cpus", "1024"),
    ("postgres.image = 'a b'", {}, "postgres.image", "characters"),
    ("postgres.shared_buffers = '1 apple'", {}, "postgres.shared_buffers", "256MB"),
    ("[databases.app]", {}, "databases.app.source", "exactly one of the two"),
    (SOURCE + "file = 'x'", {}, "databases.app.source", "exactly one of the two"),
    (SOURCE + "engine = 'oracle'", {}, "databases.app.engine", '"postgres"'),
    (SOURCE + "extensions = ['x; drop']", {}, "databases.app.extensions[0]", "name of an extension"),
    (SOURCE + "env = { 'A-B' = 'url' }", {}, "databases.app.env.A-B", "environment variable"),
    (SOURCE + "env = { A = 'colour' }", {}, "databases.app.env.A", '"url"'),
    ("[databases.app]\nsource = 'mysql://h/db'", {}, "databases.app.source", "postgresql://"),
    (MYSQL + "image = 'docker.io/library/mariadb:11'", {}, "databases.app.image", "runs MariaDB"),
    ("[databases.app]\nengine = 'mariadb'\nimage = 'mysql:8'\nfile = 'x'", {}, "databases.app.image", "runs MySQL"),
    ("[databases.app]\nengine = 'mysql'\nsource = 'postgres://h/d'", {}, "databases.app.source", "for MySQL"),
    ("[databases.app]\nengine = 'valkey'\nsource = 'mysql://h/d'", {}, "databases.app.source", "is not for Redis"),
    ("[databases.app]\nsource = 'env:A B'", {}, "databases.app.source", "name of an environment variable"),
    ("[databases.\"a-b\"]\nfile = 'x'", {}, "databases.a-b", "must be 1 to 30"),
    ("[projects.shop]\nallow = ['everything']", {}, "projects.shop.allow[0]", "not something that can be allowed"),
    ("[projects.shop]\nallow = ['bind:/srv/../etc']", {}, "projects.shop.allow[0]", "not something"),
    ("[github.repositories.shop]", {}, "github.repositories.shop", "should be owner/name"),
    ('[github.repositories."a/b"]\n[github.repositories."A/b"]', {}, "github.repositories", "differ in case only"),
    (
        'github.namespace = "preview-{pr}"\n[github.repositories."a/b"]\n[github.repositories."a/c"]',
        {},
        "github.namespace",
        "the same names",
    ),
    ('[github.repositories."a/b"]\n[github.repositories."c/b"]', {}, "github.repositories.c/b.name", "the same names"),
    ('[github.repositories."a/b"]\nname = "shop--x"', {}, "github.repositories.a/b.name", "single dashes"),
    ("github.namespace = 'pr{pr}'", {}, "github.namespace", "end with -{pr}"),
    ("github.namespace = '{title}-{pr}'", {}, "github.namespace", "should hold {pr} once"),
    ('[github.repositories."a/b"]\nurl = "/srv/b.git"', {}, "github.repositories.a/b.url", "https:// URL"),
    ('[github.repositories."a/b"]\nurl = "https://u:p4ss@h/b"', {}, "github.repositories.a/b.url", "no password"),
    ('[github.repositories."a/b"]\nsubmodules = ["*"]', {}, "github.repositories.a/b.submodules[0]", "owner/name"),
    ('[github.repositories."a/b"]\nsubmodules = ["file:///x"]', {}, "github.repositories.a/b.submodules", "https://"),
    (
        '[github.repositories."a/b"]\nsubmodules = ["https://u:p4ss@h/b"]',
        {},
        "github.repositories.a/b.submodules[0]",
        "owner/name",
    ),
    (
        '[github.repositories."a/b"]\nsubmodules = ["https://h/../b"]',
        {},
        "github.repositories.a/b.submodules[0]",
        "owner/name",
    ),
    ('[github.repositories."a/b"]\nurl = "ext::sh -c id"', {}, "github.repositories.a/b.url", "https:// URL"),
    ("github.app_id = 7", {}, "github.private_key", "is missing"),
    ("github.base_url = 'http://github.example.com'", {}, "github.base_url", "https:// URL"),
    ("", {"CX_ROUTER_HTTP_PORT": "abc"}, "router.http_port", "should be an integer, is abc"),
    ("", {"CX_ROUTER_HTP_PORT": "1"}, "CX_ROUTER_HTP_PORT", "did you mean CX_ROUTER_HTTP_PORT?"),
    ("router = 5", {"CX_ROUTER_HTTP_PORT": "80"}, "router", "should be a table"),
]


@pytest.mark.parametrize(("text", "environ", "key", "problem"), BAD, ids=[f"{one[2]}-{n}" for n, one in enumerate(BAD)])
def test_bad_configuration_names_file_and_key(tmp_path, text, environ, key, problem):
    path = written(tmp_path, text)
    with pytest.raises(Invalid) as caught:
        load(path, environ)
    assert caught.value.key == key
    assert problem in caught.value.problem
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    assert caught.value.where == (str(path) if not environ or "router" in text else _variable(environ, key))


def _variable(environ, key):
    return "environment" if key in environ else next(iter(environ))


def test_bad_toml_names_line_and_column(tmp_path):
    with pytest.raises(Invalid, match=r"host.toml: is not TOML: .*line 2, column 9"):
        load(written(tmp_path, "domain = 'localhost'\nrouter =\n"), {})


@pytest.mark.parametrize("content", [b"\xff", b"a = 1\n" * 60_000, b"a=" + b"[" * 2000])
def test_odd_files_are_told_in_one_line(tmp_path, content):
    (tmp_path / "host.toml").write_bytes(content)
    with pytest.raises(Invalid, match=r"host.toml"):
        load(tmp_path / "host.toml", {})


def test_every_problem_is_told_at_once(tmp_path):
    with pytest.raises(Invalid) as caught:
        load(written(tmp_path, "domain = 5\n[router]\nhttp_port = 'x'\nbind = 'y'\n"), {})
    assert len(caught.value.log) == 3


def test_no_file_means_defaults(tmp_path):
    settings = load(tmp_path / "none.toml", {})
    assert (settings.domain, settings.http_port, settings.https_port, settings.tls) == ("localhost", 8080, 8443, "off")
    assert settings.base_url("preview-7-app.localhost") == "http://preview-7-app.localhost:8080"


def test_a_named_file_must_be_there(tmp_path):
    missing = str(tmp_path / "none.toml")
    with pytest.raises(Invalid, match="CX_CONFIG"):
        load(None, {"CX_CONFIG": missing})


def test_where_the_file_is(tmp_path):
    assert default_path({"CX_CONFIG": "/a/b.toml"}) == Path("/a/b.toml")
    assert default_path({"HOME": str(tmp_path)}) in (Path("/etc/cx/host.toml"), tmp_path / ".config/cx/host.toml")


def test_a_domain_brings_tls_and_the_usual_ports(tmp_path):
    settings = load(written(tmp_path, "domain = 'p.example.com'\nrouter.acme_email = 'ops@example.com'"), {})
    assert (settings.tls, settings.http_port, settings.https_port) == ("acme", 80, 443)
    assert settings.base_url("x.p.example.com") == "https://x.p.example.com"


def test_the_environment_wins_and_is_named(tmp_path):
    path = written(tmp_path, SOURCE + "jobs = 3\n[router]\nhttp_port = 1000\n")
    settings = load(
        path,
        {
            "CX_ROUTER_HTTP_PORT": "2000",
            "CX_DATABASES_APP_JOBS": "5",
            "CX_DATABASES_APP_EXTENSIONS": "citext, pg_trgm",
            "CX_DATABASES_OTHER_FILE": "dump.pgc",
            "CX_LIMITS_CPUS": "2.5",
            "CX_CONFIG": str(path),
        },
    )
    assert settings.http_port == 2000
    assert settings.databases["app"].jobs == 5
    assert settings.databases["app"].extensions == ["citext", "pg_trgm"]
    assert settings.databases["other"].file == tmp_path / "dump.pgc"
    shown = settings_document(settings)
    assert shown["router.http_port"] == {"value": 2000, "from": "CX_ROUTER_HTTP_PORT"}
    assert shown["databases.app.source"] == {"value": "***", "from": str(path)}
    assert shown["domain"]["from"] == "default"
    json.dumps(shown)


def test_secrets_are_not_printed(tmp_path):
    settings = load(written(tmp_path, SOURCE), {})
    source = settings.databases["app"].source
    assert source.reveal() == "postgresql://u:s3cr3t@h/db"
    assert "s3cr3t" not in repr(settings) + str(source) + json.dumps(settings_document(settings))
    with pytest.raises(Invalid) as caught:
        load(written(tmp_path, "[databases.app]\nsource = 'postgres://u:hunter2@h'"), {})
    assert "hunter2" not in str(caught.value)


def test_a_secret_of_the_environment_is_read_when_it_is_needed(tmp_path):
    path = written(tmp_path, "[databases.app]\nsource = 'env:PRODUCTION'")
    assert load(path, {"PRODUCTION": "postgresql://h/d"}).databases["app"].source.reveal() == "postgresql://h/d"
    with pytest.raises(Invalid, match="PRODUCTION: is not set"):
        load(path, {}).databases["app"].source.reveal()


def test_paths_are_relative_to_the_file(tmp_path):
    settings = load(written(tmp_path, "state_dir = 'state'\n" + SOURCE + "sanitise = 'sql/mask.sql'"), {})
    assert settings.state == tmp_path / "state"
    assert settings.databases["app"].sanitise == tmp_path / "sql" / "mask.sql"


@pytest.mark.parametrize("service", ["app", "my_app", "A" * 63, "x.y", "-".join("abcdefghijklmnopqrstuvwxyz")])
def test_hostnames_are_one_label_below_the_domain(tmp_path, service):
    settings = load(tmp_path / "none", {})
    label, _, domain = settings.host(PREVIEW, service).partition(".")
    assert domain == "localhost"
    assert len(label) <= 63
    assert label.startswith("preview-7-")


@examples(40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(st.sampled_from(["router", "databases", "app", "source", "domain", "x"]), inner)
        ),
    )
)
def test_any_document_is_settings_or_an_error_of_ours(value):
    with contextlib.suppress(CxError):
        assert isinstance(decode({"router": value, "databases": value}, HostFile, where="f"), HostFile)


def test_the_page_is_made_from_the_settings():
    text = DOC.read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = before + BEGIN + "\n" + reference(HostFile, placeholders={}, variables="CX") + "\n" + END + after
    if os.environ.get("CX_UPDATE_GOLDEN"):
        DOC.write_text(made)
    assert text == made, "CX_UPDATE_GOLDEN=1 pytest updates the page"


def test_the_pages_example_is_right(tmp_path):
    example = DOC.read_text().partition("```toml\n")[2].partition("```")[0]
    settings = load(written(tmp_path, example), {"PRODUCTION_URL": "postgresql://h/d"})
    assert settings.databases["app"].sanitise == tmp_path / "mask.sql"


def test_every_key_is_explained():
    assert [key for key, type_ in leaves(HostFile) if not meta(type_).description] == []


def test_the_schema_has_every_table():
    assert {"Router", "Postgres", "Database", "Limits", "Project"} <= set(json_schema(HostFile)["$defs"])


@pytest.mark.parametrize(
    ("repository", "names"),
    [
        ("acme/Shop", ["preview-7", "shop-7"]),
        ("acme/my.shop_v2", ["preview-7", "my-shop-v2-7"]),
        ("acme/2048", ["preview-7", "r-2048-7"]),
        ("acme/" + "x" * 90, ["preview-7", "xxxxxxxxxxxxxxx-efdfd9ee-7"]),
        ("acme/--x--", ["preview-7", "x-7"]),
    ],
)
def test_a_namespace_is_named_after_the_number_and_the_configuration_only(tmp_path, repository, names):
    one = load(written(tmp_path, f'[github.repositories."{repository}"]'), {}).github
    two = load(written(tmp_path, f'[github.repositories."{repository}"]\n[github.repositories."a/other"]'), {}).github
    found = [given.namespace_of(repository.lower(), 7) for given in (one, two)]
    assert found == names
    assert all(Namespace(given.namespace_of(repository, 9_999_999)) for given in (one, two))


def test_a_variable_of_the_environment_sets_a_repositorys_key(tmp_path):
    path = written(tmp_path, '[github.repositories."acme/shop"]')
    assert load(path, {"CX_GITHUB_REPOSITORIES_ACME_SHOP_LABELS": "all"}).github.rules["acme/shop"].labels == "all"

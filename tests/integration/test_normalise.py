"""Whole projects through the real Compose: what they become, and what is wrong with them."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from cx.core.blueprint import Blueprint
from cx.core.errors import CxError, Invalid, Refused
from cx.core.names import Namespace
from cx.plugins import program
from cx.project import compose as normalise
from cx.project.blueprint import read_blueprint
from cx.settings import load

GOLDEN = Path(__file__).parents[1] / "golden"
PROJECTS = sorted(path.name for path in (GOLDEN / "projects").iterdir())
HOST = """
[databases.app]
source = "postgresql://reader:x@production/shop"
[projects.fastapi]
allow = ["env_file"]
"""
OK = {"compose.yml": "services: {web: {image: nginx, ports: ['80']}}\n"}


def content(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


class Repository:
    """A checkout to write files into, and to read as cx does."""

    def __init__(self, root: Path, state: Path) -> None:
        self.root, self.state = root, state

    def read(
        self, host: str = HOST, *, project: str = "shop", environment: str = "preview", **values: str
    ) -> Blueprint:
        (self.state / "host.toml").write_text(host)
        made = read_blueprint(
            self.root,
            project=project,
            namespace=Namespace("preview-7"),
            environment=environment,
            values=values,
            settings=load(self.state / "host.toml", {}),
            tree_digest=lambda path: content(self.root / path),
            cache_scope="/srv/shop",
        )
        assert msgspec.json.decode(msgspec.json.encode(made), type=Blueprint) == made  # as it is handed over
        return made

    def holding(self, files: dict[str, str]) -> Repository:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return self


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    (tmp_path / "checkout").mkdir()
    (tmp_path / "host").mkdir()
    return Repository(tmp_path / "checkout", tmp_path / "host")


@pytest.mark.parametrize("name", PROJECTS)
def test_a_projects_blueprint_is_golden(name, repository):
    shutil.copytree(GOLDEN / "projects" / name, repository.root, dirs_exist_ok=True)
    made = repository.read(project=name)
    text = json.dumps(dataclasses.asdict(made), indent=2) + "\n"
    golden = GOLDEN / "blueprints" / f"{name}.json"
    if os.environ.get("CX_UPDATE_GOLDEN"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(text)
    assert text == golden.read_text(), "CX_UPDATE_GOLDEN=1 pytest updates it"


# files, --set, file of the error, key, what is said
BAD: list[tuple[dict[str, str], str, str, str]] = [
    ({"compose.yml": "services: {web: {imag: x}}"}, "compose.yml", "services.web.imag", "is not known to cx"),
    ({"compose.yml": "services: {web: {image: x, prots: []}}"}, "compose.yml", "services.web.prots", "not known"),
    ({"compose.yml": "services: {web: {}}"}, "compose.yml", "services.web", "neither an image nor a build"),
    ({"compose.yml": "services: {}"}, "compose.yml", "services", "has none that would run"),
    ({"compose.yml": "x-a: 1"}, "compose.yml", "services", "has none that would run"),
    ({"compose.yml": "services: [a]"}, "compose.yml", "", "services must be a mapping"),
    ({"compose.yml": "services: {web: {image: x, ports: y}}"}, "compose.yml", "services.web.ports", "array"),
    ({"compose.yml": "services: {web: {image: x, ports: ['a:b']}}"}, "compose.yml", "", "invalid containerPort: b"),
    ({"compose.yml": "services: {web: {image: x, mem_limit: zz}}"}, "compose.yml", "services.web.mem_limit", "size"),
    (
        {"compose.yml": "services: {web: {image: x, healthcheck: {interval: soon}}}"},
        *("compose.yml", "services.web.healthcheck.interval", "duration"),
    ),
    (
        {"compose.yml": "services: {web: {image: x, depends_on: [b]}}"},
        "compose.yml",
        "services.web",
        "undefined service",
    ),
    (
        {"compose.yml": "services: {web: {image: x, networks: [b]}}"},
        "compose.yml",
        "services.web",
        "undefined network b",
    ),
    (
        {"compose.yml": "services: {web: {image: x, volumes: ['data:/b']}}"},
        "compose.yml",
        "services.web",
        "undefined volume",
    ),
    (
        {"compose.yml": "services: {a: {image: x, depends_on: [b]}, b: {image: x, depends_on: [a]}}"},
        *("compose.yml", "", "cycle"),
    ),
    (
        {"compose.yml": "services: {web: {image: 'x:${A'}}"},
        "compose.yml",
        "services.web.image",
        "a $ that begins no variable",
    ),
    (
        {"compose.yml": "services: {web: {image: 'x', environment: {B: '${A:?the key of the shop}'}}}"},
        *("compose.yml", "services.web.environment.B", "needs the variable A (the key of the shop)"),
    ),
    ({"compose.yml": "services: {web: {image: 'x:${A?}'}}"}, "compose.yml", "services.web.image", "the variable A"),
    ({"compose.yml": "services: {web: {image: x, scale: '${N}'}}"}, "compose.yml", "services.web.scale", "cast"),
    (
        {"compose.yml": "services: {web: {image: x, read_only: '${RO}'}}"},  # as mattermost's
        *("compose.yml", "services.web.read_only", "and so empty: RO; set them in .env, in [environment]"),
    ),
    (
        {"compose.yml": "services: {web: {image: x, environment: ['B=${A?}', 'D=${C:?}', 'F=${E:?}', 'G=$${H:?}']}}"}
        | {".env": "E=1"},  # as documenso's
        *("compose.yml", "services.web.environment", "or with --set A=...; needed as well: C"),
    ),
    (
        {"compose.yml": "services: {web: {image: '$NAME:$TAG'}}"},  # as posthog's
        *("compose.yml", "services.web.image", "is not the name of an image: :"),
    ),
    (
        {"compose.yml": "services: {web: {image: x, profiles: [web]}}"},  # as docker-rails-example's
        *("compose.yml", "services", "has none that would run; choose a profile with COMPOSE_PROFILES"),
    ),
    (
        {"compose.yml": "services: {db: {image: 'postgres:13'}}"},  # as cal.com's
        *("compose.yml", "services", "has databases only, which become clones"),
    ),
    (
        {"compose.yml": "services: {web: {image: x, command: '\"'}}"},
        "compose.yml",
        "services.web.command",
        "command line",
    ),
    ({"compose.yml": "services: {'a b': {image: x}}"}, "compose.yml", "services", "may not hold 'a b'"),
    ({"compose.yml": "services:\n  web: {image: x, image: y}"}, "compose.yml:2", "services.web.image", "twice"),
    ({"compose.yml": "#" * 1_100_000}, "compose.yml", "", "longer than 1024 KiB"),
    (OK | {".env": 'A="x'}, ".env", "", "unterminated"),
    (OK | {".env": "A B=1"}, ".env", "", "space"),
    (OK | {".env": "#" * 70_000}, ".env", "", "longer than 64 KiB"),
    (
        OK | {"cx.toml": "services.wbe.port = 1"},
        "cx.toml",
        "services.wbe",
        "not a service of compose.yml, which has: web",
    ),
    (
        OK | {"cx.toml": "[environments.preview.services.wbe]"},
        "cx.toml",
        "environments.*.services.wbe",
        "not a service",
    ),
    (OK | {"cx.toml": "databases.shop = {}"}, "cx.toml", "databases.shop", "is not in the host configuration"),
    (
        OK | {"cx.toml": "databases.app.service = 'web'"},
        "cx.toml",
        "databases.app.service",
        "runs nginx, not app's engine",
    ),
    (OK | {"cx.toml": "databases.x.mode = 'container'"}, "cx.toml", "databases.x.service", "could stay a container"),
    (OK | {"cx.toml": "release = {command = 'x', service = 'job'}"}, "cx.toml", "release.service", "there are: web"),
    ({"Dockerfile": "FROM x"}, "cx.toml", "services.app.port", "Dockerfile has no EXPOSE"),
    ({"cx.toml": "services.web.build = 'nowhere'"}, "nowhere/Dockerfile", "", "no such file"),
    (
        {"compose.yml": "services: {a: {image: x, ports: [1]}, b: {image: x, ports: [2]}}"}
        | {"cx.toml": "services.a.route = 'b'"},
        *("cx.toml", "services.b.route", "gives preview-7-b.localhost, which is a's already"),
    ),
    (
        {"compose.yml": "services: {web: {image: x}}", "cx.toml": "services.web.route = true"},
        *("cx.toml", "services.web.port", "is not set, and nothing else says it"),
    ),
    ({".cx/compose.yml.j2": "a: {{ nope }}"}, ".cx/compose.yml.j2:1", "", "'nope' is undefined"),
    ({".cx/compose.yml.j2": "a: ["}, ".cx/compose.yml.j2 (as rendered):2", "", "is not YAML"),
    ({".cx/compose.yml.j2": "services: {web: {imag: x}}"}, ".cx/compose.yml.j2 (as rendered)", "services.web.imag", ""),
]


@pytest.mark.parametrize(
    ("files", "where", "key", "said"), BAD, ids=[f"{one[2] or one[3]}-{n}" for n, one in enumerate(BAD)]
)
def test_bad_input_names_file_and_key(repository, files, where, key, said):
    with pytest.raises(CxError) as caught:
        repository.holding(files).read()
    error = caught.value
    if isinstance(error, Refused):
        assert (error.exit_code, any(one.startswith(f"{key}: ") for one in error.reasons)) == (1, True)
        assert said in str(error)
        assert str(error).startswith(f"{where}: ")
    else:
        assert isinstance(error, Invalid)
        assert (error.where, error.key, error.exit_code) == (where, key, 2)
        assert said.lower() in str(error).lower()
    assert "\n" not in str(error)
    assert str(repository.root) not in str(error)


@pytest.mark.parametrize("name", ["A-B", "", "1A", "A\n", "A=B"])
def test_a_bad_value_is_told(repository, name):
    with pytest.raises(Invalid, match="--set"):
        repository.holding(OK).read(**{name: "x"})


# --- what the program that reads the model may see


def test_no_variable_of_ours_is_filled_in(repository, monkeypatch):
    monkeypatch.setenv("CX_POSTGRES_PASSWORD", "hunter2")
    monkeypatch.setenv("COMPOSE_FILE", "/etc/passwd")
    monkeypatch.setenv("COMPOSE_PROFILES", "secret")
    compose = """
services:
  web:
    image: nginx:${CX_POSTGRES_PASSWORD-none}
    environment: {A: "${CX_POSTGRES_PASSWORD}", B: "${HOME}", C: "${DOCKER_CONFIG}", CX_POSTGRES_PASSWORD: , PATH: }
  secret: {image: x, profiles: [secret]}
"""
    made = repository.holding({"compose.yml": compose}).read()
    assert "hunter2" not in json.dumps(dataclasses.asdict(made))
    assert made.services["web"]["image"] == "nginx:none"
    assert {key: value for key, value in made.services["web"]["environment"].items() if len(key) == 1} == {
        **{"A": "", "B": "/nonexistent", "C": ""}  # a constant, that shows nothing of the host
    }
    assert "PATH" not in made.services["web"]["environment"]
    assert set(made.services) == {"web"}
    assert any("CX_POSTGRES_PASSWORD is not set" in note for note in made.notes)


def test_what_a_variable_stands_for(repository):
    files = {
        "compose.yml": "services: {web: {image: x, environment: ['A=$A', 'B=$B', 'C=$C', 'D=$$D', 'E=${E:-e}']}}",
        ".env": "A=1\nB=1\nC=1\n",
        "cx.toml": "[environment]\nB = '$A'\nC = 2\n",
    }
    made = repository.holding(files).read(C="it's ${A}")
    environment = made.services["web"]["environment"]
    assert {key: environment[key] for key in "ABCDE"} == {"A": "1", "B": "$A", "C": "it's ${A}", "D": "$D", "E": "e"}


@examples(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc"]) | st.sampled_from("'\"\\$`#\n ={}")), max_size=6)
)
def test_any_value_arrives_as_it_is(tmp_path_factory, texts):
    said = {f"V{number}": text for number, text in enumerate(texts)}
    model = {"services": {"web": {"image": "x", "environment": {name: f"${{{name}}}" for name in said}}}}
    normal, _ = normalise.normalise(model, checkout=tmp_path_factory.mktemp("x"), where="f", variables=said)
    assert (normal["services"]["web"].get("environment") or {}) == said


@pytest.mark.parametrize(
    "variable", ["COMPOSE_FILE", "COMPOSE_ENV_FILES", "COMPOSE_PROJECT_NAME", "DOCKER_CONFIG", "DOCKER_HOST", "HOME"]
)
def test_a_dotenv_steers_no_program(repository, variable):
    """Variables by which Compose itself is told what to read, and whom to ask, are as any other."""
    secret = repository.state / "secret"
    secret.write_text("A=hunter2\nservices: {web: {image: hunter2}}\n")
    files = {
        "compose.yml": "services: {web: {image: 'nginx:${A-none}', ports: ['80']}}",
        ".env": f"{variable}={secret}\n",
    }
    found = repository.holding(files).read()
    assert found.services["web"]["image"] == "nginx:none"
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize("target", ["../host/secret.env", "/etc/hostname", "/dev/zero"])
def test_a_dotenv_that_leads_out_is_not_read(repository, target):
    (repository.state / "secret.env").write_text("A=hunter2")
    (repository.holding(OK).root / ".env").symlink_to(target)
    with pytest.raises(Invalid, match=r"^\.env: leads out of the repository"):
        repository.read()


@pytest.mark.parametrize(
    "service",
    [
        {"env_file": ["../host/secret.env"]},
        {"env_file": "/etc/passwd"},
        {"env_file": ["link.env"]},
        {"env_file": ["${A-../host/secret.env}"]},
        {"env_file": [{"path": "../host/secret.env", "required": False}]},
        {"extends": {"file": "../host/other.yml", "service": "x"}},
        {"label_file": "../host/secret.env"},
        {"use_api_socket": True},
        {"provider": {"type": "../host/program"}},
        {"secrets": ["x"]},
        {"configs": ["x"]},
        {"build": {"context": ".", "additional_contexts": {"x": "../host"}}},
        {"build": {"context": ".", "ssh": ["default"]}},
    ],
    ids=str,
)
@pytest.mark.parametrize("allow", [[], ["env_file"]])
def test_compose_never_reads_what_is_refused(repository, monkeypatch, service, allow):
    (repository.state / "secret.env").write_text("A=hunter2")
    repository.holding(OK | {"compose.yml": json.dumps({"services": {"web": {"image": "x"} | service}})})
    (repository.root / "link.env").symlink_to("../host/secret.env")
    monkeypatch.setattr(normalise, "_run", lambda *_: pytest.fail("Compose was run"))
    with pytest.raises(Refused):
        repository.read(HOST + f"[projects.shop]\nallow = {json.dumps(allow)}\n")


@pytest.mark.parametrize("key", ["include", "secrets", "configs", "models", "jobs"])
def test_compose_never_reads_what_is_refused_at_the_top(repository, monkeypatch, key):
    whole = {"services": {"web": {"image": "x"}}, key: ["../host/other.yml"]}
    monkeypatch.setattr(normalise, "_run", lambda *_: pytest.fail("Compose was run"))
    with pytest.raises(Refused):
        repository.holding({"compose.yml": json.dumps(whole)}).read()


def test_a_merge_hides_nothing(repository):
    text = "x-a: &a {privileged: true, pid: host}\nservices: {web: {<<: *a, image: x}}"
    with pytest.raises(Refused) as caught:
        repository.holding({"compose.yml": text}).read()
    assert len(caught.value.reasons) == 2


def test_an_allowed_env_file_is_read(repository):
    files = {"compose.yml": "services: {web: {image: x, env_file: [web.env]}}", "web.env": "A=1\n"}
    made = repository.holding(files).read(HOST + "[projects.shop]\nallow = ['env_file']\n")
    assert made.services["web"]["environment"] == {"A": "1"}


def test_characters_of_every_plane_are_kept(repository):
    """Compose reads YAML, in which a pair of surrogates is no character."""
    files = {"compose.yml": "services: {web: {image: x, environment: {A: '\\\U0001f642 é', B: '${C}'}}}"}
    made = repository.holding(files).read(C="\U0001f642")
    environment = made.services["web"]["environment"]
    assert (environment["A"], environment["B"]) == ("\\\U0001f642 é", "\U0001f642")


def test_a_variable_cannot_turn_into_a_mount_of_the_host(repository):
    files = {"compose.yml": "services: {web: {image: x, volumes: ['${A}:/x']}}", ".env": "A=/etc"}
    with pytest.raises(Refused, match="leads out of the repository"):
        repository.holding(files).read()


def test_a_home_is_nobodys(repository):
    with pytest.raises(Refused, match="leads out of the repository"):
        repository.holding({"compose.yml": "services: {web: {image: x, volumes: ['~/.ssh:/x']}}"}).read()


def test_a_bomb_of_variables_does_not_go_off(repository):
    lines = ["A0='" + "x" * 1000 + "'", *(f'A{n}="' + f"${{A{n - 1}}}" * 10 + '"' for n in range(1, 12))]
    files = {"compose.yml": "services: {web: {image: x, command: '${A11}'}}", ".env": "\n".join(lines)}
    with pytest.raises(Invalid, match="too large once its variables are filled in"):
        repository.holding(files).read()


def test_a_program_that_hangs_is_stopped(repository, monkeypatch, tmp_path):
    slow = tmp_path / "cli-plugins" / "docker-compose"
    slow.parent.mkdir()
    slow.write_text("#!/bin/sh\nexec sleep 600\n")
    slow.chmod(0o755)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setattr(normalise, "TIMEOUT_S", 0.2)
    with pytest.raises(CxError, match="took more than") as caught:
        repository.holding(OK).read()
    assert caught.value.exit_code == 75


def test_the_plugin_is_the_one_of_docker_compose():
    theirs = subprocess.run(["docker", "compose", "version", "--short"], capture_output=True, text=True, check=True)
    ours = subprocess.run([program("compose"), "version", "--short"], capture_output=True, text=True, check=True)
    assert ours.stdout == theirs.stdout


# --- routes, databases, environment


def made_of(repository: Repository, services: dict[str, Any], cx: str = "", host: str = HOST) -> Blueprint:
    files = {"compose.yml": json.dumps({"services": services, "volumes": {"data": None}}), "Dockerfile": "FROM x"}
    return repository.holding(files | ({"cx.toml": cx} if cx else {})).read(host)


def ports(made: Blueprint) -> dict[str, int]:
    return {route.service: route.port for route in made.routes}


@pytest.mark.parametrize(
    ("services", "cx", "expected"),
    [
        ({"web": {"image": "x", "ports": ["8000:80"]}}, "", {"web": 80}),
        ({"web": {"image": "x", "ports": ["53:53/udp", "9000:9000"]}}, "", {"web": 9000}),
        ({"web": {"image": "x", "ports": ["9229:9229", "3000:3000"]}}, "", {"web": 3000}),
        ({"web": {"image": "x", "ports": ["80"]}, "cache": {"image": "redis", "ports": ["6379"]}}, "", {"web": 80}),
        ({"web": {"image": "x", "ports": ["80"], "expose": [81]}}, "services.web.port = 82", {"web": 82}),
        ({"web": {"image": "x", "ports": ["80"]}}, "services.web.route = false", {}),
        ({"web": {"image": "x", "expose": ["81"]}}, "", {"web": 81}),
        ({"web": {"image": "x", "ports": ["80"]}, "api": {"image": "x", "expose": ["81"]}}, "", {"web": 80}),
        (
            {"web": {"image": "x", "ports": ["80"]}, "api": {"image": "x", "expose": ["81"]}},
            *("services.api.route = true", {"web": 80, "api": 81}),
        ),
        ({"es": {"image": "elasticsearch:8", "ports": ["9200"]}}, "", {}),
        ({"es": {"image": "elasticsearch:8", "ports": ["9200"]}}, "services.es.port = 9200", {"es": 9200}),
        ({"web": {"image": "x", "labels": ["traefik.http.services.a.loadbalancer.server.port=70"]}}, "", {"web": 70}),
        (
            {
                "web": {
                    "image": "x",
                    "labels": {"traefik.enable": "false", "traefik.http.services.a.loadbalancer.server.port": 7},
                }
            },
            *("", {}),
        ),
        ({"web": {"build": {"context": "."}}}, "", {}),
    ],
)
def test_which_services_have_a_hostname(repository, services, cx, expected):
    made = made_of(repository, services, cx)
    assert ports(made) == expected
    assert expected or any("no service has a hostname" in note for note in made.notes)


def test_a_dockerfiles_port_counts_when_nothing_else_does(repository):
    files = {"compose.yml": "services: {web: {build: .}}", "Dockerfile": "FROM x\nEXPOSE 5000"}
    assert ports(repository.holding(files).read()) == {"web": 5000}


def test_a_label_makes_the_hostname(repository):
    made = made_of(
        repository,
        {"web": {"image": "x", "ports": [80]}},
        "services.web = {route = 'shop', healthcheck = {path = '/up'}}",
    )
    assert (made.routes[0].host, made.routes[0].probe_path) == ("preview-7-shop.localhost", "/up")


POSTGRES = {"image": "postgres:16", "environment": {"POSTGRES_PASSWORD": "pw", "POSTGRES_USER": "me"}}
WEB = {"image": "x", "ports": [80], "depends_on": ["db"]}
TWO = HOST + "[databases.stats]\nfile = 'x'\n"
MARIADB = "[databases.shop]\nengine = 'mariadb'\nfile = 'x'\n"
MYSQL = "[databases.app]\nengine = 'mysql'\nfile = 'x'\n"


@pytest.mark.parametrize(
    ("services", "cx", "host", "expected"),
    [
        ({"db": POSTGRES}, "", HOST, {"app": "db"}),
        ({"app": POSTGRES}, "", HOST, {"app": "app"}),
        (
            {"db": POSTGRES | {"image": "registry:5000/bitnami/postgresql:17@sha256:" + "0" * 64}},
            "",
            HOST,
            {"app": "db"},
        ),
        ({"db": POSTGRES | {"image": "mysql:8"}}, "", HOST, {}),
        ({"db": {"image": "mysql:8"}}, "", MYSQL, {"app": "db"}),
        ({"db": {"image": "mysql:8"}}, "", MARIADB, {}),
        ({"a": {"image": "mysql:8"}, "b": {"image": "mariadb"}}, "", MARIADB + MYSQL, {"app": "a", "shop": "b"}),
        ({"db": POSTGRES}, "", "", {}),
        ({"db": POSTGRES}, "", TWO, {}),
        ({"db": POSTGRES, "stats": POSTGRES}, "", TWO, {"stats": "stats"}),
        ({"db": POSTGRES, "other": POSTGRES}, "", HOST, {}),
        ({"db": POSTGRES, "other": POSTGRES}, "databases.app.service = 'other'", HOST, {"app": "other"}),
        ({"db": POSTGRES}, "databases.app.mode = 'container'", HOST, {}),
        ({"app": POSTGRES}, "databases.app.mode = 'container'", HOST, {}),
        ({"db": POSTGRES}, "databases.x = {mode = 'container', service = 'db'}", HOST, {}),
        ({"db": POSTGRES}, "databases.stats = {}", TWO, {"stats": "db"}),
        ({"db": POSTGRES}, "databases.app.service = 'main'", HOST, {"app": "main"}),
        (
            {"a": POSTGRES, "b": POSTGRES},
            "databases = {app.service = 'a', stats.service = 'b'}",
            TWO,
            {"app": "a", "stats": "b"},
        ),
        ({}, "databases.app = {}", HOST, {"app": "db"}),
        ({}, "databases = {app = {}, stats = {}}", TWO, {"app": "db", "stats": "stats"}),
    ],
)
def test_which_services_become_clones(repository, services, cx, host, expected):
    made = made_of(repository, {"web": {"image": "x", "ports": [80]}, **services}, cx, host)
    assert {use.name: use.alias for use in made.databases} == expected
    assert set(made.services) | set(made.pinned) == {"web", *services} - set(expected.values())


def test_a_clone_takes_the_credentials_that_the_app_expects(repository):
    use = made_of(repository, {"web": WEB, "db": POSTGRES}).databases[0]
    assert (use.user, use.password, use.database, use.port) == ("me", "pw", "me", 5432)
    assert made_of(repository, {"web": WEB, "db": {"image": "postgres"}}).databases[0].user == "postgres"


def test_nobody_waits_for_a_clone_and_its_volume_is_gone(repository):
    db = POSTGRES | {"volumes": ["data:/var/lib/postgresql/data"], "networks": {"default": {"aliases": ["pg"]}}}
    made = made_of(repository, {"web": WEB | {"links": ["db:database"]}, "db": db})
    assert "depends_on" not in made.services["web"]
    assert made.volumes == ()
    assert made.aliases == {"db": ("pg", "database")}
    assert made.database_env["web"]["PGHOST"] == "app.host"


def test_variables_of_the_projects_own_are_not_changed(repository):
    made = made_of(
        repository, {"web": WEB | {"environment": {"DATABASE_URL": "x"}}, "db": POSTGRES, "other": {"image": "y"}}
    )
    assert made.services["web"]["environment"]["DATABASE_URL"] == "x"
    assert "DATABASE_URL" not in made.database_env["web"]
    assert set(made.database_env) == {"web"}


def test_with_two_databases_the_first_one_has_the_plain_names(repository):
    made = made_of(repository, {"web": {"build": {"context": "."}}}, "databases = {stats = {}, app = {}}", TWO)
    env = made.database_env["web"]
    assert (env["DATABASE_URL"], env["APP_DATABASE_URL"]) == ("stats.url", "app.url")


@pytest.mark.parametrize(
    ("service", "cx", "pinned"),
    [
        ({"volumes": ["data:/x"]}, "", True),
        ({"volumes": ["/x"]}, "", False),
        ({"volumes": ["./Dockerfile:/x"]}, "", False),
        ({"volumes": ["./nowhere:/x"]}, "", True),
        ({"volumes": ["data:/x"], "ports": [80]}, "", False),
        ({"volumes": ["data:/x"]}, "services.web.update = 'rolling'", False),
        ({}, "services.web.update = 'in-place'", True),
        ({"volumes": ["data:/x"], "image": "", "build": {"context": "."}}, "", False),
    ],
)
def test_what_keeps_state_is_updated_in_place(repository, service, cx, pinned):
    made = made_of(repository, {"web": {"image": "x"} | service}, cx)
    assert ("web" in made.pinned, "web" in made.services) == (pinned, not pinned)


JOB = {"volumes": ["data:/x"], "ports": [80], "expose": [81]}


@pytest.mark.parametrize(
    ("cx", "expected", "pinned"),
    [
        ("", {"web": 90}, False),
        ("services.job.port = 80", {"job": 80, "web": 90}, False),
        ("services.job.update = 'in-place'", {"web": 90}, True),
    ],
)
def test_a_job_runs_for_each_revision_whatever_it_mounts_and_serves_nothing(repository, cx, expected, pinned):
    web = {"image": "x", "ports": [90], "depends_on": {"job": {"condition": "service_completed_successfully"}}}
    made = made_of(repository, {"job": {"image": "x"} | JOB, "web": web}, cx)
    assert ports(made) == expected
    assert ("job" in made.pinned) == pinned
    assert ports(made_of(repository, {"job": {"image": "x"} | JOB, "web": web | {"depends_on": ["job"]}})) == {
        "job": 80, "web": 90,
    }  # fmt: skip


def test_a_restart_that_yaml_could_take_for_something_else(repository):
    text = "services: {web: {image: nginx, ports: [80], restart: no}}"
    assert repository.holding({"compose.yml": text}).read().services["web"]["restart"] == "no"


def test_an_image_is_named_by_what_goes_into_it(repository):
    repository.holding(
        {"compose.yml": "services: {web: {build: {context: ., args: {A: '${A-1}'}}}}", "Dockerfile": "FROM x"}
    )
    first = repository.read().builds[0].digest
    assert repository.read().builds[0].digest == first
    assert len(first) == 16
    assert repository.read(A="2").builds[0].digest != first
    repository.holding({"more": "x"})
    assert repository.read().builds[0].digest != first


def test_it_does_not_depend_on_where_we_are(repository, monkeypatch, tmp_path):
    first = repository.holding(OK | {"cx.toml": "environment.A = 1"}).read()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("A=2")
    assert repository.read() == first


def test_it_is_fast(repository):
    """Three quarters of it is Compose; measured against that, for machines differ."""
    repository.holding(OK)
    reading, composing = [], []
    for _ in range(5):
        start = time.perf_counter()
        repository.read()
        reading.append(time.perf_counter() - start)
        start = time.perf_counter()
        argv = [program("compose"), "--project-directory", str(repository.root), "config", "--quiet"]
        subprocess.run(argv, check=True, env={"PATH": os.defpath, "HOME": "/nonexistent"}, capture_output=True)
        composing.append(time.perf_counter() - start)
    assert min(reading) < 2.5 * min(composing)


# --- what real repositories have


def test_the_app_is_added_to_a_file_of_databases(repository):
    """As cal.com and petclinic have it: the Compose file is for the databases, the app runs beside it."""
    made = repository.holding(
        {
            "compose.yml": "services: {postgres: {image: 'postgres:13', environment: {POSTGRES_PASSWORD: x}}}",
            "Dockerfile": "FROM x\nEXPOSE 3000\n",
            "cx.toml": "services.app = {build = '.', environment = {A = 'b'}}",
        }
    ).read()
    assert [(route.service, route.port) for route in made.routes] == [("app", 3000)]
    assert made.services["app"]["environment"]["A"] == "b"
    assert made.database_env["app"]["DATABASE_URL"] == "app.url"
    assert [use.alias for use in made.databases] == ["postgres"]


def test_an_added_service_is_looked_at_like_the_others(repository):
    with pytest.raises(Refused, match=r"services\.app\.build\.context: .*elsewhere is not a folder"):
        repository.holding(OK | {"cx.toml": "services.app = {build = 'elsewhere'}"}).read()


def test_what_does_not_run_may_ask_for_anything(repository):
    """As authentik, superset and bookwyrm have it: tools beside the app."""
    compose = """
services:
  web:
    image: nginx
    depends_on: {agent: {condition: service_started}, tests: {condition: service_started, required: false}}
  agent: {image: x, privileged: true, volumes: ['/var/run/docker.sock:/s'], extends: {file: gone.yml, service: x}}
  tests: {image: x, env_file: .env.gone, network_mode: host, profiles: [tools]}
"""
    made = repository.holding({"compose.yml": compose, "cx.toml": "services.agent.replicas = 0"}).read()
    assert list(made.services) == ["web"]
    assert "depends_on" not in made.services["web"]
    assert "services.agent: is left out: cx.toml gives it 0 replicas" in made.notes
    assert any(note.startswith("services.tests: is left out: nobody chose its profile") for note in made.notes)


@pytest.mark.parametrize(
    "files", [{".env": "COMPOSE_PROFILES=a\n"}, {"cx.toml": "environment = {COMPOSE_PROFILES = 'a'}"}]
)
def test_a_chosen_profile_runs(repository, files):
    compose = "services: {web: {image: nginx}, worker: {image: x, profiles: [a]}, other: {image: x, profiles: [b]}}"
    assert list(repository.holding({"compose.yml": compose} | files).read().services) == ["web", "worker"]


def test_a_chosen_profile_is_looked_at(repository):
    compose = "services: {web: {image: nginx}, worker: {image: x, privileged: true, profiles: [a]}}"
    with pytest.raises(Refused, match=r"services\.worker\.privileged"):
        repository.holding({"compose.yml": compose, ".env": "COMPOSE_PROFILES=a\n"}).read()


def test_an_override_is_told_not_read(repository):
    made = repository.holding(OK | {"compose.override.yml": "services: {web: {privileged: true}}"}).read()
    assert "compose.override.yml: is not read, compose.yml alone is" in made.notes


def test_a_database_that_is_built_becomes_a_clone_when_cx_toml_says_so(repository):
    files = {
        "compose.yml": "services: {web: {image: nginx}, db: {build: db, environment: {POSTGRES_DB: shop}}}",
        "db/Dockerfile": "FROM postgres:17\n",
    }
    assert list(repository.holding(files).read().services) == ["web", "db"]
    made = repository.holding({"cx.toml": "databases.app.service = 'db'"}).read()
    assert [(use.alias, use.database) for use in made.databases] == [("db", "shop")]
    assert (list(made.services), made.builds) == (["web"], ())


def test_paths_are_relative_to_the_folder_of_the_compose_file(repository):
    """As lemmy, healthchecks and immich have it: the file is in `docker/`, the code above it."""
    files = {
        "docker/compose.yml": "services: {web: {build: {context: .., dockerfile: docker/Dockerfile}, ports: ['$PORT'], "
        "volumes: ['./nginx.conf:/etc/nginx.conf', '${PWD}/a:/a', '../b:/b'], environment: {P: '${PWD}'}, "
        "env_file: web.env}}",
        "docker/Dockerfile": "FROM x\n",
        "docker/nginx.conf": "x",
        "docker/a/x": "x",
        "b/x": "x",
        "docker/.env": "PORT=8000\n",
        "docker/web.env": "A=b\n",
        ".env": "PORT=1\n",
        "cx.toml": "compose = 'docker/compose.yml'",
    }
    made = repository.holding(files).read(project="fastapi")
    assert [(one.context, one.dockerfile) for one in made.builds] == [(".", "docker/Dockerfile")]
    assert [one.path for one in made.mounted] == ["b", "docker/a", "docker/nginx.conf"]
    assert [route.port for route in made.routes] == [8000]
    environment = made.services["web"]["environment"]
    assert (environment["P"], environment["A"]) == (".", "b")  # PWD: the same in every reading


def test_the_folder_of_the_compose_file_may_be_a_link_in_the_repository_alone(repository, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "compose.yml").write_text(OK["compose.yml"])
    (repository.root / "docker").symlink_to(tmp_path / "outside")
    with pytest.raises(Invalid, match="leads out of the repository"):
        repository.holding({"cx.toml": "compose = 'docker/compose.yml'"}).read()
    (repository.root / "docker").unlink()
    (repository.root / "docker").symlink_to("deploy")
    assert repository.holding({"deploy/compose.yml": OK["compose.yml"]}).read().routes


def test_two_databases_of_an_engine_are_told_from_each_other_by_cx_toml(repository):
    """As listmonk and openproject have it: `db`, and another for a demo or for tests."""
    files = {
        "compose.yml": "services: {web: {image: nginx}, db: {image: 'postgres:13'}, db-test: {image: 'postgres:13'}}"
    }
    made = repository.holding(files).read()
    assert made.databases == ()
    assert "services.db: stays a container; [databases.app] with service in cx.toml makes it a clone" in made.notes
    made = repository.holding({"cx.toml": "databases.app.service = 'db'"}).read()
    assert [use.alias for use in made.databases] == ["db"]
    assert list(made.services) == ["web", "db-test"]
    assert not any("stays a container" in note for note in made.notes)

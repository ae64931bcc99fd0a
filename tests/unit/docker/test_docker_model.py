"""The Compose models that are run: rights, limits, labels, addresses, and where secrets stand."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import replace
from typing import Any

import pytest
from docker_parts import BLUEPRINT, POOLERS, SECRET
from hypothesis import given
from hypothesis import strategies as st

from cx.core.blueprint import Blueprint, DatabaseUse, Mounted, Route
from cx.core.names import LABELS, Names, Namespace
from cx.docker.model import CAPABILITIES, GRACE, POOLER, RELEASE, Limits, Modeller, prompt

SUBNET = ipaddress.IPv4Network("10.9.8.0/27")
REVISION = "0123456789ab"
NAMES, PR = Names("cx"), Namespace("preview-1")


def modeller(blueprint: Blueprint = BLUEPRINT) -> Modeller:
    return Modeller(NAMES, PR, REVISION, blueprint, Limits(), "pgbouncer:1")


MODEL: dict[str, Any] = modeller().revision_model(SUBNET, POOLERS, "d4t4")
DATA: dict[str, Any] = modeller().data_model()
APART = modeller().poolers(SUBNET, POOLERS)
SERVICES: dict[str, dict[str, Any]] = MODEL["services"] | DATA["services"]


@pytest.fixture(params=sorted(SERVICES))
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return SERVICES[request.param]


def test_who_is_there() -> None:
    web = {"web", "web-cx2", "web-cx3"}
    assert set(MODEL["services"]) == web | {"migrate", "big", "evil", RELEASE}
    assert set(DATA["services"]) == {"redis"}
    assert [one.name for one in APART] == [f"cx-preview-1-r{REVISION}-{POOLER}-{use}-1" for use in ("app", "stats")]


# --- every container
def test_has_no_more_rights_than_it_needs(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert set(service.get("cap_add", ())) <= {*CAPABILITIES, "SYS_NICE"}


def test_capabilities_are_the_default_and_what_the_project_was_allowed() -> None:
    assert SERVICES["migrate"]["cap_add"] == [*CAPABILITIES, "SYS_NICE"]
    assert SERVICES["web"]["cap_add"] == list(CAPABILITIES)


def test_is_limited(service: dict[str, Any]) -> None:
    assert service["mem_limit"]
    assert service["cpus"] > 0
    assert service["pids_limit"] > 0
    assert service["stop_grace_period"]
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}


def test_limits_are_the_host_s_where_the_project_has_none() -> None:
    assert [SERVICES["web"][key] for key in ("mem_limit", "cpus", "pids_limit", "stop_grace_period")] == [
        "512m", 1.0, 256, GRACE,
    ]  # fmt: skip
    assert [SERVICES["big"][key] for key in ("mem_limit", "cpus", "pids_limit", "stop_grace_period")] == [
        "2g", 2, 999, "30s",
    ]  # fmt: skip


def test_carries_its_owner(service: dict[str, Any]) -> None:
    labels = service["labels"]
    assert set(labels) <= LABELS
    assert labels["dev.cx.instance"] == "cx"
    assert labels["dev.cx.namespace"] == "preview-1"
    assert labels["dev.cx.service"]
    assert labels.get("dev.cx.revision") == (None if labels["dev.cx.role"] == "pinned" else REVISION)


def test_is_in_no_network_but_the_namespace_s_own(service: dict[str, Any]) -> None:
    assert set(service["networks"]) == {"net"}


def test_networks_and_volumes_are_those_that_cx_made() -> None:
    assert MODEL["networks"] == {
        "net": {"name": f"cx-preview-1-r{REVISION}", "external": True},
    }
    assert DATA["networks"] == {"net": {"name": "cx-preview-1-data", "external": True}}
    assert MODEL["volumes"] == {
        "cx-files": {"external": True, "name": f"cx-preview-1-r{REVISION}_files"},
        "uploads": {"external": True, "name": "cx-preview-1_uploads"},
    }
    assert DATA["volumes"] == {"redis": {"external": True, "name": "cx-preview-1_redis"}}


def test_nothing_is_published_on_the_host_or_named_by_the_project(service: dict[str, Any]) -> None:
    assert {"ports", "container_name", "network_mode", "deploy", "build"}.isdisjoint(service)


# --- roles
def test_roles_and_restarts() -> None:
    found = {
        name: (*tuple(one["labels"][f"dev.cx.{key}"] for key in ("role", "restart")), one["restart"])
        for name, one in SERVICES.items()
    }
    assert found == {
        "web": ("service", "always", "always"),
        "web-cx2": ("service", "always", "always"),
        "web-cx3": ("service", "always", "always"),
        "big": ("service", "default", "on-failure"),
        "evil": ("service", "default", "on-failure"),
        "migrate": ("job", "no", "no"),
        "redis": ("pinned", "always", "always"),
        RELEASE: ("release", "no", "no"),
    }


RESTARTS = {
    ("", "alone"): "default",
    ("no", "alone"): "no",
    ("on-failure:3", "alone"): "on-failure:3",
    ("always", "alone"): "always",
    ("no", "routed"): "always",
    ("", "routed"): "always",
    ("", "awaited"): "no",
    ("always", "awaited"): "no",
    ("on-failure:3", "awaited"): "on-failure:3",
}


@pytest.mark.parametrize("said", RESTARTS, ids=" ".join)
def test_what_an_end_is_to_a_service(said: tuple[str, str]) -> None:
    """A URL is to answer; a job that something waits for is to end; else the project says."""
    restart, what = said
    own = {"image": "x"} | ({"restart": restart} if restart else {})
    other = {"image": "x", "depends_on": {"it": {"condition": "service_completed_successfully"}}}
    services = {"it": own} | ({"other": other} if what == "awaited" else {})
    routes = (Route("it", "it.localhost", 80),) if what == "routed" else ()
    for blueprint in (Blueprint(services, {}, routes), Blueprint({}, services, routes)):
        assert modeller(replace(BLUEPRINT, **vars(blueprint))).restart("it", own) == RESTARTS[said]


def test_what_may_end_runs_again_on_other_data() -> None:
    for name in ("migrate", "big"):
        assert SERVICES[name]["labels"]["dev.cx.data"] == "d4t4"
    for name in ("web", "redis"):
        assert "dev.cx.data" not in SERVICES[name]["labels"]


def test_the_release_runs_its_command_in_a_container_like_its_service_s() -> None:
    release = SERVICES[RELEASE]
    assert release["command"] == ["migrate", "$$now"]
    assert not release.get("entrypoint")
    assert release["image"] == SERVICES["web"]["image"] == "cx/preview-1/web:abc123"
    assert release["environment"] == SERVICES["web"]["environment"]
    assert release["labels"]["dev.cx.data"] == "d4t4"
    assert release["profiles"] == ["release"]
    assert "healthcheck" not in release


def test_compose_waits_for_nothing() -> None:
    """It would wait without a word, and without an end."""
    assert all("depends_on" not in one for one in SERVICES.values())


def test_replicas_answer_to_the_same_names_at_addresses_of_their_own() -> None:
    nets = [SERVICES[name]["networks"]["net"] for name in ("web", "web-cx2", "web-cx3")]
    assert [net["aliases"] for net in nets] == [["frontend", "web"]] * 3
    assert len({net["ipv4_address"] for net in nets}) == 3
    assert [SERVICES[name]["labels"].get("dev.cx.replica") for name in ("web", "web-cx2", "web-cx3")] == [
        None, "2", "3",
    ]  # fmt: skip


def test_a_pooler_answers_to_the_name_that_the_app_expects_and_alone_reaches_the_server() -> None:
    addresses = modeller().addresses(SUBNET)
    for pooler, use, alias in zip(APART, ("app", "stats"), ("db", "stats"), strict=True):
        assert pooler.networks == {
            f"cx-preview-1-r{REVISION}": {"ipv4_address": addresses[f"{POOLER}-{use}"], "aliases": [alias]},
            "cx_data": {},
        }


def test_a_pooler_carries_its_owner_and_what_stands_for_its_files() -> None:
    for pooler, alias in zip(APART, ("db", "stats"), strict=True):
        assert set(pooler.owned) <= LABELS
        assert pooler.labels == {
            "dev.cx.instance": "cx", "dev.cx.namespace": "preview-1", "dev.cx.role": "pooler",
            "dev.cx.service": alias, "dev.cx.revision": REVISION,
        }  # fmt: skip
        other = replace(pooler, files={**pooler.files, "/etc/pgbouncer/users.txt": b"another"})
        assert other.owned["dev.cx.data"] != pooler.owned["dev.cx.data"]


# --- secrets and variables
def strings(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [text for one in value.values() for text in strings(one)]
    if isinstance(value, list | tuple):
        return [text for one in value for text in strings(one)]
    return [value] if isinstance(value, str) else []


def test_a_database_s_secret_stands_where_it_was_asked_for_only() -> None:
    for name, one in SERVICES.items():
        rest = json.dumps({key: value for key, value in one.items() if key != "environment"})
        assert "s3cret" not in rest, name
        if name in ("migrate", "big", "evil", "redis"):
            assert "s3cret" not in json.dumps(one), name
    for pooler in APART:
        assert "s3cret" not in repr(pooler) + repr(pooler.owned)


def test_a_pooler_is_given_its_own_files_only() -> None:
    for pooler, use in zip(APART, ("app", "stats"), strict=True):
        assert all(content.count(f"s3cret$HOME-{use}".encode()) == 1 for content in pooler.files.values())
        assert all(path.startswith("/etc/pgbouncer/") for path in pooler.files)


def test_no_variable_is_left_to_interpolate() -> None:
    """Each `$` that Compose reads is one of a pair."""
    for text in strings(MODEL) + strings(DATA):
        assert "$" not in text.replace("$$", ""), text
    assert SERVICES["web"]["command"] == ["serve", "--greeting", "$$USER $${HOME} $$$$"]
    assert SERVICES["web"]["entrypoint"] == ["/bin/$$entry"]
    assert SERVICES["web"]["environment"]["PRICE"] == "$$5"
    assert SERVICES["web"]["healthcheck"]["test"] == ["CMD", "curl", "$$URL"]


@pytest.mark.parametrize(
    ("said", "start_interval", "start_period"),
    [
        ({}, "1s", "30s"),
        ({"interval": "60s", "start_period": "5s"}, "1s", "60s"),
        ({"interval": "5s", "start_period": "1m30s"}, "1s", "1m30s"),
        ({"interval": "5s", "start_interval": "3s"}, "3s", "5s"),
    ],
)
def test_a_service_is_asked_each_second_until_it_is_well(
    said: dict[str, Any], start_interval: str, start_period: str
) -> None:
    health = prompt({"test": ["CMD", "true"], **said}, 120.0)
    assert (health["start_interval"], health["start_period"]) == (start_interval, start_period)
    assert health.items() >= {key: one for key, one in said.items() if key != "start_period"}.items()


@pytest.mark.parametrize(("said", "start_period"), [({}, "120s"), ({"interval": "5s", "start_period": "9s"}, "120s")])
def test_so_is_one_with_the_check_of_its_image(said: dict[str, Any], start_period: str) -> None:
    """What its image says of the start is not known here: failures count when the deploy has given up."""
    assert prompt(said, 120.0) == {**said, "start_interval": "1s", "start_period": start_period}
    assert SERVICES["big"]["healthcheck"] == {"start_interval": "1s", "start_period": "120s"}


@pytest.mark.parametrize("health", [{"disable": True}, {"test": ["NONE"]}])
def test_nothing_is_asked_where_nothing_is_to_be(health: dict[str, Any]) -> None:
    assert prompt(health, 120.0) == health


def test_services_are_told_of_their_databases() -> None:
    doubled = SECRET.replace("$", "$$")
    assert SERVICES["web"]["environment"] == {
        "PRICE": "$$5",
        "N": 1,
        "DATABASE_URL": f"postgresql://app:{doubled}-app@db",
        "STATS_PASSWORD": f"{doubled}-stats",
        "PORT": "5432",
    }


def test_the_blueprint_is_not_changed() -> None:
    before = json.dumps([BLUEPRINT.services, BLUEPRINT.pinned])
    modeller().revision_model(SUBNET, POOLERS, "x")
    modeller().data_model()
    assert json.dumps([BLUEPRINT.services, BLUEPRINT.pinned]) == before


# --- addresses
@st.composite
def blueprints(draw: st.DrawFn) -> Blueprint:
    names = draw(st.lists(st.from_regex(r"[a-z]{1,6}", fullmatch=True), min_size=1, max_size=30, unique=True))
    cut = draw(st.integers(1, len(names)))
    services = {name: {"image": "x", "deploy": {"replicas": draw(st.integers(1, 4))}} for name in names[:cut]}
    pinned = {name: {"image": "x"} for name in names[cut:]}
    uses = tuple(DatabaseUse(f"db{number}", f"db{number}") for number in range(draw(st.integers(0, 3))))
    return replace(BLUEPRINT, services=services, pinned=pinned, databases=uses, release=None)


@given(blueprints())
def test_everyone_has_an_address_of_its_own_inside_the_smallest_subnet(blueprint: Blueprint) -> None:
    model = modeller(blueprint)
    subnet = ipaddress.IPv4Network(("10.64.0.0", model.prefix()))
    addresses = model.addresses(subnet)
    assert set(addresses) == set(model.members())
    assert len(set(addresses.values())) == len(model.members())
    inside = {ipaddress.IPv4Address(one) for one in addresses.values()}
    assert inside <= set(subnet.hosts()) - {subnet[1]}  # neither gateway, network nor broadcast
    assert model.prefix() == 28 or len(model.members()) + 3 > subnet.num_addresses // 2


def test_addresses_do_not_depend_on_the_order_of_services() -> None:
    turned = replace(BLUEPRINT, services=dict(reversed(BLUEPRINT.services.items())))
    assert modeller(turned).addresses(SUBNET) == modeller().addresses(SUBNET)


def test_a_route_goes_to_every_replica_and_to_services_that_keep_state() -> None:
    web, redis = BLUEPRINT.routes
    addresses = [SERVICES[name]["networks"]["net"]["ipv4_address"] for name in ("web", "web-cx2", "web-cx3")]
    assert modeller().targets(web, SUBNET) == [f"http://{one}:8000" for one in addresses]
    (target,) = modeller().targets(redis, SUBNET)
    assert target == f"http://{modeller().addresses(SUBNET)['redis']}:6379"


# --- files of the checkout
def test_what_outlives_revisions_has_a_volume_of_files_of_its_own() -> None:
    """The revision's goes with the revision; this one stays the same as long as the files are the same."""
    mount = {"type": "volume", "source": "", "target": "/etc/redis", "volume": {"subpath": "redis"}}
    pinned = {"redis": {**BLUEPRINT.pinned["redis"], "volumes": [*BLUEPRINT.pinned["redis"]["volumes"], mount]}}

    def found(digest: str, revision: str = REVISION) -> tuple[dict[str, list[str]], str]:
        mounted = (Mounted("conf", digest=revision), Mounted("redis", digest=digest))
        model = Modeller(NAMES, PR, revision, replace(BLUEPRINT, pinned=pinned, mounted=mounted), Limits(), "p:1")
        return model.folders(), str(model.data_model()["volumes"]["cx-files"]["name"])

    folders, kept = found("d1")
    assert folders == {f"cx-preview-1-r{REVISION}_files": ["conf"], kept: ["redis"]}
    assert found("d1", "another")[1] == kept
    assert found("d2")[1] != kept

"""Services that do not run are not asked what they may: profiles, and `replicas = 0`."""

from __future__ import annotations

import time

import pytest

from cx.project.choosing import chosen
from cx.project.cx_toml import Document, Service

# As authentik, superset and bookwyrm have them: tools beside the app, which ask for the host.
TOOLS = {
    "services": {
        "web": {
            "image": "x",
            "depends_on": {"worker": {"condition": "service_started"}, "db": {}},
            "links": ["worker:w"],
        },
        "worker": {"image": "x", "volumes": ["/var/run/docker.sock:/var/run/docker.sock"]},
        "tests": {"image": "x", "network_mode": "host", "profiles": ["tools"]},
        "db": {"image": "postgres"},
    }
}
LEAVES_WORKER_OUT = Document(services={"worker": Service(replicas=0)})


def test_what_cx_toml_leaves_out_is_not_there_and_nobody_waits_for_it():
    model, gone = chosen(TOOLS, LEAVES_WORKER_OUT, "", {})
    assert list(model["services"]) == ["web", "tests", "db"]
    assert model["services"]["web"] == {"image": "x", "depends_on": {"db": {}}, "links": []}
    assert gone["worker"] == "is left out: cx.toml gives it 0 replicas"


def test_depends_on_may_be_a_list():
    whole = {"services": {"web": {"depends_on": ["worker", "db"]}, "worker": {}, "db": {}}}
    assert chosen(whole, LEAVES_WORKER_OUT, "", {})[0]["services"]["web"] == {"depends_on": ["db"]}


def test_a_service_whose_profile_nobody_chose_asks_for_nothing():
    model, gone = chosen(TOOLS, Document(), "", {})
    assert model["services"]["tests"] == {"image": "left-out", "profiles": ["tools"]}
    assert model["services"]["worker"] == TOOLS["services"]["worker"]
    assert list(gone) == ["tests"]
    assert "COMPOSE_PROFILES" in gone["tests"]


@pytest.mark.parametrize("dotenv", ["COMPOSE_PROFILES=tools\n", "A=b\n export COMPOSE_PROFILES = tools"])
def test_where_a_profile_may_be_chosen_the_service_is_looked_at(dotenv):
    assert chosen(TOOLS, Document(), "", {"COMPOSE_PROFILES": "tools"}) == (TOOLS, {})
    assert chosen(TOOLS, Document(), dotenv, {}) == (TOOLS, {})


@pytest.mark.parametrize(
    "services", [None, [], "x", {"web": None}, {"web": {"profiles": "x"}}, {"web": {"profiles": []}}]
)
def test_what_is_no_model_stays_for_others_to_judge(services):
    assert chosen({"services": services}, LEAVES_WORKER_OUT, "", {}) == ({"services": services}, {})


def test_a_dotenv_of_empty_lines_does_not_hold_us_up():
    began_at_s = time.process_time()
    assert chosen(TOOLS, Document(), "\n" * 60_000, {})[1]
    assert time.process_time() - began_at_s < 5

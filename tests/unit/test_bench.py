"""The pure parts of scripts/bench: figures, tables, steps, and what the baselines are given."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from cx.docker.model import PoolerContainer

FOLDER = Path(__file__).parents[2] / "scripts" / "bench.d"


def _loaded(name: str) -> ModuleType:
    """A module of scripts/bench.d, which is no package, under its own name as its siblings import it."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
        assert spec
        assert spec.loader
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


figures = _loaded("figures")
_loaded("host")
_loaded("pulls")
rows = _loaded("rows")
_loaded("data")
_loaded("sanitise")
bench = _loaded("main")


def figure(*measured: float, goal: float | None = None) -> object:
    return figures.Figure("ours", "theirs", measured, [2.0] * len(measured), goal=goal)


def test_a_ratio_is_taken_round_by_round() -> None:
    busy_twice = figures.Figure("ours", "theirs", [1.0, 10.0, 1.2], [1.0, 10.0, 1.0])
    assert busy_twice.ratios == pytest.approx([1.0, 1.0, 1.2])
    assert busy_twice.ratio == pytest.approx(1.0)


def test_rounds_without_a_baseline_are_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        _ = figures.Figure("ours", "theirs", [1.0, 2.0], [1.0]).ratio


@pytest.mark.parametrize(("goal", "verdict"), [(None, ""), (1.0, "met"), (0.99, "missed")])
def test_a_goal_is_met_up_to_its_figure(goal: float | None, verdict: str) -> None:
    assert figure(2.0, goal=goal).verdict == verdict


def test_the_table_has_a_line_for_each_figure() -> None:
    report = figures.Report({}, [figure(1.0, 2.0, 4.0, goal=1.5)])
    report.parts["cx deploy"] = [figures.Step("clone", [0.1, 0.3, 0.2])]
    report.skipped["clone of 4GB"] = "--quick"
    text = report.table()
    line = text.splitlines()[1]
    assert line.split() == ["ours", "theirs", "2.00", "s", "2.00", "s", "1.00", "0.50..2.00", "3", "<=", "1.5", "met"]
    assert "clone                                200 ms" in text
    assert "skipped clone of 4GB: --quick" in text


def test_the_document_holds_every_round() -> None:
    report = figures.Report({"cores": "2"}, [figure(1.0, 3.0)], {"whole": [figures.Step("a", [1.0])]})
    found = json.loads(report.document())
    assert found["machine"] == {"cores": "2"}
    assert found["parts"] == {"whole": {"a": [1.0]}}
    (one,) = found["figures"]
    assert (one["measured"], one["compared"], one["n"]) == ([1.0, 3.0], [2.0, 2.0], 2)
    assert (one["ratio_min"], one["ratio"], one["ratio_max"]) == (0.5, 1.0, 1.5)


@pytest.mark.parametrize(
    ("value", "unit", "text"), [(0.0123, "s", "12 ms"), (1.5, "s", "1.50 s"), (59.6, "MiB", "60 MiB")]
)
def test_values_are_shown_in_a_fitting_unit(value: float, unit: str, text: str) -> None:
    assert figures.shown(value, unit) == text


def test_steps_cover_the_process_from_start_to_end() -> None:
    events = [
        {"event": "began", "at": 10.5},
        {"event": "step_began", "at": 10.6, "step": "build app"},
        {"event": "step_began", "at": 10.7, "step": "clone of app"},
        {"event": "line", "at": 10.8, "step": "build app", "text": "..."},
        {"event": "step_ended", "at": 11.0, "step": "build app"},
        {"event": "step_ended", "at": 12.0, "step": "clone of app"},
        {"event": "ended", "at": 12.1},
        {"event": "ready", "urls": []},
    ]
    assert figures.steps_of(events, 10.0, 12.5) == pytest.approx(
        {
            "start, read the project": 0.5,
            "observe": 0.1,
            "build app": 0.4,
            "clone of app": 1.3,
            "say so, end": 0.4,
        }
    )


def test_a_pass_without_steps_has_only_observed() -> None:
    events = [{"event": "began", "at": 1.5}, {"event": "ended", "at": 1.75}, {"event": "unchanged"}]
    found = figures.steps_of(events, 1.0, 2.0)
    assert found == pytest.approx({"start, read the project": 0.5, "observe": 0.25, "say so, end": 0.25})


def test_the_baseline_runs_the_same_containers_on_a_plain_network() -> None:
    service = {"image": "app", "mem_limit": "512m", "healthcheck": {"test": ["CMD", "true"]}, "restart": "always"}
    ours = {**service, "labels": {"dev.cx.namespace": "a"}, "networks": {"net": {"ipv4_address": "10.1.2.3"}}}
    external = {"net": {"name": "cx-a", "external": True}}
    plain = figures.plain_model({"services": {"app": ours}, "networks": external, "volumes": {}}, "bench")
    label = {"bench": "baseline"}
    assert plain["services"] == {"app": {**service, "labels": label, "networks": ["net"]}}
    assert plain["networks"] == {"net": {"labels": label}}
    with_file = figures.plain_model({"services": {}, "volumes": {}, "configs": {"a": {"content": "b"}}}, "bench")
    assert with_file["configs"] == {"a": {"content": "b"}}


def test_the_other_baseline_has_the_poolers_too() -> None:
    files = {"/etc/ini": b"a$b"}
    pooler = PoolerContainer("cx-a-pooler-1", "pgbouncer:1", {}, {"net": {}}, files, 1.0, {}, 3)
    model = figures.with_poolers({"services": {"app": {"image": "app"}}, "volumes": {}}, [pooler])
    assert model["services"]["app"]["depends_on"] == {"pooler-0": {"condition": "service_started"}}
    (mounted,) = model["services"]["pooler-0"]["configs"]
    assert model["services"]["pooler-0"]["image"] == "pgbouncer:1"
    assert mounted["target"] == "/etc/ini"
    assert model["configs"][mounted["source"]] == {"content": "a$$b"}


def test_rounds_end_when_the_time_is_up_but_not_before_the_least() -> None:
    assert list(rows.Rounds(3, budget_s=60)) == [1, 2, 3]
    assert list(rows.Rounds(30, budget_s=-1, least=2)) == [1, 2]


@pytest.mark.parametrize(
    ("names", "quick", "free_gb", "wanted"),
    [
        (["start"], False, 100, ["8mb"]),
        (["deploy"], False, 100, ["1gb"]),
        (["start", "deploy", "clone", "scale"], False, 100, ["8mb", "100mb", "1gb", "4gb"]),
        (["clone"], False, 20, ["100mb", "1gb"]),
        (["clone"], True, 100, ["100mb", "1gb"]),
    ],
)
def test_only_goldens_that_are_needed_are_made(
    names: list[str], quick: bool, free_gb: float, wanted: list[str]
) -> None:
    assert list(rows.sources(names, quick=quick, free_gb=free_gb)) == wanted


def test_arguments() -> None:
    given = bench.arguments(["deploy", "--quick", "--json", "out.json"])
    assert (given.name, given.quick, given.json) == (["deploy"], True, Path("out.json"))


def test_an_unknown_name_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        bench.arguments(["deploi"])
    assert ended.value.code == 2
    assert "choose of start, deploy, clone, scale" in capsys.readouterr().err

"""Figures as values, and how they are summed up and shown. Pure."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from cx.docker.model import PoolerContainer


@dataclass(frozen=True)
class Figure:
    """What `name` took in each round, and what its baseline took in the same rounds; in `unit`.

    `goal` is the highest ratio that was hoped for; None where there is none.
    """

    name: str
    baseline: str
    measured: Sequence[float]
    compared: Sequence[float]
    unit: str = "s"
    goal: float | None = None

    @property
    def ratios(self) -> list[float]:
        """Round by round: what else the machine did in a round, it did to both."""
        return [ours / theirs for ours, theirs in zip(self.measured, self.compared, strict=True)]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        if self.goal is None:
            return ""
        return "met" if self.ratio <= self.goal else "missed"


@dataclass(frozen=True)
class Step:
    """A part of a whole: seconds in each round in which it was seen."""

    name: str
    took_s: Sequence[float]


@dataclass
class Report:
    """All that one run has found. `facts` are figures without a baseline, by name, with their unit."""

    machine: Mapping[str, str]
    figures: list[Figure] = field(default_factory=list)
    parts: dict[str, list[Step]] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def document(self) -> str:
        figures = [
            asdict(one)
            | {"n": len(one.measured), "ratio": one.ratio, "ratio_min": min(one.ratios), "ratio_max": max(one.ratios)}
            | {"verdict": one.verdict}
            for one in self.figures
        ]
        parts = {whole: {one.name: list(one.took_s) for one in steps} for whole, steps in self.parts.items()}
        found = {"machine": self.machine, "figures": figures, "parts": parts}
        return json.dumps(found | {"facts": self.facts, "skipped": self.skipped}, indent=2) + "\n"

    def table(self) -> str:
        headings = ["figure", "baseline", "cx", "base", "ratio", "min..max", "n", "goal", ""]
        lines = [headings, *[_row(one) for one in self.figures]]
        widths = [max(len(line[column]) for line in lines) for column in range(len(headings))]
        text = [_aligned(line, widths) for line in lines]
        for whole, steps in self.parts.items():
            text += ["", f"where the time of {whole} goes (medians)"]
            text += [f"  {one.name:<32} {statistics.median(one.took_s) * 1000:7.0f} ms" for one in steps]
        if self.facts:
            text += ["", *[f"{name}: {value}" for name, value in self.facts.items()]]
        if self.skipped:
            text += ["", *[f"skipped {name}: {why}" for name, why in self.skipped.items()]]
        return "\n".join(text)


def _aligned(line: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if column < 2 else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def _row(one: Figure) -> list[str]:
    return [
        one.name,
        one.baseline,
        shown(statistics.median(one.measured), one.unit),
        shown(statistics.median(one.compared), one.unit),
        f"{one.ratio:.2f}",
        f"{min(one.ratios):.2f}..{max(one.ratios):.2f}",
        str(len(one.measured)),
        f"<= {one.goal:g}" if one.goal is not None else "",
        one.verdict,
    ]


def shown(value: float, unit: str) -> str:
    if unit == "s":
        return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"
    return f"{value:.0f} {unit}"


def steps_of(events: Iterable[Mapping[str, object]], started_at: float, ended_at: float) -> dict[str, float]:
    """Where a `cx ... --json` process spent its time, in seconds, from the events that it printed.

    `started_at` and `ended_at` are when the process was started and had ended, in Unix seconds like the events'
    `at`. Steps that ran side by side each count in full, so the parts may add up to more than the whole.
    """
    began: dict[str, float] = {}
    found: dict[str, float] = {}
    first: float | None = None
    last = started_at
    for event in events:
        if not isinstance(at := event.get("at"), float):
            continue
        step = str(event.get("step", ""))
        match event["event"]:
            case "began":
                found["start, read the project"] = at - started_at
            case "step_began":
                if first is None:
                    first = at
                    found["observe"] = at - last
                began[step] = at
            case "step_ended":
                found[step] = at - began[step]
            case "ended":
                if first is None:
                    found["observe"] = at - last
        last = at
    found["say so, end"] = ended_at - last
    return found


def plain_model(model: Mapping[str, object], label: str) -> dict[str, object]:
    """cx's model of a revision as anyone would write it: one network that Compose makes, no addresses, one label."""
    services = model["services"]
    assert isinstance(services, dict)
    kept = {
        name: {key: value for key, value in service.items() if key not in ("networks", "labels")}
        | {"networks": ["net"], "labels": {label: "baseline"}}
        for name, service in services.items()
    }
    rest = {key: model[key] for key in ("volumes", "configs") if key in model}
    return {"services": kept, "networks": {"net": {"labels": {label: "baseline"}}}} | rest


def with_poolers(model: Mapping[str, object], poolers: Iterable[PoolerContainer]) -> dict[str, object]:
    """cx's model of a revision, with its poolers as services of Compose that the others need."""
    services = {name: dict(service) for name, service in model["services"].items()}
    configs: dict[str, object] = {}
    for number, pooler in enumerate(poolers):
        named = {f"file-{number}-{place}": path for place, path in enumerate(sorted(pooler.files))}
        configs |= {name: {"content": pooler.files[path].decode().replace("$", "$$")} for name, path in named.items()}
        for service in services.values():
            service["depends_on"] = service.get("depends_on", {}) | {
                f"pooler-{number}": {"condition": "service_started"}
            }
        services[f"pooler-{number}"] = {
            "image": pooler.image, "mem_limit": pooler.memory, "pids_limit": pooler.pids, "cpus": pooler.cpus,
            "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "restart": "always",
            "pull_policy": "never", "configs": [{"source": name, "target": path} for name, path in named.items()],
        }  # fmt: skip
    return {**model, "services": services} | ({"configs": configs} if configs else {})

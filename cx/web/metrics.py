"""What can be counted, for Prometheus. Labels hold no name of a repository, person or preview."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import disable_created_metrics
from prometheus_client.metrics_core import Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from cx import __version__
from cx.core.history import Chore
from cx.pulls import Gauge

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
MILLISECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
SECONDS = (0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)


disable_created_metrics()  # type: ignore[no-untyped-call]  # when a number began to count is the process's start, which is there already


@dataclass(frozen=True)
class Depth:
    """Pull requests in the queue: those that `wait` for a look; those that are `parked`, looked at and waiting for a
    place to be deployed; and those that are being looked at or deployed."""

    waiting: int = 0
    parked: int = 0
    running: int = 0


class Metrics:
    """`depth` gives the queue's, `chores` how the newest runs went of what nobody waits for; `gauges` more."""

    def __init__(
        self,
        depth: Callable[[], Depth],
        chores: Callable[[], Sequence[Chore]] = lambda: (),
        gauges: Callable[[], Sequence[Gauge]] = lambda: (),
    ) -> None:
        self.registry = CollectorRegistry()
        self._deliveries = Counter(
            "cx_deliveries",
            "Deliveries of GitHub, by what became of them.",
            ["event", "outcome"],
            registry=self.registry,
        )
        self._acknowledged = Histogram(
            "cx_delivery_seconds", "From a delivery's first byte to its answer.", buckets=MILLISECONDS,
            registry=self.registry,
        )  # fmt: skip
        self._looks = Counter(
            "cx_looks", "Looks at pull requests, by how they ended.", ["outcome"], registry=self.registry
        )
        self._look_seconds = Histogram(
            "cx_look_seconds", "One look at one pull request, with what was done.", buckets=SECONDS,
            registry=self.registry,
        )  # fmt: skip
        self.registry.register(_Seen(depth, chores))
        self.registry.register(_Gauges(gauges))
        ProcessCollector(registry=self.registry)

    def delivered(self, event: str, outcome: str, began: float) -> None:
        """`began` by the monotonic clock."""
        self._deliveries.labels(event, outcome).inc()
        self._acknowledged.observe(time.monotonic() - began)

    def looked(self, outcome: str, duration_s: float) -> None:
        self._looks.labels(outcome).inc()
        self._look_seconds.observe(duration_s)

    def text(self) -> bytes:
        return generate_latest(self.registry)


class _Seen(Collector):
    """What is looked up when somebody asks."""

    def __init__(self, depth: Callable[[], Depth], chores: Callable[[], Sequence[Chore]]) -> None:
        self._depth, self._chores = depth, chores

    def collect(self) -> Iterable[Metric]:
        now = self._depth()
        yield GaugeMetricFamily("cx_queue_waiting", "Pull requests that wait for a look.", value=now.waiting)
        yield GaugeMetricFamily("cx_queue_parked", "Pull requests that wait for a place to deploy.", value=now.parked)
        yield GaugeMetricFamily(
            "cx_queue_running", "Pull requests that are looked at or deployed just now.", value=now.running
        )
        failed = GaugeMetricFamily("cx_chore_failed", "1 where the newest run of a chore failed.", labels=["chore"])
        began = GaugeMetricFamily("cx_chore_began_seconds", "When the newest run of a chore began.", labels=["chore"])
        for one in self._chores():
            failed.add_metric([one.name], float(one.failed))
            began.add_metric([one.name], one.started_at)
        yield from (failed, began)
        version = GaugeMetricFamily("cx_info", "The version of cx.", labels=["version"])
        version.add_metric([__version__], 1)
        yield version


class _Gauges(Collector):
    def __init__(self, gauges: Callable[[], Sequence[Gauge]]) -> None:
        self._gauges = gauges

    def collect(self) -> Iterable[Metric]:
        families: dict[str, GaugeMetricFamily] = {}
        for one in self._gauges():
            labels, values = ([one.label[0]], [one.label[1]]) if one.label else ([], [])
            family = families.setdefault(one.name, GaugeMetricFamily(one.name, one.text, labels=labels))
            family.add_metric(values, one.value)
        return families.values()

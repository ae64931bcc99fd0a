"""The order in which services start: each when what it waits for is so. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cx.core.blueprint import Blueprint
from cx.core.state import Container

STARTED, HEALTHY, COMPLETED = "service_started", "service_healthy", "service_completed_successfully"
WORDS = {STARTED: "to start", HEALTHY: "to be healthy", COMPLETED: "to complete"}
Present = Mapping[str, Sequence[Container]]  # the containers of each service; several where it has replicas


@dataclass(frozen=True)
class Need:
    """`waiting` starts when `service` is as `condition` says, or (unless `required`) when it cannot become so."""

    waiting: str
    service: str
    condition: str
    required: bool = True

    def __str__(self) -> str:
        return f"{self.waiting} waits for {self.service} {WORDS[self.condition]}"


@dataclass(frozen=True)
class Order:
    """`needs`: of each service. A service that keeps its state waits for services of a revision only where these are
    jobs: it is there before the release command has run, and they are not."""

    needs: Mapping[str, tuple[Need, ...]]

    @classmethod
    def of(cls, blueprint: Blueprint) -> Order:
        known = {**blueprint.services, **blueprint.pinned}
        return cls(
            {
                name: tuple(
                    Need(name, other, need["condition"], need.get("required") is not False)
                    for other, need in (service.get("depends_on") or {}).items()
                    if other in known
                    and (name in blueprint.services or other in blueprint.pinned or need["condition"] == COMPLETED)
                )
                for name, service in known.items()
            }
        )

    def with_all(self, names: Iterable[str]) -> set[str]:
        """`names`, and all that these wait for."""
        found, left = set[str](), list(names)
        while left:
            if (name := left.pop()) not in found:
                found.add(name)
                left += [need.service for need in self.needs[name]]
        return found

    def unmet(self, name: str, present: Present, pending: Collection[str]) -> Iterator[Need]:
        """What `name` still waits for; `pending` are those that have not been started."""
        for need in self.needs[name]:
            if need.service in pending or not _is_so(need.condition, present.get(need.service, ())):
                yield need


def _is_so(condition: str, containers: Sequence[Container]) -> bool:
    if condition == COMPLETED:
        return bool(containers) and all(one.state == "exited" and one.exit_code == 0 for one in containers)
    if condition == HEALTHY:
        return bool(containers) and all(one.running and one.health == "healthy" for one in containers)
    return True

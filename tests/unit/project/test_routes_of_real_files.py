"""Which services of well-known Compose files get a hostname, and at what port."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cx.core.names import Namespace
from cx.project.cx_toml import Document
from cx.project.policy import Admitted
from cx.project.policy.builds import BuildInput
from cx.project.routes import routes
from cx.settings import load

# service -> image, ports that it publishes (TCP, inside the container); and the ports of the hostnames
FILES: dict[str, tuple[dict[str, tuple[str, tuple[int, ...]]], dict[str, int]]] = {
    "n8n": ({"n8n": ("docker.n8n.io/n8nio/n8n:1", (5678,)), "runner": ("n8nio/runners:1", ())}, {"n8n": 5678}),
    "redash": (
        {"server": ("", (5000, 5678)), "email": ("maildev/maildev", (1080, 1025))},
        {"server": 5000, "email": 1080},
    ),
    "saleor": (
        {
            "api": ("", (8000,)),
            "jaeger": ("jaegertracing/all-in-one", (5778, 16686, 14268, 9411)),
            "mailhog": ("mailhog/mailhog", (1025, 8025)),
        },
        {"api": 8000, "jaeger": 16686, "mailhog": 8025},
    ),
    "elk": (
        {
            "elasticsearch": ("elasticsearch:7.16.1", (9200, 9300)),
            "logstash": ("logstash:7.16.1", (5000, 5044, 9600)),
            "kibana": ("kibana:7.16.1", (5601,)),
        },
        {"kibana": 5601},
    ),
    "supabase": (
        {"kong": ("kong:2.8.1", (8000, 8443)), "supavisor": ("supabase/supavisor:2.7.4", (5432, 6543))},
        {"kong": 8000},
    ),
    "voting app": ({"result": ("", (80, 5858)), "redis": ("redis:alpine", (6379,))}, {"result": 80}),
    "HTTPS first": ({"web": ("caddy:2", (443, 80))}, {"web": 80}),
    "HTTPS alone": ({"web": ("caddy:2", (443,))}, {"web": 443}),
    "rabbitmq with its pages": ({"queue": ("rabbitmq:3-management", (5672, 15672))}, {"queue": 15672}),
    "rabbitmq without": ({"queue": ("rabbitmq:3", (5672,))}, {}),
    "php-fpm": ({"app": ("php:8.4-fpm-alpine", (9000,)), "web": ("nginx:1", (80,))}, {"web": 80}),
    "nextcloud fpm": ({"app": ("nextcloud:fpm", (9000,)), "web": ("nginx:1", (80,))}, {"web": 80}),
    "minio": ({"minio": ("minio/minio", (9000, 9001))}, {"minio": 9000}),
    "cockroach": ({"db": ("cockroachdb/cockroach:v24", (26257, 8080))}, {"db": 8080}),
}


@pytest.mark.parametrize("name", FILES)
def test_the_web_services_are_found(tmp_path: Path, name: str) -> None:
    services, wanted = FILES[name]
    models: dict[str, dict[str, Any]] = {service: {"image": image} for service, (image, _) in services.items()}
    admitted = {service: Admitted(models[service], published=ports) for service, (_, ports) in services.items()}
    found = routes(admitted, Document(), Namespace("preview-7"), load(tmp_path / "none.toml", {}), tmp_path)
    assert {route.service: route.port for route in found} == wanted


def test_where_nothing_is_published_each_image_that_exposes_a_port_gets_a_hostname(tmp_path: Path) -> None:
    def built(folder: str) -> Admitted:
        return Admitted({}, build=BuildInput(folder, f"{folder}/Dockerfile"))

    for folder, port in (("api", 8000), ("web", 3000), ("mail", 25)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "Dockerfile").write_text(f"FROM scratch\nEXPOSE {port}\n")
    admitted = {
        "api": built("api"),
        "worker": built("api"),
        "web": built("web"),
        "mail": built("mail"),
        "docs": Admitted({"image": "nginx:1"}, exposed=(80,)),
    }
    settings = load(tmp_path / "none.toml", {})
    found = routes(admitted, Document(), Namespace("preview-7"), settings, tmp_path)
    assert {one.service: one.port for one in found} == {"api": 8000, "web": 3000, "docs": 80}
    admitted["docs"] = Admitted({"image": "nginx:1"}, published=(80,))
    found = routes(admitted, Document(), Namespace("preview-7"), settings, tmp_path)
    assert [one.service for one in found] == ["docs"]

"""The listener's app: the webhook, health, metrics, and whatever else is mounted."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from cx.web.metrics import CONTENT_TYPE, Metrics
from cx.web.webhook import Webhook


def make_app(
    webhook: Webhook,
    metrics: Metrics,
    ready: Callable[[], Sequence[str]],
    routes: Sequence[BaseRoute] = (),
) -> Starlette:
    """`ready` says what is missing, in words; nothing when all is well. `routes` are further ones: the API."""

    async def healthz(request: Request) -> Response:
        """The process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(request: Request) -> Response:
        """Deliveries are stored and worked on."""
        missing = await run_in_threadpool(ready)
        return JSONResponse({"ready": not missing, "missing": list(missing)}, 503 if missing else 200)

    async def numbers(request: Request) -> Response:
        return Response(await run_in_threadpool(metrics.text), media_type=CONTENT_TYPE)

    return Starlette(
        routes=[
            Route("/webhook", webhook.receive, methods=["POST"]),
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/metrics", numbers),
            *routes,
        ]
    )

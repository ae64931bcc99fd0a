"""Repositories that have another name by now: GitHub leads to them by their number.

https://docs.github.com/rest/using-the-rest-api/best-practices-for-using-the-rest-api#follow-redirects
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

if TYPE_CHECKING:
    from forge.fake import FakeGitHub


class Moving:
    """Requests below an old name are led to `/repositories/NUMBER`, as long as nobody else has taken the name."""

    def __init__(self, fake: FakeGitHub, app: ASGIApp) -> None:
        self.fake, self.app = fake, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self.fake.root)
        if (found := re.fullmatch(r"/repositories/([0-9]+)(.*)", path)) and (name := self.fake.named(int(found[1]))):
            path = f"{self.fake.root}/repos/{name}{found[2]}"
            scope = dict(scope) | {"path": path, "raw_path": path.encode()}
        elif (found := re.fullmatch(r"/repos/([^/]+/[^/]+)(.*)", path)) and self._left(found[1].lower()):
            number = self.fake.moved[found[1].lower()]
            query = scope["query_string"].decode()
            location = f"{self.fake.url}/repositories/{number}{found[2]}" + (f"?{query}" if query else "")
            answer = {"message": "Moved Permanently", "url": location, "documentation_url": "https://docs.github.com"}
            status = 301 if scope["method"] == "GET" else 307
            await JSONResponse(answer, status, {"Location": location})(scope, receive, send)
            return
        await self.app(scope, receive, send)

    def _left(self, name: str) -> bool:
        return name in self.fake.moved and name not in self.fake.repositories

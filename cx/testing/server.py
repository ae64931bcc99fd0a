"""The API in a thread of this process, on a port of its own."""

from __future__ import annotations

import secrets
import threading
import time
from types import TracebackType

from starlette.applications import Starlette

from cx.core.previews import Served
from cx.testing.memory import MemoryPreviews
from cx.web.routes import api_routes
from cx.web.serving import Server, bound, config


class TestApiServer:
    """A context manager: on loopback, with a token of its own. `host` is what it answers from; change it as you like.

    `url` and `headers` are for your client; `environ` is for the command line, so that `cx list` asks this server.
    """

    __test__ = False  # for pytest: this is no test

    def __init__(self, host: Served | None = None, *, upload_max: int = 16 << 20) -> None:
        self.host: Served = MemoryPreviews() if host is None else host
        self.token = secrets.token_hex(16)
        self._socket = bound("127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        self.headers = {"Authorization": f"Bearer {self.token}"}
        self.environ = {"CX_REMOTE": self.url, "CX_REMOTE_TOKEN": self.token}
        self._server = Server(config(Starlette(routes=api_routes(self.host, [self.token], upload_max=upload_max))))
        self._server.catches = ()  # signals are the main thread's
        self._thread = threading.Thread(
            target=lambda: self._server.run(sockets=[self._socket]), name="test-api", daemon=True
        )

    def __enter__(self) -> TestApiServer:
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > until:
                raise RuntimeError("the API did not start")
            time.sleep(0.01)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        self._thread.join(10)
        self._socket.close()

"""For the tests of what is built on cx: its API over a host in memory.

from cx.testing import TestApiServer

with TestApiServer() as server:
    httpx.get(f"{server.url}/api/namespaces", headers=server.headers)
"""

from cx.testing.memory import MemoryPreviews
from cx.testing.server import TestApiServer

__all__ = ["MemoryPreviews", "TestApiServer"]

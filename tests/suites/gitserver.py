"""A repository with pull requests, and git's own HTTP server before it that asks for a password. It has large files."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import subprocess
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

IDENTITY = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]


class Origin:
    """A bare repository as GitHub has them: `push` makes a commit the head of a pull request."""

    def __init__(self, folder: Path, name: str = "origin") -> None:
        folder.mkdir(exist_ok=True)
        self.bare, self.work = folder / f"{name}.git", folder / ("work" if name == "origin" else f"{name}-work")
        self._run(folder, "init", "--quiet", "--bare", str(self.bare))
        self._run(folder, "init", "--quiet", "--initial-branch=main", str(self.work))
        self.commit({"README": "hello\n"})
        self.git("push", "--quiet", str(self.bare), "HEAD:refs/heads/main")

    def git(self, *argv: str) -> str:
        return self._run(self.work, *argv)

    def commit(self, files: dict[str, str | bytes]) -> str:
        for path, content in files.items():
            (self.work / path).parent.mkdir(parents=True, exist_ok=True)
            (self.work / path).write_bytes(content if isinstance(content, bytes) else content.encode())
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "-m", "a change")
        return self.git("rev-parse", "HEAD")

    def push(self, number: int, files: dict[str, str | bytes] | None = None, *, sha: str = "HEAD") -> str:
        if files is not None:
            self.commit(files)
        self.git("push", "--quiet", "--force", str(self.bare), f"{sha}:refs/pull/{number}/head")
        return self.git("rev-parse", sha)

    def module(self, path: str, url: str, sha: str, *, name: str = "") -> None:
        """The next commit has a submodule."""
        self.git("update-index", "--add", "--cacheinfo", f"160000,{sha},{path}")
        with (self.work / ".gitmodules").open("a") as file:
            file.write(f'[submodule "{name or path}"]\n\tpath = {path}\n\turl = {url}\n')
        self.git("add", ".gitmodules")
        self.git("commit", "--quiet", "-m", "a submodule")

    @staticmethod
    def _run(cwd: Path, *argv: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": str(cwd), "GIT_CONFIG_NOSYSTEM": "1"}
        done = subprocess.run(["git", *IDENTITY, *argv], cwd=cwd, env=env, capture_output=True, text=True, check=True)
        return done.stdout.strip()


def pointer(content: bytes, size: int | None = None) -> tuple[str, str]:
    """The pointer to a large file, and its oid."""
    oid = hashlib.sha256(content).hexdigest()
    length = len(content) if size is None else size
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {length}\n", oid


class HttpOrigin:
    """`git http-backend` on loopback; the repositories in `public` ask for no password. `seen` is called in each
    request. `large` are files in LFS by oid, served by `large_at` (another server; "": this one); `distort` changes the
    batch API's answer."""

    def __init__(self, folder: Path, user: str, password: str, seen: Callable[[], None] = lambda: None) -> None:
        self.public: set[str] = set()
        self.before: Callable[[str], object] = lambda path: None
        self.large: dict[str, bytes] = {}
        self.large_at = ""
        self.distort: Callable[[dict[str, Any]], Any] = lambda answer: answer
        expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
        backend = Path(subprocess.check_output(["git", "--exec-path"], text=True).strip()) / "git-http-backend"
        self.elsewhere = ""
        self.requests: list[tuple[str, str]] = []
        self.bodies: list[bytes] = []
        origin = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                given = self.headers.get("Authorization", "")
                origin.requests.append((self.path, given))
                origin.before(self.path)
                if origin.elsewhere:
                    self.send_response(302)
                    self.send_header("Location", origin.elsewhere + self.path)
                    self.end_headers()
                    return
                if self.path.startswith("/large/"):
                    self.answer(200, origin.large.get(self.path[7:], b""))
                    return
                if given != expected and self.path.split("/")[1] not in origin.public:
                    self.send_response(401)
                    self.send_header("WWW-Authenticate", 'Basic realm="x"')
                    self.send_header("Content-Length", "0")
                    self.end_headers()
                    return
                seen()
                path, _, query = self.path.partition("?")
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                packed = self.headers.get("Content-Encoding") == "gzip"
                origin.bodies.append(gzip.decompress(body) if packed else body)
                if path.endswith("/info/lfs/objects/batch"):
                    self.answer(200, json.dumps(origin.distort(self.batch(json.loads(body)))).encode())
                    return
                env = {
                    "PATH": os.environ["PATH"], "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1",
                    "PATH_INFO": path, "QUERY_STRING": query, "REQUEST_METHOD": self.command,
                    "CONTENT_TYPE": self.headers.get("Content-Type", ""), "REMOTE_USER": user,
                    "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
                    "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
                    "GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
                }  # fmt: skip
                done = subprocess.run([str(backend)], input=body, env=env, capture_output=True, check=False)
                head, _, rest = done.stdout.partition(b"\r\n\r\n")
                headers = [line.split(": ", 1) for line in head.decode().split("\r\n")]
                self.send_response(int(next((v for k, v in headers if k == "Status"), "200").split()[0]))
                for key, value in headers:
                    if key != "Status":
                        self.send_header(key, value)
                self.send_header("Content-Length", str(len(rest)))
                self.end_headers()
                self.wfile.write(rest)

            do_POST = do_GET

            def batch(self, asked: dict[str, Any]) -> dict[str, Any]:
                there = []
                for one in asked["objects"]:
                    if one["oid"] in origin.large:
                        href = f"{origin.large_at or origin.url}/large/{one['oid']}"
                        there.append({**one, "actions": {"download": {"href": href, "header": {"X-Signed": "yes"}}}})
                    else:
                        there.append({**one, "error": {"code": 404, "message": "Object does not exist"}})
                return {"transfer": "basic", "objects": there}

            def answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

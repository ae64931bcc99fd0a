"""cx.core.previews.Previews of a host elsewhere, through its API."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import msgspec

from cx.core.errors import CxError, Invalid, NotFound, Retryable, Terminal
from cx.core.events import AnyEvent, Retold, error_of
from cx.core.names import Namespace, shown
from cx.core.origin import Origin
from cx.core.ports import Reporter
from cx.core.previews import Detail, Ending, History, LogLine, Logs, Row, Wanted
from cx.core.source import Source
from cx.git import Sources, bundles
from cx.process.locks import held
from cx.process.private import private

TIMEOUT = httpx.Timeout(30.0, read=900.0)  # a step of a deployment may be silent for long


@dataclass(frozen=True)
class Remote:
    """Everything raises CxError as the host itself does: the same words, the same exit codes."""

    client: httpx.Client
    url: str

    @classmethod
    @contextmanager
    def open(cls, url: str, token: str) -> Iterator[Remote]:
        """Raises Invalid. The token goes by HTTPS only, or stays on this machine."""
        parts = urlsplit(url)
        local = parts.scheme == "http" and parts.hostname in ("127.0.0.1", "localhost", "::1")
        if (parts.scheme != "https" and not local) or not parts.hostname:
            raise Invalid("--remote", shown(url), "should be https://..., or http:// on this machine")
        if parts.username or parts.query:
            raise Invalid(
                "--remote", "", "should hold no user and no query", remedy="the token goes in CX_REMOTE_TOKEN"
            )
        if not token:
            raise Invalid("CX_REMOTE_TOKEN", "", "is not set", remedy="set it to a token of the host: api.tokens")
        if not token.isascii() or not token.isprintable():
            raise Invalid("CX_REMOTE_TOKEN", "", "holds what no token does")
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "cx"}
        with httpx.Client(base_url=url.rstrip("/"), headers=headers, timeout=TIMEOUT, follow_redirects=False) as client:
            yield cls(client, url)

    # --- looking
    def overview(self) -> list[Row]:
        found: dict[str, list[Row]] = _read(self._ask("GET", "/api/namespaces"), dict[str, list[Row]])
        return found["namespaces"]

    def detail(self, namespace: Namespace) -> Detail:
        found: Detail = _read(self._ask("GET", f"/api/namespaces/{namespace}"), Detail)
        return found

    def history(self, namespace: Namespace) -> History:
        found: History = _read(self._ask("GET", f"/api/namespaces/{namespace}/events"), History)
        return found

    def urls(self, namespace: Namespace) -> tuple[str, ...]:
        return tuple(self.detail(namespace).urls)

    def there(self, namespace: Namespace) -> bool:
        try:
            self.detail(namespace)
        except NotFound:
            return False
        return True

    def owner(self, namespace: Namespace) -> Origin:
        return Origin.parse(self.detail(namespace).origin)

    def logs(self, namespace: Namespace, service: str, *, follow: bool, tail: int) -> Logs:
        query = f"follow={str(follow).lower()}&tail={tail}&service={quote(service, safe='')}"
        timeout = httpx.Timeout(30.0, read=None) if follow else TIMEOUT
        lines = self._lines("GET", f"/api/namespaces/{namespace}/logs?{query}", timeout=timeout)
        first = next(lines, {})

        def rest() -> Iterator[LogLine]:
            for one in lines:
                if one.get("event") == "error":
                    raise error_of(one["error"], one["remedy"], one["log"], one["exit_code"])
                yield LogLine(one["service"], one["text"])

        return Logs(tuple(first.get("services", ())), rest())

    # --- changing
    def read(self, namespace: Namespace, path: Path, ref: str) -> Source:
        """The folder is packed here, with git, and sent: what git ignores stays."""
        base = os.environ.get("XDG_CACHE_HOME") or str(Path("~/.cache").expanduser())
        sources = Sources(private(Path(base) / "cx"))
        from cx.git import project_of

        lock = sources.folder / "locks" / f"{project_of(path.resolve())}.lock"
        with tempfile.TemporaryDirectory(prefix="cx-bundle-") as folder:
            bundle = Path(folder) / "bundle"
            with held(lock, "pack a folder", wait_s=600):
                source = sources.read(path, ref)
                bundles.pack(sources, source, bundle)
            with bundle.open("rb") as file:
                answer = self._ask(
                    "PUT",
                    f"/api/namespaces/{namespace}/source",
                    content=file,
                    headers={"Content-Type": "application/x-git-bundle", "Content-Length": str(bundle.stat().st_size)},
                )
        tree = str(_read(answer, dict[str, str])["tree"])
        return Source(f"remote-{namespace}", source.origin, source.commit, tree, source.dirty)

    def deploy(self, namespace: Namespace, source: Source, wanted: Wanted, report: Reporter) -> Ending:
        body = {
            "tree": source.tree, "commit": source.commit, "dirty": source.dirty, "environment": wanted.environment,
            "values": dict(wanted.values), "reset_data": wanted.reset_data,
        }  # fmt: skip
        return self._change("POST", f"/api/namespaces/{namespace}/deploy", report, body)

    def delete(self, namespace: Namespace, report: Reporter) -> Ending:
        return self._change("DELETE", f"/api/namespaces/{namespace}", report)

    def reset(self, namespace: Namespace, database: str, report: Reporter) -> Ending:
        return self._change("POST", f"/api/namespaces/{namespace}/reset", report, {"database": database})

    def sleep(self, namespace: Namespace, report: Reporter) -> Ending:
        return self._change("POST", f"/api/namespaces/{namespace}/sleep", report)

    def wake(self, namespace: Namespace, report: Reporter) -> Ending:
        return self._change("POST", f"/api/namespaces/{namespace}/wake", report)

    def extend(self, namespace: Namespace, lasting_s: float | None) -> float | None:
        time = "never" if lasting_s is None else f"{int(lasting_s) // 3600}h"
        answer = self._ask("POST", f"/api/namespaces/{namespace}/extend", json={"time": time})
        found = _read(answer, dict[str, Any])["expires_at"]
        return None if found is None else float(found)

    def interrupted(self) -> None:
        """The host goes on to the end of what it was asked for."""

    # --- parts
    def _ask(self, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            answer = self.client.request(method, path, **given)
        except httpx.HTTPError as exc:
            raise self._unreached(exc) from exc
        if answer.status_code >= 300:
            raise self._refused(answer)
        return answer

    def _change(self, method: str, path: str, report: Reporter, body: Mapping[str, Any] | None = None) -> Ending:
        retold = Retold(report)
        for one in self._lines(method, path, **({} if body is None else {"json": body})):
            ending = retold.take(msgspec.convert(one, AnyEvent))
            if ending:
                return ending
        raise self._cut()

    def _lines(self, method: str, path: str, **given: Any) -> Iterator[dict[str, Any]]:
        begun = False
        try:
            with self.client.stream(method, path, **given) as answer:
                if answer.status_code >= 300:
                    answer.read()
                    raise self._refused(answer)
                for line in answer.iter_lines():
                    if line:
                        begun = True
                        yield msgspec.json.decode(line, type=dict[str, Any])
        except httpx.HTTPError as exc:
            raise (self._cut() if begun else self._unreached(exc)) from exc
        except msgspec.DecodeError as exc:
            raise Terminal(f"{self.url} answered with what is no event", remedy="is it a host of cx?") from exc

    def _cut(self) -> CxError:
        """The connection, and then the host goes on; or the listener itself, and then it is left half-done."""
        remedy = "`cx show` says how it went; where it did not come to its end, the same command completes it"
        return Retryable(f"{self.url} ended in the middle", remedy=remedy)

    def _unreached(self, exc: httpx.HTTPError) -> CxError:
        return Retryable(
            f"{self.url} does not answer: {exc or type(exc).__name__}", remedy="see that the listener runs there"
        )

    def _refused(self, answer: httpx.Response) -> CxError:
        try:
            problem = msgspec.json.decode(answer.content, type=dict[str, Any])
            missing = answer.status_code == 404
            return error_of(problem["what"], problem["remedy"], problem["log"], problem["exit_code"], missing=missing)
        except (msgspec.DecodeError, KeyError):
            remedy = "is it a host of cx, with api.tokens set?"
            return Terminal(f"{self.url} answered with status {answer.status_code}", remedy=remedy)


def _read(answer: httpx.Response, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(answer.content, type=kind)
    except msgspec.DecodeError as exc:
        raise Terminal(
            f"{answer.url.host} answered with something else: {exc}", remedy="is its cx of this age?"
        ) from exc

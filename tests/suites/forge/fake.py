"""`FakeGitHub`: as much of GitHub's REST API as cx uses, with what its description lacks: pages, limits, answers that
come after the effect or not at all, rights. tests/contract holds it to GitHub's own description."""

from __future__ import annotations

import base64
import copy
import itertools
import json
import re
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from forge.limits import SECONDARY, Limits
from forge.moving import Moving

EXAMPLES: dict[str, Any] = json.loads((Path(__file__).parent / "examples.json").read_text())
TOKEN = "ghp_" + "a" * 36
IDS = itertools.count(1001)  # of all that the tests make: one host meets several of these
Document = dict[str, Any]


@dataclass
class Fault:
    """What happens in the place of a right answer, `times` times. `after`: only when the effect is there already;
    `cut`: the connection ends without an answer."""

    method: str
    path: str
    status: int = 500
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "Server Error"
    times: int = 1
    after: bool = False
    cut: bool = False


@dataclass
class Repository:
    """`people` maps a login to its permission: admin, write, read, none."""

    id: int
    full_name: str
    people: dict[str, str] = field(default_factory=dict)
    private: bool = True
    pulls: dict[int, Document] = field(default_factory=dict)
    files: dict[int, list[str]] = field(default_factory=dict)
    contents: dict[tuple[str, str], bytes | None] = field(default_factory=dict)  # of (branch or commit, path)
    comments: dict[int, Document] = field(default_factory=dict)
    reactions: dict[int, list[str]] = field(default_factory=dict)
    deployments: dict[int, Document] = field(default_factory=dict)
    deployment_statuses: dict[int, list[Document]] = field(default_factory=dict)
    environments: set[str] = field(default_factory=set)
    statuses: dict[str, list[Document]] = field(default_factory=dict)


class FakeGitHub:
    """In a thread of its own between `start` and `stop`. Tests change it by its methods, and read its fields."""

    def __init__(self, login: str = "cx-bot", page: int = 100, root: str = "") -> None:
        self.login, self.page = login, page
        self.root = root  # of the API's paths: GitHub Enterprise has one
        self.tokens = {TOKEN}
        self.rights = {"comment", "deployment", "status", "environment", "contents"}  # of the token
        self.locked: set[int] = set()  # conversations
        self.repositories: dict[str, Repository] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str]] = []
        self.limits = Limits()
        self._used: set[int] = set()
        self.moved: dict[str, int] = {}  # old names of repositories, and their numbers
        self.installation_tokens = 0
        self.scopes: str | None = None  # of a classic token
        self.installation = 7  # its number; 0: the App is installed nowhere
        self.token_lasts_s = 3600
        self.app: int | None = None  # the number of the App that asks, instead of a token
        self.public_url = ""
        self._turn = threading.RLock()
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    # --- running
    def start(self) -> str:
        """Its base URL, on loopback."""
        # With the protocol: without it asyncio does not set TCP_NODELAY, and an answer waits 40 ms.
        listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}{self.root}"
        self.public_url = self.public_url or self.url
        config = uvicorn.Config(
            _Faulty(self, Moving(self, self._app())), log_level="critical", lifespan="off", ws="none"
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, args=([listening],), daemon=True)
        self._thread.start()
        until = time.monotonic() + 10
        while not self._server.started:
            assert time.monotonic() < until, "the fake did not start"
            time.sleep(0.005)
        return self.url

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.should_exit = True
            self._thread.join(10)

    # --- what people do
    def repository(self, full_name: str) -> Repository:
        key = full_name.lower()
        if key not in self.repositories:
            number = 10**6 + zlib.crc32(key.encode()) % 10**6  # the same in each of these, as one host meets several
            if number in self._used:  # made anew under its name
                number = self.next_id()
            self._used.add(number)
            self.repositories[key] = Repository(number, full_name, {self.login: "write"})
        return self.repositories[key]

    def rename(self, old: str, new: str) -> None:
        """Or transferred to another owner."""
        with self._turn:
            repository = self.repositories.pop(old.lower())
            repository.full_name, self.repositories[new.lower()] = new, repository
            self.moved[old.lower()] = repository.id

    def named(self, number: int) -> str | None:
        return next((one.full_name for one in self.repositories.values() if one.id == number), None)

    def open(
        self,
        full_name: str,
        number: int,
        sha: str,
        *,
        fork: bool = False,
        gone: bool = False,
        base: str = "main",
        draft: bool = False,
        labels: tuple[str, ...] = (),
        files: tuple[str, ...] = ("app.py",),
    ) -> Document:
        """A pull request; `fork` from another repository, `gone` from one that is not there any more."""
        with self._turn:
            repository = self.repository(full_name)
            pull = _example("pull")
            own = self._repository(repository)
            pull |= {"number": number, "id": self.next_id(), "state": "open", "merged": False, "merged_at": None}
            pull |= {"draft": draft, "labels": [self._label(name) for name in labels], "closed_at": None}
            head_repository = None if gone else self._repository(repository)
            if fork and head_repository:
                head_repository |= {"id": self.next_id(), "fork": True, "full_name": "mallory/" + own["name"]}
            pull["head"] |= {"sha": sha, "ref": "topic", "repo": head_repository}
            pull["base"] |= {"ref": base, "repo": own}
            repository.pulls[number] = pull
            repository.files[number] = list(files)
            return pull

    def push(self, full_name: str, number: int, sha: str) -> None:
        with self._turn:
            self.repository(full_name).pulls[number]["head"]["sha"] = sha

    def close(self, full_name: str, number: int) -> None:
        with self._turn:
            self.repository(full_name).pulls[number]["state"] = "closed"

    def reopen(self, full_name: str, number: int) -> None:
        with self._turn:
            self.repository(full_name).pulls[number]["state"] = "open"

    def label(self, full_name: str, number: int, *names: str) -> None:
        with self._turn:
            self.repository(full_name).pulls[number]["labels"] = [self._label(name) for name in names]

    def comment(self, full_name: str, number: int, login: str, body: str) -> int:
        """Somebody writes a comment; its id."""
        with self._turn:
            return int(self._comment(self.repository(full_name), number, login, body)["id"])

    def fail(self, method: str, path: str, **given: Any) -> None:
        """The next request whose path matches the regular expression meets a Fault."""
        self.faults.append(Fault(method, path, **given))

    def comments_on(self, full_name: str, number: int, login: str | None = None) -> list[str]:
        """Bodies of the comments of `login` (default: who asks), oldest first."""
        with self._turn:
            found = [one for one in self.repository(full_name).comments.values() if one["_number"] == number]
            return [one["body"] for one in found if one["user"]["login"] == (login or self.login)]

    def states(self, full_name: str, environment: str) -> dict[str, str]:
        """Commit -> state of its deployment's newest status."""
        with self._turn:
            repository = self.repository(full_name)
            return {
                one["sha"]: (repository.deployment_statuses.get(identity) or [{"state": ""}])[-1]["state"]
                for identity, one in repository.deployments.items()
                if one["environment"] == environment
            }

    def writes(self) -> list[tuple[str, str]]:
        return [one for one in self.requests if one[0] != "GET"]

    def next_id(self) -> int:
        with self._turn:
            return next(IDS)

    # --- documents
    def _url(self, document: Any) -> Any:
        text = json.dumps(document).replace("https://api.github.com", self.public_url)
        return json.loads(text)

    def _user(self, login: str) -> Document:
        user: Document = copy.deepcopy(EXAMPLES["comment"]["user"])
        kind = "Bot" if login.endswith("[bot]") else "User"
        return user | {"login": login, "id": 1 + sum(map(ord, login)), "type": kind}

    def _label(self, name: str) -> Document:
        return copy.deepcopy(EXAMPLES["pull"]["labels"][0]) | {"name": name}

    def _repository(self, repository: Repository) -> Document:
        document: Document = copy.deepcopy(EXAMPLES["pull"]["base"]["repo"])
        name = repository.full_name.partition("/")[2]
        return document | {
            "id": repository.id,
            "name": name,
            "full_name": repository.full_name,
            "default_branch": "main",
        }

    def _comment(self, repository: Repository, number: int, login: str, body: str) -> Document:
        identity = self.next_id()
        document = _example("comment") | {"id": identity, "body": body, "user": self._user(login), "_number": number}
        document["url"] = f"{self.public_url}/repos/{repository.full_name}/issues/comments/{identity}"
        document["html_url"] = f"https://github.com/{repository.full_name}/pull/{number}#issuecomment-{identity}"
        document["issue_url"] = f"{self.public_url}/repos/{repository.full_name}/issues/{number}"
        document["created_at"] = document["updated_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        if self.app and login == self.login:
            document["performed_via_github_app"] = self._app_document(document["user"])
        repository.comments[identity] = document
        return document

    def _app_document(self, owner: Document) -> Document:
        names = ("slug", "node_id", "client_id", "name", "description")
        urls = dict.fromkeys(("external_url", "html_url"), "https://github.com/apps/cx")
        times = dict.fromkeys(("created_at", "updated_at"), "2026-01-01T00:00:00Z")
        own = {"id": self.app, "owner": owner, "permissions": self._given(), "events": []}
        return dict.fromkeys(names, "cx") | urls | times | own

    # --- answers
    def _app(self) -> Starlette:
        at = "/repos/{owner}/{name}"
        routes = [
            ("/user", "GET", self._get_user),
            (at, "GET", self._get_repository),
            (f"{at}/pulls", "GET", self._get_pulls),
            (f"{at}/pulls/{{number:int}}", "GET", self._get_pull),
            (f"{at}/pulls/{{number:int}}/files", "GET", self._get_files),
            (f"{at}/contents/{{path:path}}", "GET", self._get_contents),
            (f"{at}/collaborators/{{login}}/permission", "GET", self._get_permission),
            (f"{at}/issues/{{number:int}}/comments", "GET", self._get_comments),
            (f"{at}/issues/{{number:int}}/comments", "POST", self._post_comment),
            (f"{at}/issues/comments", "GET", self._get_all_comments),
            (f"{at}/issues/comments/{{id:int}}", "PATCH", self._patch_comment),
            (f"{at}/issues/comments/{{id:int}}", "DELETE", self._delete_comment),
            (f"{at}/issues/comments/{{id:int}}/reactions", "POST", self._post_reaction),
            (f"{at}/deployments", "GET", self._get_deployments),
            (f"{at}/deployments", "POST", self._post_deployment),
            (f"{at}/deployments/{{id:int}}/statuses", "GET", self._get_deployment_statuses),
            (f"{at}/deployments/{{id:int}}/statuses", "POST", self._post_deployment_status),
            (f"{at}/environments/{{environment}}", "DELETE", self._delete_environment),
            (f"{at}/statuses/{{sha}}", "POST", self._post_status),
            (f"{at}/commits/{{sha}}/statuses", "GET", self._get_statuses),
            (f"{at}/installation", "GET", self._get_installation),
            ("/app/installations/{id:int}/access_tokens", "POST", self._post_token),
        ]

        def route(path: str, method: str, answer: Any) -> Route:
            async def endpoint(request: Request) -> Response:
                body = await request.body()
                with self._turn:
                    if refused := self._refused(request):
                        return refused
                    given: Document = json.loads(body) if body else {}
                    found: Response = answer(request, given)
                    return found

            return Route(path, endpoint, methods=[method])

        return Starlette(routes=[Mount(self.root, routes=[route(*one) for one in routes])])

    def _refused(self, request: Request) -> Response | None:
        word, _, token = request.headers.get("authorization", "").partition(" ")
        if request.url.path.endswith("/installation") or request.url.path.startswith(f"{self.root}/app/"):
            return None if self.app and word == "Bearer" else _problem(401, "A JSON web token could not be decoded")
        if token not in self.tokens:
            return _problem(401, "Bad credentials")
        if "name" in request.path_params and self._key(request) not in self.repositories:
            return _problem(404, "Not Found")
        return None

    @staticmethod
    def _key(request: Request) -> str:
        return f"{request.path_params['owner']}/{request.path_params['name']}".lower()

    def _of(self, request: Request) -> Repository:
        return self.repositories[self._key(request)]

    def _answer(self, document: Any, status: int = 200) -> Response:
        return JSONResponse(self._url(_public(document)), status)

    def _page(self, request: Request, items: list[Any]) -> Response:
        size = min(int(request.query_params.get("per_page", 30)), self.page)
        number = int(request.query_params.get("page", 1))
        answer = self._answer(items[(number - 1) * size : number * size])
        if number * size < len(items):
            following = request.url.include_query_params(page=number + 1)
            answer.headers["Link"] = (
                f'<{self.public_url}{following.path.removeprefix(self.root)}?{following.query}>; rel="next"'
            )
        return answer

    def _get_user(self, request: Request, given: Document) -> Response:
        if self.app:
            return _problem(403, "Resource not accessible by integration")
        return self._answer(_example("user") | {"login": self.login})

    def _get_repository(self, request: Request, given: Document) -> Response:
        repository = self._of(request)
        name = repository.full_name.partition("/")[2]
        own = {"id": repository.id, "name": name, "full_name": repository.full_name, "default_branch": "main"}
        may = repository.people.get(self.login)
        own |= {"permissions": {"pull": True, "push": may in ("admin", "write"), "admin": may == "admin"}}
        own |= {"private": repository.private}
        answer = self._answer(_example("repo") | own)
        if self.scopes is not None:
            answer.headers["X-OAuth-Scopes"] = self.scopes
        return answer

    def _get_pulls(self, request: Request, given: Document) -> Response:
        state = request.query_params.get("state", "open")
        found = [one for _, one in sorted(self._of(request).pulls.items()) if state in (one["state"], "all")]
        simple = EXAMPLES["pulls"][0].keys()
        return self._page(request, [{key: one[key] for key in one if key in simple} for one in found])

    def _get_pull(self, request: Request, given: Document) -> Response:
        found = self._of(request).pulls.get(request.path_params["number"])
        return self._answer(found) if found else _problem(404, "Not Found")

    def _get_files(self, request: Request, given: Document) -> Response:
        names = self._of(request).files[request.path_params["number"]]
        return self._page(request, [EXAMPLES["files"][0] | {"filename": name} for name in names])

    def _get_contents(self, request: Request, given: Document) -> Response:
        """None stands for a folder."""
        path, repository = request.path_params["path"], self._of(request)
        at = (request.query_params.get("ref", "main"), path)
        if "contents" not in self.rights:
            return _problem(403, "Resource not accessible by personal access token")
        if at not in repository.contents:
            return _problem(404, "Not Found")
        content = repository.contents[at]
        if content is None:
            return self._answer([])
        large = len(content) > 1_000_000
        url = f"{self.public_url}/repos/{repository.full_name}/contents/{path}"
        document = dict.fromkeys(("url", "html_url", "git_url", "download_url"), url)
        document |= {"type": "file", "name": path.rpartition("/")[2], "path": path, "sha": "b" * 40}
        document |= {"size": len(content), "encoding": "none" if large else "base64"}
        document |= {"content": "" if large else base64.encodebytes(content).decode()}
        return self._answer(document | {"_links": {"self": url, "git": url, "html": url}})

    def _get_permission(self, request: Request, given: Document) -> Response:
        login = request.path_params["login"]
        permission = self._of(request).people.get(login)
        if permission is None:
            return _problem(404, f"{login} is not a user")
        document = _example("permission") | {"permission": permission, "role_name": permission}
        document["user"] |= {"login": login, "role_name": permission}
        return self._answer(document)

    def _get_comments(self, request: Request, given: Document) -> Response:
        number = request.path_params["number"]
        return self._page(request, [one for one in self._of(request).comments.values() if one["_number"] == number])

    def _get_all_comments(self, request: Request, given: Document) -> Response:
        since = request.query_params.get("since", "")
        return self._page(request, [one for one in self._of(request).comments.values() if one["updated_at"] >= since])

    def _post_comment(self, request: Request, given: Document) -> Response:
        number = request.path_params["number"]
        if "comment" not in self.rights:
            return _problem(403, "Resource not accessible by personal access token")
        if number in self.locked:
            return _problem(403, "Unable to create comment because issue is locked.")
        return self._answer(self._comment(self._of(request), number, self.login, given["body"]), 201)

    def _patch_comment(self, request: Request, given: Document) -> Response:
        found = self._of(request).comments.get(request.path_params["id"])
        if found is None:
            return _problem(404, "Not Found")
        if "comment" not in self.rights:
            return _problem(403, "Resource not accessible by personal access token")
        found["body"] = given["body"]
        found["updated_at"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 1))
        return self._answer(found)

    def _delete_comment(self, request: Request, given: Document) -> Response:
        if self._of(request).comments.pop(request.path_params["id"], None) is None:
            return _problem(404, "Not Found")
        return Response(status_code=204)

    def _post_reaction(self, request: Request, given: Document) -> Response:
        repository, identity = self._of(request), request.path_params["id"]
        if identity not in repository.comments:
            return _problem(404, "Not Found")
        there = repository.reactions.setdefault(identity, [])
        fresh = given["content"] not in there
        there += [given["content"]] if fresh else []
        document = _example("reaction") | {"content": given["content"], "user": self._user(self.login)}
        return self._answer(document, 201 if fresh else 200)

    def _get_deployments(self, request: Request, given: Document) -> Response:
        wanted = request.query_params.get("environment")
        found = [one for one in self._of(request).deployments.values() if wanted in (None, one["environment"])]
        return self._page(request, found[::-1])

    def _post_deployment(self, request: Request, given: Document) -> Response:
        if "deployment" not in self.rights:
            return _problem(403, "Resource not accessible by personal access token")
        repository, identity = self._of(request), self.next_id()
        document = _example("deployment") | {"id": identity, "sha": given["ref"], "ref": given["ref"]}
        document |= {"environment": given["environment"], "original_environment": given["environment"]}
        document |= {"description": given.get("description"), "transient_environment": True}
        document["statuses_url"] = f"{self.public_url}/repos/{repository.full_name}/deployments/{identity}/statuses"
        repository.deployments[identity] = document
        repository.environments.add(given["environment"])
        return self._answer(document, 201)

    def _get_deployment_statuses(self, request: Request, given: Document) -> Response:
        return self._page(request, self._of(request).deployment_statuses.get(request.path_params["id"], [])[::-1])

    def _post_deployment_status(self, request: Request, given: Document) -> Response:
        if "deployment" not in self.rights:
            return _problem(403, "Resource not accessible by personal access token")
        repository, deployment = self._of(request), request.path_params["id"]
        if deployment not in repository.deployments:
            return _problem(404, "Not Found")
        document = _example("dstatus") | {"id": self.next_id(), "state": given["state"]}
        document |= {"description": given.get("description", "")}
        for name in ("log_url", "environment_url"):
            document.pop(name, None)
            document |= {name: given[name]} if name in given else {}
        repository.deployment_statuses.setdefault(deployment, []).append(document)
        return self._answer(document, 201)

    def _delete_environment(self, request: Request, given: Document) -> Response:
        if "environment" not in self.rights:
            return _problem(403, "Resource not accessible by personal access token")
        there = self._of(request).environments
        if request.path_params["environment"] not in there:
            return _problem(404, "Not Found")
        there.discard(request.path_params["environment"])
        return Response(status_code=204)

    def _post_status(self, request: Request, given: Document) -> Response:
        if "status" not in self.rights:
            return _problem(403, "Resource not accessible by personal access token")
        document = _example("status") | {"id": self.next_id(), "state": given["state"], "context": given["context"]}
        document |= {"description": given.get("description"), "target_url": given.get("target_url")}
        self._of(request).statuses.setdefault(request.path_params["sha"], []).append(document)
        return self._answer(document, 201)

    def _get_statuses(self, request: Request, given: Document) -> Response:
        return self._page(request, self._of(request).statuses.get(request.path_params["sha"], [])[::-1])

    def _get_installation(self, request: Request, given: Document) -> Response:
        if not self.installation:
            return _problem(404, "Not Found")
        return self._answer(
            _example("inst") | {"id": self.installation, "app_id": self.app, "permissions": self._given()}
        )

    def _given(self) -> dict[str, str]:
        names = {"comment": "pull_requests", "deployment": "deployments", "status": "statuses"}
        given = {name: "write" for right, name in names.items() if right in self.rights}
        return {"metadata": "read", "contents": "read", "issues": "write"} | given

    def _post_token(self, request: Request, given: Document) -> Response:
        if request.path_params["id"] != self.installation:
            return _problem(404, "Not Found")
        self.installation_tokens += 1
        token = f"ghs_{self.installation_tokens:036d}"
        self.tokens.add(token)
        until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + self.token_lasts_s))
        return self._answer(_example("token") | {"token": token, "expires_at": until}, 201)


@contextmanager
def fake_github(login: str = "cx-bot", page: int = 100, root: str = "") -> Iterator[FakeGitHub]:
    fake = FakeGitHub(login, page, root)
    fake.start()
    try:
        yield fake
    finally:
        fake.stop()


class _Faulty:
    """Notes every request, and puts the planned faults before or behind the right answers."""

    def __init__(self, fake: FakeGitHub, app: ASGIApp) -> None:
        self.fake, self.app = fake, app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        self.fake.requests.append((method, path))
        if self.fake.limits.refuses(method, path):
            await _problem(403, SECONDARY, {"Retry-After": "60"})(scope, receive, send)
            return
        fault = self._fault(method, path)
        if fault is None:
            await self.app(scope, receive, self._counted(send))
            return
        if fault.after:

            async def swallowed(message: Message) -> None:
                pass

            await self.app(scope, receive, swallowed)
        if fault.cut:  # a body is announced that does not come: the server ends the connection
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"99")]})
            return
        await _problem(fault.status, fault.message, fault.headers)(scope, receive, send)

    def _counted(self, send: Send) -> Send:
        """The answer says what is left."""
        more = [(name.lower().encode(), value.encode()) for name, value in self.fake.limits.headers().items()]

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            await send(message)

        return counted

    def _fault(self, method: str, path: str) -> Fault | None:
        for one in self.fake.faults:
            if one.method == method and re.search(one.path, path):
                one.times -= 1
                if one.times <= 0:
                    self.fake.faults.remove(one)
                return one
        return None


def _example(name: str) -> Document:
    document: Document = copy.deepcopy(EXAMPLES[name])
    return document


def _public(document: Any) -> Any:
    if isinstance(document, list):
        return [_public(one) for one in document]
    return {key: value for key, value in document.items() if key != "_number"}


def _problem(status: int, message: str, headers: dict[str, str] | None = None) -> Response:
    url = "https://docs.github.com/rest"
    return JSONResponse({"message": message, "documentation_url": url, "status": str(status)}, status, headers)

"""A model hub in a thread: what huggingface_hub asks for when it downloads and when it commits."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from fsb_perception.bundles.hub import HubId

FACES = HubId("lab/faces")


@dataclass
class Repository:
    """Commits by their hash, and the names that point to them."""

    private: bool = False
    commits: dict[str, Mapping[str, bytes]] = field(default_factory=dict)
    refs: dict[str, str] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], ref: str = "main") -> str:
        """Hash of a new commit of these files, to which ``ref`` then points."""
        text = b"".join(name.encode() + content for name, content in sorted(files.items()))
        commit = hashlib.sha1(text + str(len(self.commits)).encode()).hexdigest()
        self.commits[commit] = dict(files)
        self.refs[ref] = commit
        return commit

    @property
    def files(self) -> Mapping[str, bytes]:
        """Files of the main branch."""
        return self.commits[self.refs["main"]]


@dataclass
class Hub:
    """What the server holds, and what was asked of it.

    Attributes:
        repositories: by ``owner/name``.
        asked: method and path of every request.
        broken: files that arrive with one byte changed.
        claimed: sizes that listings tell, where they are not the true ones.
        lie: called with the handler and the path of each request; True if it has answered.
    """

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    broken: set[str] = field(default_factory=set)
    claimed: dict[str, int] = field(default_factory=dict)
    gated: bool = False
    lie: Callable[[BaseHTTPRequestHandler, str], bool] | None = None

    def asked_for(self, name: str) -> bool:
        """Whether the content of a file of this name was ever asked for."""
        return any(path.endswith(f"/{name}") for path in self.asked)


class _Refusal(Exception):
    def __init__(self, status: int, code: str, name: str = "") -> None:
        super().__init__(code)
        self.status, self.code, self.name = status, code, name


class HubServer:
    """Serves a `Hub` at a free port of this machine, until the ``with`` block ends."""

    def __enter__(self) -> Hub:
        hub = Hub()
        handler = type("Handler", (_Handler,), {"hub": hub})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        hub.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return hub

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"{self.command} {path}")
        if self.hub.lie is not None and self.hub.lie(self, path):
            self.close_connection = True
            return None
        try:
            for (method, pattern), answer in _ROUTES.items():
                match = re.fullmatch(pattern, path)
                if match and self.command in method:
                    content, headers = answer(
                        self, *match.groups(), **({"body": body} if body else {})
                    )
                    return self._send(200, content, headers)
            raise _Refusal(404, "NoRoute")
        except _Refusal as refusal:
            # The client reads the address of a repository from the refusal to make it again.
            content, _ = _json({"error": refusal.code, "url": f"{self.hub.url}/{refusal.name}"})
            self._send(refusal.status, content, {"X-Error-Code": refusal.code})

    def _send(self, status: int, content: bytes, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(content))} | dict(headers)).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _repository(self, name: str) -> Repository:
        if name not in self.hub.repositories:
            raise _Refusal(404, "RepoNotFound")
        if self.hub.gated:
            raise _Refusal(403, "GatedRepo")
        return self.hub.repositories[name]

    def _commit(self, name: str, revision: str) -> str:
        repository = self._repository(name)
        commit = repository.refs.get(revision, revision)
        if commit not in repository.commits:
            raise _Refusal(404, "RevisionNotFound")
        return commit

    def info(self, name: str, revision: str | None = None) -> tuple[bytes, dict[str, str]]:
        repository = self._repository(name)
        if revision is None and not repository.commits:
            return _json({"id": name, "private": repository.private, "siblings": []})
        commit = self._commit(name, revision or "main")
        sizes = {file: len(content) for file, content in repository.commits[commit].items()}
        files = [
            {"rfilename": file, "size": size, "blobId": "0"}
            for file, size in (sizes | self.hub.claimed).items()
        ]
        return _json({"id": name, "sha": commit, "private": repository.private, "siblings": files})

    def file(self, name: str, revision: str, file: str) -> tuple[bytes, dict[str, str]]:
        commit = self._commit(name, revision)
        content = self._repository(name).commits[commit].get(file)
        if content is None:
            raise _Refusal(404, "EntryNotFound")
        etag = hashlib.sha1(content).hexdigest()
        if file in self.hub.broken:
            content = content[:-1] + bytes([content[-1] ^ 1])
        return content, {"X-Repo-Commit": commit, "ETag": f'"{etag}"'}

    def create(self, body: bytes) -> tuple[bytes, dict[str, str]]:
        self._writer()
        wish = json.loads(body)
        name = f"{wish['organization']}/{wish['name']}"
        if name in self.hub.repositories:
            raise _Refusal(409, "Exists", name)
        self.hub.repositories[name] = Repository(private=wish.get("visibility") == "private")
        return _json({"url": f"{self.hub.url}/{name}", "name": name})

    def validate(self, body: bytes) -> tuple[bytes, dict[str, str]]:
        assert json.loads(body)["content"].startswith("---\n")
        return _json({"errors": [], "warnings": []})

    def modes(self, name: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        self._writer()
        self._repository(name)
        paths = [file["path"] for file in json.loads(body)["files"]]
        mode = {"uploadMode": "regular", "shouldIgnore": False, "oid": None}
        return _json({"files": [{"path": path, **mode} for path in paths]})

    def commit(self, name: str, body: bytes) -> tuple[bytes, dict[str, str]]:
        self._writer()
        parts = [json.loads(line) for line in body.splitlines()]
        assert {part["key"] for part in parts} == {"header", "file"}
        files = [part["value"] for part in parts if part["key"] == "file"]
        commit = self._repository(name).commit(
            {file["path"]: base64.b64decode(file["content"]) for file in files}
        )
        return _json({"commitUrl": f"{self.hub.url}/{name}/commit/{commit}", "commitOid": commit})

    def _writer(self) -> None:
        if self.headers.get("Authorization") != "Bearer hf_of_a_writer":
            raise _Refusal(403, "Forbidden")


def _json(tree: Any) -> tuple[bytes, dict[str, str]]:
    return json.dumps(tree).encode(), {"Content-Type": "application/json"}


_NAME = r"([\w.-]+/[\w.-]+)"
_ROUTES = {
    (("GET",), rf"/api/models/{_NAME}/revision/(.+)"): _Handler.info,
    (("GET",), rf"/api/models/{_NAME}"): _Handler.info,
    (("GET", "HEAD"), rf"/{_NAME}/resolve/(.+)/([\w.-]+)"): _Handler.file,
    (("POST",), r"/api/repos/create"): _Handler.create,
    (("POST",), r"/api/validate-yaml"): _Handler.validate,
    (("POST",), rf"/api/models/{_NAME}/preupload/main"): _Handler.modes,
    (("POST",), rf"/api/models/{_NAME}/commit/main"): _Handler.commit,
}

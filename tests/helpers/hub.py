"""A hub on this machine: the part of the Hugging Face hub's HTTP interface that downloading and uploading a model use.

Repositories are held in memory. Writing needs the token TOKEN; "owner/closed" may not be written by anybody, and
"owner/gated" is given to nobody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

TOKEN = "hf_secret"
SHA = "a" * 40
Files = dict[str, bytes]


class Hub(ThreadingHTTPServer):
    """`repositories`: {"owner/name": {path: content}}; `asked`: every request so far."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.repositories: dict[str, Files] = {}
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def put(self, name: str, folder: Path) -> None:
        self.repositories[name] = {
            str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()
        }


@contextmanager
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer(body)

    def log_message(self, format: str, *args: Any) -> None: ...

    def _answer(self, body: bytes = b"") -> None:
        path = unquote(urlparse(self.path).path).strip("/")
        self.server.asked.append(f"{self.command} {path}")
        if self.command == "POST":
            self._post(path, body)
        elif path.startswith("api/models/"):
            self._told(path.removeprefix("api/models/"))
        else:
            self._file(path)

    def _told(self, path: str) -> None:
        name = "/".join(path.split("/")[:2])
        if name == "owner/gated":
            self._json({"error": "gated"}, 403, {"X-Error-Code": "GatedRepo"})
        elif name not in self.server.repositories:
            self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        elif "/tree/" in path:
            files = self.server.repositories[name]
            self._json([{"type": "file", "path": p, "size": len(c), "oid": _etag(c)} for p, c in files.items()])
        else:
            self._json({"id": name, "sha": SHA, "private": False, "tags": [], "downloads": 0, "siblings": []})

    def _file(self, path: str) -> None:
        name, _, rest = path.partition("/resolve/")
        content = self.server.repositories.get(name, {}).get(rest.partition("/")[2])
        if content is None:
            self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        else:
            self._send(200, content, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": SHA})

    def _post(self, path: str, body: bytes) -> None:
        if path == "api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid credentials"}, 401)
        elif path == "api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'owner'}/{asked['name']}"
            if name == "owner/closed":
                self._json({"error": "no right to write"}, 403)
            else:
                self.server.repositories.setdefault(name, {})
                self._json({"url": f"{self.server.url}/{name}", "name": name})
        elif path.endswith("/preupload/main"):
            files = json.loads(body)["files"]
            self._json({"files": [{"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in files]})
        else:
            name = path.removeprefix("api/models/").removesuffix("/commit/main")
            for line in body.splitlines():
                told = json.loads(line)
                if told["key"] == "file":
                    self.server.repositories[name][told["value"]["path"]] = base64.b64decode(told["value"]["content"])
            self._json({"commitUrl": f"{self.server.url}/{name}/commit/{SHA}", "commitOid": SHA, "success": True})

    def _json(self, value: Any, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(value).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()

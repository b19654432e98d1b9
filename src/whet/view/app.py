"""The pages as an application, and the server of it: on this machine's loopback only."""

from __future__ import annotations

import contextlib
import mimetypes
import socket
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from starlette.applications import Starlette
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from whet.view import pages_rollouts, pages_runs, pages_verifiers
from whet.view.access import Guard, new_token
from whet.view.folders import Missing
from whet.view.index import Index
from whet.view.render import environment, html, static
from whet.view.search import Filter, found
from whet.view.site import Page, Site

PAGES: Mapping[str, Callable[[Site, QueryParams], Page]] = {
    "/": pages_runs.runs,
    "/compare": pages_runs.compare,
    "/run": pages_runs.run,
    "/rollouts": pages_rollouts.rollouts,
    "/step": pages_rollouts.step,
    "/group": pages_rollouts.group,
    "/problem": pages_rollouts.problem,
    "/tokens": pages_rollouts.one,
    "/verifiers": pages_verifiers.verifiers,
    "/text": pages_rollouts.text,
}


def file_of(site: Site, address: str) -> str:
    """The page at an address ("/tokens?run=..."), as an HTML file that needs nothing else. Missing if there is none."""
    path, _, asked = address.partition("?")
    if path not in PAGES or path == "/text":
        raise Missing(f"there is no page {path!r}; there are {', '.join(p for p in PAGES if p != '/text')}")
    query = QueryParams(asked)
    if query.get("run") and path != "/compare":
        site.index(query["run"], seconds=600.0)  # a file does not wait for the rest
    return html(PAGES[path](site, query), exported=True)


def application(site: Site, token: str, port: int) -> ASGIApp:
    """All pages behind the guard."""

    def page(request: Request) -> Response:
        part = "hx-request" in request.headers and "hx-history-restore-request" not in request.headers
        address = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        return _html(html(PAGES[request.url.path](site, request.query_params), part=part, address=address))

    def export(request: Request) -> Response:
        answer = _html(file_of(site, request.query_params.get("page", "/")))
        answer.headers["content-disposition"] = 'attachment; filename="whet.html"'
        return answer

    def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in static():
            raise Missing("there is no such file")
        return Response(static()[name], media_type=mimetypes.guess_type(name)[0] or "text/plain")

    def missing(request: Request, error: Exception) -> Response:
        page = Page("missing.html", "Not there", {"said": str(error) if isinstance(error, Missing) else "no such page"})
        return _html(html(page), 404)

    routes = [Route(path, page, methods=["GET"]) for path in PAGES]
    routes += [Route("/export", export, methods=["GET"]), Route("/static/{name:path}", file, methods=["GET"])]
    return Guard(Starlette(routes=routes, exception_handlers={Missing: missing, 404: missing}), token, port)


def _html(text: str, status: int = 200) -> Response:
    return Response(text.encode("utf-8", "replace"), status, media_type="text/html")


@dataclass
class Served:
    """A server that has its port and is not yet running."""

    address: str  # with the token
    server: uvicorn.Server
    listening: socket.socket
    site: Site

    def run(self) -> None:
        """Until it is told to stop (Ctrl-C)."""
        try:
            with contextlib.suppress(KeyboardInterrupt):
                self.server.run(sockets=[self.listening])
        finally:
            self.listening.close()
            self.site.close()


def _warm() -> None:
    """What only the first page would wait for: the database's start, and templates that are compiled."""
    with tempfile.TemporaryDirectory() as empty:
        index = Index(Path(empty))
        found(index, Filter())
        index.close()
    for name in environment().list_templates(["html"]):
        environment().get_template(name)


def serve(roots: Sequence[Path], results: Path | None, port: int = 0) -> Served:
    """A server at 127.0.0.1 on `port`, or a free one for 0. ValueError if the port is taken."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind(("127.0.0.1", port))
        listening.listen()  # whoever is faster than the server waits
    except OSError as error:
        listening.close()
        raise ValueError(f"port {port} can not be had ({error.strerror}): choose another --port, or none") from error
    port = listening.getsockname()[1]
    token, site = new_token(), Site(roots, results)
    threading.Thread(target=_warm, daemon=True).start()
    config = uvicorn.Config(
        application(site, token, port),
        log_level="error",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
    )
    return Served(f"http://127.0.0.1:{port}/?token={token}", uvicorn.Server(config), listening, site)

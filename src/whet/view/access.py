"""Who may see the pages: whoever has the token, from this machine, by a page of ours."""

from __future__ import annotations

import hmac
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qsl, urlencode

from markupsafe import escape
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def new_token() -> str:
    return secrets.token_urlsafe(24)


class Guard:
    """Around an app. A request gets nothing (403, no body) unless all of these hold: its Host is this machine's
    loopback and our port; an Origin, where there is one, is that too; the method is GET or HEAD; and it has the token,
    once in the address (which sets a cookie that other sites' pages can not send) or else in that cookie."""

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self.app, self.token, self.cookie = app, token, f"whet-{port}"
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # a websocket: the server refuses what was not accepted
        headers = Headers(scope=scope)
        asked = parse_qsl(scope["query_string"].decode("latin-1"))
        given = next((value for name, value in asked if name == "token"), None)
        answer: ASGIApp = Response(status_code=403)
        if self._from_here(scope, headers):
            if given is not None and self._same(given):
                answer = self._welcome(scope["path"], [pair for pair in asked if pair[0] != "token"])
            elif self._same(_cookie(headers, self.cookie)) and headers.get("sec-fetch-site") != "cross-site":
                answer = self.app

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *((k.encode(), v.encode()) for k, v in HEADERS.items())]
            await send(message)

        await answer(scope, receive, sent)

    def _from_here(self, scope: Scope, headers: Headers) -> bool:
        origins = headers.getlist("origin")
        return (
            scope["method"] in ("GET", "HEAD")
            and headers.getlist("host")[:1] != []
            and all(host in self.hosts for host in headers.getlist("host"))
            and all(origin in self.origins for origin in origins)
        )

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode("utf-8", "replace"), self.token.encode())

    def _welcome(self, path: str, rest: list[tuple[str, str]]) -> Response:
        """Sets the cookie and goes on to the same address without the token. By a page, not by a redirect: a browser
        sends the cookie only to what a page of this site leads to."""
        to = "/" + path.lstrip("/") + (f"?{urlencode(rest)}" if rest else "")
        onward = f'<meta http-equiv="refresh" content="0;url={escape(to)}"><link rel="icon" href="data:,">'
        answer = HTMLResponse(f"<!doctype html>{onward}<title>whet</title>")
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer


def _cookie(headers: Headers, name: str) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(name)
    except CookieError:
        return ""
    return found.value if found else ""

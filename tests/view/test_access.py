"""Whoever has not the token, or comes by another site's page, gets nothing: over real sockets."""

from __future__ import annotations

import http.client
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from helpers.browsing import serving
from helpers.played import Told, said, write_log, write_step


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    root = tmp_path_factory.mktemp("runs")
    write_step(root / "a", 0, [Told([said("hello")])])
    write_log(root / "a", [{"step": 0, "reward/mean": 0.5}])
    (root.parent / "secret.txt").write_text("secret")
    with serving(root) as started:
        yield started


def ask(
    served: Any, path: str, method: str = "GET", token: bool = True, **headers: str
) -> tuple[int, bytes, dict[str, str]]:
    """(status, body, headers); the cookie is sent unless `token` is False."""
    port = int(served.address.split(":")[2].split("/")[0])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.putrequest(method, path, skip_host="host" in headers)
    if token:
        headers.setdefault("cookie", f"whet-{port}={served.address.split('token=')[1]}")
    for name, value in headers.items():
        connection.putheader(name.replace("_", "-"), value)
    connection.endheaders()
    answer = connection.getresponse()
    return answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}


def here(served: Any) -> str:
    return served.address.split("/")[2]


def test_the_token_in_the_address_becomes_a_cookie_that_other_sites_can_not_send(served: Any) -> None:
    status, body, headers = ask(served, "/run?run=a&token=" + served.address.split("token=")[1], token=False)
    assert status == 200 and b'url=/run?run=a"' in body and b"token" not in body
    cookie = headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert b"hello" in ask(served, "/rollouts?run=a")[1]


@pytest.mark.parametrize("path", ["/", "/run?run=a", "/static/view.js", "/text?run=a", "/nowhere", "/export?page=/"])
@pytest.mark.parametrize("token", ["", "?", "wrong", "é"])
def test_without_the_token_there_is_nothing(served: Any, path: str, token: str) -> None:
    port = here(served).split(":")[1]
    more = {} if not token else {"cookie": f"whet-{port}={token}; {token}".encode().decode("latin-1")}
    assert ask(served, path, token=False, **more)[:2] == (403, b"")
    assert ask(served, f"/?token={'x' * 32}", token=False)[:2] == (403, b"")


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:{port}", "[::1]:{port}", ""]
)
def test_another_host_gets_nothing(served: Any, host: str) -> None:
    assert ask(served, "/", host=host.format(port=here(served).split(":")[1]))[:2] == (403, b"")


def test_two_hosts_and_none_get_nothing(served: Any) -> None:
    place, port = here(served).split(":")
    for lines in (f"Host: {place}:{port}\r\nHost: evil.example\r\n", ""):
        with socket.create_connection((place, int(port)), timeout=20) as raw:
            cookie = f"Cookie: whet-{port}={served.address.split('token=')[1]}\r\n"
            raw.sendall(f"GET / HTTP/1.1\r\n{lines}{cookie}Connection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: raw.recv(65536), b""))
        assert answer.split(b" ")[1] in (b"400", b"403") and b"<html" not in answer


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://{here}", "http://{here}.evil.example"])
def test_another_origin_gets_nothing_even_with_the_token(served: Any, origin: str) -> None:
    origin = origin.format(here=here(served))
    assert ask(served, "/", origin=origin)[:2] == (403, b"")
    assert ask(served, f"/?token={served.address.split('token=')[1]}", token=False, origin=origin)[:2] == (403, b"")
    assert ask(served, "/", origin=f"http://{here(served)}")[0] == 200


def test_a_request_that_another_site_makes_gets_nothing(served: Any) -> None:
    assert ask(served, "/", sec_fetch_site="cross-site")[:2] == (403, b"")
    assert ask(served, "/", sec_fetch_site="same-origin")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_nothing_can_be_written(served: Any, method: str) -> None:
    assert ask(served, "/", method)[:2] == (403, b"")


UP = [
    "../secret.txt",
    "a/../../secret.txt",
    "..%2f..%2fsecret.txt",
    "%2e%2e/secret.txt",
    "/etc/passwd",
    "a%00",
    "....//secret.txt",
    "..\\secret.txt",
]


@pytest.mark.parametrize("path", UP)
def test_a_path_out_of_the_folder_leads_nowhere(served: Any, path: str) -> None:
    for address in (
        f"/static/{path}",
        f"/run?run={path}",
        f"/rollouts?run={path}",
        f"/{path}",
        f"/export?page=/run?run={path}",
    ):
        status, body, _ = ask(served, address)
        assert status == 404 and b"secret\n" not in body and b"root:" not in body, address


def test_every_answer_forbids_what_no_page_of_ours_does(served: Any) -> None:
    for path, token in (("/", True), ("/run?run=a", True), ("/nowhere", True), ("/static/view.js", True), ("/", False)):
        headers = ask(served, path, token=token)[2]
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none';") and "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["x-frame-options"] == "DENY"
        assert headers["referrer-policy"] == "no-referrer" and "server" not in headers


def test_no_page_has_a_script_or_a_style_within_it(served: Any) -> None:
    for path in ("/", "/run?run=a", "/rollouts?run=a", "/tokens?run=a&stage=0&step=0&slot=0&group=direct&attempt=0"):
        body = ask(served, path)[1]
        assert b"<style" not in body and b" style=" not in body and b" onclick" not in body
        assert body.count(b"<script") == body.count(b"<script src=") == 3


def test_only_this_machine_can_reach_it(served: Any) -> None:
    assert served.listening.getsockname()[0] == "127.0.0.1"

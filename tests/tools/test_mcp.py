"""A real server, started as a process, and spoken to as a policy would."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from whet.tools.called import Called
from whet.tools.mcp import Server
from whet.verifiers.calls import Call, Malformed

pytest.importorskip("mcp")

SOURCE = """
import os
from mcp.server.mcpserver import MCPServer

server = MCPServer("tools")

@server.tool()
def add(a: int, b: int) -> int:
    "Adds two numbers."
    return a + b

@server.tool()
def fail() -> str:
    raise KeyError("no such thing")

@server.tool()
def long() -> str:
    return "x" * 5000

@server.tool()
def secret() -> str:
    return str(os.environ.get("API_KEY")) + str(os.environ.get("GIVEN"))

@server.tool()
def leave() -> str:
    os._exit(1)

server.run()
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Server:
    file = tmp_path_factory.mktemp("mcp") / "server.py"
    file.write_text(SOURCE)
    return Server((sys.executable, str(file)), environment=(("GIVEN", "this"),))


def test_a_tool_is_listed_and_called(server: Server) -> None:
    (add,) = [one["function"] for one in server.schemas if one["function"]["name"] == "add"]
    assert add["description"] == "Adds two numbers." and set(add["parameters"]["properties"]) == {"a", "b"}
    assert server(Call("add", {"a": 2, "b": 3})) == "5"


def test_whatever_a_model_does_wrong_is_a_text(server: Server) -> None:
    for call in (
        Call("sub", {}),
        Call("add", {"a": "x", "b": 1}),
        Call("add", {}),
        Call("fail", {}),
        Call("long", {}),
        Malformed("{", "why"),
    ):
        assert server(call).startswith("error: "), call


def test_the_environment_is_not_handed_on(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    assert server(Call("secret", {})) == "Nonethis"


def test_it_answers_the_calls_in_a_policys_text(server: Server) -> None:
    async def told() -> str | None:
        return await Called(server).session()('<tool_call>{"name": "add", "arguments": {"a": 20, "b": 1}}</tool_call>')

    assert asyncio.run(told()) == "21"


def test_a_server_that_is_lost_is_our_failure_and_is_started_anew(server: Server) -> None:
    with pytest.raises(OSError, match="lost"):
        server(Call("leave", {}))
    assert server(Call("add", {"a": 1, "b": 1})) == "2"


def test_a_server_that_does_not_start_says_so(tmp_path: Path) -> None:
    (tmp_path / "none.py").write_text("raise SystemExit(3)")
    with pytest.raises(OSError, match="did not start"):
        Server((sys.executable, str(tmp_path / "none.py")), patience=10).schemas  # noqa: B018
    for wrong in ({}, {"command": ("x",), "url": "http://x"}, {"command": ("x",), "longest": 0}):
        with pytest.raises(ValueError, match="Server"):
            Server(**wrong)

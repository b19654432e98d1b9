"""The tools of an MCP server (Model Context Protocol), for a policy to call (extra `mcp`)."""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from concurrent.futures import TimeoutError as TooLong
from dataclasses import dataclass
from typing import Any

from whet.schedule import Count, Number
from whet.verifiers.calls import Call, Malformed

_CLOSED = -32000  # the protocol's error code of a connection that has ended (mcp_types.CONNECTION_CLOSED)
SHOWN = 200  # our choice: characters of a reason that are shown in an error


@dataclass(frozen=True)
class Server:
    """A call -> what the server's tool gives, as text: what `tools.called.Called` takes for its `functions`.

    `command`: the command line that starts a server which speaks on its standard input and output; or `url`: where one
    is reached over HTTP. It is started when first needed, once per process, and ends with it. `environment`: (name,
    value) pairs that the server's process gets beside a few of ours. A server is trusted: it is not in the sandbox.

    An unknown tool, arguments that do not fit, a tool's own error and a result of more than `longest` characters give
    a text that begins with "error: "; of a result the texts count, anything else is named in brackets. OSError where
    the server does not start within `patience` seconds, or is lost.

    Raises ValueError unless there is either a command or a url; ImportError without the extra.
    """

    command: tuple[str, ...] = ()
    url: str = ""
    environment: tuple[tuple[str, str], ...] = ()
    longest: Count = 2000  # our choice: characters
    patience: Number = 30.0  # our choice: seconds to start

    def __post_init__(self) -> None:
        if bool(self.command) == bool(self.url):
            raise ValueError(f"Server needs either a command or a url, got {self.command!r} and {self.url!r}")
        if isinstance(self.longest, int | float) and self.longest < 1:
            raise ValueError(f"Server.longest must be at least 1 character, got {self.longest}")

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """What a chat template takes as `tools`."""
        return [
            {
                "type": "function",
                "function": {"name": t.name, "description": t.description or "", "parameters": t.input_schema},
            }
            for t in _connection(self).tools
        ]

    def __call__(self, call: Call | Malformed) -> str:
        if isinstance(call, Malformed):
            return f"error: this call can not be read: {call.why[:SHOWN]}"
        there = _connection(self)
        names = [tool.name for tool in there.tools]
        if call.name not in names:
            return f"error: there is no tool {call.name[:SHOWN]!r}; there are {', '.join(names) or 'none'}"
        try:
            result = there.ask(there.client.call_tool(call.name, call.arguments))
        except Exception as error:
            if not there.alive or getattr(error, "code", None) == _CLOSED:
                there.close()
                raise OSError(f"the MCP server {_named(self)} was lost: {error}") from error
            return f"error: {call.name}: {str(error)[:SHOWN]}"
        text = "\n".join(getattr(part, "text", None) or f"[{part.type}]" for part in result.content)
        if result.is_error:
            return f"error: {call.name}: {text[:SHOWN]}"
        if len(text) > self.longest:
            return f"error: {call.name} gave {len(text)} characters, and at most {self.longest} are shown"
        return text.encode(errors="replace").decode()


class _Connection:
    """A server, and the thread with the event loop in which it is spoken to."""

    def __init__(self, server: Server) -> None:
        self.pid = os.getpid()
        self.client: Any = None
        self.tools: list[Any] = []
        self.loop = asyncio.new_event_loop()
        self.over = asyncio.Event()
        self.ready: Future[None] = Future()
        self.thread = threading.Thread(target=self._run, args=(server,), name="whet-mcp", daemon=True)
        self.thread.start()
        try:
            self.ready.result(float(server.patience))
        except TooLong:
            self.close()
            raise OSError(f"the MCP server {_named(server)} did not start within {server.patience:g} s") from None
        except Exception as error:
            raise OSError(f"the MCP server {_named(server)} did not start: {error}") from error

    @property
    def alive(self) -> bool:
        return self.thread.is_alive() and not self.over.is_set()

    def ask(self, what: Coroutine[Any, Any, Any]) -> Any:
        """Wait here for what its loop does."""
        return asyncio.run_coroutine_threadsafe(what, self.loop).result()

    def close(self) -> None:
        if os.getpid() == self.pid and self.thread.is_alive():
            self.loop.call_soon_threadsafe(self.over.set)
            self.thread.join(2)

    def _run(self, server: Server) -> None:
        try:
            self.loop.run_until_complete(self._serve(server))
        except Exception as error:
            if not self.ready.done():
                self.ready.set_exception(error)
        finally:
            self.over.set()

    async def _serve(self, server: Server) -> None:
        from mcp.client.client import Client
        from mcp.client.stdio import StdioServerParameters, stdio_client

        target: Any = server.url
        with open(os.devnull, "w") as nothing:
            if server.command:
                name, *arguments = server.command
                told = StdioServerParameters(command=name, args=arguments, env=dict(server.environment) or None)
                target = stdio_client(told, errlog=nothing)
            async with Client(target) as self.client:
                self.tools = (await self.client.list_tools()).tools
                self.ready.set_result(None)
                await self.over.wait()


def _named(server: Server) -> str:
    return " ".join(server.command) or server.url


_connections: dict[Server, _Connection] = {}
_lock = threading.Lock()


def _connection(server: Server) -> _Connection:
    """The one of this process; made, or made anew after it was lost."""
    try:
        import mcp  # noqa: F401
    except ImportError as error:
        raise ImportError("mcp is not installed; run: pip install 'whet[mcp]'") from error
    with _lock:
        there = _connections.get(server)
        if there is None or not there.alive or there.pid != os.getpid():
            there = _connections[server] = _Connection(server)
        return there


@atexit.register
def _close() -> None:
    for there in _connections.values():
        with contextlib.suppress(Exception):
            there.close()

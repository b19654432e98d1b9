"""A real server on this machine that speaks as OpenAI-compatible endpoints do, with faults to switch on.

    with Server(lambda body: "4") as server: Remote(server.url, "small")

`answer` gives the text for a request's body; a `Native` engine as `model` answers by itself, and scores. `faults` are
taken one by one, by the requests that complete something; "" is none. `seen` holds every request, `most` how many were
in the works at once.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import torch

from whet.engines.native import Native
from whet.types import Decoding, Problem, Row

Answer = Callable[[dict[str, Any]], str]


class Listening(ThreadingHTTPServer):
    request_queue_size = 128  # a busy machine must not turn connections away


class Server:
    def __init__(
        self,
        answer: Answer = lambda body: "4",
        model: Native | None = None,
        names: tuple[str, ...] = ("small",),
        faults: Iterable[str] = (),
        delay: Callable[[int], float] = lambda n: 0.0,
        key: str = "",
    ) -> None:
        self.answer, self.model, self.names, self.delay, self.key = answer, model, names, delay, key
        self.faults = deque(faults)
        self.always = ""  # a fault of every request
        self.seen: list[dict[str, Any]] = []
        self.most = self._now = 0
        self.lock, self.computing = threading.Lock(), threading.Lock()
        self._ended = threading.Event()

    def __enter__(self) -> Server:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if server.names and self.path.endswith("/models"):
                    send(self, 200, {"object": "list", "data": [{"id": name} for name in server.names]})
                else:
                    send(self, 404, {"error": {"message": "Not Found"}})

            def do_POST(self) -> None:
                server.handle(self)

            def log_message(self, format: str, *args: Any) -> None: ...

        self._http = Listening(("127.0.0.1", 0), Handler)
        self._http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"
        threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._http.shutdown()
        self._http.server_close()

    def handle(self, to: BaseHTTPRequestHandler) -> None:
        body = json.loads(to.rfile.read(int(to.headers["content-length"])))
        with self.lock:
            self._now += 1
            self.most = max(self.most, self._now)
            number = len(self.seen)
            self.seen.append({"path": to.path, "key": to.headers.get("authorization", ""), "body": body})
            fault = self.always or (self.faults.popleft() if self.faults else "")
        try:
            time.sleep(self.delay(number))
            if self.key and to.headers.get("authorization") != f"Bearer {self.key}":
                send(to, 401, {"error": {"message": f"no such key: {to.headers.get('authorization')}"}})
            elif fault:
                self.fail(to, fault)
            else:
                send(to, 200, self.completed(to.path, body))
        except OSError:  # who asked has gone
            to.close_connection = True
        finally:
            with self.lock:
                self._now -= 1

    def fail(self, to: BaseHTTPRequestHandler, fault: str) -> None:
        """A number is a status ("429" asks to wait 0.2 s, "429 1" a second); what begins with { or [ is the body."""
        if fault == "slow":
            self._ended.wait(5)
        elif fault == "hang up":
            to.close_connection = True
        elif fault in ("truncated", "endless"):
            to.send_response(200)
            to.send_header("content-length", str(10**9))
            to.end_headers()
            to.wfile.write(b'{"choices": [')
            while fault == "endless" and not self._ended.is_set():
                to.wfile.write(b" " * 65536)
            to.close_connection = True
        elif fault[0].isdigit():
            status, _, wait = fault.partition(" ")
            retry = {"retry-after": wait or "0.2"} if status == "429" else {}
            send(to, int(status), {"error": {"message": f"fault {status}"}}, retry)
        else:
            send(to, 200, fault)

    def completed(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer to a body, with the usage that a tokenizer of characters would give."""
        chat = path.endswith("chat/completions")
        text, reason, score = self.answer(body), "stop", None
        prompt = "".join(m["content"] for m in body["messages"]) if chat else body["prompt"]
        if self.model is not None:
            with self.computing:
                text, reason, score = _played(self.model, body, prompt)
        usage = {"prompt_tokens": len(prompt), "completion_tokens": max(1, len(text))}
        choice = {"index": 0, "finish_reason": reason, "logprobs": score}
        choice |= {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        return {"object": "chat.completion", "choices": [choice], "usage": usage}


def _played(model: Native, body: dict[str, Any], prompt: Any) -> tuple[str, str, Any]:
    if body.get("echo"):
        given = torch.tensor(prompt)
        none = torch.zeros(len(given))
        row = Row(given, none.bool(), none.bool(), none, none.int())
        told = asyncio.run(model.score([row]))[0]["logprobs"].tolist()
        return "", "length", {"token_logprobs": [None, *told[1:], -1.0]}
    opened = model.open(Problem("p", prompt))
    decoding = Decoding(max_tokens=body["max_tokens"], temperature=body["temperature"])
    told = asyncio.run(model.extend(opened, decoding, body.get("seed", 0)))
    return told.turns[-1].text, "length" if told.stop == "length" else "stop", None


def send(to: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
    data = (body if isinstance(body, str) else json.dumps(body)).encode()
    to.send_response(status)
    always = {"content-type": "application/json", "content-length": str(len(data))}
    for name, value in {**always, **(headers or {})}.items():
        to.send_header(name, value)
    to.end_headers()
    to.wfile.write(data)

"""A model behind an OpenAI-compatible endpoint (vLLM, SGLang, llama.cpp, OpenRouter, ...) as a `Policy` that is never
trained: for evaluation, and as teacher, judge or partner of one that is."""

from __future__ import annotations

import os
import re
from asyncio import gather
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import urlsplit

import torch
from torch import Tensor

from whet.engines import remote_said
from whet.engines.remote_calls import Calls
from whet.engines.remote_http import Failed, Http, Meter, Refused
from whet.engines.remote_said import Said
from whet.files import cache
from whet.models import surgery
from whet.types import Content, Decoding, Message, Problem, Row, Trajectory, Turn, Want

HOW = {"told": False}  # no part of what a recipe says: a run goes on with another key, deadline or budget
_ROLES = ("system", "developer", "user", "assistant", "tool")


@dataclass(frozen=True)
class Remote:
    """`model` at `url` ("http://127.0.0.1:8000/v1"), to stand among a stage's `models` or to be evaluated.

    `key` names the environment variable that holds the key, which is read when a call is made and written nowhere.
    A text prompt goes to `completions`, or with `chat` to `chat/completions` as a user's message; messages always go
    there. `server="vllm"` sends what only vLLM knows: top_k, min_p, stop tokens, token ids, scores of a prompt.
    `extra` goes into every request; a value of None leaves a key out.

    A request has `deadline` seconds; at most `concurrency` are on their way; one that fails is sent up to `tries` times
    (see `Http`), and `patience` failed calls in a row end the run. `price_in` and `price_out` are per million tokens in
    `currency`; at `budget` the run ends. With `cache`, a call that was answered before is not sent again.

    ValueError for a url, key name, number or budget that can not be meant.
    """

    url: str
    model: str
    chat: bool = False
    server: Literal["openai", "vllm"] = "openai"
    logprobs: bool = False  # ask for the log-probs of what is sampled
    extra: Mapping[str, Any] = field(default_factory=dict)
    key: str = field(default="", metadata=HOW)
    deadline: float = field(default=120.0, metadata=HOW)
    tries: int = field(default=6, metadata=HOW)
    backoff: float = field(default=0.5, metadata=HOW)  # seconds before the second try; twice as long before the next
    concurrency: int = field(default=16, metadata=HOW)
    patience: int = field(default=16, metadata=HOW)
    price_in: float = field(default=0.0, metadata=HOW)
    price_out: float = field(default=0.0, metadata=HOW)
    currency: str = field(default="USD", metadata=HOW)
    budget: float = field(default=0.0, metadata=HOW)  # 0: no limit
    cache: bool = field(default=True, metadata=HOW)

    def __post_init__(self) -> None:
        at = urlsplit(self.url)
        if at.scheme not in ("http", "https") or not at.hostname:
            raise ValueError(f"Remote.url must begin with http:// or https://, got {_bare(self.url)!r}")
        if at.username or at.password or at.query or at.fragment:
            raise ValueError(
                f"Remote.url may be {_bare(self.url)!r}, and no more; a key goes into the variable of `key`"
            )
        if not self.model:
            raise ValueError(f"Remote.model is empty; name one that {self.url} serves")
        if self.key and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", self.key):
            raise ValueError("Remote.key is the name of an environment variable (OPENAI_API_KEY), not the key itself")
        if self.server not in ("openai", "vllm"):
            raise ValueError(f'Remote.server must be "openai" or "vllm", got {self.server!r}')
        for name, least in (("tries", 1), ("concurrency", 1), ("patience", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"Remote.{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("price_in", "price_out", "budget", "backoff"):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"Remote.{name} must be 0 or more, got {getattr(self, name)}")
        if not 0 < self.deadline < float("inf"):
            raise ValueError(f"Remote.deadline must be more than 0 seconds, got {self.deadline}")
        if self.budget and not self.price_in + self.price_out:
            raise ValueError("Remote.budget needs price_in or price_out, or it would never be reached")


def _bare(url: str) -> str:
    """A url without what may be a secret in it."""
    at = urlsplit(url)
    return f"{at.scheme}://{at.netloc.rpartition('@')[2]}{at.path}" if at.scheme else url[:40]


class Endpoint:
    """A `Policy` on a `Remote`.

    Conversations are kept as text, in the turns. The tokens of a row are placeholders (id 0) unless the server tells
    its own: one for the prompt and each insertion, and as many as the server counted for what it sampled, so lengths
    are right. None is `trained`: nothing can learn from them. Log-probs are there with `Remote.logprobs`, as the
    server gives them (vLLM: before the temperature).

    A call that fails after every try gives a trajectory with stop "error" and `info["error"]`, which leaves group and
    loss and is counted. Refused (a ValueError) is raised for what further calls would not change.
    """

    version = 0

    def __init__(self, remote: Remote, name: str = "policy") -> None:
        if remote.key and not os.environ.get(remote.key):
            raise ValueError(
                f"the environment has no {remote.key}; export it, or set key='' if {remote.url} needs none"
            )
        self.remote, self.name = remote, name
        http = Http(
            url=remote.url.rstrip("/"),
            key=os.environ[remote.key].strip() if remote.key else "",
            deadline=remote.deadline,
            tries=remote.tries,
            concurrency=remote.concurrency,
            backoff=remote.backoff,
            meter=Meter(),
        )
        prices = (remote.price_in / 1e6, remote.price_out / 1e6)
        folder = cache() / "remote" if remote.cache else None
        self._calls = Calls(http, folder, prices, remote.budget, remote.currency, remote.patience)

    @property
    def meter(self) -> Meter:
        return self._calls.meter

    def close(self) -> None:
        """Give up what is on its way, and the connections; a further call opens new ones."""
        self._calls.close()

    def check(self) -> None:
        """ValueError unless the endpoint answers and serves the model: asked for its list, or, where it keeps none,
        for one token."""
        try:
            known = self._calls.now("GET", "models", None, _names)
        except Failed as error:
            if not error.answered:
                raise ValueError(f"no endpoint answers: {error}; start it, or mend the url") from None
            known = []
        except Refused as error:
            if "wants another key" in str(error):
                raise
            known = []
        if known and self.remote.model not in known:
            raise ValueError(f"{self.remote.url} serves no {self.remote.model!r} but {', '.join(known[:9])}; name one")
        if not known:
            self._one_token()

    def _one_token(self) -> None:
        problem = Problem("check", [{"role": "user", "content": "1"}] if self.remote.chat else "1")
        path, body = self._request(self.open(problem), Decoding(max_tokens=1), 0)
        try:
            self._calls.now("POST", path, body, remote_said.said)
        except Failed as error:
            raise ValueError(f"no model answers: {error}; check the url and the model") from None

    # -------------------------------------------------------------------------------------------------- rows

    def open(self, problem: Problem) -> Trajectory:
        """The prompt as one turn. ValueError for media, which are not sent."""
        prompt = problem.prompt
        if isinstance(prompt, str):
            text = prompt
        elif _all(prompt, dict):
            text = "\n".join(_said(problem, message.get("content")) for message in prompt)
        else:
            text = "".join(_said(problem, part) for part in prompt)
        return Trajectory(problem, (surgery.given([0], self.name),), (Turn("prompt", text, 0, 0, 1),))

    def insert(self, trajectory: Trajectory, content: Content, role: str | None = None) -> Trajectory:
        """Text at the end, or with a role a message; a role that endpoints do not know ("env") is sent as a user's.
        ValueError for what can not be sent: text amid a chat, a role amid a text."""
        chat = self._chats(trajectory.problem)
        if not isinstance(content, str) and _all(content, dict):
            for message in content:
                trajectory = self.insert(trajectory, message["content"], message["role"])
            return trajectory
        if chat != (role is not None):
            way = "goes by messages: insert with a role" if chat else "goes on with a text: insert without a role"
            raise ValueError(f"problem {trajectory.problem.id!r}: model {self.name!r} {way}")
        parts = [content] if isinstance(content, str) else content
        text = "".join(_said(trajectory.problem, part) for part in parts)
        return surgery.append(trajectory, surgery.given([0], trajectory.rows[-1].model), role or "env", text)

    def reopen(self, trajectory: Trajectory, ids: Sequence[int]) -> Trajectory:
        raise ValueError(f"model {self.name!r} is remote and gets text, not tokens; open a problem with the text")

    def cut(self, trajectory: Trajectory, row: int, stop: int) -> Trajectory:
        """See `surgery.cut`. ValueError for a place amid a turn, whose text can not be cut by tokens."""
        return surgery.cut(trajectory, row, stop, self._unread)

    def graft(self, trajectory: Trajectory, opened: Trajectory) -> Trajectory:
        raise ValueError(f"model {self.name!r} is remote and never trained, so nothing is grafted; open the prompt")

    def _unread(self, ids: Sequence[int]) -> str:
        raise ValueError(f"model {self.name!r} is remote, and its turns can only be cut between one another")

    # ----------------------------------------------------------------------------------------------- requests

    async def extend(self, trajectory: Trajectory, decoding: Decoding, seed: int) -> Trajectory:
        """What the endpoint answers, as one more turn; stops by "eos", "length", or "stop" where the server says by
        which string (vLLM, SGLang). ValueError for decoding it can not do."""
        path, body = self._request(trajectory, decoding, seed)
        try:
            told = await self._calls(path, body, remote_said.said)
        except Failed as error:
            return replace(trajectory, stop="error", info={**trajectory.info, "error": str(error)})
        row = trajectory.rows[-1]
        if told.prompt_ids and len(trajectory.turns) == 1:
            count = len(told.prompt_ids)
            turns = (replace(trajectory.turns[0], stop=count),)
            trajectory = replace(trajectory, rows=(surgery.given(told.prompt_ids, row.model),), turns=turns)
        return surgery.append(trajectory, self._written(told, decoding), "policy", told.text, told.stop)

    async def score(self, rows: Sequence[Row], want: Sequence[Want] = ("logprobs",)) -> list[dict[str, Tensor]]:
        """Log-probs of the rows' own tokens, which must be of the remote model's tokenizer: asked by `prompt_logprobs`
        of vLLM, of others by an echo. ValueError for any other wish, for a temperature but 1, and for an endpoint that
        does not score."""
        if tuple(want) != ("logprobs",):
            raise ValueError(f"model {self.name!r} is remote and gives log-probs only, got {tuple(want)}")
        return list(await gather(*(self._score(row) for row in rows)))

    async def _score(self, row: Row) -> dict[str, Tensor]:
        if row.temperature not in (0.0, 1.0) or row.media:
            raise ValueError(f"model {self.name!r} scores text at temperature 1, got {row.temperature:g} or media")
        ids = row.tokens.tolist()
        how = {"prompt_logprobs": 0} if self.remote.server == "vllm" else {"echo": True, "logprobs": 1}
        body = {"model": self.remote.model, "prompt": ids, "max_tokens": 1, "temperature": 0.0, **how}
        try:
            answer = await self._calls("completions", _with(body, self.remote.extra), remote_said.answered)
            return {"logprobs": torch.tensor(remote_said.scored(answer, ids))}
        except (Failed, remote_said.Silent) as error:
            raise ValueError(f"{self.remote.url} does not score ({error}); take one that does, such as vLLM") from None

    def _request(self, trajectory: Trajectory, decoding: Decoding, seed: int) -> tuple[str, dict[str, Any]]:
        """The path and the body that ask for the next turn."""
        self._able(trajectory, decoding)
        chat, vllm = self._chats(trajectory.problem), self.remote.server == "vllm"
        context = {"messages": _messages(trajectory)} if chat else {"prompt": "".join(t.text for t in trajectory.turns)}
        body = {
            "model": self.remote.model,
            **context,
            "max_tokens": decoding.max_tokens,
            "temperature": decoding.temperature,
            **({"top_p": decoding.top_p} if decoding.top_p < 1 else {}),
            **({"seed": seed % 2**31} if decoding.temperature else {}),  # greedy: every seed is the same call
            **({"stop": list(decoding.stop)} if decoding.stop else {}),
            **({"logprobs": True if chat else 1} if self.remote.logprobs else {}),
            **({"return_token_ids": True} if vllm else {}),
            **({"top_k": decoding.top_k} if decoding.top_k else {}),
            **({"min_p": decoding.min_p} if decoding.min_p else {}),
            **({"stop_token_ids": list(decoding.stop_tokens)} if decoding.stop_tokens else {}),
        }
        return "chat/completions" if chat else "completions", _with(body, self.remote.extra)

    def _able(self, trajectory: Trajectory, decoding: Decoding) -> None:
        """ValueError for what the endpoint would leave out in silence, or never understand."""
        vllm = ("top_k", "min_p", "stop_tokens") if self.remote.server != "vllm" else ()
        for name in (*vllm, "processors", "store_mask"):
            if getattr(decoding, name):
                hint = 'set server="vllm" if it is one' if name in vllm else "leave it out"
                raise ValueError(f"model {self.name!r} is remote and has no {name}; {hint}")
        row, last = trajectory.rows[-1], trajectory.turns[-1]
        if len(trajectory.rows) > 1 or row.model != self.name:
            raise ValueError(
                f"model {self.name!r} can not go on with rows of {row.model!r}; open a problem with the text"
            )
        if self._chats(trajectory.problem) and last.role in ("policy", "assistant"):
            raise ValueError(f"model {self.name!r} can not go on amid an answer of a chat: insert a message first")

    def _chats(self, problem: Problem) -> bool:
        return self.remote.chat or _all(problem.prompt, dict)

    def _written(self, told: Said, decoding: Decoding) -> Row:
        count = told.completion_tokens
        return Row(
            tokens=torch.tensor(told.ids or [0] * count, dtype=torch.long),
            sampled=torch.ones(count, dtype=torch.bool),
            trained=torch.zeros(count, dtype=torch.bool),
            logprobs=torch.tensor(told.logprobs or [0.0] * count),
            versions=torch.zeros(count, dtype=torch.int32),
            model=self.name,
            temperature=decoding.temperature,
            truncated=decoding.truncates,
        )


def _messages(trajectory: Trajectory) -> list[Message]:
    """The conversation. Of the model's own turns only what follows its thoughts is sent back, as chat templates do."""
    prompt, (first, *turns) = trajectory.problem.prompt, trajectory.turns
    messages = [dict(m) for m in prompt if isinstance(m, dict)] if _all(prompt, dict) else []
    messages = messages or [{"role": "user", "content": first.text}]
    for turn in turns:
        own = turn.role in ("policy", "assistant")
        role = "assistant" if own else turn.role if turn.role in _ROLES else "user"
        text = turn.text.rpartition("</think>")[2] if own else turn.text
        messages.append({"role": role, "content": text})
    return messages


def _all(content: Content, kind: type) -> bool:
    return not isinstance(content, str) and len(content) > 0 and all(isinstance(part, kind) for part in content)


def _said(problem: Problem, part: Any) -> str:
    if not isinstance(part, str):
        raise ValueError(f"problem {problem.id!r} holds {type(part).__name__}, and a remote model gets text only")
    return part


def _with(body: dict[str, Any], extra: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in {**body, **extra}.items() if value is not None}


def _names(answer: Any) -> list[str]:
    """The models of a list of models; none where the answer is something else."""
    entries = answer.get("data") if isinstance(answer, dict) else None
    entries = entries if isinstance(entries, list) else []
    return [e["id"] for e in entries if isinstance(e, dict) and isinstance(e.get("id"), str)]

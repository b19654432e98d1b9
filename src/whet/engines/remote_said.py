"""What an endpoint's JSON says. Nothing of it is believed before it is looked at: a ValueError says what is wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from whet.types import Stop


class Silent(ValueError):
    """An answer, but without what was asked for."""


@dataclass(frozen=True)
class Said:
    """One completion. `ids` and `prompt_ids` are there where the server tells them, `logprobs` where it was asked."""

    text: str
    stop: Stop
    prompt_tokens: int
    completion_tokens: int
    ids: tuple[int, ...] = ()
    prompt_ids: tuple[int, ...] = ()
    logprobs: tuple[float, ...] = ()  # [completion_tokens] nats, as the server counts them


def said(answer: Any) -> Said:
    """The first choice of an answer of `chat/completions` or `completions`.

    Thoughts that the server keeps apart stand in <think>...</think> before the text. Without `usage`, tokens are
    counted by what else is there, or taken as four bytes each. ValueError for anything else.
    """
    choice = _choice(answer)
    text, prompt = _text(choice), 0
    reason = choice.get("stop_reason", choice.get("matched_stop"))
    stop: Stop = "length" if choice.get("finish_reason") == "length" else "eos"
    if stop == "eos" and isinstance(reason, str) and reason:
        stop, text = "stop", text if text.endswith(reason) else text + reason
    ids, logprobs = _ids(choice.get("token_ids")), _logprobs(choice.get("logprobs"))
    prompt_ids = _ids(choice.get("prompt_token_ids") or answer.get("prompt_token_ids"))
    count = len(ids) or len(logprobs) or math.ceil(len(text.encode()) / 4)  # our choice: four bytes
    usage = answer.get("usage")
    if usage is not None:
        prompt, count = _count(usage, "prompt_tokens"), _count(usage, "completion_tokens")
    ids = ids if len(ids) == count else ()
    return Said(text, stop, prompt, count, ids, prompt_ids, logprobs if len(logprobs) == count else ())


def scored(answer: Any, ids: Sequence[int]) -> list[float]:
    """[T] nats: what the server says of each of the tokens `ids` that it was given; 0 for the first.

    It stands in `prompt_logprobs` (vLLM) or, where the prompt is echoed, in the choice's `logprobs`. Silent where
    there is neither, or where it speaks of other tokens.
    """
    choice = _choice(answer)
    told = choice.get("prompt_logprobs") or answer.get("prompt_logprobs")
    if isinstance(told, list):
        if len(told) != len(ids):
            raise Silent(f"prompt_logprobs of {len(told)} tokens for a row of {len(ids)}")
        return [0.0, *(_of(entry, token) for entry, token in zip(told[1:], ids[1:], strict=True))]
    values = choice.get("logprobs")
    values = values.get("token_logprobs") if isinstance(values, dict) else None
    if not isinstance(values, list) or len(values) < len(ids):
        raise Silent("it says nothing of the prompt")
    return [0.0, *(_real(value) for value in values[1 : len(ids)])]


def answered(answer: Any) -> Any:
    """The answer itself, if it has a choice."""
    _choice(answer)
    return answer


def usage(answer: Any) -> tuple[int, int]:
    """(tokens of the prompt, tokens written) of an answer that was read before."""
    try:
        told = said(answer)
    except ValueError:  # scores without a text
        told = answer.get("usage") if isinstance(answer, dict) else None
        return (_count(told, "prompt_tokens"), 0) if isinstance(told, dict) else (0, 0)
    return told.prompt_tokens, told.completion_tokens


def _choice(answer: Any) -> dict[str, Any]:
    if not isinstance(answer, dict):
        raise ValueError(f"an object was expected, got {type(answer).__name__}")
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise ValueError(f"it has no choices, but {', '.join(map(str, answer)) or 'nothing'}"[:200])
    return choices[0]


def _text(choice: dict[str, Any]) -> str:
    message = choice.get("message", choice)
    if not isinstance(message, dict):
        raise ValueError(f"the choice's message is no object but {type(message).__name__}")
    text = message.get("content" if "message" in choice else "text")
    thought = message.get("reasoning_content") or message.get("reasoning")
    if text is None and thought:
        text = ""
    if not isinstance(text, str):
        raise ValueError(f"the choice has no text but {type(text).__name__}")
    return f"<think>{thought}</think>{text}" if isinstance(thought, str) and thought else text


def _logprobs(told: Any) -> tuple[float, ...]:
    """A chat answer lists {"logprob": ...} under "content", a completion numbers under "token_logprobs"."""
    if not isinstance(told, dict):
        return ()
    entries = told.get("token_logprobs")
    if entries is None:
        content = told.get("content")
        entries = [e.get("logprob") if isinstance(e, dict) else e for e in content] if isinstance(content, list) else []
    return tuple(_real(entry) for entry in entries) if isinstance(entries, list) else ()


def _of(entry: Any, token: int) -> float:
    told = entry.get(str(token)) if isinstance(entry, dict) else None
    if not isinstance(told, dict):
        raise Silent(f"prompt_logprobs do not speak of token {token}: the model reads other tokens")
    return _real(told.get("logprob"))


def _real(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"a log-prob is {value!r}"[:80])
    return float(value)


def _ids(told: Any) -> tuple[int, ...]:
    if not isinstance(told, list) or not all(isinstance(i, int) and 0 <= i < 2**31 for i in told):
        return ()
    return tuple(told)


def _count(usage: Any, name: str) -> int:
    value = usage.get(name) if isinstance(usage, dict) else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise ValueError(f"usage.{name} is {value!r}"[:80])
    return value

"""Requests that eight small tools can serve: "weather in paris tomorrow and convert 5 miles to metres"."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from whet.randomness import generator
from whet.tasks.splits import check_place, drawn, pick, span
from whet.types import Problem

CITIES = (
    *("paris", "london", "rome", "tokyo", "cairo", "oslo", "lima", "delhi", "madrid", "vienna", "berlin", "dublin"),
    *("athens", "prague", "lisbon", "boston"),
)
DAYS = ("today", "tomorrow", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
UNITS = ("miles", "metres", "feet", "inches", "yards")
PEOPLE = ("anna", "ben", "carla", "david", "emma", "felix", "grace", "henry", "iris", "jack", "karen", "leo")
THINGS = (
    *("apple", "bread", "water", "house", "tree", "river", "horse", "book", "chair", "window", "garden", "cloud"),
    *("bridge", "letter", "flower", "stone"),
)
LANGUAGES = ("french", "german", "spanish", "italian", "greek", "polish", "turkish", "hindi")
ROOMS = ("kitchen", "bedroom", "bathroom", "hall", "office", "garage", "cellar", "attic", "study", "nursery")
STYLES = ("jazz", "rock", "folk", "soul", "opera", "blues")
NUMBERS = tuple(range(1, 61))


class Tool(NamedTuple):
    """What a tool does, how one asks for it, and its arguments with the values that they may have: all of one type."""

    description: str
    asked: tuple[str, ...]
    arguments: dict[str, tuple[Any, ...]]


TOOLS: dict[str, Tool] = {
    "weather": Tool(
        "The weather of a day.",
        ("weather in {city} {day}", "how is {day} in {city}"),
        {"city": CITIES, "day": DAYS},
    ),
    "flight": Tool(
        "Flights of a day.",
        ("flight from {origin} to {target} {day}", "{day} fly to {target} from {origin}"),
        {"origin": CITIES, "target": CITIES, "day": DAYS},
    ),
    "convert": Tool(
        "Converts a length.",
        ("convert {amount} {unit} to {into}", "how many {into} in {amount} {unit}"),
        {"amount": NUMBERS, "unit": UNITS, "into": UNITS},
    ),
    "timer": Tool(
        "Rings after some minutes.",
        ("timer for {minutes} minutes", "ring in {minutes} minutes"),
        {"minutes": NUMBERS},
    ),
    "meet": Tool(
        "Plans a meeting at a full hour.",
        ("meet {person} {day} at {hour}", "{day} at {hour} see {person}"),
        {"person": PEOPLE, "day": DAYS, "hour": NUMBERS[:24]},
    ),
    "translate": Tool(
        "Translates a word.",
        ("translate {word} to {language}", "what is {language} for {word}"),
        {"word": THINGS, "language": LANGUAGES},
    ),
    "light": Tool(
        "Switches a light at a full hour.",
        ("light {on} in the {room} at {hour}", "at {hour} {room} light {on}"),
        {"room": ROOMS, "on": (True, False), "hour": NUMBERS[:24]},
    ),
    "music": Tool(
        "Plays music at a volume.",
        ("play {style} at volume {volume}", "volume {volume} with {style}"),
        {"style": STYLES, "volume": NUMBERS[:20]},
    ),
}
_TYPES = {str: "string", int: "integer", bool: "boolean"}
_SAID = {True: "on", False: "off"}
_GRAMMAR = (
    *(
        "weather",
        "in",
        "how",
        "is",
        "flight",
        "from",
        "to",
        "fly",
        "convert",
        "many",
        "timer",
        "for",
        "minutes",
        "ring",
    ),
    *("meet", "at", "see", "translate", "what", "light", "the", "music", "play", "volume", "with", "and", "on", "off"),
    *("name", "parameters", "arguments", "true", "false", "tool_call", "response", "think"),
)
# Every word of requests and solutions: a tokenizer that has them (`TinyQwen(tokenizer="word", words=WORDS)`) has one
# token for each.
WORDS = tuple(
    dict.fromkeys(
        str(word)
        for word in (
            *_GRAMMAR,
            *(argument for tool in TOOLS.values() for argument in tool.arguments),
            *CITIES,
            *DAYS,
            *UNITS,
            *PEOPLE,
            *THINGS,
            *LANGUAGES,
            *ROOMS,
            *STYLES,
            *NUMBERS,
        )
    )
)

Drawn = tuple[str, tuple[Any, ...], str]  # a tool, the values of its arguments, and how it is asked for


@dataclass(frozen=True)
class ApiCalls:
    """`calls` different calls of eight tools (`TOOLS`) with one to three typed arguments each: texts, whole numbers,
    true or false. The request is a phrase for each, joined by "and".

    The answer is [{"name": tool, "arguments": {...}}, ...] as JSON text, for the verifier `tool_calls` and the terms
    of `rewards.tool_calls`. `info["solution"]` is a reply as in ToolRL's data: the names of the tools as the thought,
    then <tool_call> with a JSON object in each line, {"name": tool, "parameters": {...}}, written without blanks;
    `info["wrong"]` holds such replies with one mistake each, `info["tools"]` the tools' JSON schemas.

    A tool with all its values belongs to one split, by its hash (`splits.split_of`): what is asked of a tool in "test"
    was never asked of it in "train", alone or beside another, though all its words were seen. Of two equal calls one is
    left out. Source: the tool-call selection of ToolRL (Qian et al. 2025, arXiv 2504.13958), made small; the tools are
    our choice.

    Raises ValueError for `calls` below 1.
    """

    calls: int | tuple[int, int] = (1, 2)
    seed: int = 0

    def __post_init__(self) -> None:
        span("ApiCalls.calls", self.calls, 1)

    def size(self, split: str) -> int | None:
        return None

    def problem(self, split: str, i: int) -> Problem:
        check_place("api_calls", split, i)
        low, high = span("calls", self.calls, 1)
        count = pick(generator(self.seed, "task", "api_calls count", split, i), low, high)
        places = range(i * high, i * high + count)
        made = [
            drawn("api_calls", self.seed, split, place, _draw, lambda one: f"{one[0]} {one[1]}") for place in places
        ]
        phrases = {(name, values): phrase for name, values, phrase in made}
        calls = [(name, dict(zip(TOOLS[name].arguments, values, strict=True))) for name, values in phrases]
        return Problem(
            id=f"api_calls/{split}/{i}",
            prompt=[{"role": "user", "content": " and ".join(phrases.values())}],
            answer=json.dumps([{"name": name, "arguments": held} for name, held in calls]),
            info={
                "solution": _solution(calls),
                "wrong": [_solution(wrong) for wrong in _mistakes(calls)],
                "tools": [schema(name) for name in TOOLS],
            },
        )


def schema(name: str) -> dict[str, Any]:
    """The JSON schema of one of `TOOLS`, as chat templates take it."""
    tool = TOOLS[name]
    properties = {key: {"type": _TYPES[type(values[0])]} for key, values in tool.arguments.items()}
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {
        "type": "function",
        "function": {"name": name, "description": tool.description, "parameters": parameters},
    }


def _draw(rng: np.random.Generator) -> Drawn:
    name = list(TOOLS)[pick(rng, 0, len(TOOLS) - 1)]
    tool = TOOLS[name]
    values: tuple[Any, ...] = ()
    while len({str(value) for value in values}) < len(tool.arguments):  # nobody flies from paris to paris
        values = tuple(held[pick(rng, 0, len(held) - 1)] for held in tool.arguments.values())
    words = {key: _SAID.get(v, v) if isinstance(v, bool) else v for key, v in zip(tool.arguments, values, strict=True)}
    return name, values, tool.asked[pick(rng, 0, len(tool.asked) - 1)].format(**words)


def _mistakes(calls: list[tuple[str, dict[str, Any]]]) -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """The last call left out, made twice, of another tool; and for each of its arguments, it left out, of another value
    and of another type."""
    *others, (name, held) = calls
    tools = list(TOOLS)
    yield others
    yield [*calls, (name, held)]
    yield [*others, (tools[(tools.index(name) + 1) % len(tools)], held)]
    for key, value in held.items():
        yield [*others, (name, {other: v for other, v in held.items() if other != key})]
        values = [other for other in TOOLS[name].arguments[key] if other != value]
        yield [*others, (name, held | {key: values[0]})]
        yield [*others, (name, held | {key: json.dumps(value)})]


def _solution(calls: list[tuple[str, dict[str, Any]]]) -> str:
    lines = [json.dumps({"name": name, "parameters": held}, separators=(",", ":")) for name, held in calls]
    thought = " ".join(name for name, _ in calls)
    return "\n".join([f"<think>{thought}</think>", "<tool_call>", *lines, "</tool_call>"])

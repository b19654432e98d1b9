"""Typed functions that a policy may call (extra `schema`): their JSON schemas, and what a call gives, as text."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from transformers.utils.chat_template_utils import get_json_schema

from whet.schedule import Count
from whet.verifiers.calls import Call, Malformed

SHOWN = 200  # our choice: characters of a reason that are shown in an error


@dataclass(frozen=True)
class Functions:
    """A call -> what it gives, as text: `Functions((add,))(Call("add", {"a": 1, "b": 2}))` is "3".

    Each of `functions` has a type hint for every parameter, and a docstring with a line for each under "Args:".
    Arguments are checked against its `schema` and go in by name, as JSON values: 1.0 is a whole number, true is none,
    and an Enum's values come as they are. A result that is no text becomes JSON, or str(result) where it can not.

    Nothing that a model writes raises: an unknown tool, a missing, further or wrongly typed argument, an exception in
    the function, a result of more than `longest` characters and a call that could not be read each give a text that
    begins with "error: ". How long a function may take is the caller's affair.

    ImportError without the extra. ValueError for a function that `schema` refuses, two of one name, and `longest` below
    1.
    """

    functions: tuple[Callable[..., Any], ...]
    longest: Count = 2000  # our choice: characters

    def __post_init__(self) -> None:
        if isinstance(self.longest, int | float) and self.longest < 1:
            raise ValueError(f"Functions.longest must be at least 1 character, got {self.longest}")
        for function in self.functions:
            _validator(function)
        names = [function.__name__ for function in self.functions]
        if len(set(names)) < len(names):
            raise ValueError(f"Functions has two functions of one name; rename one of {', '.join(names)}")

    @property
    def schemas(self) -> list[dict[str, Any]]:
        """What a chat template takes as `tools`."""
        return [schema(function) for function in self.functions]

    @property
    def _named(self) -> dict[str, Callable[..., Any]]:
        return {function.__name__: function for function in self.functions}

    def __call__(self, call: Call | Malformed) -> str:
        if isinstance(call, Malformed):
            return _clean(f"error: this call can not be read: {call.why[:SHOWN]}")
        function = self._named.get(call.name)
        if function is None:
            known = ", ".join(self._named) or "none"
            return _clean(f"error: there is no tool {call.name[:SHOWN]!r}; there are {known}")
        if wrong := _mismatch(function, call.arguments):
            return _clean(f"error: {call.name}: {wrong}")
        try:
            result = _text(function(**call.arguments))
        except (Exception, SystemExit) as error:
            return _clean(f"error: {call.name} raised {_in_words(error)}")
        if len(result) > self.longest:
            return f"error: {call.name} gave {len(result)} characters, and at most {self.longest} are shown"
        return _clean(result)


@lru_cache(maxsize=256)
def _schema(function: Callable[..., Any]) -> dict[str, Any]:
    name = getattr(function, "__name__", "")
    if not name.isidentifier():
        raise ValueError(f"a tool is a function with a name, got {function!r}")
    if inspect.iscoroutinefunction(function):
        raise ValueError(f"the tool {name!r} is a coroutine function; give a plain one")
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ValueError(f"the tool {name!r} has {parameter}, but arguments are given by name; name each one")
    try:
        made = get_json_schema(function)["function"]
    except Exception as error:
        raise ValueError(f"the tool {name!r} needs type hints and a docstring with Args: {error}") from error
    return {"type": "function", "function": {key: made[key] for key in ("name", "description", "parameters")}}


def schema(function: Callable[..., Any]) -> dict[str, Any]:
    """{"type": "function", "function": {"name", "description", "parameters": JSON schema}}, from the signature's type
    hints and a Google style docstring, by transformers' `get_json_schema`; what it returns is left out.

    ValueError, which says what is missing, for a function without a name, type hints, a docstring or a line in it for a
    parameter, with `*args`, `**kwargs` or parameters that go by position only, and for a coroutine function."""
    return copy.deepcopy(_schema(function))


@lru_cache(maxsize=256)
def _validator(function: Callable[..., Any]) -> Any:
    try:
        from jsonschema import Draft202012Validator
        from jsonschema.exceptions import SchemaError
    except ImportError as error:
        raise ImportError("jsonschema is not installed; run: pip install 'whet[schema]'") from error
    parameters = _standard(_schema(function)["function"]["parameters"])
    try:
        Draft202012Validator.check_schema(parameters)
    except SchemaError as error:
        message = f"the tool {function.__name__!r} takes what JSON does not have: {error.message[:SHOWN]}"
        raise ValueError(message) from error
    return Draft202012Validator({**parameters, "additionalProperties": False})


def _standard(part: Any) -> Any:
    """A schema in which null is said as JSON schema says it: get_json_schema has "nullable" for it, as OpenAPI does."""
    if isinstance(part, list):
        return [_standard(inner) for inner in part]
    if not isinstance(part, dict):
        return part
    made = {key: _standard(inner) for key, inner in part.items() if (key, inner) != ("nullable", True)}
    return made if len(made) == len(part) else {"anyOf": [made, {"type": "null"}]}


def _mismatch(function: Callable[..., Any], arguments: dict[str, Any]) -> str:
    """Why the arguments do not fit the function; "" if they do."""
    from jsonschema.exceptions import best_match

    error = best_match(_validator(function).iter_errors(arguments))
    if error is None:
        return ""
    where = ".".join(str(part) for part in error.absolute_path)
    return (f"{where[:SHOWN]}: " if where else "") + error.message[:SHOWN]


def _text(result: Any) -> str:
    if isinstance(result, str):
        return result
    try:
        return json.dumps(result, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        return str(result)


def _in_words(error: BaseException) -> str:
    try:
        said = str(error)
    except Exception:
        said = ""
    return f"{type(error).__name__}: {said[:SHOWN]}"


def _clean(text: str) -> str:
    """Text that any tokenizer takes: a lone surrogate becomes "?"."""
    return text.encode(errors="replace").decode()

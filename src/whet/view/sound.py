"""Text out of a file that somebody may have tampered with: bytes that are no UTF-8 become U+FFFD."""

from __future__ import annotations

from typing import Any

import pyarrow as pa


def sound(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column of text that is UTF-8 throughout; any other column as it is."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column
    try:
        column.validate(full=True)
        return column
    except pa.ArrowInvalid:
        binary = pa.chunked_array([chunk.cast(pa.binary()) for chunk in column.chunks], pa.binary())
        return pa.chunked_array([pa.array([decoded(value) for value in binary.to_pylist()], pa.string())])


def listed(column: pa.ChunkedArray | pa.Array) -> list[Any]:
    """The values of a column of any type, its texts decoded."""
    return decoded(column.cast(_bytes(column.type)).to_pylist())


def decoded(value: Any) -> Any:
    """`value` with its bytes, at any depth, as text."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, list):
        return [decoded(one) for one in value] if value and not isinstance(value[0], (int, float, bool)) else value
    if isinstance(value, dict):
        return {key: decoded(one) for key, one in value.items()}
    return value


def _bytes(kind: pa.DataType) -> pa.DataType:
    """The type with binary in place of text."""
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return pa.binary()
    if pa.types.is_list(kind):
        return pa.list_(_bytes(kind.value_type))
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(i).name, _bytes(kind.field(i).type)) for i in range(kind.num_fields)])
    return kind

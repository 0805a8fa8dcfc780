"""Messages in the bytes that ROS 2 has on the wire and in bags: little-endian CDR, plain (XCDR version 1)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from drivenet.sinks.ros_types import DEFINITIONS, SEQUENCE, fields_of

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"
_PRIMITIVES = {
    "byte": struct.Struct("<B"),
    "uint8": struct.Struct("<B"),
    "uint16": struct.Struct("<H"),
    "int32": struct.Struct("<i"),
    "uint32": struct.Struct("<I"),
    "float32": struct.Struct("<f"),
    "float64": struct.Struct("<d"),
}


def encode(kind: str, fields: Mapping[str, Any]) -> bytes:
    """A message with its encapsulation header.

    Args:
        kind: ``package/Type``, one of :data:`~drivenet.sinks.ros_types.DEFINITIONS`.
        fields: every field by its name: numbers, strings, mappings for messages, sequences of these, and for
            ``uint8[]`` anything that has contiguous bytes.

    Raises:
        KeyError: for a field that is missing or a type that is not known.
    """
    out = bytearray()
    _put_message(out, kind, fields)
    return _LITTLE_ENDIAN + out


def _put_message(out: bytearray, kind: str, fields: Mapping[str, Any]) -> None:
    for name, of, length in fields_of(kind):
        if length == SEQUENCE:
            _put_sequence(out, of, fields[name])
        elif length:
            for item in fields[name]:  # so many are known: they are not counted
                _putter(of)(out, of, item)
        else:
            _putter(of)(out, of, fields[name])


def _put_sequence(out: bytearray, of: str, items: Sequence[Any]) -> None:
    if of == "uint8":
        data = memoryview(items)  # type: ignore[arg-type] # what uint8[] takes
        _put_number(out, "uint32", data.nbytes)
        out += data.cast("B")
        return
    _put_number(out, "uint32", len(items))
    put = _putter(of)
    for item in items:
        put(out, of, item)


def _putter(of: str) -> Callable[[bytearray, str, Any], None]:
    if of in DEFINITIONS:
        return _put_message
    return _put_string if of == "string" else _put_number


def _put_number(out: bytearray, of: str, value: float) -> None:
    form = _PRIMITIVES[of]
    out += bytes(-len(out) % form.size)  # a number lies at a multiple of its size, counted after the header
    out += form.pack(value)


def _put_string(out: bytearray, of: str, text: str) -> None:
    data = text.encode(errors="replace") + b"\0"  # names of files may be no UTF-8
    _put_number(out, "uint32", len(data))
    out += data

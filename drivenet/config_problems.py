"""What pydantic finds wrong in settings, in words for the one who wrote them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from types import NoneType
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from drivenet.errors import nearest

#: Settings whose values no message shows.
_SECRET = ("token",)
#: pydantic's words for a key that there is not: a text, and another value.
_UNKNOWN = ("extra_forbidden", "invalid_key")
#: So many keys are named in a message, the others counted.
_NAMED = 3
_BOUNDS = {
    "less_than_equal": "must be at most {le:g}",
    "less_than": "must be less than {lt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "greater_than": "must be above {gt:g}",
    "too_short": "must have at least {min_length} values, got {actual_length}",
    "too_long": "must have at most {max_length} values, got {actual_length}",
}

#: What else pydantic has longer words for.
_KINDS = {
    "string_type": "must be a text",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "finite_number": "must be finite",
    "tuple_type": "must be a list",
    "dict_type": "must be keys and values",
    "missing": "is missing",
}
#: Where a text was meant and YAML reads something else.
_TEXTS = ("string_type", "literal_error")

Loc = tuple[int | str, ...]


def problems_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Every problem in a few words. A misspelt key is not reported as missing under its right name as well."""
    unknown = [(*e["loc"][:-1], _written(e["loc"][-1], e)) for e in error.errors() if e["type"] in _UNKNOWN]
    hints = {loc: _hint(model, loc) for loc in unknown}
    meant = {(*loc[:-1], hint.removeprefix(", did you mean ").removesuffix("?")) for loc, hint in hints.items()}
    wrong = [e["loc"] for e in error.errors()]
    others = [e for e in error.errors() if not (e["type"] in _UNKNOWN or e["loc"] in meant or _follows(e, wrong))]
    return _unknown_keys(hints) + [_problem(e) for e in others]


def _written(key: int | str, error: ErrorDetails) -> str:
    """A key as YAML has it: pydantic's place of one that is no text is another text."""
    got = error["input"]
    is_other = error["type"] == "invalid_key" and isinstance(got, (bool, int, float, NoneType))
    return json.dumps(got) if is_other else str(key)


def _follows(error: ErrorDetails, wrong: list[Loc]) -> bool:
    """Whether it says no more than that parts of a value are wrong: pydantic does not count those in a list that is too
    short, and blames what may be keys or a list for not being the other.
    """
    place = _place(error["loc"])
    in_parts = any(len(one) > len(place) and one[: len(place)] == place for one in map(_place, wrong))
    return in_parts and error["type"] in ("too_short", "tuple_type", "dict_type")


def _problem(error: ErrorDetails) -> str:
    key, got = _key(error["loc"]), error["input"]
    if error["loc"][-1:] == ("[key]",):
        written = json.dumps(got, default=str)
        return f'{_key(error["loc"][:-2])}: the key {written} must be a text; in quotes it is one, "{written}"'
    bound = _BOUNDS.get(error["type"])
    message = bound.format(**error["ctx"]) if bound else _KINDS.get(error["type"], error["msg"])
    message = message.replace("Input should be", "must be", 1).removeprefix("Value error, ")
    shown = f", got {got!r:.60}" if isinstance(got, (bool, int, float, str)) and key not in _SECRET else ""
    if not error["loc"]:  # of several keys together
        return message
    return f"{key}: {message}{', got nothing' if got is None else shown}{_as_fraction(error)}{_in_quotes(error)}"


def _in_quotes(error: ErrorDetails) -> str:
    """The hint for a value that is a number, true, false or nothing in YAML, where a text was asked for."""
    is_other = error["input"] is None or isinstance(error["input"], (bool, int, float))
    return "; what is meant as a text stands in quotes" if is_other and error["type"] in _TEXTS else ""


def _as_fraction(error: ErrorDetails) -> str:
    """The hint for a percentage that was given where a fraction was asked for."""
    is_fraction = error["type"] == "less_than_equal" and error["ctx"]["le"] == 1
    try:
        percent = float(error["input"]) if is_fraction else 0.0
    except (TypeError, ValueError):
        return ""
    return f"; did you mean {percent / 100:g}?" if 1 < percent <= 100 else ""


def _unknown_keys(hints: dict[Loc, str]) -> list[str]:
    """The keys by what may have been meant, so that the known ones are listed once at most."""
    by_hint: dict[str, list[str]] = {}
    for loc, hint in hints.items():
        by_hint.setdefault(hint, []).append(_key(loc))
    return [f"unknown key{'s' if len(keys) > 1 else ''} {_listed(keys)}{hint}" for hint, keys in by_hint.items()]


def _listed(keys: list[str]) -> str:
    more = len(keys) - _NAMED
    return ", ".join(keys) if more <= 1 else f"{', '.join(keys[:_NAMED])} and {more} more"


def _hint(model: type[BaseModel], loc: Loc) -> str:
    owner: type[BaseModel] | None = model
    for part in (part for part in loc[:-1] if isinstance(part, str)):
        field = owner.model_fields.get(part) if owner else None
        owner = next(_models_in(field.annotation), None) if field else None
    return f", {nearest(str(loc[-1]), owner.model_fields, cutoff=0.65)}" if owner else ""


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that a type names: itself, or those in a list or a choice."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)


def _place(loc: Loc) -> Loc:
    """Where a value is, without the types that pydantic tried on it."""
    return tuple(part for part in loc if "[" not in str(part))


def _key(loc: Loc) -> str:
    """How a message names the place of a value."""
    return ".".join(map(str, _place(loc))) or "the whole"

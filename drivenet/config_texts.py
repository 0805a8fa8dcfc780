"""Texts in settings: places, names and secrets, with what they may not be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr, WithJsonSchema
from pydantic_core import PydanticCustomError

from drivenet.address import expand_home
from drivenet.errors import UsageError


def _something(text: str) -> str:
    """A text that says something: an empty one is a variable of a shell that nobody has set."""
    if not text.strip(" \t,"):
        raise PydanticCustomError("empty", "must not be empty (leave it out for none)")
    return text


def _some_secret(secret: SecretStr) -> SecretStr:
    _something(secret.get_secret_value())
    return secret


def _at_home(text: str) -> str:
    try:
        return expand_home(text)
    except UsageError as error:
        raise PydanticCustomError("home", "{why}", {"why": str(error)}) from None


def _number_as_text(value: Any) -> Any:
    return str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


Text = Annotated[str, AfterValidator(_something)]
Secret = Annotated[SecretStr, AfterValidator(_some_secret)]
#: A path, an address or a name; ``~/`` at its start is the home folder, also where no shell has expanded it.
Place = Annotated[Text, AfterValidator(_at_home)]
#: Likewise; a number is a camera. Not by pydantic's own way from numbers, which refuses names that are no UTF-8.
SourceText = Annotated[str, BeforeValidator(_number_as_text), AfterValidator(_at_home)]


def _as_list(value: Any) -> Any:
    if not isinstance(value, (str, list, tuple)):
        raise PydanticCustomError("texts", "must be a text or a list")
    return (value,) if isinstance(value, str) else value


_LISTED = BeforeValidator(_as_list)
_LISTED_SCHEMA = WithJsonSchema({"type": ["array", "string"], "items": {"type": "string"}})
#: Texts; a single one needs no list in a file.
Texts = Annotated[tuple[Text, ...], _LISTED, _LISTED_SCHEMA]
Places = Annotated[tuple[Place, ...], _LISTED, _LISTED_SCHEMA]


def one_of(table: Collection[str]) -> BeforeValidator:
    """A check for texts that are one of these: a literal would write the names of a table a second time."""

    def check_name(value: Any) -> Any:
        if value not in tuple(table):
            known = ", ".join(map(repr, table))
            raise PydanticCustomError("literal_error", "must be {known}", {"known": known})
        return value

    return BeforeValidator(check_name)

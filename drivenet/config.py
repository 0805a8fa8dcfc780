"""YAML files into checked settings: an unknown key is an error that names the key and the nearest valid one."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_core import ErrorDetails

from drivenet.errors import ConfigError, nearest
from drivenet.labels import LabelSet, built_in

#: Settings whose values no message shows.
_SECRET = ("token",)


class Settings(BaseModel):
    """Base of everything that a YAML file may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=Settings)


def load_yaml(path: Path, model: type[S], overrides: dict[str, Any] | None = None) -> S:
    """Read a YAML file as ``model``.

    Args:
        path: the file.
        model: what it must hold.
        overrides: values that win over the file's, by top-level key; None values are left out.

    Raises:
        ConfigError: all that is wrong, on one line.
    """
    raw = _read(path)
    return check({**raw, **{k: v for k, v in (overrides or {}).items() if v is not None}}, model, str(path))


def _read(path: Path) -> dict[Any, Any]:
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}", "a YAML file") from error
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise ConfigError(f"{path} is no YAML: {error}", "a YAML file") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds {'nothing' if raw is None else type(raw).__name__}", "keys and values")
    return raw


def check(values: dict[str, Any], model: type[S], where: str) -> S:
    """Values as ``model``; ConfigError listing every problem, with ``where`` they came from."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [_problem(model, e) for e in error.errors()]
        raise ConfigError(f"{where}: {'; '.join(problems)}") from error


def _problem(model: type[BaseModel], error: ErrorDetails) -> str:
    loc, got = error["loc"], error["input"]
    key = ".".join(map(str, loc)) or "the whole"
    if error["type"] != "extra_forbidden":
        shown = f", got {got!r:.60}" if isinstance(got, (bool, int, float, str)) and key not in _SECRET else ""
        return f"{key}: {error['msg']}{shown}"
    owner: Any = model
    for part in loc[:-1]:
        owner = getattr(owner.model_fields.get(str(part)), "annotation", None)
        if not (isinstance(owner, type) and issubclass(owner, BaseModel)):
            return f"unknown key {key}"
    return f"unknown key {key}, {nearest(str(loc[-1]), owner.model_fields)}"


class NodeSettings(Settings):
    """A node: what ``drivenet run`` takes, by the same names. The command line wins over the file."""

    source: str | None = Field(None, coerce_numbers_to_str=True)
    engine: str | None = None
    backend: str = "auto"
    precision: str = "auto"
    threads: int | None = Field(None, ge=1)
    out: tuple[str, ...] = ()
    stats: str | None = None
    show: bool = False
    headless: bool = False
    serve: str | None = None
    token: SecretStr | None = None
    allow_anonymous: bool = False
    allowed_hosts: tuple[str, ...] = ()
    visualize: Literal["overlay", "mask", "side-by-side"] = "overlay"
    alpha: float = Field(0.5, ge=0, le=1)
    policy: Literal["latest", "every"] | None = None
    rate: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_frames: int | None = Field(None, ge=1)

    @field_validator("out", "allowed_hosts", mode="before")
    @classmethod
    def _one_is_a_list(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class LabelSettings(Settings):
    """A label set in a YAML file: a list of classes with colour and group."""

    class Row(Settings):
        """One class."""

        name: str
        colour: tuple[int, int, int] = Field(description="RGB, 0 to 255")
        group: str = "background"

    name: str
    classes: tuple[Row, ...]


def load_labels(name_or_file: str) -> LabelSet:
    """A built-in label set by name, or one from a YAML file (see ``configs/labels``).

    Raises:
        UsageError, ConfigError: if there is none of that name, or the file is not right.
    """
    if not name_or_file.endswith((".yaml", ".yml")):
        return built_in(name_or_file)
    read = load_yaml(Path(name_or_file), LabelSettings)
    rows = read.classes
    return LabelSet(
        read.name, tuple(r.name for r in rows), tuple(r.colour for r in rows), {r.name: r.group for r in rows}
    )

"""YAML files into checked settings: an unknown key is an error that names the key and the nearest valid one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, WithJsonSchema
from pydantic.json_schema import GenerateJsonSchema

from drivenet.address import expand_home, mask_uri
from drivenet.backends import BACKENDS
from drivenet.config_problems import problems_of
from drivenet.config_texts import Place, Places, Secret, SourceText, Text, Texts, one_of
from drivenet.config_yaml import Loader, unseen
from drivenet.errors import ConfigError
from drivenet.labels import GROUPS, LabelSet, built_in
from drivenet.resources import configs_dir


class Settings(BaseModel):
    """Base of everything that a YAML file may hold."""

    model_config = ConfigDict(extra="forbid", frozen=True)


S = TypeVar("S", bound=Settings)


def load_yaml(path: Path, model: type[S], overrides: dict[str, Any] | None = None) -> S:
    """Read a YAML file as ``model``.

    Args:
        path: the file; one of those that ship with drivenet, ``configs/...``, is found from anywhere.
        model: what it must hold.
        overrides: values that win over the file's, by top-level key; None values are left out.

    Raises:
        ConfigError: all that is wrong, on one line.
    """
    text = _read(path)
    try:
        raw = _parsed(text, path)
        return check({**raw, **{k: v for k, v in (overrides or {}).items() if v is not None}}, model, str(path))
    except ConfigError as error:
        raise ConfigError(error.received, error.expected, error.cure or unseen(text)) from error.__cause__


def _read(path: Path) -> str:
    try:
        return yaml_file(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}", "a YAML file") from error
    except UnicodeDecodeError as error:
        told = f"byte 0x{error.object[error.start]:02x} in line {error.object.count(10, 0, error.start) + 1}"
        raise ConfigError(f"{path} is no YAML: {told} is not UTF-8", "a YAML file", "save it in UTF-8") from error


def _parsed(text: str, path: Path) -> dict[Any, Any]:
    try:
        raw = yaml.load(text, Loader)
    except (ValueError, LookupError, yaml.YAMLError, RecursionError) as error:  # LookupError: !!bool maybe
        raise ConfigError(f"{path} is no YAML: {_why(error, text)}", "a YAML file") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path} holds {'nothing' if raw is None else type(raw).__name__}", "keys and values")
    return raw


def yaml_file(path: Path) -> Path:
    """The file that is meant; ``configs/...`` ships with drivenet, and need not lie where the command runs."""
    file = Path(expand_home(str(path)))
    if os.path.exists(file) or file.parts[:1] != ("configs",):  # unlike Path.exists it raises nothing
        return file
    shipped = configs_dir().joinpath(*file.parts[1:])
    return shipped if shipped.is_file() else file


def _why(error: Exception, text: str) -> str:
    """What is wrong and where, without the line itself: it may hold a password."""
    if isinstance(error, yaml.reader.ReaderError):
        return f"character U+{ord(text[error.position]):04X} in line {text.count(chr(10), 0, error.position) + 1}"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    return f"{error.problem} in line {error.problem_mark.line + 1}, column {error.problem_mark.column + 1}"


def check(values: dict[str, Any], model: type[S], where: str) -> S:
    """Values as ``model``; ConfigError listing every problem, with ``where`` they came from."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = problems_of(error, model)
        training = model is NodeSettings and isinstance(values.get("model"), dict)
        cure = "settings of a training go to drivenet train" if training else ""
        raise ConfigError(f"{where}: {'; '.join(problems)}", cure=cure) from error


class _Untitled(GenerateJsonSchema):
    """Keys speak for themselves: titles made from them would say the same again."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def json_schema(model: type[Settings]) -> dict[str, Any]:
    """What a YAML file of these settings may hold, as JSON Schema (draft 2020-12) for editors."""
    return {"$schema": GenerateJsonSchema.schema_dialect, **model.model_json_schema(schema_generator=_Untitled)}


_BACKENDS = ("auto", *BACKENDS)
_BackendName = Annotated[str, one_of(_BACKENDS), WithJsonSchema({"enum": list(_BACKENDS), "type": "string"})]


#: A source in JSON Schema.
_ADDRESS = {"type": ["string", "integer"]}


class NodeSettings(Settings):
    """A node: what ``drivenet run`` takes, by the same names. The command line wins over the file.

    The descriptions are what ``drivenet run --help`` and an editor show.
    """

    source: Annotated[SourceText | None, WithJsonSchema({"type": ["string", "integer", "null"]})] = Field(
        None,
        description="A camera number, device, address, video file, folder or glob of pictures, or a drawn drive: "
        "0, /dev/video0, csi://0, rtsp://host/path, clip.mp4, folder/, frames/*.png, synthetic://1280x720@30.",
    )
    sources: Annotated[
        dict[str, SourceText] | tuple[SourceText, ...],
        WithJsonSchema({"type": ["array", "object"], "items": _ADDRESS, "additionalProperties": _ADDRESS}),
    ] = Field(
        (),
        description="Several sources on one engine, in place of source: a list, or addresses by id. Outputs have "
        "{source} in the place of the id.",
    )
    engine: Place | None = Field(
        None, description="A model file, or a name from drivenet models [default: the one marked there]."
    )
    backend: _BackendName = Field(
        "auto", description="Backend that runs the engine; auto takes the fastest available [default: auto]."
    )
    precision: Literal["auto", "fp32", "fp16", "bf16", "int8"] = Field(
        "auto", description="Arithmetic precision; auto takes what the engine has [default: auto]."
    )
    threads: int | None = Field(None, ge=1, description="Processor threads of the engine [default: physical cores].")
    lanes: int | None = Field(
        None, ge=1,
        description="Frames at the engine at a time, each with its part of the threads [default: one, or two "
        "where a live source is recorded and one does not keep up; for a recording or several sources one a thread, "
        "at most 4].",
    )  # fmt: skip
    rebuild: bool = Field(
        False,
        description="If the compiled engine is missing or outdated, rebuild it in the background and switch over; ONNX "
        "Runtime serves meanwhile.",
    )
    background_build: bool = Field(
        True,
        description="Build faster engines of the model in the background at first use, for the next run "
        "[env: DRIVENET_BACKGROUND_BUILD] [default: on].",
    )
    out: Places = Field(
        (),
        description="Record or publish there: FILE.mp4, .mkv or .mcap, FOLDER/, rtsp://, ros2://, mqtt:// or "
        "zenoh://; may be repeated.",
    )
    stats: Place | None = Field(None, description="Write one JSON line per frame and a summary; - is standard output.")
    segment: Text | None = Field(
        None, description="Cut recordings (video, MCAP, stats) into segments of this length or size: 60s, 5min, 500MB."
    )
    keep: Text | None = Field(
        None, description="Delete the oldest segments when all of them take more than this: 20GB."
    )
    keep_free: Text | None = Field(None, description="Delete the oldest segments to keep this free on the disk: 2GB.")
    lock_when: Texts = Field(
        (), description="Never delete segments around a frame with, for example, pedestrian>5%; may be repeated."
    )
    overwrite: bool = Field(False, description="Overwrite existing files [default: the next free name, FILE-2.mp4].")
    strict: bool = Field(False, description="End the run at the first output that fails, instead of reopening it.")
    show: bool = Field(False, description="Show a window: q quits, space pauses, tab next view, s saves.")
    headless: bool = Field(False, description="Do not open a window.")
    serve: Text | None = Field(None, description="Serve a live page at HOST:PORT (extra [web]).")
    token: Secret | None = Field(None, description="Token that viewers of the page must send [env: DRIVENET_TOKEN].")
    secrets: Place | None = Field(
        None, description="File of NAME=VALUE lines for ${NAME} in addresses; other names come from the environment."
    )
    allow_anonymous: bool = Field(False, description="Serve the page to others without a token.")
    allowed_hosts: Texts = Field((), description="Another name of the page's host; may be repeated.")
    root_path: str = Field("", description="Path under which a reverse proxy serves the page, such as /cars/front.")
    trusted_proxies: Texts = Field(
        (), description="Address or network of a proxy whose X-Forwarded headers are trusted; may be repeated."
    )
    visualize: Literal["overlay", "mask", "side-by-side", "instances", "panoptic", "cutout"] = Field(
        "overlay",
        description="What images show; panoptic is for folders and PNG, cutout also for MOV, WebM [default: overlay].",
    )
    hud: Literal["off", "small", "full"] | None = Field(
        None, description="Figures drawn on the image [default: full; off for masks, and where the source is images]."
    )
    palette: Literal["official", "contrast"] = Field(
        "official", description="Colours: the data set's, or one where signs, people and vehicles stand out."
    )
    mask_size: Literal["engine", "source"] = Field(
        "engine",
        description="Size of mask images: that of the class map or of the frame [default: engine].",
    )
    classes: Texts = Field(
        (), description="Only these classes or groups are drawn, measured and cut out: car,person; may be repeated."
    )
    zones: Place | None = Field(
        None, description="YAML file of zones and lines: areas and counts by zone, and what crosses each line."
    )
    alpha: float = Field(
        0.5, ge=0, le=1, description="Opacity of the class colours in the overlay, 0 to 1 [default: 0.5]."
    )
    trail: bool = Field(False, description="Draw where the centroid of each thing was in the last second.")
    policy: Literal["latest", "every"] | None = Field(
        None, description="Which frames are processed [default: every for recordings, latest for live sources]."
    )
    rate: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Replay a recording at a fixed rate, in frames per second."
    )
    wait: bool = Field(
        False,
        description="Wait for a camera or stream that is not there at the start, also where its name, path, device or "
        "password looks wrong, or it may be a recording (HTTP) [default: on with --supervise; with --headless only "
        "where it refuses or is silent].",
    )
    loop: bool = Field(False, description="Start a file or folder again at its end, until the run is stopped.")
    budget_ms: float | None = Field(
        None, gt=0, allow_inf_nan=False,
        description="Process fewer frames, then by a smaller input, while p90 from capture to output is above this.",
    )  # fmt: skip
    budget_engine: Place | None = Field(
        None,
        description="The engine with the smaller input, of the same classes [default: the next smaller one there is].",
    )
    damaged: Literal["stop", "skip"] = Field(
        "stop",
        description="Damaged frames of a recording or images of a folder: end the run, or skip and count them "
        "[default: stop].",
    )
    blur: Texts = Field(
        (), description="Hide these groups or classes in the frame before any output has it: pedestrian,vehicle."
    )
    stage: Texts = Field(
        (), description="A stage of your own, FILE.py:CLASS or MODULE:CLASS, before --blur; may be repeated."
    )
    smooth: bool = Field(False, description="Class ids change only where several frames agree along the motion.")
    max_frames: int | None = Field(None, ge=1, description="Stop after this number of captured frames.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Lowest severity that is logged to standard error [default: info]."
    )
    log_format: Literal["plain", "json"] = Field(
        "plain", description="Lines of the log as text or as JSON objects [default: plain]."
    )

    def masked(self) -> NodeSettings:
        """The same without the credentials in addresses, for people to see."""
        texts = {name: value for name, value in self if isinstance(value, (str, tuple))}
        hidden = {n: mask_uri(v) if isinstance(v, str) else tuple(map(mask_uri, v)) for n, v in texts.items()}
        if isinstance(self.sources, dict):
            return self.model_copy(update={**hidden, "sources": {n: mask_uri(u) for n, u in self.sources.items()}})
        return self.model_copy(update=hidden)


class LabelSettings(Settings):
    """A label set in a YAML file: a list of classes with colour and group."""

    class Row(Settings):
        """One class."""

        name: str = Field(description="The class, as figures and legends call it.")
        colour: tuple[int, int, int] = Field(
            description="Red, green, blue, each 0 to 255; no two classes have the same."
        )
        group: str = Field(
            "background", json_schema_extra={"enum": list(GROUPS)},
            description="What it counts as: in a scene, and where other classes are compared.",
        )  # fmt: skip

    name: str = Field(description="How commands and artefacts call the set.")
    classes: tuple[Row, ...] = Field(description="In the order of their ids, from 0.")


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

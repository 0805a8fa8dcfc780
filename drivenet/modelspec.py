"""All that an artefact needs to be used rightly; rides inside the ONNX and as JSON beside every artefact."""

from __future__ import annotations

import json
import re
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from drivenet.errors import ModelSpecError
from drivenet.labels import LabelSet

#: The key under which the spec is stored in the ONNX ``metadata_props``.
METADATA_KEY = "drivenet.modelspec"

Precision = Literal["fp32", "fp16", "bf16", "int8"]
Tail = Literal["full", "half", "eighth"]
#: What share of the input's height and width the argmax of each tail works at: 1/1, 1/2, 1/8.
TAILS: dict[Tail, int] = {"full": 1, "half": 2, "eighth": 8}


class LabelsSpec(BaseModel):
    """A :class:`~drivenet.labels.LabelSet` as it is written down."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    classes: tuple[str, ...]
    palette: tuple[tuple[int, int, int], ...]
    groups: dict[str, str]

    @classmethod
    def of(cls, labels: LabelSet) -> LabelsSpec:
        """Write a label set down."""
        return cls(name=labels.name, classes=labels.classes, palette=labels.palette, groups=dict(labels.groups))

    def label_set(self) -> LabelSet:
        """The label set as the program uses it; checks it."""
        return LabelSet(self.name, self.classes, self.palette, self.groups)


class ThingsSpec(BaseModel):
    """The outputs of a head for single things, and the thresholds of their grouping.

    ``centres``, uint8 (1, h, w), is 0 but at the peaks of the centre map, 255 times their height; ``offsets``, uint8
    (1, 2, h, w), are rows and columns to the centre of the own thing, 128 for none.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    cells: tuple[int, int] = Field(description="height and width of both outputs")
    scale: float = Field(gt=0, description="cells that an offset of 1 stands for")
    centre: int = Field(ge=1, le=255, description="lowest peak that is a centre")
    reach: float = Field(gt=0, description="cells from its centre at which an offset still claims it")
    min_area: float = Field(ge=0, lt=1, description="smallest thing, as a fraction of the image")


class ModelSpec(BaseModel):
    """What a deployed artefact is, takes and gives.

    The graph takes ``frame``, uint8 (1, H, W, 3) in ``colour`` order, and gives ``classes``, uint8 (1, H', W').
    ``mean`` and ``std`` (RGB, of values divided by 255) are a record: they are applied inside the graph.
    With ``confidence`` it gives a second output of that name, uint8 (1, H', W'): 255 times the softmax probability
    of the class in ``classes``. With ``things`` it gives ``centres`` and ``offsets`` last.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1] = 1
    name: str
    architecture: str
    input: tuple[int, int] = Field(description="height and width of the input in pixels")
    output: tuple[int, int] = Field(description="height and width of the class map in pixels")
    colour: Literal["bgr"] = "bgr"
    layout: Literal["nhwc"] = "nhwc"
    dtype: Literal["uint8"] = "uint8"
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    normalisation: Literal["in_graph"] = "in_graph"
    argmax: Literal["in_graph"] = "in_graph"
    confidence: bool = Field(default=False, description="whether the graph also gives how sure it is; left out if not")
    things: ThingsSpec | None = Field(default=None, description="outputs that part things; left out if there are none")
    letterbox: int | None = Field(
        default=None, ge=0, le=255,
        description="grey of the bars around a picture that keeps its proportions; left out where it is stretched",
    )  # fmt: skip
    tail: Tail = "half"
    precision: Precision = "fp32"
    labels: LabelsSpec
    params: int = Field(ge=0, description="parameters of the deployed network")
    gmac: float = Field(ge=0, description="10^9 multiply-accumulates a frame at the deployed input")
    trained_on: str = ""
    data_licence: str = ""
    recipe: str = ""
    training: dict[str, Any] = Field(default_factory=dict, description="minutes, machine, iterations, seed")
    val_miou: float | None = None
    source_sha256: str = Field(default="", description="of the checkpoint the artefact was exported from")

    @model_validator(mode="after")
    def _check(self) -> ModelSpec:
        self.labels.label_set()
        if min(*self.input, *self.output) < 1:
            raise ValueError(f"input {self.input} and output {self.output} must be positive")
        return self

    @model_serializer(mode="wrap")
    def _leave_out_what_is_not(self, as_usual: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without ``confidence``, ``things`` or ``letterbox`` a spec is written as before them: seals stay valid."""
        fields: dict[str, Any] = as_usual(self)
        there = {"confidence": self.confidence, "things": self.things is not None,
                 "letterbox": self.letterbox is not None}  # fmt: skip
        absent = {name for name, is_there in there.items() if not is_there}
        return {name: v for name, v in fields.items() if name not in absent}

    def outputs(self) -> list[tuple[str, list[int]]]:
        """Names and shapes of what the graph gives, all uint8, in their order."""
        found = [("classes", [1, *self.output])]
        if self.confidence:
            found.append(("confidence", [1, *self.output]))
        if self.things is not None:
            found += [("centres", [1, *self.things.cells]), ("offsets", [1, 2, *self.things.cells])]
        return found

    @cached_property
    def label_set(self) -> LabelSet:
        """The classes, colours and groups of the class map; one object for each spec."""
        return self.labels.label_set()

    def __copy__(self) -> ModelSpec:
        copied = super().__copy__()
        copied.__dict__.pop("label_set", None)  # a copy may get other labels
        return copied

    def to_json(self) -> str:
        """One JSON document, stable in its order."""
        return json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str, where: str) -> ModelSpec:
        """Parse and check; ModelSpecError naming ``where`` and the first wrong field."""
        try:
            return cls.model_validate_json(text.replace(digest_line(text), "", 1))
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "the document"
            raise ModelSpecError(
                f"{where} holds no valid ModelSpec: {field}: {first['msg']}",
                "the spec that drivenet export writes",
                "export the model again",
            ) from error


#: The key of the JSON beside an artefact that holds its SHA-256; the spec inside it cannot.
DIGEST = "file_sha256"
_DIGEST_LINE = re.compile(rf',\s*"{DIGEST}": "([0-9a-f]{{64}})"')


def digest_line(text: str) -> str:
    """The part of a JSON that states the digest of the artefact; empty if none does."""
    found = _DIGEST_LINE.search(text)
    return found[0] if found else ""


def with_digest(text: str, digest: str) -> str:
    """The JSON of a spec with the SHA-256 of the artefact that it is beside."""
    return f'{text.rstrip()[:-1].rstrip()},\n "{DIGEST}": "{digest}"\n}}'


def stated_digest(text: str) -> str:
    """The SHA-256 that a JSON states; empty if none."""
    found = _DIGEST_LINE.search(text)
    return found[1] if found else ""


def spec_path(artefact: Path) -> Path:
    """Where the JSON beside an artefact lies: ``fast.onnx`` has ``fast.json``."""
    return artefact.with_suffix(".json")

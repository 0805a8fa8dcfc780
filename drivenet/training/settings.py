"""What a training YAML may hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from drivenet.config import Settings
from drivenet.config_texts import Place
from drivenet.data import DatasetName

#: Drawn frames come so many from a drive.
FRAMES_A_DRIVE = 4

Factor = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class ModelSettings(Settings):
    """The network: its architecture and that class's options."""

    architecture: str = Field(description="bisenetv1, bisenetv2, deeplabv3plus_mobilenetv3, efficientnet_fpn, ...")
    options: dict[str, Any] = Field(default_factory=dict, description="keyword arguments of the architecture's class")
    start: Place | Literal["imagenet"] | None = Field(
        None, description="checkpoint to start from, as far as names and shapes agree; imagenet: the encoder's own"
    )
    freeze: int = Field(
        0, ge=0, description="first parts of the encoder that stay as they are, weights and statistics: stem, stages"
    )


class RefineSettings(Settings):
    """Finer labels of the same pictures, in the network's classes, trusted within what the true label allows."""

    folder: str = Field(description="{split} is the split; relative to the source's root; files of the same stems")
    classes: tuple[str, ...] = Field(description="the data set's classes that are refined")


class SourceSettings(Settings):
    """Labelled pictures to learn from, and what they are selected on."""

    dataset: DatasetName = Field(description="layout of the data; folder is images/ and labels/ with splits or without")
    root: Place | None = Field(None, description="folder of the data set; --root wins over it")
    labels: str | None = Field(
        None, description="of a layout that has none of its own: a built-in label set, or FILE.yaml"
    )
    mapping: Place | None = Field(None, description="YAML of the network's classes that each label may be")
    splits: tuple[Literal["train", "val"], ...] = Field(("train",), description="that are learned from")
    share: float = Field(1.0, ge=0, description="of the samples, relative to the other sources'")
    select: float = Field(
        1.0, ge=0, description="weight of this source's val mIoU in the mean that is selected on; 0: val is not read"
    )
    select_pictures: int | None = Field(None, ge=1, description="of val, evenly taken [null: all]")
    refine: RefineSettings | None = Field(None, description="finer labels of the same pictures")
    instances: str | None = Field(
        None, description="folder of thing ids by stem, 0 none, 255 not known; {split} as in refine.folder"
    )
    ignore_fringes: tuple[str, ...] = Field(
        (), description="the data set's classes whose rims thinner than 3 pixels have no truth"
    )
    frames: int = Field(
        600, ge=0, multiple_of=FRAMES_A_DRIVE, description="of the synthetic drive, rendered once, at the start"
    )
    name: str | None = Field(None, description="as records call it [null: its labels, or the data set]")

    @property
    def known_as(self) -> str:
        """How figures and records call it."""
        return self.name or (Path(self.labels).stem if self.dataset == "folder" and self.labels else self.dataset)

    def place(self, folder: str, split: str, root: Path | None = None) -> Path:
        """Where further labels of a split are: a folder's name with ``{split}``, seen from ``root`` or its own."""
        return (root or Path(self.root or ".")) / folder.replace("{split}", split)


class FocusSettings(Settings):
    """Samples whose crop holds a pixel of a rare class."""

    share: float = Field(0.0, ge=0, le=1, description="of the samples")
    classes: tuple[str, ...] = Field((), description="of the network; each is as likely as the others")


class PasteSettings(Settings):
    """Samples into which things are pasted that were cut from pictures of sources with ``instances``."""

    share: float = Field(0.0, ge=0, le=1, description="of the samples")
    most: int = Field(3, ge=1, description="things a sample")
    classes: tuple[str, ...] = Field(
        (), description="of the network [empty: people, riders, two-wheelers, vehicles, signs and lights]"
    )


class AugmentSettings(Settings):
    """How samples are varied; probabilities and ranges."""

    crop: tuple[int, int] = Field((256, 384), description="height and width of a sample")
    scale: tuple[Factor, Factor] = Field((0.5, 2.0), description="least and most, of the size at the network's input")
    aspect: tuple[Factor, Factor] = Field(
        (0.75, 1.2), description="horizontal over vertical stretch beyond that of the network's input, least and most"
    )
    flip: float = Field(0.5, ge=0, le=1, description="probability of a mirrored sample")
    recolour_sky: float = Field(0.6, ge=0, le=1, description="probability of another sky")
    recolour_road: float = Field(0.4, ge=0, le=1, description="probability of a lighter, darker or tinted road")
    recolour_cars: float = Field(0.4, ge=0, le=1, description="probability of other paint")
    dry: float = Field(0.2, ge=0, le=1, description="vegetation as yellow and brown as in summer and autumn")
    hills: float = Field(0.25, ge=0, le=1, description="hills along the horizon, which count as trees")
    dusk: float = Field(0.08, ge=0, le=1, description="probability of dusk")
    night: float = Field(0.06, ge=0, le=1, description="probability of night")
    lit_night: float = Field(0.0, ge=0, le=1, description="darkness by class, with windows, lamps and signals on")
    tunnel: float = Field(0.0, ge=0, le=1, description="walls, which count as wall or building, in place of all around")
    rain: float = Field(0.0, ge=0, le=1, description="a grey sky, a wet road, drops on the glass")
    snow: float = Field(0.0, ge=0, le=1, description="snow on verges, trees and edges of the road")
    flare: float = Field(0.0, ge=0, le=1, description="a low sun in the lens")
    motion_blur: float = Field(0.0, ge=0, le=1, description="probability of blur along the motion")
    bonnet: float = Field(0.0, ge=0, le=1, description="the own bonnet or dashboard, which is ignored")
    jitter: float = Field(
        0.8, ge=0, le=1, description="probability of other contrast, saturation, hue, gamma and gains"
    )
    blur: float = Field(0.15, ge=0, le=1, description="probability of blur")
    jpeg: float = Field(0.2, ge=0, le=1, description="probability of JPEG artefacts")
    noise: float = Field(0.2, ge=0, le=1, description="probability of noise")

    @model_validator(mode="after")
    def _ranges(self) -> AugmentSettings:
        for name, (least, most) in (("scale", self.scale), ("aspect", self.aspect)):
            if least > most:
                raise ValueError(f"{name} is from {least} to {most}, the least has to come first")
        if self.lit_night + self.tunnel + self.rain + self.snow > 1:
            raise ValueError("lit_night, tunnel, rain and snow exclude each other, their sum has to be 1 at most")
        return self


class OptimiserSettings(Settings):
    """Optimiser and schedule: linear warm-up, then (1 - progress) ** power."""

    name: Literal["adamw", "sgd"] = Field("adamw", description="the optimiser")
    lr: float = Field(2e-3, gt=0, description="learning rate at the end of the warm-up")
    weight_decay: float = Field(0.02, ge=0, description="of the weights of convolutions")
    momentum: float = Field(0.9, ge=0, lt=1, description="of sgd")
    encoder_lr: float = Field(1.0, gt=0, description="of an encoder, times lr")
    warmup: int = Field(100, ge=0, description="iterations")
    power: float = Field(0.9, gt=0, description="of the decay")
    clip: float = Field(5.0, gt=0, description="largest norm of the gradient")


class LossSettings(Settings):
    """Class-weighted cross-entropy, of all pixels or the hard ones, plus Dice and Lovász; further heads."""

    dice: float = Field(0.5, ge=0, description="weight of the soft Dice loss")
    lovasz: float = Field(0.0, ge=0, description="weight of the Lovász-Softmax loss, a surrogate of the IoU")
    auxiliary: float = Field(0.4, ge=0, description="weight of each auxiliary head")
    things: float = Field(0.1, gt=0, description="weight of a head for single things, if the network has one")
    weights: Literal["none", "log"] = Field("log", description="log: 1 / ln(1.1 + share of pixels)")
    ohem: float | None = Field(
        None, gt=0, le=1, description="learn only from pixels whose class got less probability, 1/16 of all at least"
    )


class DistilSettings(Settings):
    """A trained network to imitate: its class probabilities are a second truth, also where the picture has none."""

    teacher: Place = Field(description="checkpoint of drivenet train, of the same labels and stride")
    weight: float = Field(1.0, gt=0, description="of the imitation, relative to the labels")
    temperature: float = Field(2.0, gt=0, description="softens both probabilities")
    scale: float = Field(1.0, gt=0, le=4, description="how much larger the teacher sees a sample than the student")


class TrainSettings(Settings):
    """A whole training run. It lasts ``iterations``, or ``minutes`` of this machine."""

    name: str = Field(description="of the run and its folder, runs/NAME")
    model: ModelSettings = Field(description="the network")
    labels: str = Field("cityscapes", description="the network's classes: a built-in label set, or FILE.yaml")
    data: tuple[SourceSettings, ...] = Field(description="the sources of labelled pictures")
    focus: FocusSettings = Field(FocusSettings(), description="samples around rare classes")
    paste: PasteSettings = Field(PasteSettings(), description="things cut from one picture into another")
    augment: AugmentSettings = Field(AugmentSettings(), description="how samples are varied")
    optimiser: OptimiserSettings = Field(OptimiserSettings(), description="optimiser and schedule")
    loss: LossSettings = Field(LossSettings(), description="what is minimised")
    distil: DistilSettings | None = Field(None, description="a trained network to imitate")
    input: tuple[int, int] = Field((288, 512), description="height and width of the deployed input")
    batch: int = Field(8, ge=1, description="samples an iteration, of each process")
    iterations: int | None = Field(None, ge=1, description="length; or minutes")
    minutes: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="length, in minutes of this machine; or iterations"
    )
    ema: float = Field(0.998, ge=0, lt=1, description="decay of the averaged weights, which are scored and exported")
    seed: int = Field(0, ge=0, description="of everything random")
    device_augment: bool | None = Field(
        None, description="keep pictures in the device's memory and vary them there [null: on a GPU, if they fit]"
    )
    compile: bool = Field(False, description="compile the network before training: slow to start, then faster")
    sync_batch_norm: bool = Field(False, description="batch statistics over all GPUs")
    validate_every: int = Field(250, ge=1, description="iterations between looks at val")
    checkpoint_every: int = Field(50, ge=1, description="iterations between checkpoints")

    @field_validator("data", mode="before")
    @classmethod
    def _listed(cls, data: Any) -> Any:
        if not isinstance(data, (list, tuple)) or not data:
            raise ValueError("a list of sources is wanted, each with the name of its dataset")
        return data

    @model_validator(mode="after")
    def _consistent(self) -> TrainSettings:
        if (self.iterations is None) == (self.minutes is None):
            raise ValueError("give either iterations or minutes")
        names = [one.known_as for one in self.data if one.select]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"two sources to select on are called {min(twice)}, give one of them a name")
        for name, size in (("input", self.input), ("augment.crop", self.augment.crop)):
            if any(side < 32 or side % 32 for side in size):
                raise ValueError(f"{name} {size} must be multiples of 32")
        return self

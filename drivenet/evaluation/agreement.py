"""How far several engines give the same ids, over every frame of a clip."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from drivenet.engine.base import Engine
from drivenet.engine.things import infer_instances
from drivenet.errors import EngineError, SourceError
from drivenet.frame import Frame
from drivenet.metrics import agreement
from drivenet.prepare import prepare_for
from drivenet.things.agreement import ThingAgreement

#: The share of equal ids that float engines of one model keep to: they differ by the rounding of floats alone.
SAME_FLOATS = 0.999


@dataclass
class Agreement:
    """One engine against the reference.

    Args:
        engine: what :meth:`Engine.describe` says of it.
        shares: of each frame, the share of pixels with the same id, 0..1.
        things: of the reference, where it has centres.
    """

    engine: dict[str, object]
    shares: list[float] = field(default_factory=list)
    things: ThingAgreement = field(default_factory=ThingAgreement)

    @property
    def share(self) -> float:
        """Over all frames."""
        return float(np.mean(self.shares))

    def to_dict(self) -> dict[str, object]:
        """The figures; ``passed`` is whether it keeps to :data:`SAME_FLOATS`; ``things`` only if any was counted."""
        worst = int(np.argmin(self.shares))
        things = {"things": round(self.things.share, 6)} if self.things.share is not None else {}
        return {
            "engine": self.engine, "frames": len(self.shares), "agreement": round(self.share, 6),
            "worst_frame": worst, "worst": round(self.shares[worst], 6), "passed": self.share >= SAME_FLOATS, **things,
        }  # fmt: skip


def _form(engine: Engine) -> tuple[object, ...]:
    """What two engines have in common whose ids can be compared."""
    spec = engine.spec
    return spec.input, spec.output, spec.labels, spec.letterbox


def compare_engines(
    reference: Engine,
    others: Sequence[Engine],
    frames: Iterable[Frame],
    progress: Callable[[int], None] | None = None,
) -> list[Agreement]:
    """Show every frame to all engines.

    Args:
        reference: whose ids the others are held against.
        others: at least one, with the same input, output and labels.
        frames: of any size; each is prepared once.
        progress: called with the number of frames done.

    Raises:
        EngineError: for engines that are not of one model, or a failed inference.
        SourceError: if there are no frames.
    """
    for other in others:
        if _form(other) != _form(reference):
            told = f"{other.file} is not the same model as {reference.file}"
            raise EngineError(told, "the same sizes, labels and letterbox")
    found = [Agreement(other.describe()) for other in others]
    done = 0
    for done, frame in enumerate(frames, 1):
        image = prepare_for(frame, reference.spec)
        expected, instances = infer_instances(reference, image, frame.size)
        for other, one in zip(others, found, strict=True):
            ids, found_instances = infer_instances(other, image, frame.size)
            one.shares.append(agreement(expected, ids))
            if instances is not None and found_instances is not None:
                one.things.add(instances, found_instances)
        if progress is not None:
            progress(done)
    if not done:
        raise SourceError("a source without frames", "at least one")
    return found

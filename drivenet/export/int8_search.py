"""int8 for networks that were not made for it: what suffers most stays float until the parity check would pass."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from drivenet.artefacts.passport import Parity
from drivenet.engine.base import Engine
from drivenet.engine.onnxruntime.engine import OnnxRuntimeEngine
from drivenet.engine.onnxruntime.file import CPU
from drivenet.engine.parity import compare
from drivenet.errors import UsageError
from drivenet.export.int8 import Calibrated
from drivenet.export.int8_nodes import TENTHS
from drivenet.export.stored import check_target
from drivenet.frame import Image
from drivenet.modelspec import ModelSpec

#: What ends the search: fraction of equal ids, IoU of the worst class, fraction of the things found again, and of the
#: unsure pixels those of the same confidence. Each is a little above what a build is refused for, since its backend
#: rounds a little more.
ENOUGH, ENOUGH_IOU, ENOUGH_THINGS, ENOUGH_CONFIDENCE = 0.98, 0.55, 0.82, 0.75
#: Images that a version is compared on, and those that the loss by one tenth is measured on; evenly taken.
COMPARED, SAMPLED = 16, 6

Tell = Callable[[str], None]


def quantise_agreeing(source: Path, out: Path, pictures: Sequence[Image], tell: Tell = lambda text: None) -> ModelSpec:
    """Write an int8 version that agrees with the float model, or of all tries the one that agrees best.

    Args:
        source, out, pictures: as for :func:`~drivenet.export.int8.quantise`.
        tell: called with one line for each version that falls short, and if all do.

    Raises:
        UsageError, ModelSpecError, SinkError: as :func:`~drivenet.export.int8.quantise`.
    """
    check_target(out)
    with _opened(source, pictures) as trials:
        try:
            floats = _search(trials, tell)
        except UsageError as error:  # images that show nothing; a build says so too
            tell(f"int8 is not compared with the float model: {error}")
            floats = frozenset()
        return trials.network.write(out, tenths=floats)


class _Trials:
    """Int8 versions of one model, and how each compares with it.

    Args:
        folder: they are written to.
        network: whose versions they are.
        reference: the float model.
        pictures: to compare on.
    """

    def __init__(self, folder: Path, network: Calibrated, reference: Engine, pictures: Sequence[Image]) -> None:
        self.network = network
        self._file, self._reference, self._pictures = folder / "trial.onnx", reference, pictures

    def measure(self, floats: Collection[int], count: int) -> Parity:
        """Compare the version with these tenths in float on so many pictures."""
        self.network.write(self._file, tenths=floats)
        chosen = self._pictures[:: max(1, len(self._pictures) // count)]
        with closing(OnnxRuntimeEngine(self._file, providers=CPU)) as ours:
            return compare(self._reference, ours, chosen, "the calibration")


@contextmanager
def _opened(source: Path, pictures: Sequence[Image]) -> Iterator[_Trials]:
    network = Calibrated(source, pictures)
    with tempfile.TemporaryDirectory() as folder, closing(OnnxRuntimeEngine(source, providers=CPU)) as reference:
        yield _Trials(Path(folder), network, reference, pictures)


def _search(trials: _Trials, tell: Tell) -> frozenset[int]:
    """The tenths that stay float: those that lose most by themselves, as few as suffice."""
    floats: frozenset[int] = frozenset()
    best = float("inf"), floats
    losses: dict[int, float] = {}
    while True:
        parity = trials.measure(floats, COMPARED)
        best = min(best, (loss(parity), floats), key=lambda pair: pair[0])
        if best[0] <= 1:
            return best[1]
        tell(f"{len(floats) / TENTHS:.0%} of the layers in float: {parity.agreement:.2%} of pixels as in float, worst "
             f"class {parity.worst_class} at IoU {parity.worst_iou:.2f}")  # fmt: skip
        if len(floats) == TENTHS - 1:  # all of them would be no int8
            tell(f"no version is close enough to float, and a build may refuse it; the closest is written, with "
                 f"{len(best[1]) / TENTHS:.0%} of the layers in float")  # fmt: skip
            return best[1]
        if not losses:
            tell(f"measuring what each tenth of the layers loses in int8, {TENTHS} versions")
            losses = {t: loss(trials.measure(set(range(TENTHS)) - {t}, SAMPLED)) for t in range(TENTHS)}
        floats = _more(floats, losses)


def _more(floats: frozenset[int], losses: dict[int, float]) -> frozenset[int]:
    """Besides these tenths the one that loses most, and each that loses too much by itself; one stays int8."""
    left = sorted((t for t in losses if t not in floats), key=lambda t: -losses[t])
    chosen = floats | {left[0]} | {t for t in left if losses[t] > 1}
    return chosen if len(chosen) < TENTHS else chosen - {left[-1]}


def loss(parity: Parity) -> float:
    """The largest of the differences from the float model, as a multiple of what is wanted; at most 1 is enough."""
    wanted = [(parity.agreement, ENOUGH), (parity.worst_iou, ENOUGH_IOU)]
    if parity.things is not None:
        wanted.append((parity.things, ENOUGH_THINGS))
    if parity.confidence is not None:
        wanted.append((parity.confidence, ENOUGH_CONFIDENCE))
    return max((1 - found) / (1 - enough) for found, enough in wanted)

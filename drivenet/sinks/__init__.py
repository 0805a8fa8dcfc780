"""Where results go. A kind is imported only when it is named."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from drivenet.address import check_slashes, mask_uri, scheme_of
from drivenet.errors import UsageError, nearest
from drivenet.overlay import PNG_VIEWS, check_view
from drivenet.sinks.base import Sink
from drivenet.sinks.recording import RecordingSession

#: Module and class by kind.
KINDS = {
    "cutout-video": "drivenet.sinks.cutout_video:CutoutVideoSink",
    "image": "drivenet.sinks.images:ImageFileSink",
    "images": "drivenet.sinks.images:ImageFolderSink",
    "jsonl": "drivenet.sinks.jsonl:JsonlSink",
    "mcap": "drivenet.sinks.mcap:McapSink",
    "mqtt": "drivenet.sinks.mqtt:MqttSink",
    "ros2": "drivenet.sinks.ros2:Ros2Sink",
    "rtsp": "drivenet.sinks.rtsp:RtspSink",
    "video": "drivenet.sinks.video:VideoSink",
    "web": "drivenet.sinks.web:WebSink",
    "window": "drivenet.sinks.window:WindowSink",
    "zenoh": "drivenet.sinks.zenoh:ZenohSink",
}
#: Kind by scheme of an address, which is all that such a sink is opened with.
SCHEMES = {"mqtt": "mqtt", "mqtts": "mqtt", "ros2": "ros2", "rtsp": "rtsp", "zenoh": "zenoh"}
VIDEO_SUFFIXES = (".mp4", ".mkv")
#: Videos with a transparent background: ProRes 4444 and VP9.
CUTOUT_SUFFIXES = (".mov", ".webm")
#: Kind by suffix of recordings that need no more than a path and the session.
SUFFIXES = {".mcap": "mcap"}
PICTURE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def sink_class(kind: str) -> Callable[..., Sink]:
    """The class of a kind of sink; UsageError with the nearest kind if there is none of that name."""
    if kind not in KINDS:
        raise UsageError(f"no sink {kind!r}", cure=nearest(kind, KINDS))
    module, name = KINDS[kind].split(":")
    found: Callable[..., Sink] = getattr(importlib.import_module(module), name)
    return found


def open_sink(
    target: str | os.PathLike[str], *, fps: float, visualize: str = "overlay", session: RecordingSession | None = None,
    classes: Sequence[str] = (), mask_size: str = "engine",
) -> Sink:  # fmt: skip
    """The sink that a path or an address names: a recording, a folder of pictures, a bus or a server.

    Args:
        target: ``*.mp4``, ``*.mkv`` or one of :data:`SUFFIXES`; ``*.mov`` or ``*.webm`` of a ``cutout``; or a folder:
            one that exists, a path that ends in ``/`` or has no suffix; or an address with one of :data:`SCHEMES`; or
            for one frame a file with one of :data:`PICTURE_SUFFIXES`.
        fps: frames a second of a recorded source, 0 for a live one, whose capture times are kept instead.
        visualize: the view that results hold, one of :data:`~drivenet.overlay.VIEWS`; pictures have ids for ``mask``,
            and can be ``panoptic`` or ``cutout``.
        session: what the recordings of a run share: whether they write over files, segments, a disk budget; None =
            the next free name, and one file.
        classes: classes or groups that a ``cutout`` keeps.
        mask_size: of masks that are pictures: ``engine`` or ``source``.

    Raises:
        UsageError: for any other target or view.
        SinkError: where nothing can be written.
    """
    target = os.fspath(target)
    kind = kind_of_target(target, visualize)
    if scheme_of(target):
        return sink_class(kind)(target)
    path, open_kind = Path(target), sink_class(kind)
    if kind in ("images", "image"):
        return open_kind(path, visualize=visualize, session=session, classes=classes, mask_size=mask_size)
    if kind == "video":
        return open_kind(path, fps=fps, session=session)
    if kind == "cutout-video":
        return open_kind(path, classes=classes, fps=fps, session=session)
    return open_kind(path, session=session)


def kind_of_target(target: str, visualize: str = "overlay") -> str:
    """Which of :data:`KINDS` an output is of; UsageError as :func:`open_sink`. Nothing is opened."""
    check_view(PNG_VIEWS.get(visualize, visualize))
    if scheme := scheme_of(target):
        return _kind_of_scheme(scheme, target)
    check_slashes(target, SCHEMES)
    suffix = Path(target).suffix
    if target in ("", "-") or "://" in target:
        raise UsageError(f"output {target!r}", _expected())
    if is_folder(target):
        return "images"
    kind = _kind_of_suffix(suffix.lower())
    if kind == "cutout-video" and visualize != "cutout":
        raise UsageError(f"{target} of the view {visualize}", "FILE.mp4 or FILE.mkv",
                         "--visualize cutout --classes NAME,... gives it a transparent background")  # fmt: skip
    if not kind:
        raise UsageError(f"output {target} ends in {suffix}", _expected(), _cure(target))
    return kind


def _cure(target: str) -> str:
    """What was meant by a file that nothing writes: the stats file has an option, and a class, of its own."""
    if target.lower().endswith((".jsonl", ".json")):
        return f"a line of figures for every frame: --stats {target}, in Python drivenet.sinks.jsonl.JsonlSink"
    return f"a folder of that name is {target}/"


def is_folder(target: str) -> bool:
    """Whether an output is a folder of pictures: one that exists, or a path that ends in ``/`` or has no suffix."""
    named = target.endswith(("/", "\\")) or not Path(target).suffix or os.path.isdir(target)
    return named and not scheme_of(target) and target not in ("", "-")


def kind_of_output(target: str) -> type[Sink]:
    """The class of the sink that an address names; :class:`~drivenet.sinks.base.Sink` for what is none."""
    kind = SCHEMES.get(scheme_of(target))
    return cast("type[Sink]", sink_class(kind)) if kind else Sink


def _kind_of_suffix(suffix: str) -> str:
    """Empty for a file that nothing writes."""
    kinds = dict.fromkeys(PICTURE_SUFFIXES, "image") | dict.fromkeys(VIDEO_SUFFIXES, "video")
    return (kinds | dict.fromkeys(CUTOUT_SUFFIXES, "cutout-video") | SUFFIXES).get(suffix, "")


def _kind_of_scheme(scheme: str, uri: str) -> str:
    if scheme not in SCHEMES:
        what = f"output {mask_uri(uri)} has the unknown scheme {scheme}"
        raise UsageError(what, _expected(), nearest(scheme, SCHEMES))
    if any("\ud800" <= c <= "\udfff" for c in uri):  # what Python makes of bytes that are no UTF-8
        raise UsageError(f"output {mask_uri(uri)}", "an address in UTF-8", "set the terminal to UTF-8")
    return SCHEMES[scheme]


def _expected() -> str:
    files = ", ".join(f"FILE{suffix}" for suffix in (*VIDEO_SUFFIXES, *SUFFIXES))
    addresses = ", ".join(f"{scheme}://" for scheme in sorted(SCHEMES))
    return f"{files}, FOLDER/ or an address ({addresses}), or FILE.jpg for one picture"

"""Where frames come from. A kind's module, and what it needs, is imported only when its kind is named."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from drivenet.address import check_slashes, mask_uri, parts_of, scheme_of
from drivenet.errors import UsageError, nearest
from drivenet.sources.base import Source
from drivenet.sources.detached import Detached
from drivenet.sources.kinds import KINDS, by_scheme, by_suffix
from drivenet.sources.looped import Looped
from drivenet.sources.options import Options
from drivenet.sources.reconnect import Reconnecting
from drivenet.sources.replay import Replay
from drivenet.sources.uri import named_stream

__all__ = ["KINDS", "Source", "files_of", "kind_of", "mask_uri", "open_source"]


def open_source(
    uri: str | int | os.PathLike[str],
    *,
    rate: float | None = None,
    seed: int = 0,
    paced: bool = True,
    reconnect: bool = True,
    timeout_s: float = 5.0,
    damaged: Literal["stop", "skip"] = "stop",
    patient: bool = False,
    forgiving: bool = False,
    loop: bool = False,
) -> Source:
    """Open whatever ``uri`` names.

    Args:
        uri: an address, a path or a camera's number: ``0``, ``/dev/video0``, ``v4l2:///dev/video0``, ``csi://0``,
            ``rtsp://...``, ``http(s)://...``, ``clip.mp4``, ``folder/``, ``"folder/*.png"``,
            ``synthetic://1280x720@30``.
        rate: frames a second at which a recording is replayed (open loop); None for as fast as asked for.
        seed: of a synthetic source whose address names none.
        paced: whether a synthetic source runs at its rate like a camera; a replay sets its own pace.
        reconnect: whether a live source that is lost is opened again until it is closed.
        timeout_s: how long a network may take to open, and may then stay silent.
        patient: whether a live source (a camera, RTSP) may be away at first: it is lost then, and tried again.
        forgiving: whether that holds also where the address looks wrong: a name that nobody has, a path or device that
            is not there, a password that is refused; and over HTTP, where it may be a recording.
        damaged: what becomes of damaged pictures in a recording: ``stop`` ends there with an error, ``skip`` leaves
            them out and counts them. A live stream always goes on.
        loop: whether a file or folder begins again at its end, until the source is closed.

    Raises:
        UsageError: if the address or the rate cannot be right, or what has no end is to begin again.
        SourceError: if there is nothing to read from. No message holds the credentials of an address.

    >>> source = open_source("synthetic://96x64@30?frames=2")
    >>> [(frame.index, frame.image.shape) for frame in source]
    [(0, (64, 96, 3)), (1, (64, 96, 3))]
    >>> source.close()
    """
    if seed < 0:
        raise UsageError(f"seed {seed}", "0 or more")
    name, place = _resolve(_as_text(uri))
    kind = KINDS[name]
    opener: Callable[[], Source] = partial(
        kind.opener(), place, Options(seed, paced and rate is None, timeout_s, damaged)
    )
    absent = mask_uri(place) if patient and kind.blocks else ""
    doubtful = not (kind.device or scheme_of(place) in kind.streams)
    if loop and not kind.recorded:
        raise UsageError(f"--loop for {mask_uri(place)}", "a video file or a folder of pictures")
    if loop:
        opener = partial(Looped, opener)
    if kind.blocks and reconnect:
        opener = partial(Reconnecting, opener, absent=absent, forgiving=forgiving, doubtful=doubtful)
    source = Detached(opener) if kind.blocks else opener()
    return source if rate is None else Replay(source, rate)


def kind_of(uri: str) -> str:
    """Which kind of source an address names, one of :data:`KINDS`. Opens nothing.

    Raises:
        UsageError: if its scheme is unknown.
    """
    return _resolve(uri)[0]


def _as_text(uri: object) -> str:
    text = os.fspath(uri) if isinstance(uri, os.PathLike) else str(uri) if type(uri) is int else uri
    if not isinstance(text, str):
        raise UsageError(f"the source {uri!r}", "an address, a path or a camera's number")
    return text


def files_of(uri: str) -> list[Path]:
    """The files that a source reads: its video or its pictures; none where an address is no path. Opens nothing.

    Raises:
        UsageError: if its scheme is unknown.
        SourceError: if pictures are not there.
    """
    kind, place = _resolve(uri)
    if kind == "images":
        from drivenet.sources.images import find_images

        return find_images(place)
    if kind == "video":
        return [Path(named_stream(place, Options())[0])]
    return [Path(place.partition("?")[0])] if KINDS[kind].recorded else []


def _resolve(uri: str) -> tuple[str, str]:
    """The kind, and the address as its opener takes it."""
    scheme = scheme_of(uri)
    if scheme == "file":
        parts = parts_of(uri)
        if parts.netloc not in ("", "localhost"):
            raise UsageError(f"{uri} names the machine {parts.netloc}", "file:///PATH", "or give the path alone")
        uri, scheme = unquote(parts.path) + (f"?{parts.query}" if parts.query else ""), ""
    if scheme:
        kinds = by_scheme()
        if scheme not in kinds:
            raise UsageError(f"{mask_uri(uri)} has the unknown scheme {scheme}", cure=nearest(scheme, kinds))
        if kinds[scheme] == "stream" and not uri.partition("://")[2].strip("/"):
            raise UsageError(f"{uri} names no host", f"an address such as {scheme}://HOST/PATH")
        return kinds[scheme], uri
    if not uri:
        raise UsageError("an empty source", "a camera number, a file, a folder, a glob or an address")
    if re.fullmatch(r"\d+(\?.*)?|/dev/(video\d|v4l/).*", uri):
        return "camera", uri
    check_slashes(uri, (*by_scheme(), "file"))
    return _kind_of_path(uri), uri


def _kind_of_path(path: str) -> str:
    """A folder or a glob is images, any other path what its suffix says."""
    if os.path.isdir(path):
        return "images"
    suffixed = by_suffix(Path(path).suffix)
    if suffixed == "images" or not glob.has_magic(path) or os.path.exists(path):
        return suffixed
    file, _, settings = path.partition("?")  # which a glob would take for any character
    if "=" not in settings or not os.path.isfile(file):
        return "images"
    suffixed = by_suffix(Path(file).suffix)
    return "video" if suffixed == "images" else suffixed  # a picture in a container of several

"""Why a source is away, in one word: for people who read a page, and for programs that read metrics."""

from __future__ import annotations

import errno
import re

from drivenet.errors import NoVideoError

#: By the name of an exception's class, Python's or PyAV's; the first that is found in a chain of causes counts.
_BY_CLASS = {
    "ConnectionRefusedError": "refused",
    "HTTPUnauthorizedError": "unauthorised",
    "HTTPForbiddenError": "unauthorised",
    "HTTPNotFoundError": "not found",
    "FileNotFoundError": "not found",
    "TimeoutError": "timeout",
    "ExitError": "timeout",
    "InvalidDataError": "undecodable",
    "EOFError": "ended",
}
_BY_ERRNO = {
    errno.ECONNREFUSED: "refused",
    errno.ETIMEDOUT: "timeout",
    errno.EHOSTUNREACH: "unreachable",
    errno.ENETUNREACH: "unreachable",
    errno.ENODEV: "device gone",
    errno.ENXIO: "device gone",
    errno.ENOENT: "not found",
    errno.EIO: "ended",
}
#: What messages of sources say that have no cause.
_BY_TEXT = (
    ("ended", "ended"), ("gave no picture", "timeout"), ("no camera", "device gone"), ("no csi camera", "device gone"),
    ("401", "unauthorised"),
    ("404", "not found"), ("not authorized", "unauthorised"), ("refused", "refused"), ("timed out", "timeout"),
)  # fmt: skip
#: Addresses and paths: their ports and names say nothing of the cause.
_ADDRESS = re.compile(r"\S*/\S*")


#: What messages say of a host's name that nobody knows.
NOBODY = "no machine is called"
#: What messages say of an RTSP server that accepts connections and does not speak.
LATE, HANGS_UP = "no answer in time", "it hangs up without an answer"
#: What a message says before the error that it stands for, which FFmpeg has another word for.
_SAID = {NOBODY: "not found", LATE: "timeout", HANGS_UP: "refused"}
#: Causes that no waiting mends where a source was never there: somebody has mistyped its address or password.
_MISTAKES = ("not found", "unauthorised", "device gone")


def is_mistake(error: BaseException) -> bool:
    """Whether an address that was never reached is more likely wrong than early: no such name, path, device, password.

    >>> from drivenet.errors import SourceError
    >>> [is_mistake(SourceError(f"camera.local: {why}")) for why in ("connection refused", "404 not found")]
    [False, True]
    """
    return cause_of(error) in _MISTAKES


def cause_of(error: BaseException) -> str:
    """One of :data:`drivenet.health.CAUSES`.

    >>> from drivenet.errors import SourceError
    >>> cause_of(SourceError("camera.local: connection refused"))
    'refused'
    """
    if said := next((cause for words, cause in _SAID.items() if words in str(error)), ""):
        return said
    link: BaseException | None = error
    while link is not None:
        found = _BY_CLASS.get(type(link).__name__) or _BY_ERRNO.get(getattr(link, "errno", None) or 0)
        if found:
            return found
        link = link.__cause__ or link.__context__
    text = _ADDRESS.sub(" ", str(error)).lower()
    told = next((cause for words, cause in _BY_TEXT if words in text), "")
    return told or ("undecodable" if isinstance(error, NoVideoError) else "failed")

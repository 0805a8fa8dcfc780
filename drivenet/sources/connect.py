"""Connects to a network stream, and says what is in the way."""

from __future__ import annotations

import errno
import socket
import time
from typing import Any

import av
import av.error
from av.container import InputContainer

from drivenet.address import check_credentials, credentials_hint, mask_uri, parts_of, scheme_of
from drivenet.errors import NoVideoError, SourceError, SourceNotFoundError, UsageError, nearest
from drivenet.sources.causes import HANGS_UP, LATE, NOBODY
from drivenet.sources.container import READING

# a playlist or redirect may lead only to what stands here: never to files of this machine
_HTTP = "http,https,httpproxy,tcp,tls,crypto,data"
_PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsps,rtsp,rtp,srtp,udp,tcp,tls",
    "rtmp": "rtmp,tcp",
    "http": _HTTP,
    "https": _HTTP,
    "udp": "udp",
    "tcp": "tcp",
}
_ABSENT = (
    av.error.ConnectionRefusedError,
    av.error.HTTPNotFoundError,
    av.error.FileNotFoundError,
    av.error.ProtocolNotFoundError,
)
#: What the system's resolver says of a name that there is not.
_NOBODY = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_REFUSED = (av.error.HTTPUnauthorizedError, av.error.HTTPForbiddenError, av.error.PermissionError)
_VAGUE = errno.EPERM, errno.ECONNRESET, errno.EPIPE
_RTSP = {
    # over TCP nothing is lost; what answers "461 Unsupported Transport" is asked again over UDP
    "rtsp_transport": "tcp+udp",
    "rtsp_flags": "prefer_tcp",
    # the rate is what the stream states; to measure it would take the first second of every connection
    "fpsprobesize": "0",
}
#: Pictures behind each other, found by their own first and last bytes whatever stands between.
BARE_MJPEG = "mjpeg"


def connect(uri: str, timeout_s: float, form: str | None = None) -> InputContainer:
    """Open what answers at an address.

    Args:
        uri: with one of the schemes that :mod:`drivenet.sources.stream` names; may hold credentials.
        timeout_s: how long that may take, and how long the stream may then stay silent.
        form: FFmpeg's name of the format; None to find out.

    Raises:
        UsageError: for another scheme, or credentials that are not written as they must be.
        SourceNotFoundError: if nothing answers there.
        NoVideoError: if what answers holds no picture.
        SourceError: if it refuses or fails otherwise.
    """
    name, scheme = mask_uri(uri), scheme_of(uri)
    if scheme not in _PROTOCOLS:
        raise UsageError(f"{name} is no network stream", cure=nearest(scheme, _PROTOCOLS))
    check_credentials(uri)
    # "fflags=nobuffer" would throw the probed packets away, and with them the first key frame
    options: dict[str, Any] = {"protocol_whitelist": _PROTOCOLS[scheme]}
    if scheme in ("rtsp", "rtsps"):
        options |= _RTSP
    began = time.monotonic()
    try:
        opened: InputContainer = av.open(uri, "r", form, options=options, timeout=(timeout_s, timeout_s), **READING)
        return opened
    except (av.error.FFmpegError, OSError, ValueError) as error:
        left_s = timeout_s - (time.monotonic() - began)
        why = _silence(uri, left_s) if scheme == "rtsp" and _is_vague(error) else ""
        raise _explained(error, uri, why or reason_of(error, timeout_s), silent=bool(why)) from None


def _explained(error: Exception, uri: str, why: str, *, silent: bool) -> SourceError:
    """What keeps an address from being opened, and what to look at."""
    name, hint = mask_uri(uri), credentials_hint(uri)
    if silent or isinstance(error, _ABSENT):
        return SourceNotFoundError(f"nothing at {name}: {why}", cure=hint or "check host, port and path")
    if isinstance(error, _REFUSED) and not _is_vague(error):
        return SourceError(f"{name} refuses: {why}", cure=hint or "check user and password in the address")
    if isinstance(error, (av.error.InvalidDataError, av.error.EOFError)):
        return NoVideoError(f"{name} answers with no video", "a video stream", "check the path")
    if host := _unknown_host(uri):
        return SourceNotFoundError(f"{name}: {NOBODY} {host}", cure="check the name")
    return SourceError(f"{name} cannot be opened: {why}", cure=hint or "check that the machine is reachable")


def _is_vague(error: Exception) -> bool:
    """Whether FFmpeg may also mean an RTSP server that says nothing: for some of its failures it has no word but -1."""
    found = getattr(error, "errno", None)
    return isinstance(error, (av.error.InvalidDataError, av.error.EOFError)) or found in _VAGUE


def _silence(uri: str, left_s: float) -> str:
    """How an RTSP server says nothing, within the rest of its time; empty if it does speak."""
    if left_s <= 0:
        return LATE
    parts = parts_of(uri)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 554), left_s) as peer:
            peer.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
            return "" if peer.recv(1) else HANGS_UP
    except TimeoutError:
        return LATE
    except (ConnectionResetError, BrokenPipeError):  # it has not even read what it was asked
        return HANGS_UP
    except OSError as error:
        return (error.strerror or type(error).__name__).lower()


def _unknown_host(uri: str) -> str:
    """The host of an address if nobody knows that name; empty also where nobody can be asked now."""
    host = parts_of(uri).hostname or ""
    try:
        socket.getaddrinfo(host, None)
    except socket.gaierror as error:
        return host if error.errno in _NOBODY else ""
    except (OSError, ValueError):
        pass
    return ""


def reason_of(error: Exception, timeout_s: float) -> str:
    """FFmpeg's own words; never the exception's text, which holds the address with its credentials."""
    if isinstance(error, av.error.ExitError):
        return f"no answer for {timeout_s:g} s"
    return (getattr(error, "strerror", None) or type(error).__name__).lower()

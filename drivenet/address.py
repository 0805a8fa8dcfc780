"""Addresses and names as users write them: their scheme and settings, and how they are shown, without their secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, urlsplit

from drivenet.errors import UsageError, nearest

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(//?)")
_SECRET_VALUE = re.compile(
    r"(?i)(user(?:name)?|usr|login|pass\w*|pwd|psw|token|key|secret|auth\w*|sig(?:nature)?|credentials?)=[^&/?#\s]+"
)

#: Schemes whose addresses have an ``@`` for something else, as the rate in ``synthetic://1280x720@30``. In all others,
#: those that nobody knows too, a user or a token may stand before it.
WITHOUT_USER = ("synthetic",)

#: What to do about a password that does not fit into an address.
#: Without the sign itself: all between an address and an at sign is masked, also in messages.
ESCAPES = "in a user or password write %40 for an at sign, and %3A, %2F, %3F, %23, %25 for : / ? # %"


def scheme_of(uri: str) -> str:
    """The lower-case scheme of ``scheme://...``, empty if there is none.

    >>> scheme_of("RTSP://camera/1"), scheme_of("clip.mp4")
    ('rtsp', '')
    """
    match = _SCHEME.match(uri)
    return match[1].lower() if match and match[2] == "//" else ""


def mask_uri(uri: str) -> str:
    """The same address without user, password and the values of parameters that look like secrets.

    A password may hold any character that should have been escaped, so all between the scheme and the last ``@`` goes:
    with a ``:`` in it or without, since a user alone may be a token, and of every scheme but :data:`WITHOUT_USER`. Of
    a text without a scheme it goes if it holds a ``:``; else it is the name of a file.

    >>> mask_uri("rtsp://admin:s3cret@10.0.0.7:554/main?token=abc&ch=1")
    'rtsp://***@10.0.0.7:554/main?token=***&ch=1'
    >>> mask_uri("new://TOKEN@host/1"), mask_uri("clip@home.mp4")
    ('new://***@host/1', 'clip@home.mp4')
    """
    scheme = _SCHEME.match(uri)
    start = scheme.end() if scheme else 0
    before, at, after = uri[start:].rpartition("@")
    holds_credentials = at and (scheme or ":" in before) and scheme_of(uri) not in WITHOUT_USER
    rest = f"***@{after}" if holds_credentials else uri[start:]
    return uri[:start] + _SECRET_VALUE.sub(r"\1=***", rest)


def parts_of(uri: str) -> SplitResult:
    """The parts of an address; UsageError, without its credentials, for one that has none.

    >>> parts_of("rtsp://camera/1").path
    '/1'
    """
    try:
        return urlsplit(uri)
    except ValueError:  # its text may hold a password
        what = "SCHEME://HOST/PATH, an address of IPv6 in brackets"
        raise UsageError(f"address {mask_uri(uri)}", what, ESCAPES) from None


def check_slashes(path: str, schemes: Collection[str]) -> None:
    """UsageError for an address that is taken for a path because its scheme is not followed by ``://``.

    >>> check_slashes("rtsp.mp4", ["rtsp"])
    """
    begins = re.match(r"([A-Za-z0-9]+)(:/?|//)(?!/)", path)
    scheme = begins[1].lower() if begins else ""
    if begins and scheme in schemes and not os.path.lexists(path):
        raise UsageError(f"an address that begins with {begins[0]}", f"{scheme}://...")


def check_credentials(uri: str) -> None:
    """Raise UsageError for a user or password with a character that ends the host's part of an address, or is half an
    escape, and for a port that is none.

    >>> check_credentials("rtsp://admin:p%23ss@camera/1")
    """
    authority, rest = _authority(uri)
    _, colon, port = authority.rpartition(":")
    in_password = bool(colon) and "@" not in authority and not re.fullmatch(r"\d*|[0-9A-Fa-f]*\]", port)
    if "@" in rest and in_password:
        raise UsageError(f"{mask_uri(uri)}: a user or password holds {rest[0]!r}", cure=ESCAPES)
    before, at, _ = authority.rpartition("@")
    if at and re.search(r"%(?![0-9A-Fa-f]{2})", before):
        raise UsageError(f"{mask_uri(uri)}: a user or password holds '%'", cure=ESCAPES)
    if colon and re.fullmatch(r"[0-9]+", port) and not 0 < int(port[:9]) <= 65535:
        raise UsageError(f"{mask_uri(uri)} has no possible port", "1 to 65535", credentials_hint(uri))


def credentials_hint(uri: str) -> str:
    """What may be wrong with an address that leads nowhere: a password of figures before a ``/`` looks like a port."""
    authority, rest = _authority(uri)
    meant = "@" in rest and "@" not in authority and (":" in authority or re.search(r":[^/?#]*@", rest))
    return f"if a password is meant, {ESCAPES}" if meant else ""


def _authority(uri: str) -> tuple[str, str]:
    """The part of an address that names user and host, and the rest."""
    scheme = _SCHEME.match(uri)
    after = uri[scheme.end() if scheme else 0 :]
    end = next((i for i, c in enumerate(after) if c in "/?#"), len(after))
    return after[:end], after[end:]


def expand_home(path: str) -> str:
    """The path with ``~`` or ``~NAME`` at its start replaced by that home folder.

    Raises:
        UsageError: where there is no such folder, as for a user number without a name and HOME unset in a container.
    """
    expanded = os.path.expanduser(path)
    first = path.partition("/")[0]
    if expanded == path and first == "~":
        raise UsageError(f"{path} names a home folder, and this user has none", cure="set HOME or give the whole path")
    return expanded


def display_name(source: str) -> str:
    """What pictures and pages call a source: a path by its last part alone, an address as it is.

    >>> display_name("/home/me/drives/rain.mp4"), display_name("rtsp://camera/1")
    ('rain.mp4', 'rtsp://camera/1')
    """
    return source if "://" in source else os.path.basename(source.rstrip("/")) or source


def one_line(text: str) -> str:
    """The same text where only letters will do, with ``?`` for all others: line breaks and other controls, and what
    Python makes of file names that are no UTF-8.
    """
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


def split_settings(uri: str, known: Collection[str]) -> tuple[str, dict[str, str]]:
    """Split ``address?name=value&...`` into the address and its settings.

    Raises:
        UsageError: for a setting that is not known, is given twice or has no value.
    """
    address, _, query = uri.partition("?")
    settings: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            raise UsageError(f"{mask_uri(uri)} has no setting {name!r}", cure=nearest(name, known))
        if name in settings or not value:
            raise UsageError(f"{mask_uri(uri)} sets {name!r} twice or to nothing", f"one {name}=VALUE")
        settings[name] = value
    return address, settings

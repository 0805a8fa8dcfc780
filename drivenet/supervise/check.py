"""``python -m drivenet.supervise.check [URL]``: whether a node is healthy, by its page; for Docker's HEALTHCHECK."""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request
from collections.abc import Sequence

DEFAULT = "http://127.0.0.1:8080/healthz"
_TIMEOUT_S = 2.0


def main(arguments: Sequence[str]) -> int:
    """Ask ``/healthz`` with the token in ``DRIVENET_TOKEN``; 0 if it answers 200, else 1 with what it said."""
    url = arguments[0] if arguments else os.environ.get("DRIVENET_HEALTH_URL", DEFAULT)
    token = os.environ.get("DRIVENET_TOKEN", "")
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:
            print(answer.read(500).decode(errors="replace"))
            return 0
    except urllib.error.HTTPError as error:
        print(error.read(500).decode(errors="replace"))
    except (OSError, ValueError) as error:
        print(f"no answer: {error}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""OpenCV's log lines, which would come on top of the one line that an error of ours is."""

from __future__ import annotations

import cv2

_SILENT = 0


def silence_opencv() -> None:
    """Stop OpenCV from writing to standard error, for the whole process; failures are raised instead."""
    if hasattr(cv2.utils, "logging"):
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    else:  # JetPack's own is older
        cv2.setLogLevel(_SILENT)  # type: ignore[attr-defined]

"""OpenCV's log lines, which would come on top of the one line that an error of ours is."""

from __future__ import annotations

import cv2


def silence_opencv() -> None:
    """Stop OpenCV from writing to standard error, for the whole process; failures are raised instead."""
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

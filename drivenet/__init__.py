"""drivenet: a real-time driving-scene segmentation node.

The names below are imported when they are first used, so that ``import drivenet`` costs nothing.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from drivenet._version import __version__ as __version__

if TYPE_CHECKING:
    from drivenet.build.build import Built, build_engine
    from drivenet.classmap import ClassMap
    from drivenet.config import load_labels
    from drivenet.convert.onnx_model import import_onnx
    from drivenet.engine import open_engine
    from drivenet.engine.base import Engine
    from drivenet.errors import DrivenetError, EngineError, SinkError, SourceError, UsageError
    from drivenet.frame import Frame
    from drivenet.labels import LabelSet
    from drivenet.pipeline import Pipeline
    from drivenet.record import Record
    from drivenet.result import Result, Totals
    from drivenet.scene import Region, Scene
    from drivenet.segmenter import Segmentation, Segmenter
    from drivenet.sinks import open_sink
    from drivenet.sinks.base import Sink
    from drivenet.sources import open_source
    from drivenet.sources.base import Source
    from drivenet.stages import Stage, default_stages
    from drivenet.things import Thing
    from drivenet.things.tracking import Tracker

# ONNX Runtime tells a web service of sessions, programs and processors, and keeps an id and what it could not send yet
# in the home folder, unless this is there before it is first imported. A node is no place for that; 0 brings it back.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

#: Where each public name lives.
_HOMES = {
    "Built": "drivenet.build.build",
    "ClassMap": "drivenet.classmap",
    "DrivenetError": "drivenet.errors",
    "Engine": "drivenet.engine.base",
    "EngineError": "drivenet.errors",
    "Frame": "drivenet.frame",
    "LabelSet": "drivenet.labels",
    "Pipeline": "drivenet.pipeline",
    "Record": "drivenet.record",
    "Region": "drivenet.scene",
    "Result": "drivenet.result",
    "Scene": "drivenet.scene",
    "Segmentation": "drivenet.segmenter",
    "Segmenter": "drivenet.segmenter",
    "Sink": "drivenet.sinks.base",
    "SinkError": "drivenet.errors",
    "Source": "drivenet.sources.base",
    "SourceError": "drivenet.errors",
    "Stage": "drivenet.stages",
    "Thing": "drivenet.things",
    "Totals": "drivenet.result",
    "Tracker": "drivenet.things.tracking",
    "UsageError": "drivenet.errors",
    "build_engine": "drivenet.build.build",
    "import_onnx": "drivenet.convert.onnx_model",
    "load_labels": "drivenet.config",
    "default_stages": "drivenet.stages",
    "open_engine": "drivenet.engine",
    "open_sink": "drivenet.sinks",
    "open_source": "drivenet.sources",
}

__all__ = [
    "Built",
    "ClassMap",
    "DrivenetError",
    "Engine",
    "EngineError",
    "Frame",
    "LabelSet",
    "Pipeline",
    "Record",
    "Region",
    "Result",
    "Scene",
    "Segmentation",
    "Segmenter",
    "Sink",
    "SinkError",
    "Source",
    "SourceError",
    "Stage",
    "Thing",
    "Totals",
    "Tracker",
    "UsageError",
    "build_engine",
    "default_stages",
    "import_onnx",
    "load_labels",
    "open_engine",
    "open_sink",
    "open_source",
]


def __getattr__(name: str) -> Any:
    """A public name from its home (PEP 562)."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

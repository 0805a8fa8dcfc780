"""ONNX Runtime: runs the deployed graph as it is."""

from __future__ import annotations

from drivenet.backends import Backend

BACKEND = Backend(
    name="onnxruntime",
    open="drivenet.engine.onnxruntime.engine:OnnxRuntimeEngine",
    why="it runs everywhere that drivenet is installed",
    rank=90,
    runs_onnx=True,
)

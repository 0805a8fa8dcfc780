"""Several sources on one engine: each a run of its own, that no other one's end, loss or error touches."""

from drivenet.node.main_thread import MainThread
from drivenet.node.node import Node

__all__ = ["MainThread", "Node"]

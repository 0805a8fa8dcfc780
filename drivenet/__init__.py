"""drivenet: a real-time driving-scene segmentation node."""

__version__ = "0.1.0"

"""Results on a ROS 2 network, with or without a ROS 2 installation."""

from drivenet.sinks.ros2.sink import Ros2Sink

__all__ = ["Ros2Sink"]

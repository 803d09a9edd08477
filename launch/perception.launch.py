"""The node on a robot's own camera.

ros2 launch fsb_perception perception.launch.py image:=/camera/image_raw
"""

from fsb_perception.ros.launching.actions import describe


def generate_launch_description():
    """Return the description that ``ros2 launch`` starts."""
    return describe("perception")

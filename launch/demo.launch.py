"""A camera, the node and a window.

ros2 launch fsb_perception demo.launch.py source:=webcam
"""

from fsb_perception.ros.launching.actions import describe


def generate_launch_description():
    """Return the description that ``ros2 launch`` starts."""
    return describe("demo")

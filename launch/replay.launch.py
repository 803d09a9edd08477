"""A recording, played to the node and judged.

ros2 launch fsb_perception replay.launch.py bag:=/data/run1 mode:=realtime
"""

from fsb_perception.ros.launching.actions import describe_replay


def generate_launch_description():
    """Return the launch description that ``ros2 launch`` runs."""
    return describe_replay()

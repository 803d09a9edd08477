"""Nodes that spin in a thread, one set after the other in one process, as a benchmark has them."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CODE = """
import rclpy
from fsb_perception.ros.spinning import spinning

def context():
    if {default}:
        rclpy.init()
        return None
    made = rclpy.Context()
    rclpy.init(context=made)
    return made

for name in ("first", "second"):
    node = rclpy.create_node(name, context=context())
    with spinning(node) as executor:
        assert node.context.ok()
    assert not node.context.ok()
print("both")
"""


@pytest.mark.parametrize("default", [True, False])
def test_ros_can_begin_again(default: bool) -> None:
    command = [sys.executable, "-c", CODE.format(default=default)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ)
    assert done.stdout == "both\n", done.stderr

"""Fast DDS accepts the transport profile, and it has the sizes that FSB expects."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

from fsb_perception.ros import environment
from tests.paths import ROOT

PROFILE = ROOT / "config" / "fastdds.xml"
NAMESPACE = "{http://www.eprosima.com}"

# The child prints the largest shared memory that it has mapped, and its number of UDP sockets.
CHILD = """
import json, os, pathlib, rclpy
rclpy.init()
node = rclpy.create_node("fastdds_test")
sizes = [0]
for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
    if "/dev/shm/fast" in line:
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        sizes.append(end - start)
udp = {line.split()[9] for line in open("/proc/net/udp").readlines()[1:]}
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
         if os.path.islink(f"/proc/self/fd/{fd}")]
print(json.dumps([max(sizes), sum(link[8:-1] in udp for link in links)]))
node.destroy_node()
rclpy.try_shutdown()
"""


def test_the_segment_is_as_large_as_the_check_of_the_room_for_it() -> None:
    sizes = [item.text for item in ElementTree.parse(PROFILE).iter(f"{NAMESPACE}segment_size")]
    assert sizes == [str(environment.SEGMENT_MIB << 20)]


@pytest.mark.skipif(
    not Path("/proc/self/maps").exists() or bool(environment.shared_memory_shortage(1)),
    reason="needs Linux, and room in /dev/shm for one segment",
)
def test_fast_dds_takes_the_profile() -> None:
    others = ("FASTDDS_BUILTIN_TRANSPORTS", "RMW_IMPLEMENTATION")
    variables = {name: value for name, value in os.environ.items() if name not in others}
    variables |= dict.fromkeys(environment.PROFILE_VARIABLES, str(PROFILE))
    variables |= {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD], env=variables, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 0, child.stderr
    assert "XMLPARSER" not in child.stderr
    mapped, udp_sockets = json.loads(child.stdout.splitlines()[-1])
    assert mapped >= environment.SEGMENT_MIB << 20
    assert udp_sockets > 0

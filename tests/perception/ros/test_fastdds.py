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
LOCAL_PROFILE = ROOT / "config" / "fastdds_local.xml"
NAMESPACE = "{http://www.eprosima.com}"

# The child prints the largest shared memory that it has mapped, its number of UDP sockets, the
# modes of its segments, and its ports that are open to other machines.
CHILD = """
import json, os, pathlib, rclpy
from fsb_perception.ros import shared_memory
rclpy.init()
node = rclpy.create_node("fastdds_test")
shared_memory.protect()
sizes = [0]
for line in pathlib.Path("/proc/self/maps").read_text().splitlines():
    if "/dev/shm/fast" in line:
        start, end = (int(number, 16) for number in line.split()[0].split("-"))
        sizes.append(end - start)
udp = {line.split()[9] for line in open("/proc/net/udp").readlines()[1:]}
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd")
         if os.path.islink(f"/proc/self/fd/{fd}")]
segments = set(shared_memory._SEGMENT.findall(pathlib.Path("/proc/self/maps").read_text()))
modes = [os.stat(path).st_mode & 0o777 for path in segments]
own = [line.split()[1].split(":") for line in open("/proc/net/udp").readlines()[1:]
       if f"socket:[{line.split()[9]}]" in links]
wide = [int(port, 16) for address, port in own if address == "00000000"]
wide = [port for port in wide if port < 32768]  # above are those of sockets that only send
print(json.dumps([max(sizes), sum(link[8:-1] in udp for link in links), modes, wide]))
node.destroy_node()
rclpy.try_shutdown()
"""


def test_the_segment_is_as_large_as_the_check_of_the_room_for_it() -> None:
    for profile in (PROFILE, LOCAL_PROFILE):
        sizes = [item.text for item in ElementTree.parse(profile).iter(f"{NAMESPACE}segment_size")]
        assert sizes == [str(environment.SEGMENT_MIB << 20)]


@pytest.mark.skipif(
    not Path("/proc/self/maps").exists() or bool(environment.shared_memory_shortage(1)),
    reason="needs Linux, and room in /dev/shm for one segment",
)
@pytest.mark.parametrize("profile", [PROFILE, LOCAL_PROFILE], ids=lambda path: path.stem)
def test_fast_dds_takes_the_profile(profile: Path) -> None:
    others = ("FASTDDS_BUILTIN_TRANSPORTS", "RMW_IMPLEMENTATION")
    variables = {name: value for name, value in os.environ.items() if name not in others}
    variables |= dict.fromkeys(environment.PROFILE_VARIABLES, str(profile))
    variables |= {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"}
    child = subprocess.run(
        [sys.executable, "-c", CHILD], env=variables, capture_output=True, text=True, timeout=60
    )
    assert child.returncode == 0, child.stderr
    assert "XMLPARSER" not in child.stderr
    mapped, udp_sockets, modes, wide = json.loads(child.stdout.splitlines()[-1])
    assert mapped >= environment.SEGMENT_MIB << 20
    assert udp_sockets > 0
    assert modes
    assert set(modes) == {0o600}  # no other user may read the images
    assert bool(wide) == (profile == PROFILE)  # the demo listens on loopback alone

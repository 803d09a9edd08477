"""The folders where ROS 2 installs the files of packages; this module imports no ROS.

    AMENT_PREFIX_PATH=/robot/install:/opt/ros/kilted
        --> /robot/install/share/PACKAGE, /opt/ros/kilted/share/PACKAGE

The prefix of this Python comes last: ROS from wheels is installed there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = "fsb_perception"
VARIABLE = "AMENT_PREFIX_PATH"


def prefixes(environ: Mapping[str, str] = os.environ) -> list[str]:
    """Return the prefixes that AMENT_PREFIX_PATH names, in its order.

    >>> prefixes({"AMENT_PREFIX_PATH": os.pathsep.join(["/robot/install", "/opt/ros/kilted"])})
    ['/robot/install', '/opt/ros/kilted']
    >>> prefixes({})
    []
    """
    return [prefix for prefix in environ.get(VARIABLE, "").split(os.pathsep) if prefix]


def share_folders(package: str) -> Iterator[Path]:
    """Yield the share folder of a package in each prefix, and in that of this Python; any may lack.

    Args:
        package: name of a ROS package, for instance "sensor_msgs".
    """
    for prefix in (*prefixes(), sys.prefix):
        yield Path(prefix, "share", package)


def own_folders() -> Iterator[Path]:
    """Yield the folders that may hold FSB's own files: the source tree, then its share folders."""
    # By this file, not by the package's path, which may begin where generated messages lie.
    yield Path(__file__).resolve().parents[1]
    yield from share_folders(PACKAGE)

"""Check what the set-up needs from the machine, before anything is installed."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

OLDEST, NEWEST = (3, 10), (3, 13)
GLIBC = (2, 28)
DISK_GIB = 4
SHM_MIB = 48  # three processes with a segment of 16 MiB each

ROS_PACKAGES = (
    "ament_cmake",
    "ament_cmake_python",
    "diagnostic_msgs",
    "geometry_msgs",
    "lifecycle_msgs",
    "rclpy",
    "rosidl_default_generators",
    "sensor_msgs",
    "std_msgs",
    "std_srvs",
)


@dataclass(frozen=True)
class Need:
    """Something the machine lacks, and the Debian package or the advice that mends it."""

    what: str
    package: str = ""
    mend: str = ""


def ros_distro() -> str:
    """Return the name of the ROS 2 installation sourced in this shell; empty if there is none."""
    return os.environ.get("ROS_DISTRO", "") if os.environ.get("AMENT_PREFIX_PATH") else ""


def missing(folder: Path) -> list[Need]:
    """Return everything that prevents a set-up in ``folder``."""
    needs = [*_python(), *_tools(), *_libraries(), *_disk(folder)]
    return needs + (_sourced_ros() if ros_distro() else _wheels())


def report(needs: list[Need]) -> str:
    """Return the needs as text that ends in one command for all that apt can install."""
    lines = ["This machine lacks:"]
    lines += [f"  - {need.what}" + (f"\n    {need.mend}" if need.mend else "") for need in needs]
    packages = sorted({need.package for need in needs if need.package})
    if packages:
        sudo = "" if os.geteuid() == 0 else "sudo "
        install = f"{sudo}apt-get update && {sudo}apt-get install -y {' '.join(packages)}"
        lines += ["Install it (Debian, Ubuntu), then run the same command again:", f"  {install}"]
    return "\n".join(lines)


def shared_memory() -> list[Need]:
    """Return a need if /dev/shm is small: images travel more slowly, but the set-up works."""
    try:
        free = shutil.disk_usage("/dev/shm").free >> 20
    except OSError:
        free = 0
    if free >= SHM_MIB:
        return []
    what = f"room in /dev/shm: {free} MiB free, images between processes want {SHM_MIB}"
    mend = "Remount it (mount -o remount,size=256m /dev/shm) or docker run --shm-size=256m"
    return [Need(what, mend=mend)]


def _python() -> list[Need]:
    needs = []
    version = "{}.{}".format(*sys.version_info)
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        needs.append(Need(f"Python's venv module (for {sys.executable})", f"python{version}-venv"))
    if not Path(sysconfig.get_path("include"), "Python.h").exists():
        needs.append(Need(f"Python's C headers (for {sys.executable})", f"python{version}-dev"))
    return needs


def _tools() -> list[Need]:
    packages = {"g++": "g++", "cmake": "cmake", "make": "make"}
    if ros_distro():
        packages["colcon"] = "python3-colcon-common-extensions"
    return [
        Need(f"the program {tool}", package)
        for tool, package in packages.items()
        if not shutil.which(tool)
    ]


def _libraries() -> list[Need]:
    packages = {"libGL.so.1": "libgl1", "libgthread-2.0.so.0": "libglib2.0-0"}
    return [
        Need(f"the library {library}, which OpenCV loads", package)
        for library, package in packages.items()
        if not _loads(library)
    ]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def _disk(folder: Path) -> list[Need]:
    free = shutil.disk_usage(folder).free / 2**30
    if free >= DISK_GIB or (folder / ".venv").exists():
        return []
    return [Need(f"disk space in {folder}: {free:.1f} GiB free, the set-up takes {DISK_GIB}")]


def _sourced_ros() -> list[Need]:
    prefixes = [Path(prefix) for prefix in os.environ["AMENT_PREFIX_PATH"].split(os.pathsep)]
    needs = [
        Need(f"the ROS 2 package {name}", f"ros-{ros_distro()}-{name.replace('_', '-')}")
        for name in ROS_PACKAGES
        if not any((prefix / "share" / name / "package.xml").exists() for prefix in prefixes)
    ]
    if importlib.util.find_spec("rclpy") is None and not any("rclpy" in n.what for n in needs):
        mend = "Start with the Python of that ROS 2: make PYTHON=/usr/bin/python3 ..."
        what = f"rclpy of ROS 2 {ros_distro()} in the Python that runs this, {sys.executable}"
        needs.append(Need(what, mend=mend))
    return needs


def _wheels() -> list[Need]:
    machine, (libc, version) = platform.machine(), platform.libc_ver()
    fits = libc == "glibc" and tuple(map(int, version.split(".")[:2])) >= GLIBC
    if sys.platform == "linux" and machine == "x86_64" and fits:
        return []
    here = f"{platform.system()} {machine} {libc or 'no glibc'} {version}".strip()
    what = f"ROS 2: no installation is sourced, and this system ({here}) has none on PyPI"
    mend = "Install ROS 2 (docs.ros.org), source /opt/ros/<distro>/setup.bash, and run this again."
    return [Need(what, mend=mend)]

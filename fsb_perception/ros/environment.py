"""Environment variables of ROS 2 programs, so that they run from a clean shell.

This module imports no ROS: it sets variables that ROS reads while it is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from importlib import metadata
from pathlib import Path

from fsb_perception import ament

# Fast DDS of Kilted and later reads the first variable, that of Jazzy and before the second one.
# If both are set, the newer one logs a warning.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
SEGMENT_MIB = 16  # shared memory of each process, as in the profile
SHARED_MEMORY = "/dev/shm"  # noqa: S108

_KILTED_RCLPY = 9  # major version of rclpy in Kilted
_PROFILE = Path("config", "fastdds.xml")
_LOCAL_PROFILE = Path("config", "fastdds_local.xml")  # receives on the loopback address alone
_BOOTSTRAP_MARK = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
_MESSAGE_LIBRARY = f"lib{ament.PACKAGE}__rosidl_generator_c.so"


def prepare() -> None:
    """Let this process find our messages; call it before rclpy starts.

    It sets AMENT_PREFIX_PATH if that is missing. The dynamic loader reads LD_LIBRARY_PATH only when
    a process starts: if the folder of the message libraries is not on it, this function replaces
    the process by a new one with the same arguments, once.
    """
    os.environ.update(prefixes(os.environ))
    libraries = Path(sys.prefix, "lib")
    known = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    if (libraries / _MESSAGE_LIBRARY).exists() and str(libraries) not in known:
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([str(libraries), *filter(None, known)])
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def prefixes(environ: Mapping[str, str], prefix: str = sys.prefix) -> dict[str, str]:
    """Return AMENT_PREFIX_PATH with ``prefix`` in front, if our messages were built into it."""
    known = ament.prefixes(environ)
    if prefix not in known and Path(prefix, "share", ament.PACKAGE, "package.xml").exists():
        # An overlay that has the package stays in front: there is one place for one package.
        if any(Path(path, "share", ament.PACKAGE, "package.xml").exists() for path in known):
            return {}
        known.insert(0, prefix)
    return {ament.VARIABLE: os.pathsep.join(known)} if known else {}


def share(relative: Path) -> Path | None:
    """Return the path of a file of this package; None if it is not there.

    Args:
        relative: path in the source tree. The file is looked for there, and where it is installed.
    """
    paths = (folder / relative for folder in ament.own_folders())
    return next((path for path in paths if path.is_file()), None)


def transport(
    environ: Mapping[str, str], processes: int, profile_file: Path = _PROFILE
) -> tuple[dict[str, str], str]:
    """Return the variables of the shared-memory profile, and a note if it cannot be used.

    There are no variables if the user has a profile, or if /dev/shm lacks room for the segments:
    Fast DDS would refuse its segment, and the default transport works better then.

    Args:
        environ: of the program.
        processes: number of processes that exchange images, each with one segment.
        profile_file: path of the profile in this package.
    """
    if any(environ.get(name) for name in PROFILE_VARIABLES):
        return {}, ""
    profile = share(profile_file)
    if profile is None:
        return {}, f"{profile_file} was not found: images go through the default transport."
    note = shared_memory_shortage(processes)
    return ({} if note else {_profile_variable(): str(profile)}), note


def _profile_variable() -> str:
    newer, older = PROFILE_VARIABLES
    try:
        release = int(metadata.version("rclpy").split(".")[0])
    except (metadata.PackageNotFoundError, ValueError):
        return newer
    return newer if release >= _KILTED_RCLPY else older


def shared_memory_shortage(processes: int, folder: str = SHARED_MEMORY) -> str:
    """Return why /dev/shm has no room for ``processes`` segments, and what to do; else empty."""
    wanted = processes * SEGMENT_MIB + 2
    try:
        state = os.statvfs(folder)
    except OSError as error:
        return (
            f"{folder} cannot be used ({error.strerror}): images go through the default transport."
        )
    free = state.f_bavail * state.f_frsize >> 20
    if free >= wanted:
        return ""
    return (
        f"{folder} has {free} MiB free, images between {processes} processes want {wanted} MiB: "
        "they go through the default transport, which is slower. To give it more room: "
        f"mount -o remount,size=256m {folder}, or docker run --shm-size=256m."
    )


def children(
    environ: Mapping[str, str], python: str = sys.executable, processes: int = 3
) -> tuple[dict[str, str], str]:
    """Return the environment of node processes, and a note for the user, empty if all is well.

    ROS_DOMAIN_ID stays as it is. Unless the user has set another range, the processes discover
    only nodes of this machine, and only those discover them.

    Args:
        environ: of this process.
        python: interpreter of the children.
        processes: number of processes that exchange images.
    """
    child = dict(environ) | prefixes(environ)
    _stay_local(child)
    is_local = child.get("ROS_AUTOMATIC_DISCOVERY_RANGE") == "LOCALHOST"
    profile = _LOCAL_PROFILE if is_local else _PROFILE
    variables, note = transport(environ, processes, profile)
    child |= variables
    if Path(python) != Path(sys.executable):
        # The mark means that the library path was made for this interpreter, not for another one.
        child.pop(_BOOTSTRAP_MARK, None)
    return child, note


def _stay_local(environ: MutableMapping[str, str]) -> None:
    if environ.get("ROS_DISTRO") == "humble":  # it has only the older variable
        environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

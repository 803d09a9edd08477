"""What ROS 2 programs need in their environment, so that they run from a clean shell.

Nothing here imports ROS: the variables must stand before it is loaded.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, MutableMapping
from importlib import metadata
from pathlib import Path

from fsb_perception import ament

# Fast DDS of Kilted and later reads the first name, that of Jazzy and before the second; where
# both are set, the later one warns.
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
SEGMENT_MIB = 16  # of the profile, for each process
SHARED_MEMORY = "/dev/shm"  # noqa: S108

_KILTED_RCLPY = 9  # its major version
_PROFILE = Path("config", "fastdds.xml")
_BOOTSTRAP_MARK = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"
_MESSAGE_LIBRARY = f"lib{ament.PACKAGE}__rosidl_generator_c.so"


def prepare() -> None:
    """Let this process find our messages; call it before rclpy or a message is imported.

    Sets AMENT_PREFIX_PATH where it is missing. The loader reads LD_LIBRARY_PATH only when a process
    starts: where the folder of the message libraries is not on it, the program starts anew, once.
    """
    os.environ.update(prefixes(os.environ))
    libraries = Path(sys.prefix, "lib")
    known = os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    if (libraries / _MESSAGE_LIBRARY).exists() and str(libraries) not in known:
        os.environ["LD_LIBRARY_PATH"] = os.pathsep.join([str(libraries), *filter(None, known)])
        os.execv(sys.executable, sys.orig_argv)  # noqa: S606


def prefixes(environ: Mapping[str, str], prefix: str = sys.prefix) -> dict[str, str]:
    """AMENT_PREFIX_PATH with ``prefix`` in front, if our messages were built into it."""
    known = ament.prefixes(environ)
    if prefix not in known and Path(prefix, "share", ament.PACKAGE, "package.xml").exists():
        # An overlay that has the package already must stay in front: one package, one place.
        if any(Path(path, "share", ament.PACKAGE, "package.xml").exists() for path in known):
            return {}
        known.insert(0, prefix)
    return {ament.VARIABLE: os.pathsep.join(known)} if known else {}


def share(relative: Path) -> Path | None:
    """A file of the package by its path in the source tree, there or where it was installed."""
    paths = (folder / relative for folder in ament.own_folders())
    return next((path for path in paths if path.is_file()), None)


def transport(environ: Mapping[str, str], processes: int) -> tuple[dict[str, str], str]:
    """The variables of the shared-memory profile, and a note where it cannot be used.

    The profile is left out when the user has one, or when /dev/shm lacks the room for ``processes``
    segments: Fast DDS then refuses the segment, and its own defaults serve better.
    """
    if any(environ.get(name) for name in PROFILE_VARIABLES):
        return {}, ""
    profile = share(_PROFILE)
    if profile is None:
        return {}, f"{_PROFILE} was not found: images go through the default transport."
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
    """What /dev/shm lacks for ``processes`` segments and how to mend it; empty if nothing."""
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
    """The environment of our node processes, and a note for the user, empty if all is well.

    ROS_DOMAIN_ID stays as it is. Unless the user says otherwise, the processes see this machine
    alone and are seen by it alone.
    """
    child = dict(environ) | prefixes(environ)
    variables, note = transport(environ, processes)
    child |= variables
    _stay_local(child)
    if Path(python) != Path(sys.executable):
        # The mark says that the library path was made for this interpreter; it holds for no other.
        child.pop(_BOOTSTRAP_MARK, None)
    return child, note


def _stay_local(environ: MutableMapping[str, str]) -> None:
    if environ.get("ROS_DISTRO") == "humble":  # knows only the older switch
        environ.setdefault("ROS_LOCALHOST_ONLY", "1")
    else:
        environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")

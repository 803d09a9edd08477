#!/usr/bin/env python3
"""Make .venv ready, or see in no time that it is. Needs nothing but Python itself.

The five verbs of the Makefile call this first. It creates the environment, installs the pinned
packages, builds the ROS 2 messages into it, and installs this tree in editable form. A stamp,
written last, holds a digest of all that the result depends on: an interrupted set-up has no stamp
and is taken up again, a finished one is left alone.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

import locked
import needs

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
BUILD = ROOT / "build"
IDENTITY = VENV / "fsb_identity.json"  # written first: whose environment this is
STAMP = VENV / "fsb_stamp"  # written last: what it was made from
INPUTS = (
    "requirements/*.txt",
    "pyproject.toml",
    "package.xml",
    "CMakeLists.txt",
    "msg/*.msg",
    "fsb_perception/__init__.py",
    "scripts/locked.py",
    "scripts/setup.py",
)
GROUPS = ("core", "detectors", "onnx", "replay", "cluster", "train", "dev")


class SetupError(Exception):
    """A step failed; the message says what to do."""


def main() -> int:
    try:
        if "--check" not in sys.argv[1:] and ready():
            return 0
        use_supported_python()
        return set_up(check_only="--check" in sys.argv[1:])
    except SetupError as error:
        print(f"\n{error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\nInterrupted; the next run goes on from here.", file=sys.stderr)
    return 1


def ready() -> bool:
    """Return whether the environment was made from these inputs, for this place and this ROS."""
    return PYTHON.exists() and read(IDENTITY) == identity() and read(STAMP) == digest()


def identity() -> str:
    return json.dumps({"root": str(ROOT), "ros": needs.ros_distro() or "wheels"})


def digest() -> str:
    total = hashlib.sha256()
    for pattern in INPUTS:
        for path in sorted(ROOT.glob(pattern)):
            total.update(path.name.encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def use_supported_python() -> None:
    """Go on under the newest supported Python of this machine, when this one is not supported."""
    if needs.OLDEST <= sys.version_info[:2] <= needs.NEWEST:
        return
    for minor in range(needs.NEWEST[1], needs.OLDEST[1] - 1, -1):
        other = shutil.which(f"python3.{minor}")
        if other and not needs.ros_distro():
            os.execv(other, [other, *sys.argv])
    raise SetupError(
        "FSB needs Python {}.{} to {}.{}, ".format(*needs.OLDEST, *needs.NEWEST)
        + "and {} is {}.{}.\n".format(sys.executable, *sys.version_info)
        + "Install one of these, and name it: make PYTHON=/path/to/python3.12 ..."
    )


def set_up(check_only: bool = False) -> int:
    lacking = needs.missing(ROOT)
    if lacking:
        raise SetupError(needs.report(lacking + needs.shared_memory()))
    for note in needs.shared_memory():
        print(f"Note: little {note.what}.\n  {note.mend}")
    if check_only:
        print("Nothing is missing.")
        return 0
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "setup.lock").open("w") as lock:
        wait_for(lock)
        if not ready():
            install()
    return 0


def wait_for(lock: TextIO) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("Another set-up of this folder is at work; waiting for it.", flush=True)
        fcntl.flock(lock, fcntl.LOCK_EX)


def install() -> None:
    start = time.monotonic()
    STAMP.unlink(missing_ok=True)
    steps = (
        ("Python environment .venv", create_environment),
        ("packages (the first time: a few minutes, mostly download)", install_packages),
        ("ROS 2 messages", build_messages),
        ("this tree, editable", install_tree),
    )
    for number, (title, step) in enumerate(steps, 1):
        print(f"[{number}/{len(steps)}] {title}", flush=True)
        step()
    STAMP.write_text(digest(), encoding="utf-8")
    print(f"Ready after {time.monotonic() - start:.0f} s.", flush=True)


def create_environment() -> None:
    if PYTHON.exists() and read(IDENTITY) == identity():
        return
    if IDENTITY.exists():
        print(f"  rebuilt: it was {read(IDENTITY)}, now it is {identity()}", flush=True)
    site = ["--system-site-packages"] if needs.ros_distro() else []
    run(sys.executable, "-m", "venv", "--clear", *site, VENV)
    IDENTITY.write_text(identity(), encoding="utf-8")


def install_packages() -> None:
    """Install exactly what the lock file names; pip checks the hash of every file."""
    drop_torn_packages()
    lock = locked.LOCK.read_text(encoding="utf-8")
    entries = locked.entries(lock)
    run(PYTHON, "-m", "pip", "--quiet", "uninstall", "--yes", *locked.left_out(lock))
    install_locked(locked.needed(entries, ["build"]))
    groups = (*GROUPS, "no_deps", "ros_sourced" if needs.ros_distro() else "ros_wheels")
    try:
        builds = locked.builds_here(entries, PYTHON)
    except RuntimeError as error:
        raise SetupError(str(error)) from None
    install_locked(locked.needed(entries, groups, builds))


def install_locked(entries: list[locked.Entry]) -> None:
    pins = BUILD / "pins.txt"
    pins.write_text("\n".join(entry.text() for entry in entries) + "\n", encoding="utf-8")
    pip("--no-deps", "--no-build-isolation", "--require-hashes", "-r", str(pins))


def drop_torn_packages() -> None:
    """Let pip forget the packages whose installation was cut short: it takes them for whole."""
    for folder in VENV.glob("lib/python*/site-packages/*"):
        torn = folder.suffix == ".dist-info" and not (folder / "RECORD").exists()
        if torn or folder.name.startswith("~"):  # pip's name for what it was removing
            shutil.rmtree(folder)


def pip(*args: str) -> None:
    command = ("-m", "pip", "--disable-pip-version-check", "install")
    run(PYTHON, *command, *args)


def build_messages() -> None:
    if not needs.ros_distro():
        run(PYTHON, "scripts/patch_cmake_exports.py")
    environment = os.environ | {
        "VIRTUAL_ENV": str(VENV),
        "PATH": os.pathsep.join([str(VENV / "bin"), os.environ["PATH"]]),
        "AMENT_PREFIX_PATH": os.pathsep.join(ament_prefixes()),
    }
    run(
        *("colcon", "--log-level", "error", "--log-base", BUILD / "log"),
        *("build", "--base-paths", ROOT, "--build-base", BUILD / "colcon"),
        *("--merge-install", "--install-base", VENV),
        *("--cmake-args", "-DFSB_DEVELOP=ON", f"-DPython3_EXECUTABLE={PYTHON}"),
        environment=environment,
    )


def ament_prefixes() -> list[str]:
    sourced = os.environ["AMENT_PREFIX_PATH"].split(os.pathsep) if needs.ros_distro() else []
    return [str(VENV), *sourced]


def install_tree() -> None:
    # Compat: one line with the path of the tree, which finds modules added later, and leaves the
    # messages in site-packages alone. setuptools warns at length that it is an old way.
    os.environ["PYTHONWARNINGS"] = "ignore"
    pip(
        "--no-deps",
        "--quiet",
        "--no-build-isolation",
        "--config-settings",
        "editable_mode=compat",
        "-e",
        ".",
    )


def run(*command: str | Path, environment: Mapping[str, str] = os.environ) -> None:
    words = [str(word) for word in command]
    program = shutil.which(words[0], path=environment.get("PATH")) or words[0]
    done = subprocess.run([program, *words[1:]], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise SetupError(
            f"This failed with status {done.returncode}; its last lines above say why:\n"
            f"  {' '.join(words)}\nRun the same command again to go on from here."
        )


if __name__ == "__main__":
    sys.exit(main())

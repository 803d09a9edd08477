#!/usr/bin/env python3
"""Write the licences of all locked packages into docs/dependencies.md, as their authors state them.

Read from the installed packages; what this machine does not need stays as `ELSEWHERE` or the page
has it. Run it in the environment of `make setup`, after scripts/lock.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import locked

PAGE = locked.ROOT / "docs" / "dependencies.md"
BEGIN, END = "<!-- licences: begin -->", "<!-- licences: end -->"
RUN_TIME = ("core", "detectors", "onnx", "replay", "cluster", "rendered", "no_deps", "train")
# Of ROS 2's wheels, those that run on the robot; the others build messages.
ROS_RUN_TIME = r"ros-(rclpy|rmw-.+|.+-msgs|.+-srvs|wheels-bootstrapper)"
_LONGEST = 60  # characters of a licence's name; beyond, it is the licence's text

# What `make setup` does not install on every machine, or what states its licence in a file alone.
ELSEWHERE: Mapping[str, str] = {
    "anny": "Apache-2.0",
    "async-timeout": "Apache Software License",
    "colorama": "BSD License",
    "coloredlogs": "MIT License",
    "cuda-bindings": "Apache-2.0",
    "cuda-pathfinder": "Apache-2.0",
    "cuda-toolkit": "NVIDIA Proprietary Software",
    "embreex": "BSD-2-Clause",
    "exceptiongroup": "MIT License",
    "httpx2-jsfetch": "BSD-3-Clause",
    "humanfriendly": "MIT License",
    "nvidia-cublas": "LicenseRef-NVIDIA-Proprietary",
    "nvidia-cuda-cupti": "NVIDIA Proprietary Software",
    "nvidia-cuda-nvrtc": "NVIDIA Proprietary Software",
    "nvidia-cuda-runtime": "LicenseRef-NVIDIA-Proprietary",
    "nvidia-cudnn-cu13": "LicenseRef-NVIDIA-Proprietary",
    "nvidia-cufft": "NVIDIA Proprietary Software",
    "nvidia-cufile": "NVIDIA Proprietary Software",
    "nvidia-curand": "NVIDIA Proprietary Software",
    "nvidia-cusolver": "NVIDIA Proprietary Software",
    "nvidia-cusparse": "NVIDIA Proprietary Software",
    "nvidia-cusparselt-cu13": "NVIDIA Proprietary Software",
    "nvidia-nccl-cu13": "LicenseRef-NVIDIA-Proprietary",
    "nvidia-nvjitlink": "LicenseRef-NVIDIA-Proprietary",
    "nvidia-nvshmem-cu13": "LicenseRef-NVIDIA-Proprietary",
    "nvidia-nvtx": "NVIDIA Proprietary Software",
    "pyreadline3": "BSD License",
    "pywin32": "PSF-2.0",
    "roma": "BSD-3-Clause",
    "ros-fastcdr": "Apache License 2.0",
    "ros-fastdds": "Apache License 2.0",
    "setuptools": "MIT",
    "six": "MIT License",
    "tomli": "MIT",
    "trimesh": "MIT License",
    "triton": "MIT License",
    "warp-lang": "Apache-2.0",
}


def run_time(entries: list[locked.Entry]) -> set[str]:
    """Return the names of the packages that a robot or a training may load."""
    ros = {entry.name for entry in entries if re.fullmatch(ROS_RUN_TIME, entry.name)}
    return {entry.name for entry in locked.needed(entries, RUN_TIME, names=ros)}


def licence(name: str) -> str:
    """Return the licence of an installed package; "" if it is not installed or states none."""
    try:
        stated = metadata.metadata(name)
    except metadata.PackageNotFoundError:
        return ""
    classifiers = [
        text.rpartition(" :: ")[2]
        for text in stated.get_all("Classifier", [])
        if text.startswith("License ::")
    ]
    texts = [text.strip().splitlines() for text in stated.get_all("License", [])]
    first = texts[0][0] if texts and texts[0] else ""
    return (
        "".join(stated.get_all("License-Expression", []))
        or "; ".join(dict.fromkeys(classifiers))
        or (first if len(first) <= _LONGEST else "")
        or _of_ros(name)
    )


def _of_ros(name: str) -> str:
    path = Path(sys.prefix, "share", name.removeprefix("ros-").replace("-", "_"), "package.xml")
    if not path.exists():
        return ""
    text = path.read_text(encoding="utf-8")
    return "; ".join(dict.fromkeys(re.findall(r"<license[^>]*>\s*([^<]+?)\s*<", text)))


def rows(page: str) -> dict[str, str]:
    """Return the licences on the page, by package."""
    part = page.partition(BEGIN)[2].partition(END)[0]
    pairs = re.findall(r"^\| (\S+) \| (.*?) \| (?:yes)? ?\|$", part, re.MULTILINE)
    return dict(pairs)


def table(entries: list[locked.Entry], before: Mapping[str, str]) -> str:
    """Return the table; ``before`` has the licences of what is not installed here."""
    needed_then = run_time(entries)
    lines = ["| Package | Licence | Run time |", "| --- | --- | --- |"]
    for name in sorted({entry.name for entry in entries}):
        stated = licence(name) or ELSEWHERE.get(name) or before.get(name, "not stated")
        lines.append(f"| {name} | {stated} | {'yes' if name in needed_then else ''} |")
    return "\n".join(lines)


def updated(page: str, entries: list[locked.Entry]) -> str:
    """Return the page with the table of now."""
    start, _, rest = page.partition(BEGIN)
    end = rest.partition(END)[2]
    return f"{start}{BEGIN}\n\n{table(entries, rows(page))}\n\n{END}{end}"


def main(arguments: Iterable[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="compare only; status 1 if not equal")
    check = parser.parse_args(arguments).check
    page = PAGE.read_text(encoding="utf-8")
    new = updated(page, locked.entries(locked.LOCK.read_text(encoding="utf-8")))
    if not check:
        PAGE.write_text(new, encoding="utf-8")
    return int(check and new != page)


if __name__ == "__main__":
    sys.exit(main())

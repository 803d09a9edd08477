#!/usr/bin/env python3
"""Read requirements/lock.txt: what some groups of requirements need, with the hashes of its files.

    python scripts/locked.py core onnx > pins.txt
    pip install --no-deps --require-hashes -r pins.txt

Needs nothing but Python itself, with pip.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "requirements" / "lock.txt"
# Only builds for CUDA bring NVIDIA's libraries along; and pip would pass over a build whose hash
# no index states, if it were not asked for by its full version.
SEVERAL_BUILDS = ("torch",)


@dataclass(frozen=True)
class Entry:
    """One version of one package.

    Attributes:
        name: in lower case, with hyphens.
        pin: name, version and marker, such as ``numpy==2.2.6 ; python_full_version < '3.11'``.
        hashes: of all its files, each as ``sha256:`` and 64 digits.
        needed_by: names of packages, and ``-r requirements/GROUP.txt`` for a group.
    """

    name: str
    pin: str
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]

    def text(self) -> str:
        """Return the entry as pip reads it, hashes included."""
        return " \\\n".join([self.pin, *(f"    --hash={value}" for value in self.hashes)])


@dataclass(frozen=True)
class Build:
    """The build of a package that pip takes on this machine.

    Attributes:
        name: of the package.
        pin: with the name of the build in the version, such as ``torch==2.13.0+cpu``.
        required: canonical names of the packages that it requires on some platform.
    """

    name: str
    pin: str
    required: Collection[str]


def entries(lock: str) -> list[Entry]:
    """Return the entries of the lock file's text."""
    parsed = []
    for block in re.split(r"\n(?=[A-Za-z0-9])", lock):
        pin = re.match(r"([A-Za-z0-9][\w.-]*)==[^\\\n]*", block)
        if pin is None:
            continue  # the heading
        needed_by = re.search(r"# via (.+)", block)
        parsed.append(
            Entry(
                name=canonical(pin[1]),
                pin=pin[0].strip(),
                hashes=tuple(re.findall(r"--hash=(\S+)", block)),
                needed_by=tuple(needed_by[1].split(", ")) if needed_by else (),
            )
        )
    return parsed


def left_out(lock: str) -> list[str]:
    """Return the packages that are required, but were left out of the lock on purpose."""
    return re.findall(r"^# ([\w.-]+)$", lock.partition("excluded from the output:\n")[2], re.M)


def canonical(name: str) -> str:
    """Return a package's name as indexes spell it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(
    locked: Iterable[Entry],
    groups: Collection[str],
    builds: Iterable[Build] = (),
    names: Collection[str] = (),
) -> list[Entry]:
    """Return the entries that some groups need, and what these need, in the order of the lock.

    Args:
        locked: all entries.
        groups: stems of files in requirements/.
        builds: as `builds_here` returns them. What a build does not require is left out, and its
            pin names the build.
        names: of packages that are needed too.
    """
    locked, chosen = list(locked), {build.name: build for build in builds}
    reached = {f"-r requirements/{group}.txt" for group in groups} | set(names)
    size = -1
    while size < len(reached):
        size = len(reached)
        reached |= {
            entry.name
            for entry in locked
            for parent in entry.needed_by
            if parent in reached and (parent not in chosen or entry.name in chosen[parent].required)
        }
    return [
        replace(entry, pin=chosen[entry.name].pin) if entry.name in chosen else entry
        for entry in locked
        if entry.name in reached
    ]


def builds_here(locked: Iterable[Entry], python: Path) -> list[Build]:
    """Return the builds of `SEVERAL_BUILDS` that pip takes on this machine.

    Args:
        locked: all entries.
        python: the interpreter that is installed for.

    Raises:
        RuntimeError: pip finds no build.
    """
    return [
        _build_here(name, [entry.pin for entry in locked if entry.name == name], python)
        for name in SEVERAL_BUILDS
    ]


def _build_here(name: str, pins: list[str], python: Path) -> Build:
    command = ["install", "--quiet", "--dry-run", "--ignore-installed", "--no-deps"]
    done = subprocess.run(
        [python, "-m", "pip", *command, "--only-binary", ":all:", "--report", "-", *pins],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"pip finds no {' or '.join(pins)}:\n{done.stderr.strip()}")
    (chosen,) = json.loads(done.stdout)["install"]
    required = chosen["metadata"].get("requires_dist", [])
    return Build(
        name,
        pin=f"{name}=={chosen['metadata']['version']}",
        required={canonical(re.split(r"[^\w.-]", text, maxsplit=1)[0]) for text in required},
    )


def main(groups: list[str]) -> int:
    locked = entries(LOCK.read_text(encoding="utf-8"))
    files = {path.stem for path in LOCK.parent.glob("*.txt")} - {LOCK.stem}
    if not groups or not set(groups) <= files:
        print(f"name some of {', '.join(sorted(files))}, not {groups}", file=sys.stderr)
        return 2
    builds = builds_here(locked, Path(sys.executable))
    print("\n".join(entry.text() for entry in needed(locked, groups, builds)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

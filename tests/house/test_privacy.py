"""What the programs open, write and send, seen by the kernel: files they name, loopback alone.

The commands run under strace with an empty HOME. A library that reports to its makers, now or in
a later version, looks up a name, connects somewhere or leaves a file, and fails here.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from fsb_perception import samples
from tests.training.datasets import layouts

pytestmark = [
    pytest.mark.slow,
    pytest.mark.long,
    pytest.mark.skipif(not shutil.which("strace"), reason="needs strace: apt-get install strace"),
]

PHOTO = sorted(Path(samples.__file__).parent.glob("*.jpg"))[0]
CALLS = "connect,sendto,sendmsg,sendmmsg,openat,open,creat,mkdir,mkdirat,rename,renameat2,link"
ADDRESS = re.compile(r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"')
WRITES = re.compile(r'^\d+ +(?:openat\(\w+, |open\(|creat\()"([^"]+)", .*O_(?:WRONLY|RDWR|CREAT)')
MAKES = re.compile(r'^\d+ +(?:mkdir\(|mkdirat\(\w+, |rename\("[^"]+", |link\("[^"]+", )"([^"]+)"')
# The list of this machine's fonts, which matplotlib keeps; logs of ROS nodes.
CACHES = (".cache/matplotlib/fontlist-", ".ros/log/")
# Devices and what a process says of itself; shared memory of the transport and of processes.
SYSTEM = ("/dev/", "/proc/", "/sys/", "pipe:", "socket:")
# Multicast of ROS 2's discovery, which ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST keeps on loopback.
LOOPBACK = re.compile(r"^(127\.|::1$|::ffff:127\.|239\.255\.0\.1$|0\.0\.0\.0$|::$)")


@dataclass(frozen=True)
class Trace:
    """What a program did: its output, the addresses it spoke to, the paths it wrote."""

    output: str
    addresses: set[str]
    paths: set[str]


def trace(folder: Path, words: Sequence[str]) -> Trace:
    """Run a program in ``folder`` with an empty HOME, and read what the kernel saw."""
    home, log, temporary = folder / "home", folder / "trace", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    run = subprocess.run(
        [
            *("strace", "-f", "--seccomp-bpf", "-e", f"trace={CALLS}", "-s", "400"),
            *("-o", str(log), sys.executable),
            *words,
        ],
        cwd=folder,
        env=_environment(home, temporary),
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
    log.unlink()
    paths = {match[1] for line in lines if (match := WRITES.match(line) or MAKES.match(line))}
    spoken = [
        m
        for line in lines
        if "AF_INET" in line and "bind(" not in line
        for m in ADDRESS.findall(line)
    ]
    return Trace(run.stdout, {first or second for first, second in spoken}, paths)


def _environment(home: Path, temporary: Path) -> dict[str, str]:
    # Neither the switches that FSB sets itself, nor what torch has set in this process.
    ours = (
        "ORT_DISABLE_TELEMETRY",
        "HF_HUB_DISABLE_TELEMETRY",
        "DO_NOT_TRACK",
        "HF_HUB_OFFLINE",
        "TORCHINDUCTOR_CACHE_DIR",
    )
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {"HOME": str(home), "TMPDIR": str(temporary), "PYTHONDONTWRITEBYTECODE": "1"}


def outside(paths: set[str], folder: Path) -> set[str]:
    """Paths beyond ``folder``; a relative one lies in it, since the program runs there."""
    return {p for p in paths if p.startswith("/") and not p.startswith((*SYSTEM, str(folder)))}


# One process for all commands: every further one costs seconds. The demo starts two of its own.
COMMANDS = (
    "fsb bundle verify nano",
    "fsb image photo.jpg --json faces.json",
    "fsb-train evaluate --bundle nano --data-root data --datasets CSV:val",
    "fsb replay make-sample sample --seconds 0.2",
    "fsb replay run sample/bag --truth sample/truth.jsonl --out run",
    "fsb onnx nano nano.onnx",
    "fsb demo --seconds 2 --no-view",
)
PROGRAM = """
import importlib, sys
modules = {"fsb": "fsb_perception.cli", "fsb-train": "fsb_training.cli"}
for command in sys.argv[1:]:
    print("$", command, flush=True)
    sys.argv = command.split()
    try:
        importlib.import_module(modules[sys.argv[0]]).main()
    except SystemExit as end:
        assert not end.code, end
"""


@pytest.mark.timeout(300)
def test_they_speak_to_this_machine_alone_and_write_what_they_name(tmp_path):
    shutil.copy(PHOTO, tmp_path / "photo.jpg")
    lines = "".join(f"{n}.jpg,{('male', 'female')[n % 2]}\n" for n in range(4))
    layouts.own_table(tmp_path / "data", f"file,gender\n{lines}", pictures=4, part="val")
    seen = trace(tmp_path, ["-c", PROGRAM, *COMMANDS])
    assert seen.output.count("$ fsb") == len(COMMANDS)
    for file in ("faces.json", "run/bag/summary.json", "nano.onnx"):
        assert (tmp_path / file).is_file()
    assert not {address for address in seen.addresses if not LOOPBACK.match(address)}
    assert not outside(seen.paths, tmp_path)
    home = tmp_path / "home"
    kept = {str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()}
    assert not {path for path in kept if not path.startswith(CACHES)}

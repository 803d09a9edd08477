"""Ten thousand damaged pictures through the one reader: each is decoded or refused, in bounds.

A process of its own has a limit on its memory, which turns a bomb into a failure.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsb_perception.images.decoding import FILES, ROBOT, decode_picture
from fsb_perception.images.headers import PictureError
from tests.perception.images.bombs import BOMBS, encoded
from tests.perception.images.encoded import noise

pytestmark = pytest.mark.slow

_COUNT = 10_000
_LIMIT = 55.0  # s of processor time
_MOST_MEMORY = 400 << 20  # bytes above those of the libraries

PICTURE = np.asarray(cv2.resize(noise(9, 12, 3), (96, 72), interpolation=cv2.INTER_CUBIC), np.uint8)
SEEDS = [
    encoded(".jpg", picture=PICTURE),
    encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1, picture=PICTURE),
    encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 3, picture=PICTURE),
    encoded(".png", picture=PICTURE),
    encoded(".webp", cv2.IMWRITE_WEBP_QUALITY, 70, picture=PICTURE),
    encoded(".webp", picture=PICTURE),
]
FILE_SEEDS = [
    encoded(suffix, picture=PICTURE) for suffix in (".gif", ".bmp", ".tiff", ".ppm", ".jp2", ".ras")
]
_SMALL_BOMBS = [data for make in BOMBS.values() if len(data := make()) < 100_000]


def mutated(rng: np.random.Generator) -> tuple[bytes, bool]:
    """Return a damaged picture, and whether it is a file of the user."""
    is_file = rng.random() < 0.2
    seeds = FILE_SEEDS if is_file else SEEDS if rng.random() < 0.9 else _SMALL_BOMBS
    data = bytearray(seeds[rng.integers(len(seeds))])
    # Headers decide what is allocated: most damage goes there.
    reach = len(data) if rng.random() < 0.3 else min(len(data), 700)
    for _ in range(rng.integers(1, 6)):
        at, kind = int(rng.integers(reach)), rng.integers(6)
        if kind == 0:
            data[at : at + 1] = (
                bytes([data[at % len(data)] ^ 1 << rng.integers(8)]) if data else b""
            )
        elif kind == 1:
            data[at : at + 1] = rng.bytes(1)
        elif kind == 2:
            data[at : at + 4] = [b"\xff" * 4, bytes(4), b"\x7f\xff\xff\xff"][rng.integers(3)]
        elif kind == 3:
            del data[at : at + int(rng.integers(1, 64))]
        elif kind == 4:
            data[at:at] = data[at : at + int(rng.integers(1, 64))]
        else:
            del data[max(1, int(rng.integers(len(data) + 1))) :]
        reach = min(reach, max(len(data), 1))
        if not data:
            break
    return bytes(data), is_file


def main() -> None:
    """Decode the damaged pictures, and print what became of them as JSON."""
    import resource

    cv2.setNumThreads(1)
    for data in SEEDS:
        decode_picture(data)
    begun = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (begun + _MOST_MEMORY,) * 2)
    rng = np.random.default_rng(14)
    outcomes: Counter[str] = Counter()
    for _ in range(_COUNT):
        data, is_file = mutated(rng)
        try:
            picture = decode_picture(data, config=FILES if is_file else ROBOT)
        except PictureError as error:
            outcomes["refused"] += 1
            outcomes["more than a line"] += "\n" in str(error)
            outcomes["out of memory"] += "nsufficient memory" in str(error)
        else:
            assert picture.dtype == np.uint8
            assert picture.ndim == 3
            outcomes["decoded"] += 1
    usage = resource.getrusage(resource.RUSAGE_SELF)
    sys.stdout.write(json.dumps(outcomes | {"seconds": usage.ru_utime + usage.ru_stime}))


def test_damaged_pictures_are_decoded_or_refused_within_bounds() -> None:
    done = subprocess.run(
        [sys.executable, "-m", __name__], capture_output=True, text=True, check=False, timeout=280
    )
    assert done.returncode == 0, done.stderr[-2000:]
    outcomes = json.loads(done.stdout)
    assert outcomes["decoded"] + outcomes["refused"] == _COUNT
    assert outcomes["decoded"] > _COUNT / 50
    assert outcomes["out of memory"] == outcomes["more than a line"] == 0
    assert outcomes["seconds"] < _LIMIT


if __name__ == "__main__":
    main()

"""One set of rules: a picture that one reader refuses is refused by all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from fsb_perception.errors import FsbError
from fsb_perception.images.decoding import check_size, decode_picture, encode_picture
from fsb_perception.images.files import read_picture
from fsb_perception.images.headers import PictureError
from fsb_perception.images.messages import compressed_to_bgr
from fsb_perception.images.sources import open_source
from fsb_training.data import pictures as training
from tests.perception.images.bombs import BOMBS
from tests.perception.images.encoded import noise

PICTURE = noise(24, 32, 3)
JPEG, PNG = encode_picture(PICTURE, ".jpg"), encode_picture(PICTURE, ".png")


def from_message(path: Path) -> None:
    message = CompressedImage(format="jpeg")
    message.data.frombytes(path.read_bytes())
    compressed_to_bgr(message)


def from_training(path: Path) -> None:
    if training.read_picture(path) is None:
        raise PictureError("left out and counted")


READERS: dict[str, Callable[[Path], object]] = {
    "robot": from_message,
    "image command": read_picture,
    "camera": lambda path: open_source(str(path)),
    "training": from_training,
}
GOOD = {
    "JPEG": JPEG,
    "JPEG without its last marker": JPEG[:-2],
    "PNG": PNG,
    "WebP": encode_picture(PICTURE, ".webp"),
}
BAD = {
    "empty": b"",
    "text": b"no picture",
    "half a JPEG": JPEG[: len(JPEG) // 2],
    "half a PNG": PNG[: len(PNG) // 2],
    "half a JPEG with an end": JPEG[: len(JPEG) // 2] + JPEG[-2:],
    "JPEG of a billion pixels": BOMBS["JPEG of a billion pixels"](),
    "PNG of a billion pixels": BOMBS["PNG of a billion pixels"](),
    "too long": encode_picture(np.zeros((1, 40_000, 3), np.uint8), ".png"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_all_readers_refuse_the_same(tmp_path: Path, reader: str, name: str) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes((GOOD | BAD)[name])
    if name in GOOD:
        READERS[reader](path)
        return
    with pytest.raises(FsbError):
        READERS[reader](path)


def test_quality_is_that_of_a_jpeg() -> None:
    small, large = (encode_picture(PICTURE, ".jpg", quality=value) for value in (20, 95))
    assert len(small) < len(large)
    assert decode_picture(small).shape == PICTURE.shape


@pytest.mark.parametrize(
    ("suffix", "shape"), [(".nonsense", (4, 4, 3)), ("", (4, 4, 3)), (".jpg", (70_000, 1, 3))]
)
def test_a_picture_that_no_format_holds_is_refused(suffix: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(PictureError, match="cannot be encoded as"):
        encode_picture(np.zeros(shape, np.uint8), suffix)


@pytest.mark.parametrize(("width", "height"), [(0, 1), (1, 0), (32_767, 1), (1, 32_767)])
def test_a_side_is_1_to_32766_px(width: int, height: int) -> None:
    check_size(32_766, 1)
    with pytest.raises(PictureError, match=f"its size is {width} x {height} px"):
        check_size(width, height)

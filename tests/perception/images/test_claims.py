"""A few bytes must not cost gigabytes: the claimed size is read before the picture is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from fsb_perception.images.claims import claimed_size
from fsb_perception.images.messages import ConversionError, compressed_to_bgr

PICTURE = np.full((24, 32, 3), (40, 90, 200), np.uint8)


def encoded(suffix: str, *flags: int) -> bytes:
    return cv2.imencode(suffix, PICTURE, flags)[1].tobytes()


def message(data: bytes, format_: str = "jpeg") -> CompressedImage:
    made = CompressedImage(format=format_)
    made.data.frombytes(data)
    return made


PLAIN, PROGRESSIVE = encoded(".jpg"), encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


@pytest.mark.parametrize(
    ("data", "size"),
    [
        (PLAIN, (32, 24)),
        (PROGRESSIVE, (32, 24)),
        (PLAIN[:2] + b"\xff" + PLAIN[2:], (32, 24)),  # a filler before a marker
        (encoded(".png"), (32, 24)),
        (encoded(".webp"), None),
        (b"", None),
        (PLAIN[:2], None),
        (PLAIN[:100], None),
        (b"\xff\xd8" + b"\xff\xe0\x00\x00" * 50, None),  # segments without length
        (encoded(".png")[:20], None),
    ],
    ids=lambda value: f"{len(value)} bytes" if isinstance(value, bytes) else str(value),
)
def test_the_header_is_read(data: bytes, size: tuple[int, int] | None) -> None:
    assert claimed_size(data) == size


def jpeg_claiming(width: int, height: int) -> bytes:
    data = bytearray(PLAIN)
    at = data.index(b"\xff\xc0") + 5
    data[at : at + 4] = height.to_bytes(2, "big") + width.to_bytes(2, "big")
    return bytes(data)


def png_claiming(width: int, height: int) -> bytes:
    data = bytearray(encoded(".png"))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    "data", [jpeg_claiming(32000, 32000), png_claiming(32000, 32000)], ids=["JPEG", "PNG"]
)
def test_a_bomb_is_refused_before_it_is_decoded(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(cv2, "imdecode")
    with pytest.raises(ConversionError, match="it claims 32000 x 32000 px"):
        compressed_to_bgr(message(data))


@pytest.mark.parametrize(
    ("format_", "swapped"),
    [
        ("jpeg", False),
        ("rgb8; jpeg compressed bgr8", False),
        ("bgr8; jpeg compressed bgr8", False),
        ("rgb8; jpeg compressed rgb8", True),
    ],
)
def test_colours_are_what_the_format_says(format_: str, swapped: bool) -> None:
    expected = PICTURE[..., ::-1] if swapped else PICTURE
    picture = compressed_to_bgr(message(PLAIN, format_))
    assert np.abs(picture.astype(int) - expected).max() <= 4

"""Compressed pictures as cameras send them, and data that is no picture."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from sensor_msgs.msg import CompressedImage

from fsb_perception.images.messages import ConversionError, compressed_to_bgr
from tests.perception.images.encoded import noise


def compressed(
    picture: NDArray, extension: str, message_format: str, change: Callable = bytes
) -> CompressedImage:
    made, data = cv2.imencode(extension, picture)
    assert made
    message = CompressedImage(format=message_format)
    message.data.frombytes(change(data.tobytes()))
    return message


SMOOTH = cv2.resize(noise(3, 4, 3), (48, 32), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize(
    ("extension", "message_format", "tolerance"),
    [
        (".jpg", "bgr8; jpeg compressed bgr8", 24),
        (".jpg", "rgb8; jpeg compressed bgr8", 24),
        (".jpg", "jpeg", 24),
        (".jpg", "", 24),
        (".png", "png", 0),
        (".png", "rgb8; png compressed bgr8", 0),
        (".webp", "webp", 0),
    ],
)
def test_compressed_pictures_are_read(extension: str, message_format: str, tolerance: int) -> None:
    picture = compressed_to_bgr(compressed(SMOOTH, extension, message_format))
    assert np.abs(picture.astype(int) - SMOOTH).max() <= tolerance
    assert picture.flags.writeable


PNGS = {
    "grey": (SMOOTH[..., 0], np.stack([SMOOTH[..., 0]] * 3, axis=-1)),
    "with alpha": (np.dstack([SMOOTH, noise(32, 48)]), SMOOTH),
    "16 bit": (SMOOTH.astype(np.uint16) << 8 | noise(32, 48, 3), SMOOTH),
}


@pytest.mark.parametrize("name", PNGS)
def test_compressed_pictures_become_bgr(name: str) -> None:
    stored, expected = PNGS[name]
    picture = compressed_to_bgr(compressed(stored, ".png", "png"))
    np.testing.assert_array_equal(picture, expected)


def with_exif_turn(jpeg: bytes) -> bytes:
    """Return the JPEG with EXIF data that ask for a quarter turn."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def test_exif_data_do_not_turn_a_message() -> None:
    message = compressed(SMOOTH, ".jpg", "jpeg", with_exif_turn)
    turned = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape == (48, 32, 3), "OpenCV ignores the EXIF data, so this proves nothing"
    assert compressed_to_bgr(message).shape == (32, 48, 3)


def enormous(png: bytes) -> bytes:
    header = b"IHDR" + (60_000).to_bytes(4, "big") * 2 + png[24:29]
    return png[:12] + header + zlib.crc32(header).to_bytes(4, "big") + png[33:]


@pytest.mark.parametrize(
    ("extension", "message_format", "change", "reason"),
    [
        (".jpg", "jpeg", lambda _: b"", "'jpeg' and 0 bytes: it is empty"),
        (".jpg", "jpeg", lambda data: data[: len(data) // 2], "'jpeg' and [1-9][0-9]+ bytes"),
        (".png", "png", lambda data: data[: len(data) // 2], "'png' and [1-9][0-9]+ bytes"),
        (".png", "png", enormous, "'png' and [1-9][0-9]+ bytes"),
        (".jpg", "h264", lambda _: bytes(100), "'h264' and 100 bytes: .*not a still picture"),
        (".png", "16UC1; compressedDepth png", bytes, "depth; subscribe to the colour image"),
    ],
    ids=["empty", "half a jpeg", "half a png", "enormous", "video", "depth"],
)
def test_data_that_are_no_picture_are_refused(
    extension: str, message_format: str, change: Callable, reason: str
) -> None:
    with pytest.raises(ConversionError, match=reason):
        compressed_to_bgr(compressed(SMOOTH, extension, message_format, change))


def test_a_compressed_picture_too_long_to_cut_faces_from_is_refused() -> None:
    with pytest.raises(ConversionError, match="40000 x 1 px"):
        compressed_to_bgr(compressed(np.zeros((1, 40_000, 3), np.uint8), ".png", "png"))

"""Every encoding against references made here with NumPy, and everything that must be refused."""

from __future__ import annotations

import array
import contextlib
import importlib.util
import sys
import types
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.ros.conversions import (
    ConversionError,
    bgr_to_image,
    compressed_to_bgr,
    image_to_bgr,
    make_converter,
)
from fsb_perception.ros.encodings import ENCODINGS

WIDTH, HEIGHT = 12, 8
Bytes = NDArray[np.uint8]


def noise(*shape: int, seed: int = 0) -> Bytes:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@dataclass(frozen=True)
class Reference:
    """Planes of 8-bit samples, (rows, samples in a row) each, and the picture they stand for."""

    planes: Sequence[Bytes]
    bgr: NDArray
    tolerance: int = 0
    border: int = 0  # px where OpenCV's Bayer conversion has no neighbours


def interleaved(order: Sequence[int]) -> Reference:
    bgra = noise(HEIGHT, WIDTH, 4)
    return Reference([bgra[..., order].reshape(HEIGHT, -1)], bgra[..., :3])


def grey() -> Reference:
    luma = noise(HEIGHT, WIDTH)
    return Reference([luma], np.stack([luma] * 3, axis=-1))


def bt601(y: NDArray, u: NDArray, v: NDArray) -> NDArray:
    """BGR from YUV of limited range, as ITU-R BT.601 writes it; planes of one shape."""
    y, u, v = 1.164 * (y - 16.0), u - 128.0, v - 128.0
    bgr = np.stack([y + 2.018 * u, y - 0.813 * v - 0.391 * u, y + 1.596 * v], axis=-1)
    return bgr.clip(0, 255)


def yuv(rows: int, columns: int, pack: Callable[..., list[Bytes]]) -> Reference:
    """A picture whose colour is shared by blocks of ``rows`` x ``columns`` pixels."""
    y = noise(HEIGHT, WIDTH).clip(16, 235)  # what lies below is nothing that BT.601 defines
    u, v = noise(2, HEIGHT // rows, WIDTH // columns, seed=1)
    full = [plane.repeat(rows, axis=0).repeat(columns, axis=1) for plane in (u, v)]
    return Reference(pack(y, u, v), bt601(y, *full), tolerance=2)


def semi_planar(y: Bytes, first: Bytes, second: Bytes) -> list[Bytes]:
    return [y, np.stack([first, second], axis=-1).reshape(len(first), -1)]


def packed(*samples: Bytes) -> list[Bytes]:
    return [np.stack(samples, axis=-1).reshape(HEIGHT, -1)]


def nv12() -> Reference:
    return yuv(2, 2, semi_planar)


def nv21() -> Reference:
    return yuv(2, 2, lambda y, u, v: semi_planar(y, v, u))


def nv24() -> Reference:
    return yuv(1, 1, semi_planar)


def uyvy() -> Reference:
    return yuv(1, 2, lambda y, u, v: packed(u, y[:, ::2], v, y[:, 1::2]))


def yuyv() -> Reference:
    return yuv(1, 2, lambda y, u, v: packed(y[:, ::2], u, y[:, 1::2], v))


def bayer(pattern: str) -> Reference:
    """The mosaic a sensor makes of a picture; slopes come back exactly, wrong colours do not."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    bgr = np.stack([20 + 4 * x, 230 - 6 * y, 90 + 2 * x + 4 * y], axis=-1).astype(np.uint8)
    mosaic = np.empty((HEIGHT, WIDTH), np.uint8)
    for index, colour in enumerate(pattern):
        rows, columns = slice(index // 2, None, 2), slice(index % 2, None, 2)
        mosaic[rows, columns] = bgr[rows, columns, "bgr".index(colour)]
    return Reference([mosaic], bgr, border=1)


REFERENCES: dict[str, Callable[[], Reference]] = {
    "bgr8": lambda: interleaved([0, 1, 2]),
    "rgb8": lambda: interleaved([2, 1, 0]),
    "bgra8": lambda: interleaved([0, 1, 2, 3]),
    "rgba8": lambda: interleaved([2, 1, 0, 3]),
    "mono8": grey,
    "bgr16": lambda: interleaved([0, 1, 2]),
    "rgb16": lambda: interleaved([2, 1, 0]),
    "bgra16": lambda: interleaved([0, 1, 2, 3]),
    "rgba16": lambda: interleaved([2, 1, 0, 3]),
    "mono16": grey,
    "8UC1": grey,
    "8UC3": lambda: interleaved([0, 1, 2]),
    "8UC4": lambda: interleaved([0, 1, 2, 3]),
    "16UC1": grey,
    "16UC3": lambda: interleaved([0, 1, 2]),
    "16UC4": lambda: interleaved([0, 1, 2, 3]),
    "yuv422": uyvy,
    "uyvy": uyvy,
    "yuv422_yuy2": yuyv,
    "yuyv": yuyv,
    "nv12": nv12,
    "nv21": nv21,
    "nv24": nv24,
    "bayer_rggb8": lambda: bayer("rggb"),
    "bayer_bggr8": lambda: bayer("bggr"),
    "bayer_gbrg8": lambda: bayer("gbrg"),
    "bayer_grbg8": lambda: bayer("grbg"),
    "bayer_rggb16": lambda: bayer("rggb"),
    "bayer_bggr16": lambda: bayer("bggr"),
    "bayer_gbrg16": lambda: bayer("gbrg"),
    "bayer_grbg16": lambda: bayer("grbg"),
}


def build(encoding: str, padding: int = 0, is_bigendian: int = 0) -> Image:
    """A message whose padding and low bytes are noise."""
    planes = REFERENCES[encoding]().planes
    if "16" in encoding:
        planes = [widen(plane, is_bigendian) for plane in planes]
    step = planes[0].shape[1] + padding
    # NV24: a row of the second plane is twice as long, and so is its padding.
    steps = [step * (plane.shape[1] // planes[0].shape[1]) for plane in planes]
    padded = [pad(plane, length) for plane, length in zip(planes, steps, strict=True)]
    message = Image(width=WIDTH, height=HEIGHT, encoding=encoding, step=step)
    message.is_bigendian = is_bigendian
    message.data.frombytes(b"".join(plane.tobytes() for plane in padded))
    return message


def widen(plane: Bytes, is_bigendian: int) -> Bytes:
    values = plane.astype(np.uint16) << 8 | noise(*plane.shape, seed=2)
    return values.astype(">u2" if is_bigendian else "<u2").view(np.uint8)


def pad(plane: Bytes, length: int) -> Bytes:
    return np.hstack([plane, noise(len(plane), length - plane.shape[1], seed=3)])


def assert_shows(picture: NDArray, reference: Reference) -> None:
    assert picture.shape == (HEIGHT, WIDTH, 3)
    assert picture.dtype == np.uint8
    assert picture.flags.c_contiguous
    inner = slice(reference.border, -reference.border or None)
    difference = np.abs(picture.astype(float) - reference.bgr)[inner, inner]
    assert difference.max() <= reference.tolerance


def test_every_encoding_has_a_reference() -> None:
    assert set(REFERENCES) == set(ENCODINGS)


@pytest.mark.parametrize("is_bigendian", [0, 1])
@pytest.mark.parametrize("padding", [0, 4, 5])
@pytest.mark.parametrize("encoding", REFERENCES)
def test_an_encoding_is_read(encoding: str, padding: int, is_bigendian: int) -> None:
    picture = image_to_bgr(build(encoding, padding, is_bigendian))
    assert_shows(picture, REFERENCES[encoding]())


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", REFERENCES)
def test_what_can_be_written_is_not_the_message(encoding: str, padding: int) -> None:
    message = build(encoding, padding)
    before = bytes(message.data)
    picture = image_to_bgr(message)
    shared = np.shares_memory(picture, np.frombuffer(message.data, np.uint8))
    assert shared == (encoding in ("bgr8", "8UC3") and not padding)
    assert picture.flags.writeable == (not shared)
    assert bytes(message.data) == before


def test_data_beyond_the_picture_is_ignored() -> None:
    message = build("rgb8", padding=4)
    message.data.extend([7] * 100)
    assert_shows(image_to_bgr(message), REFERENCES["rgb8"]())


def bad(base: str = "bgr8", **fields: object) -> Image:
    """A message in the encoding ``base``, with some fields changed."""
    message = build(base)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


BAD = {
    "no encoding": (bad(encoding=""), "unknown encoding ''"),
    "a mistyped encoding": (bad(encoding="bgr_8"), "Did you mean 'bgr8'"),
    "another case": (bad(encoding="BGR8"), "Known: .*bgr8"),
    "depth in floats": (bad(encoding="32FC1"), "unknown encoding '32FC1'.*Known: 16UC1"),
    "no width": (bad(width=0), "0 x 8 px"),
    "no height": (bad(height=0), "12 x 0 px"),
    "all zero": (Image(encoding="bgr8"), "0 x 0 px"),
    "absurdly wide": (bad(width=2**32 - 1), "4294967295 x 8 px: .* 32766"),
    "absurdly high": (bad(height=2**32 - 1), "12 x 4294967295 px: .* 32766"),
    "no step": (bad(step=0), "step is 0 bytes, but a row has 36"),
    "a step one short": (bad(step=35), "12 x 8 px bgr8: step is 35 bytes, but a row has 36"),
    "an 8-bit step for 16 bit": (bad("mono16", step=WIDTH), "step is 12 bytes, but a row has 24"),
    "an absurd step": (bad(step=2**32 - 1), r"34359738360 bytes are needed .* got 288"),
    "no data": (bad(data=array.array("B")), "288 bytes are needed .* got 0"),
    "one byte short": (bad(data=array.array("B", bytes(287))), "288 bytes .* got 287"),
    "no colour plane": (bad("nv12", data=array.array("B", bytes(96))), "144 bytes .* got 96"),
    "half a colour plane": (bad("nv24", data=array.array("B", bytes(192))), "288 .* got 192"),
    "half a pair of pixels": (bad("yuv422", width=11), r"11 x 8 px yuv422: .*multiple of 2 x 1"),
    "half a block": (bad("nv21", height=7), r"12 x 7 px nv21: .*multiple of 2 x 2"),
    "a mosaic without neighbours": (bad("bayer_rggb8", height=2), "12 x 2 px .* 3 px or more"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_picture_is_refused_with_the_value(name: str) -> None:
    message, reason = BAD[name]
    with pytest.raises(ConversionError, match=reason):
        image_to_bgr(message)


@given(
    encoding=st.sampled_from(sorted(ENCODINGS)),
    width=st.integers(0, 6),
    height=st.integers(0, 6),
    step=st.integers(0, 50),
    data=st.binary(max_size=400),
)
def test_anything_gives_a_picture_or_a_conversion_error(
    encoding: str, width: int, height: int, step: int, data: bytes
) -> None:
    message = Image(width=width, height=height, step=step, encoding=encoding)
    message.data.frombytes(data)
    with contextlib.suppress(ConversionError):
        assert image_to_bgr(message).shape == (height, width, 3)


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
        (".jpg", "bgr8; jpeg compressed bgr8", 12),
        (".jpg", "rgb8; jpeg compressed bgr8", 12),
        (".jpg", "jpeg", 12),
        (".jpg", "", 12),
        (".png", "png", 0),
        (".png", "rgb8; png compressed bgr8", 0),
        (".webp", "webp", 40),
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
    """The JPEG with a note in front that says: turn me by a quarter."""
    entry = b"\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00"
    exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + b"\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:]


def test_an_exif_turn_is_left_alone() -> None:
    message = compressed(SMOOTH, ".jpg", "jpeg", with_exif_turn)
    turned = cv2.imdecode(np.frombuffer(message.data, np.uint8), cv2.IMREAD_COLOR)
    assert turned.shape == (48, 32, 3), "the note is not understood, so this proves nothing"
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
def test_compressed_data_that_is_no_picture_is_refused(
    extension: str, message_format: str, change: Callable, reason: str
) -> None:
    with pytest.raises(ConversionError, match=reason):
        compressed_to_bgr(compressed(SMOOTH, extension, message_format, change))


def test_a_compressed_picture_too_long_to_cut_faces_from_is_refused() -> None:
    with pytest.raises(ConversionError, match="40000 x 1 px"):
        compressed_to_bgr(compressed(np.zeros((1, 40_000, 3), np.uint8), ".png", "png"))


PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@given(PICTURES, st.booleans())
def test_a_picture_survives_the_way_through_a_message(bgr: Bytes, mirrored: bool) -> None:
    picture = bgr[:, ::-1] if mirrored else bgr  # a view that is not contiguous
    sent = bgr_to_image(picture, Header(frame_id="camera"))
    received = deserialize_message(serialize_message(sent), Image)
    assert received.header.frame_id == "camera"
    assert (received.encoding, received.step) == ("bgr8", 3 * picture.shape[1])
    np.testing.assert_array_equal(image_to_bgr(received), picture)


@pytest.mark.parametrize(
    "picture", [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)]
)
def test_only_bgr_becomes_a_message(picture: NDArray) -> None:
    with pytest.raises(ValueError, match="an image must"):
        bgr_to_image(picture, Header())


@pytest.mark.parametrize("name", ["auto", "numpy"])
def test_our_own_converter_is_the_default(name: str) -> None:
    assert make_converter(name) is image_to_bgr


def test_an_unknown_converter_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'numpy'"):
        make_converter("numppy")


def test_a_missing_cv_bridge_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(OptionError, match=r"cv_bridge does not work here.*set converter to numpy"):
        make_converter("cv_bridge")


def test_a_cv_bridge_for_another_numpy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def imgmsg_to_cv2(self, message: Image, encoding: str) -> None:
            raise AttributeError("_ARRAY_API not found")

    module = types.ModuleType("cv_bridge")
    module.CvBridge = Broken  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "cv_bridge", module)
    with pytest.raises(OptionError, match=r"_ARRAY_API not found.*set converter to numpy"):
        make_converter("cv_bridge")


@pytest.mark.skipif(
    importlib.util.find_spec("cv_bridge") is None, reason="cv_bridge comes with a ROS installation"
)
@pytest.mark.parametrize("encoding", ["bgr8", "rgb8", "bgra8", "rgba8", "mono8", "yuv422"])
def test_cv_bridge_agrees(encoding: str) -> None:
    theirs, ours = make_converter("cv_bridge")(build(encoding)), image_to_bgr(build(encoding))
    assert np.abs(theirs.astype(int) - ours).max() <= 1
    with pytest.raises(ConversionError, match="cv_bridge cannot convert 12 x 8 px nonsense"):
        make_converter("cv_bridge")(bad(encoding="nonsense"))

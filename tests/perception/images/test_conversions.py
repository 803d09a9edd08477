"""Every encoding against references made here with NumPy, and everything that must be refused."""

from __future__ import annotations

import array
import contextlib
import importlib.util
import sys
import types

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from fsb_perception.images.encodings import ENCODINGS
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.ros.conversions import (
    ConversionError,
    bgr_to_image,
    image_to_bgr,
    make_converter,
)
from tests.perception.images.encoded import HEIGHT, REFERENCES, WIDTH, Bytes, Reference, build


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
    """Return a message in the encoding ``base``, with some fields changed."""
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
def test_a_bad_message_is_refused_with_the_value(name: str) -> None:
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


PICTURES = hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9), st.just(3)))


@given(PICTURES, st.booleans())
def test_a_picture_survives_its_message(bgr: Bytes, mirrored: bool) -> None:
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


def test_a_missing_cv_bridge_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(OptionError, match=r"cv_bridge does not work here.*set converter to numpy"):
        make_converter("cv_bridge")


def test_a_cv_bridge_for_another_numpy_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
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

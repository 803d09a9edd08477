"""A few bytes must not cost gigabytes: the header is read before the picture is."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from sensor_msgs.msg import CompressedImage

from fsb_perception.images.decoding import FILES, DecodingConfig, decode_picture
from fsb_perception.images.headers import FORMATS, Header, PictureError, read_header
from fsb_perception.images.messages import ConversionError, compressed_to_bgr
from fsb_perception.options import OptionError, build
from tests.perception.images.bombs import BOMBS, PICTURE, encoded, jpeg_claiming, png, webp_claiming


def message(data: bytes, format_: str = "jpeg") -> CompressedImage:
    made = CompressedImage(format=format_)
    made.data.frombytes(data)
    return made


PLAIN, PROGRESSIVE = encoded(".jpg"), encoded(".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)


@pytest.mark.parametrize(
    "data",
    [
        PLAIN,
        PROGRESSIVE,
        PLAIN[:2] + b"\xff" + PLAIN[2:],  # a filler before a marker
        PLAIN[:-2] + b"\xff\xd9" + bytes(1000),  # something behind the picture
        *(encoded(row.suffixes[0]) for name, row in FORMATS.items() if name != "pnm"),
        encoded(".ppm"),
        encoded(".jpg", cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
    ],
    ids=lambda data: f"{len(data)} bytes {data[:4]!r}",
)
def test_every_format_is_read(data: bytes) -> None:
    header = read_header(data, FORMATS)
    assert (header.width, header.height) == (64, 48)
    picture = decode_picture(data, config=FILES)
    if header.format not in ("gif", "avif"):
        assert np.abs(picture.astype(int) - PICTURE).max() <= 6


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_is_decoded(
    name: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if name not in ("PNG of too few pixels", "JPEG with two frames"):  # which decoders refuse
        monkeypatch.delattr(cv2, "imdecode")
    with pytest.raises(ConversionError) as refused:
        compressed_to_bgr(message(BOMBS[name]()))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 300


def test_the_cap_on_pixels_is_an_option() -> None:
    large = png(300, 200, bytes(901 * 200))
    assert decode_picture(large).shape == (200, 300, 3)
    with pytest.raises(PictureError, match=r"300 x 200 px; up to 59999 px .*decoding.max_pixels"):
        decode_picture(large, config=DecodingConfig(max_pixels=59_999))
    with pytest.raises(PictureError, match="claims 8000 x 7000 px; up to 50000000 px"):
        decode_picture(webp_claiming(8000, 7000))


def test_formats_are_an_option() -> None:
    gif = encoded(".gif")
    with pytest.raises(PictureError, match=r"the format gif \(read here: jpeg png webp\)"):
        decode_picture(gif)
    assert decode_picture(gif, config=DecodingConfig(formats=("gif",))).shape == (48, 64, 3)
    with pytest.raises(OptionError, match=r"formats: unknown format 'jpg'. Did you mean 'jpeg'"):
        build(DecodingConfig, {"formats": ["jpg"]})


def test_the_header_says_format_and_size() -> None:
    assert read_header(jpeg_claiming(300, 200), FORMATS) == Header("jpeg", 300, 200)


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

"""The one rule for JPEGs that end too early: every cut of small ones, with and without an EOI."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from fsb_perception.images.decoding import decode_picture
from fsb_perception.images.headers import PictureError
from fsb_perception.images.jpeg import END, read_structure
from tests.perception.images.bombs import encoded
from tests.perception.images.encoded import noise

PICTURE = np.asarray(cv2.resize(noise(6, 8, 3), (48, 36), interpolation=cv2.INTER_CUBIC), np.uint8)
KINDS = {
    "baseline": (),
    "with restarts": (cv2.IMWRITE_JPEG_RST_INTERVAL, 2),
    "progressive": (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
    "coarse": (cv2.IMWRITE_JPEG_QUALITY, 30),
    "with its own tables": (cv2.IMWRITE_JPEG_OPTIMIZE, 1),
}


def accepted(data: bytes, cuts: range, end: bytes = b"") -> list[int]:
    taken = []
    for cut in cuts:
        try:
            decode_picture(data[: len(data) - cut] + end)
        except PictureError:
            continue
        taken.append(cut)
    return taken


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_marker_alone_may_be_missing(kind: str) -> None:
    data = encoded(".jpg", *KINDS[kind], picture=PICTURE)
    whole = decode_picture(data)
    np.testing.assert_array_equal(decode_picture(data[:-2]), whole)
    cuts = [*range(1, 60), *range(60, len(data), 7)]
    assert accepted(data, cuts) == [1, 2]  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["baseline", "with restarts", "coarse"])
def test_a_half_is_refused_even_with_an_end(kind: str) -> None:
    data = encoded(".jpg", *KINDS[kind], picture=PICTURE)
    half = (len(data) - data.index(b"\xff\xda")) // 2
    assert accepted(data, range(half, len(data), 5), END) == []


def test_a_scan_that_is_cut_is_refused_even_with_an_end() -> None:
    data = encoded(".jpg", *KINDS["progressive"], picture=PICTURE)
    scans = read_structure(data).scans
    assert len(scans) > 5
    for scan in scans:
        gone = data[: scan.end - 3] + data[scan.end :]
        with pytest.raises(PictureError, match="a part of the JPEG is missing"):
            decode_picture(gone)


def test_scans_that_are_missing_are_named() -> None:
    data = encoded(".jpg", *KINDS["progressive"], picture=PICTURE)
    with pytest.raises(PictureError, match="scans of the JPEG are missing"):
        decode_picture(data[: read_structure(data).scans[-2].end])
    assert read_structure(data).has_all_scans


def test_what_follows_a_picture_does_no_harm() -> None:
    data = encoded(".jpg", picture=PICTURE)
    for more in (bytes(999), data, b"\xff" * 999):
        np.testing.assert_array_equal(decode_picture(data + more), decode_picture(data))

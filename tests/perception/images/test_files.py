from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage

from fsb_perception.files import FileError
from fsb_perception.images.decoding import encode_picture
from fsb_perception.images.files import find_pictures, read_picture, unused_name, write_picture
from fsb_perception.images.headers import PictureError
from fsb_perception.problems import Problems
from fsb_perception.types import Image


def quarters() -> Image:
    """40 high, 60 wide: blue, green over red, white."""
    image = np.zeros((40, 60, 3), np.uint8)
    image[:20, :30, 0] = image[:20, 30:, 1] = image[20:, :30, 2] = 255
    image[20:, 30:] = 255
    return image


def _turned(path: Path) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6  # to be turned clockwise by the reader
    rgb = np.rot90(quarters()[..., ::-1])
    PillowImage.fromarray(np.ascontiguousarray(rgb)).save(path, exif=exif, quality=95)


WRITERS: dict[str, Callable[[Path], object]] = {
    "plain.png": lambda path: cv2.imwrite(str(path), quarters()),
    "photo.jpg": lambda path: cv2.imwrite(str(path), quarters()),
    "web.webp": lambda path: cv2.imwrite(str(path), quarters()),
    "print.tiff": lambda path: cv2.imwrite(str(path), quarters()),
    "alpha.png": lambda path: cv2.imwrite(str(path), cv2.cvtColor(quarters(), cv2.COLOR_BGR2BGRA)),
    "deep.png": lambda path: cv2.imwrite(str(path), quarters().astype(np.uint16) * 257),
    "exif.jpg": _turned,
    "père ☺.png": lambda path: path.write_bytes(cv2.imencode(".png", quarters())[1].tobytes()),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_kind_of_picture_comes_out_upright_in_bgr(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path / name)
    image = read_picture(tmp_path / name)
    assert image.dtype == np.uint8
    assert image.shape == (40, 60, 3)
    difference = np.abs(image[5:-5:10, 5:-5:10].astype(int) - quarters()[5:-5:10, 5:-5:10])
    assert difference.max() < 60


def test_grey_becomes_three_equal_channels(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((30, 20), 77, np.uint8))
    assert (read_picture(tmp_path / "grey.png") == 77).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "No such file"),
        (b"", "it is empty"),
        (b"not a picture", "not a still picture"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "a HEIC picture, which is not read; save it as JPEG"),
        (
            encode_picture(quarters(), ".png")[:60],
            "damaged or cut short",
        ),
    ],
    ids=["missing", "empty", "text", "HEIC", "cut"],
)
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes | None, reason: str) -> None:
    path = tmp_path / "bad.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PictureError, match=reason) as caught:
        read_picture(path)
    assert str(path) in str(caught.value)


def test_a_folder_is_its_pictures(tmp_path: Path) -> None:
    for name in ("b.JPG", "a.png", "notes.txt", "a_fsb.jpg"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    others = Problems()
    assert [p.name for p in find_pictures(tmp_path, "_fsb.jpg", others)] == ["a.png", "b.JPG"]
    assert sum(others.values()) == 3
    assert find_pictures(tmp_path / "notes.txt") == [tmp_path / "notes.txt"]
    with pytest.raises(PictureError, match="no picture in this folder"):
        find_pictures(tmp_path / "deeper")
    with pytest.raises(PictureError, match="no such file or folder"):
        find_pictures(tmp_path / "nowhere")


def test_writing_makes_folders_and_names_what_fails(tmp_path: Path) -> None:
    write_picture(tmp_path / "new" / "out.png", quarters())
    np.testing.assert_array_equal(read_picture(tmp_path / "new" / "out.png"), quarters())
    (tmp_path / "file").touch()
    with pytest.raises(PictureError, match="file: File exists"):
        write_picture(tmp_path / "file" / "out.png", quarters())
    with pytest.raises(PictureError, match=r"cannot be encoded as '\.nonsense'"):
        write_picture(tmp_path / "out.nonsense", quarters())
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(FileError, match=r"cannot write .*folder.png"):
        write_picture(tmp_path / "folder.png", quarters())


def test_names_do_not_collide(tmp_path: Path) -> None:
    taken = {tmp_path / "a.jpg", tmp_path / "a_2.jpg"}
    assert unused_name(tmp_path / "a.jpg", taken) == tmp_path / "a_3.jpg"
    assert unused_name(tmp_path / "b.jpg", taken) == tmp_path / "b.jpg"

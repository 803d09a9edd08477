"""Stores of pictures: unreadable ones are counted, aligned ones stay as they are."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from fsb_perception.alignment import Aligner, whole_picture_box
from fsb_perception.types import Face
from fsb_training.data import store as store_module
from fsb_training.data.faces import open_faces
from fsb_training.data.sources import open_split
from fsb_training.data.store import open_store
from fsb_training.datasets import load_part
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.judging.evaluate import open_part
from fsb_training.recipe_options import DataOptions
from tests.training.datasets import layouts


@pytest.fixture
def data(tmp_path: Path) -> DataOptions:
    """Eight faces, the third of which is no picture."""
    layouts.utkface(tmp_path, 8)
    names = sorted(path.name for path in (tmp_path / "UTKFace").iterdir())
    (broken,) = [name for name in names if name.startswith("21_")]
    (tmp_path / "UTKFace" / broken).write_bytes(b"\xff\xd8 this is no JPEG")
    return DataOptions(root=str(tmp_path), cache=str(tmp_path / "cache"), dev_share=0.4)


def test_an_unreadable_picture_is_left_out_and_counted(data: DataOptions) -> None:
    source = open_part("UTKFace:all", data)
    assert len(source) == 7
    assert source.faces.problems == {"picture cannot be read": 1}
    assert "/UTKFace/21_" in source.faces.problems.first["picture cannot be read"]
    for row, file in zip(source.rows, source.faces.files, strict=True):
        written = cv2.imread(str(source.faces.root / file))
        np.testing.assert_array_equal(source.store.image(int(row)), written)


def test_the_split_leaves_it_out_too(data: DataOptions) -> None:
    fit, dev = open_split("UTKFace", data)
    assert sorted((*fit.faces.files, *dev.faces.files)) == sorted(
        open_part("UTKFace:all", data).faces.files
    )
    for source in (fit, dev):
        assert source.store.readable[source.rows].all()
        assert source.faces.values["age_group"].tolist() == [
            int(file.split("_")[0]) for file in source.faces.files
        ]


def test_a_replaced_picture_is_read_again(data: DataOptions) -> None:
    faces = load_part(Path(data.root), "UTKFace", "all")
    broken = open_store(faces, Path(data.cache))
    (row,) = np.flatnonzero(~broken.readable)
    layouts.picture(faces.root / faces.files[row], seed=9)
    mended = open_store(faces, Path(data.cache))
    assert mended.readable.all()
    assert mended.image(int(row)).shape == (48, 48, 3)
    # A run that has the old store open goes on with what it had.
    last = len(faces) - 1
    assert np.array_equal(broken.image(last), mended.image(last))
    assert broken.image(last).any()


def test_of_two_runs_one_finds_the_faces_and_both_have_them(
    data: DataOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    faces, made, make = load_part(Path(data.root), "UTKFace", "all"), [], store_module._make

    def slow(*arguments: object) -> None:
        made.append(arguments)
        time.sleep(0.3)
        make(*arguments)

    monkeypatch.setattr(store_module, "_make", slow)
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(lambda _: open_store(faces, Path(data.cache)), range(2))
    assert len(made) == 1
    assert np.array_equal(one.pixels, other.pixels)
    assert not list(Path(data.cache).rglob("*.partial*"))


@pytest.mark.parametrize("share", [0.01, 0.5])
def test_a_side_of_the_split_without_faces_is_named(share: float, tmp_path: Path) -> None:
    layouts.utkface(tmp_path, 1)
    data = DataOptions(root=str(tmp_path), cache=str(tmp_path / "cache"), dev_share=share)
    with pytest.raises(DatasetError, match=r"UTKFace: \d faces to fit and \d to judge, of 1, by"):
        open_split("UTKFace", data)


def test_without_any_readable_picture_one_is_named(tmp_path: Path) -> None:
    layouts.utkface(tmp_path, 2)
    for path in (tmp_path / "UTKFace").iterdir():
        path.write_bytes(b"")
    faces = load_part(tmp_path, "UTKFace", "all")
    with pytest.raises(DatasetError, match=r"none of 2 pictures can be read, .*chip.jpg"):
        open_store(faces, tmp_path / "cache")


def test_pictures_published_aligned_are_not_cut_again(tmp_path: Path) -> None:
    layouts.rafdb(tmp_path, 2)
    faces = load_part(tmp_path, "RAF-DB", "test")
    store = open_store(faces, tmp_path / "cache")
    assert len(open_faces(faces, tmp_path / "cache")) == 2
    for row, file in enumerate(faces.files):
        published = cv2.imread(str(faces.root / file))
        aligned = Aligner(100, "landmarks").align(store.image(row), store.face(row))
        np.testing.assert_array_equal(aligned, published)


@pytest.mark.parametrize(("width", "height"), [(100, 100), (178, 218), (64, 48)])
def test_the_box_of_a_whole_picture(width: int, height: int) -> None:
    face = Face(whole_picture_box(width, height), 1.0, np.full((5, 2), np.nan, np.float32))
    matrix = Aligner(50).transform(face)
    side = max(width, height)
    corners = np.array([[0, 0, 1], [width, height, 1]], np.float32) @ matrix.T
    margin = (side - np.array([width, height])) / side * 25
    np.testing.assert_allclose(corners, [margin, 50 - margin], atol=1e-4)


@pytest.mark.parametrize("name", ["pixels.bin", "index.npz"])
@pytest.mark.parametrize("fault", ["flip", "cut", "empty"])
def test_a_damaged_store_is_made_again(name: str, fault: str, tmp_path: Path) -> None:
    faces = _four(tmp_path)
    first = open_store(faces, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob(f"*/{name}")
    data = bytearray(file.read_bytes())
    data[len(data) // 3] ^= 1
    file.unlink()  # the open store keeps its pixels
    file.write_bytes({"flip": data, "cut": data[: len(data) // 2], "empty": b""}[fault])
    again = open_store(faces, tmp_path / "cache")
    assert all((again.image(row) == first.image(row)).all() for row in range(len(faces)))


def _four(root: Path) -> FaceSet:
    layouts.utkface(root, 4)
    return load_part(root, "UTKFace", "all")

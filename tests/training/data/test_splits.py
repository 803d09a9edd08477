from __future__ import annotations

import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.csgraph import connected_components

from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.bundles.manifest import Manifest
from fsb_perception.options import OptionError
from fsb_training.data.sources import open_split
from fsb_training.data.splits import difference_hash, near_duplicates, split
from fsb_training.data.store import open_store
from fsb_training.datasets import load_training
from fsb_training.datasets.faceset import DatasetError
from fsb_training.judging.evaluate import dev_split
from fsb_training.recipe_options import DataOptions
from tests.training.datasets import layouts

NANO = load_bundle("nano").manifest


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=12), st.data())
def test_hashes_within_three_bits_share_a_group(numbers: list[int], data: st.DataObject) -> None:
    flips = data.draw(st.lists(st.integers(0, 63), max_size=3))
    near = numbers[0]
    for bit in flips:
        near ^= 1 << bit
    groups = near_duplicates(np.array([*numbers, near], np.uint64))
    assert groups[0] == groups[-1]


def test_far_hashes_stay_apart() -> None:
    hashes = np.array([0, 0b1111, 2**64 - 1], np.uint64)
    assert len(set(near_duplicates(hashes).tolist())) == 3


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 2**20 - 1), min_size=2, max_size=40))
def test_groups_are_those_of_all_pairs(numbers: list[int]) -> None:
    hashes = np.array(numbers, np.uint64)
    near = np.bitwise_count(hashes[:, None] ^ hashes) <= 3
    expected = connected_components(near, directed=False)[1]
    groups = near_duplicates(hashes)
    assert len(set(zip(groups.tolist(), expected.tolist(), strict=True))) == expected.max() + 1
    assert groups.max() == expected.max()


def test_still_frames_take_memory_in_proportion() -> None:
    tracemalloc.start()
    try:
        assert not near_duplicates(np.full(5_000, 7, np.uint64)).any()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 10_000_000  # bytes; all pairs are 12.5 million


def test_pictures_of_one_scene_cannot_be_split(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "CSV"
    for n in range(5):
        layouts.picture(folder / f"{n}.jpg", seed=1)
    rows = "".join(f"{n}.jpg,{('male', 'female')[n % 2]}\n" for n in range(5))
    (folder / "train.csv").write_text(f"file,gender\n{rows}")
    options = DataOptions(root=str(tmp_path / "data"), cache=str(tmp_path / "cache"))
    with pytest.raises(DatasetError, match="all 5 pictures are near-duplicates of one"):
        open_split("CSV", options)


def test_the_hash_survives_recompression() -> None:
    rng = np.random.default_rng(0)
    image = cv2.resize(rng.integers(0, 256, (8, 8, 3), np.uint8), (96, 96))
    stored = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], 1)
    assert np.bitwise_count(difference_hash(image) ^ difference_hash(stored)) <= 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("data")
    layouts.utkface(root, count=12)
    for n in range(4):  # the same photograph again, under another name and age
        layouts.picture(root / f"UTKFace/{50 + n}_0_0_2018010900000000{n}.jpg.chip.jpg", seed=100)
    return root


@pytest.mark.parametrize("seed", range(6))
def test_near_duplicates_stay_on_one_side(data: Path, tmp_path: Path, seed: int) -> None:
    faces = load_training(data, "UTKFace")
    store = open_store(faces, tmp_path)
    fit, dev, in_dev = split(faces, store, dev_share=0.5, seed=seed)
    again = [file for file in faces.files if "_2018" in file] + [
        "1_0_0_20170109000000000.jpg.chip.jpg"
    ]
    sides = {file in dev.files for file in again}
    assert len(sides) == 1
    assert sorted((*fit.files, *dev.files)) == sorted(faces.files)
    assert in_dev.sum() == len(dev)
    for part in (fit, dev):  # labels move with their files
        for file, label in zip(part.files, part.labels["gender"], strict=True):
            assert label == int(file.split("_")[1])


def manifest(name: str, **data: object) -> Manifest:
    return NANO.model_copy(update={"name": name, "recipe": {"data": data} if data else {}})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        pytest.param({}, (0.06, 0), id="a bundle that does not say"),
        pytest.param({"dev_share": 0.15, "split_seed": 3}, (0.15, 3), id="both set"),
        pytest.param({"split_seed": 3, "balance": 0.5}, (0.06, 3), id="in part"),
    ],
)
def test_a_bundle_is_judged_on_the_dev_that_it_held_out(settings: dict, expected: tuple) -> None:
    split = dev_split([manifest("one", **settings), manifest("two", **settings)])
    assert (split["dev_share"], split["split_seed"]) == expected


def test_bundles_that_held_out_different_faces_are_judged_apart() -> None:
    with pytest.raises(OptionError, match=r"one by dev_share 0\.06, split_seed 0; two by .* 7"):
        dev_split([manifest("one"), manifest("two", split_seed=7)])


def test_a_manifest_whose_split_cannot_be_is_refused() -> None:
    with pytest.raises(OptionError, match="dev_share"):
        dev_split([manifest("one", dev_share="half")])

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fsb_perception.bundle import (
    MANIFEST,
    WEIGHTS,
    BundleError,
    Manifest,
    embedded_bundles,
    load_bundle,
    verify_files,
)
from tests.bundles import random_bundle


def change(folder: Path, **fields: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_saved_and_loaded_is_the_same(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path)
    again = load_bundle(tmp_path)
    assert again == bundle
    assert again.bundle_id == bundle.bundle_id
    assert bundle.bundle_id.startswith("random@")
    assert len(bundle.bundle_id) == len("random@") + 12
    pixels = torch.rand(2, 3, 80, 80)
    with torch.inference_mode():
        first, second = bundle.build_model()(pixels), again.build_model()(pixels)
    for task, logits in first.items():
        torch.testing.assert_close(logits, second[task])


def test_the_id_changes_with_anything_in_it(tmp_path: Path) -> None:
    ids = {
        random_bundle(tmp_path / "a").bundle_id,
        random_bundle(tmp_path / "b", seed=1).bundle_id,
        random_bundle(tmp_path / "c", temperature=2.0).bundle_id,
        random_bundle(tmp_path / "d", licence="another").bundle_id,
    }
    assert len(ids) == 4


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda folder: flip_a_byte(folder / WEIGHTS), r"weights\.safetensors: has sha256"),
        (lambda folder: (folder / WEIGHTS).unlink(), r"weights\.safetensors: is missing"),
        (lambda folder: (folder / MANIFEST).unlink(), r"no manifest\.json"),
        (lambda folder: (folder / MANIFEST).write_text("{"), "cannot be read"),
        (lambda folder: (folder / MANIFEST).write_text("[]"), "cannot be read"),
        (lambda folder: change(folder, format_version=99), "format 99.*update FSB"),
        (lambda folder: change(folder, files={}), "no sha256"),
        (lambda folder: change(folder, surprise=1), "surprise"),
    ],
    ids=[
        "changed",
        "no-weights",
        "no-manifest",
        "not-json",
        "no-mapping",
        "newer",
        "no-hash",
        "unknown",
    ],
)
def test_a_damaged_bundle_says_what_is_wrong(
    tmp_path: Path, harm: Callable[[Path], object], message: str
) -> None:
    random_bundle(tmp_path)
    harm(tmp_path)
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path)


@pytest.mark.parametrize("reference", ["nan0", "/nowhere/at/all"])
def test_a_missing_bundle_names_the_embedded_ones(reference: str) -> None:
    with pytest.raises(BundleError, match=r"unknown bundle .* Known: .*Or give a folder"):
        load_bundle(reference)


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    random_bundle(tmp_path)
    tasks = json.loads((tmp_path / MANIFEST).read_text())["tasks"]
    tasks[0]["labels"].append("other")
    change(tmp_path, tasks=tasks)
    with pytest.raises(BundleError, match="does not fit its backbone"):
        load_bundle(tmp_path).build_model()


def test_nothing_in_it_is_a_pickle(tmp_path: Path) -> None:
    random_bundle(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [MANIFEST, WEIGHTS]
    assert not (tmp_path / WEIGHTS).read_bytes().startswith((b"\x80", b"PK"))


@pytest.mark.parametrize("name", sorted(embedded_bundles()))
def test_embedded_bundles_are_whole(name: str) -> None:
    bundle = load_bundle(name)
    assert not any(verify_files(bundle).values())
    assert bundle.size_bytes <= 20e6
    assert bundle.manifest.metrics
    assert bundle.manifest.training_data
    assert Manifest.model_validate_json(bundle.manifest.to_json()) == bundle.manifest
    bundle.build_model()

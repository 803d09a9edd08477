"""Bundles that claim what cannot be, or were changed since they were written."""

from __future__ import annotations

import json
import logging
import math
import random
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from fsb_perception.bundles.bundle import (
    check_digest,
    load_bundle,
    read_manifest,
    seal_bundle,
    verify_files,
)
from fsb_perception.bundles.manifest import FORMAT_VERSION, MANIFEST, WEIGHTS, BundleError
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.bundles.seal import SEAL, sealed
from fsb_perception.files import sha256_of
from fsb_perception.inference.engine import Engine, EngineConfig, NotFiniteError
from fsb_perception.towers.checkpoint_files import WeightsError
from fsb_perception.towers.weights import load_tower
from tests.bundles import random_bundle


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    random_bundle(folder, backbone="SigLIP2-micro", preprocessing=Preprocessing(size=32))
    return folder


@pytest.fixture
def copy(small: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "copy"))


def tree_of(folder: Path) -> dict[str, object]:
    tree = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    del tree[SEAL]
    return tree


def rewrite(folder: Path, tree: dict[str, object]) -> None:
    """Write a manifest as its author would: with a seal that holds."""
    (folder / MANIFEST).write_text(sealed(json.dumps(tree, indent=2) + "\n"))


def task(**fields: object) -> dict[str, object]:
    return {
        "tasks": [{"name": "gender", "labels": ["male", "female"]} | fields],
        "temperatures": {},
    }


LIES = {
    "zero-deviation": ({"preprocessing": {"size": 32, "std": [0.5, 0, 0.5]}}, r"std\.1: got 0"),
    "nan-mean": ({"preprocessing": {"size": 32, "mean": [math.nan] * 3}}, "NaN is no number"),
    "infinite": ({"preprocessing": {"size": 32, "std": [math.inf] * 3}}, "Infinity is no number"),
    "mean-as-text": ({"preprocessing": {"size": 32, "mean": ["nan"] * 3}}, r"mean\.0: got 'nan'"),
    "cold": ({"temperatures": {"gender": 1e-300}}, r"temperatures\.gender: got 1e-300"),
    "hot": ({"temperatures": {"gender": 1e300}}, r"temperatures\.gender: got 1e\+300"),
    "below-zero": ({"temperatures": {"gender": -1}}, r"temperatures\.gender: got -1"),
    "stranger": ({"temperatures": {"gendre": 1.0}}, "'gendre' is no task of this bundle"),
    "twice": (task(labels=["male", "male"]), r"tasks\.0\.labels: 'male' is there more than once"),
    "empty": (task(labels=["male", ""]), "without control characters, got ''"),
    "blank": (task(labels=["male", " "]), "without control characters, got ' '"),
    "reserved": (task(labels=["male", "unknown"]), "'unknown' is the answer of FSB without"),
    "escape": (task(labels=["male", "\x1b[2J"]), r"got '\\x1b\[2J'"),
    "reversed": (task(labels=["male", "\u202emale"]), r"got '\\u202emale'"),
    "surrogate": (task(labels=["male", "\ud800"]), r"'\\ud800' holds half of a surrogate pair"),
    "surrogate-elsewhere": ({"recipe": {"a": ["\udfff"]}}, "half of a surrogate pair"),
    "surrogate-name": ({"recipe": {"\udfff": 1}}, "half of a surrogate pair"),
    "metric": ({"metrics": {"data": {"gender": {"accuracy": math.nan}}}}, "NaN is no number"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies_is_refused_by_name(copy: Path, lie: str) -> None:
    fields, message = LIES[lie]
    rewrite(copy, tree_of(copy) | fields)
    with pytest.raises(BundleError, match=message) as refused:
        load_bundle(copy)
    assert "\n" not in str(refused.value)


def test_a_name_that_is_there_twice_is_refused(copy: Path) -> None:
    text = json.dumps(tree_of(copy), indent=2).removesuffix("\n}") + ',\n  "licence": "none"\n}\n'
    (copy / MANIFEST).write_text(sealed(text))
    with pytest.raises(BundleError, match="the name 'licence' is there twice"):
        read_manifest(copy)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "latin-1"])
def test_a_manifest_is_utf8(copy: Path, encoding: str) -> None:
    (copy / MANIFEST).write_bytes(
        (copy / MANIFEST).read_text().replace("none", "é").encode(encoding)
    )
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(copy)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("of_tower", [True, False])
def test_weights_without_numbers_are_refused_by_name(
    copy: Path, value: float, of_tower: bool
) -> None:
    tensors = load_file(copy / WEIGHTS)
    name = next(name for name in tensors if name.startswith("heads.") is not of_tower)
    tensors[name].view(-1)[-1] = value
    save_file(tensors, copy / WEIGHTS)
    rewrite(copy, tree_of(copy) | {"files": {WEIGHTS: sha256_of(copy / WEIGHTS)}})
    bundle = load_bundle(copy)
    with pytest.raises(BundleError, match=rf"not finite in {name} ") as refused:
        bundle.build_model()
    assert "\n" not in str(refused.value)


def test_a_tower_without_numbers_is_refused_by_name(tmp_path: Path) -> None:
    tower = load_tower("SigLIP2-micro", "random")
    state = tower.state_dict()
    name, tensor = next(iter(state.items()))
    tensor.view(-1)[0] = math.nan
    save_file(state, tmp_path / "tower.safetensors")
    with pytest.raises(WeightsError, match=rf"not finite in {name}"):
        load_tower("SigLIP2-micro", tmp_path / "tower.safetensors")


def test_the_warm_up_refuses_answers_that_are_no_numbers(small: Path) -> None:
    bundle = load_bundle(small)

    def overflows(pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = {task.name: torch.zeros(len(pixels), len(task.labels)) for task in bundle.tasks}
        logits["emotion"][-1, 0] = math.inf
        return logits

    engine = Engine(bundle, EngineConfig(device="cpu"), model=overflows)
    with pytest.raises(NotFiniteError, match=r"answers emotion with NaN.*engine\.precision"):
        engine.warm_up()


def test_no_flipped_byte_of_a_manifest_is_read(copy: Path) -> None:
    whole = (copy / MANIFEST).read_bytes()
    for place in range(len(whole)):
        (copy / MANIFEST).write_bytes(flipped(whole, place, 0x20 if place % 2 else 1))
        with pytest.raises(BundleError):
            read_manifest(copy)


def test_no_bundle_with_a_flipped_byte_loads(copy: Path) -> None:
    """300 flips, spread over every range of both files, the header of the weights included."""
    draw = random.Random(0)
    for name, count in ((MANIFEST, 150), (WEIGHTS, 150)):
        whole = (copy / name).read_bytes()
        for part in range(count):
            place = draw.randrange(part * len(whole) // count, (part + 1) * len(whole) // count)
            (copy / name).write_bytes(flipped(whole, place, draw.randrange(1, 256)))
            with pytest.raises(BundleError):
                load_bundle(copy)
        (copy / name).write_bytes(whole)
    assert load_bundle(copy).is_sealed


def flipped(whole: bytes, place: int, bits: int) -> bytes:
    return whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :]


@pytest.mark.parametrize("version", [FORMAT_VERSION, FORMAT_VERSION - 1, 1])
def test_no_format_gets_rid_of_a_seal_that_does_not_hold(copy: Path, version: int) -> None:
    """Else one changed digit of the version would open the way for others."""
    text = (copy / MANIFEST).read_text().replace("none", "some")
    text = text.replace(f'_version": {FORMAT_VERSION}', f'_version": {version}')
    (copy / MANIFEST).write_text(text)
    with pytest.raises(BundleError, match="does not match its own sha256"):
        load_bundle(copy)


def test_an_older_bundle_loads_and_says_how_to_seal_it(
    copy: Path, caplog: pytest.LogCaptureFixture
) -> None:
    older = tree_of(copy) | {"format_version": 2}
    (copy / MANIFEST).write_text(json.dumps(older, indent=2))
    with caplog.at_level(logging.WARNING):
        bundle = load_bundle(copy)
    assert not bundle.is_sealed
    (warning,) = caplog.messages
    assert f"`fsb bundle seal {copy}`" in warning
    caplog.clear()
    load_bundle(copy, digest=f"sha256:{bundle.digest}")
    assert caplog.messages == [], "its digest says as much"
    again = seal_bundle(copy)
    assert again.is_sealed
    assert again.manifest.tasks == bundle.manifest.tasks
    assert load_bundle(copy) == again
    assert caplog.messages == []


def test_an_edited_manifest_is_sealed_again(copy: Path) -> None:
    (copy / MANIFEST).write_text((copy / MANIFEST).read_text().replace("none", "CC0-1.0"))
    with pytest.raises(BundleError, match=r"if you edited it, run `fsb bundle seal"):
        load_bundle(copy)
    assert seal_bundle(copy).manifest.licence == "CC0-1.0"


def test_damaged_weights_are_not_sealed(copy: Path) -> None:
    before = (copy / MANIFEST).read_bytes()
    (copy / WEIGHTS).write_bytes(flipped((copy / WEIGHTS).read_bytes(), 900, 1))
    with pytest.raises(BundleError, match="does not match its manifest"):
        seal_bundle(copy)
    assert (copy / MANIFEST).read_bytes() == before
    assert any(verify_files(read_manifest(copy)).values())


def test_a_pinned_bundle_is_the_one_expected(small: Path) -> None:
    bundle = load_bundle(small)
    assert load_bundle(small, digest=f"sha256:{sha256_of(small / MANIFEST)}") == bundle
    with pytest.raises(BundleError, match=f"has the digest sha256:{bundle.digest}, expected is"):
        load_bundle(small, digest="sha256:" + 64 * "0")


@pytest.mark.parametrize(
    "digest", ["abc", "sha256:abc", "sha1:" + 40 * "0", 64 * "0", "SHA256:" + 64 * "0", "\x1b" * 99]
)
def test_a_digest_that_is_none_is_refused(small: Path, digest: str) -> None:
    with pytest.raises(BundleError, match=r"64 hexadecimal digits, got .*copy it from"):
        check_digest(read_manifest(small), digest)

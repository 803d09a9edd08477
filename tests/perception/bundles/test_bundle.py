from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from fsb_perception.bundles.bundle import (
    embedded_bundles,
    find_bundle,
    load_bundle,
    read_manifest,
    save_bundle,
    verify_files,
)
from fsb_perception.bundles.manifest import (
    FORMAT_VERSION,
    MANIFEST,
    WEIGHTS,
    BundleError,
    BundleTask,
    Manifest,
    TrainingData,
)
from fsb_perception.bundles.manifest_file import write_manifest_file
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.bundles.seal import SEAL, sealed
from fsb_perception.files import sha256_of
from fsb_perception.types import UNKNOWN
from tests.bundles import random_bundle
from tests.paths import ROOT


def change(folder: Path, **fields: object) -> None:
    """Change fields of the manifest, and seal it, as its author would."""
    path = folder / MANIFEST
    tree = {name: value for name, value in json.loads(path.read_text()).items() if name != SEAL}
    path.write_text(sealed(json.dumps(tree | fields, indent=2) + "\n"))


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


def test_a_bundle_without_its_weights_can_still_be_shown(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path)
    assert bundle.size_bytes == sum(path.stat().st_size for path in tmp_path.iterdir())
    (tmp_path / WEIGHTS).unlink()
    assert read_manifest(tmp_path).size_bytes == (tmp_path / MANIFEST).stat().st_size


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
def test_the_fault_of_a_damaged_bundle_is_named(
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


def seal(folder: Path) -> None:
    """Write the hash of whatever weights lie there, as their author would."""
    change(folder, files={WEIGHTS: sha256_of(folder / WEIGHTS)})


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("small")
    random_bundle(folder, backbone="SigLIP2-micro", preprocessing=Preprocessing(size=32))
    return folder


_TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
_LABEL = st.text(st.characters(codec="utf-8"), min_size=1).filter(
    lambda text: text.isprintable() and text.strip() and text != UNKNOWN
)
_NUMBERS = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
_TREES = st.dictionaries(
    _TEXT,
    st.recursive(
        st.none() | st.booleans() | _NUMBERS | _TEXT,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)
_TASKS = st.builds(
    BundleTask,
    name=st.from_regex(r"[a-z][a-z0-9_]{0,20}", fullmatch=True),
    labels=st.lists(_LABEL, min_size=2, max_size=9, unique=True),
    ordered=st.booleans(),
)
MANIFESTS = st.builds(
    Manifest,
    format_version=st.just(FORMAT_VERSION),
    name=st.from_regex(r"[a-z0-9][a-z0-9._-]{0,20}", fullmatch=True),
    backbone=_TEXT,
    adapter=_TREES,
    head=_TEXT,
    tasks=st.lists(_TASKS, min_size=1, max_size=4, unique_by=lambda task: task.name),
    preprocessing=st.builds(
        Preprocessing,
        size=st.integers(16, 1024),
        alignment=st.sampled_from(["landmarks", "box"]),
    ),
    temperatures=st.just({}),
    metrics=st.dictionaries(
        _TEXT, st.dictionaries(_TEXT, st.dictionaries(_TEXT, _NUMBERS, max_size=3), max_size=2)
    ),
    training_data=st.lists(
        st.builds(TrainingData, name=_TEXT, count=st.integers(0, 10**9), licence=_TEXT), max_size=3
    ),
    recipe=_TREES,
    licence=_TEXT,
    intended_use=_TEXT,
    limits=_TEXT,
    files=st.just({}) | st.just({WEIGHTS: "0" * 64}),
)


@settings(max_examples=60, deadline=None)
@given(manifest=MANIFESTS)
def test_a_manifest_survives_its_file(
    tmp_path_factory: pytest.TempPathFactory, manifest: Manifest
) -> None:
    folder = tmp_path_factory.mktemp("manifest")
    write_manifest_file(folder, manifest)
    again = read_manifest(folder)
    assert again.manifest == manifest
    assert again.manifest.to_json() == manifest.to_json()
    assert again.digest == sha256_of(folder / MANIFEST)


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=200) | st.recursive(_NUMBERS, st.lists).map(json.dumps))
def test_what_is_no_manifest_is_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    folder = tmp_path_factory.mktemp("garbage")
    (folder / MANIFEST).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(BundleError, match="cannot be read"):
        read_manifest(folder)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_weights_that_are_cut_short_or_garbage_are_refused(
    small: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Even where the hash is that of the broken file."""
    folder = tmp_path_factory.mktemp("broken")
    (folder / MANIFEST).write_bytes((small / MANIFEST).read_bytes())
    whole = (small / WEIGHTS).read_bytes()
    cut = st.integers(0, len(whole) - 1).map(lambda size: whole[:size])
    longer = st.binary(min_size=1, max_size=9).map(lambda more: whole + more)
    header = st.binary(min_size=8, max_size=40).map(lambda start: start + whole[len(start) :])
    content = data.draw(cut | longer | header | st.binary(max_size=300))
    assume(content != whole)
    (folder / WEIGHTS).write_bytes(content)
    seal(folder)
    bundle = load_bundle(folder)
    with pytest.raises(BundleError, match=r"weights\.safetensors"):
        bundle.build_model()


_ELSEWHERE = ("../secret", "/etc/passwd", "sub/weights.safetensors", "weights.safetensors/..")


@pytest.mark.parametrize("name", [*_ELSEWHERE, "model.pkl", ""])
def test_files_elsewhere_or_of_another_kind_are_refused(
    small: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / MANIFEST).write_bytes((small / MANIFEST).read_bytes())
    change(tmp_path, files={WEIGHTS: "0" * 64, name: "0" * 64})
    with pytest.raises(BundleError, match=r"holds weights\.safetensors and encoder\.onnx"):
        read_manifest(tmp_path)


def test_a_link_out_of_the_folder_is_refused(small: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    (folder / WEIGHTS).symlink_to(small / WEIGHTS)
    (folder / MANIFEST).write_bytes((small / MANIFEST).read_bytes())
    with pytest.raises(BundleError, match="a link that leads out of the bundle"):
        load_bundle(folder)
    (folder / MANIFEST).unlink()
    (folder / MANIFEST).symlink_to(small / MANIFEST)  # as colcon installs: all lead to one place
    assert load_bundle(folder).bundle_id == load_bundle(small).bundle_id


@pytest.mark.parametrize(
    ("version", "message"),
    [
        (FORMAT_VERSION + 1, rf"has format {FORMAT_VERSION + 1}, .* reads up to {FORMAT_VERSION}"),
        (10**30, f"reads up to {FORMAT_VERSION}: update FSB"),
        *((value, "format_version") for value in (0, -1, None, True, "2", 2.5, [2])),
    ],
)
def test_a_format_that_is_not_known_is_refused(
    small: Path, tmp_path: Path, version: object, message: str
) -> None:
    (tmp_path / MANIFEST).write_bytes((small / MANIFEST).read_bytes())
    change(tmp_path, format_version=version)
    with pytest.raises(BundleError, match=message):
        read_manifest(tmp_path)


def test_the_first_format_still_loads(tmp_path: Path) -> None:
    bundle = random_bundle(tmp_path)
    tree = json.loads((tmp_path / MANIFEST).read_text()) | {"format_version": 1}
    del tree["adapter"], tree["head"], tree[SEAL]  # it knew none of them
    (tmp_path / MANIFEST).write_text(json.dumps(tree))
    pixels = torch.rand(1, 3, 80, 80)
    with torch.inference_mode():
        old, new = load_bundle(tmp_path).build_model()(pixels), bundle.build_model()(pixels)
    for task, logits in new.items():
        torch.testing.assert_close(old[task], logits)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"backbone": "PE-Core-XXL"},
            r"manifest\.json asks for what is not here: .*backbone",
        ),
        ({"adapter": {"method": "magic"}}, "unknown adapter 'magic'"),
        ({"adapter": {}}, "name a method"),
        ({"adapter": {"method": None}}, "name a method"),
        ({"adapter": {"method": ["lora"]}}, "name a method"),
        ({"adapter": {"method": "mtlora", "targets": "((.+)+)+!"}}, "repeats a group"),
        ({"adapter": {"method": "mtlora", "targets": ".*.*.*.*!"}}, "more than three times"),
        ({"head": "talking"}, "unknown head 'talking'"),
    ],
)
def test_parts_that_are_not_here_are_named(
    small: Path, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    for name in (MANIFEST, WEIGHTS):
        (tmp_path / name).write_bytes((small / name).read_bytes())
    change(tmp_path, **fields)
    with pytest.raises(BundleError, match=message):
        load_bundle(tmp_path).build_model()


@pytest.mark.parametrize(
    ("raw", "message"),
    [(b"[" * 200_000, "cannot be read"), (b" " * (1 << 20) + b"{}", "more than 1,048,576 bytes")],
    ids=["deep", "large"],
)
def test_a_manifest_made_to_exhaust_is_refused(tmp_path: Path, raw: bytes, message: str) -> None:
    (tmp_path / MANIFEST).write_bytes(raw)
    with pytest.raises(BundleError, match=message):
        read_manifest(tmp_path)


@pytest.mark.parametrize("tasks", [[], ["gender", "gender"]])
def test_each_task_has_one_head(tmp_path: Path, tasks: list[str]) -> None:
    rows = [{"name": name, "labels": ["one", "other"]} for name in tasks]
    with pytest.raises(ValidationError, match="one head or more, each of another task"):
        random_bundle(tmp_path, tasks=rows)


@given(reference=st.text(st.characters(codec="utf-8", exclude_characters="/~"), max_size=300))
def test_any_other_text_is_refused(reference: str) -> None:
    assume(reference not in embedded_bundles())
    assume(not Path(reference).name or not os.path.lexists(reference))
    with pytest.raises(BundleError):
        find_bundle(reference)


def test_the_home_of_an_unknown_user_is_no_bundle() -> None:
    with pytest.raises(BundleError, match="unknown bundle"):
        find_bundle("~nobody-of-this-name/bundle")


HEADERS = {
    "no-such-type": lambda tensor: {"dtype": "Q7"},
    "other-type": lambda tensor: {"dtype": "F32"},
    "other-shape": lambda tensor: {"shape": [3, *tensor["shape"]]},
    "negative": lambda tensor: {"shape": [-1]},
    "beyond-the-end": lambda tensor: {"data_offsets": [0, 1 << 40]},
    "overlapping": lambda tensor: {"data_offsets": [0, 2]},
}


@pytest.mark.parametrize("lie", HEADERS)
def test_a_header_that_lies_is_refused(small: Path, tmp_path: Path, lie: str) -> None:
    (tmp_path / MANIFEST).write_bytes((small / MANIFEST).read_bytes())
    whole = (small / WEIGHTS).read_bytes()
    end = 8 + int.from_bytes(whole[:8], "little")
    tree = json.loads(whole[8:end])
    name = next(name for name, tensor in tree.items() if len(tensor.get("shape", ())) == 2)
    tree[name] |= HEADERS[lie](tree[name])
    header = json.dumps(tree).encode()
    (tmp_path / WEIGHTS).write_bytes(len(header).to_bytes(8, "little") + header + whole[end:])
    seal(tmp_path)
    with pytest.raises(BundleError, match="cannot be read"):
        load_bundle(tmp_path).build_model()


def test_the_page_explains_every_field() -> None:
    page = (ROOT / "docs" / "bundles.md").read_text(encoding="utf-8")
    fields = page.partition("## The manifest")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", fields, re.MULTILINE) == list(Manifest.model_fields)
    assert f"This is format {FORMAT_VERSION} " in page


@pytest.mark.parametrize("name", ["a.b", "", "Gender", "items", "forward"])
def test_a_task_that_no_module_can_be_called_is_refused(
    small: Path, tmp_path: Path, name: str
) -> None:
    for file in (MANIFEST, WEIGHTS):
        (tmp_path / file).write_bytes((small / file).read_bytes())
    change(tmp_path, tasks=[{"name": name, "labels": ["a", "b"]}])
    with pytest.raises(BundleError):
        load_bundle(tmp_path).build_model()


@pytest.mark.parametrize("variance", [1e5, 1e-8])
def test_variances_that_half_precision_cannot_hold_are_kept(
    tmp_path: Path, variance: float
) -> None:
    model = random_bundle(tmp_path / "first", head="mlp").build_model()
    model.heads["gender"][0].running_var.fill_(variance)
    kept = save_bundle(tmp_path / "second", read_manifest(tmp_path / "first").manifest, model)
    stored = kept.build_model().heads["gender"][0].running_var
    torch.testing.assert_close(stored, torch.full_like(stored, variance))


@pytest.mark.parametrize(("value", "precision"), [(1e6, "fp16"), (float("nan"), "fp32")])
def test_weights_that_would_not_be_finite_are_not_written(
    tmp_path: Path, value: float, precision: str
) -> None:
    bundle = random_bundle(tmp_path / "first")
    model = bundle.build_model()
    with torch.no_grad():
        model.heads["gender"][2].weight[0, 0] = value
    with pytest.raises(BundleError, match=r"heads\.gender\.2\.weight .*not all finite"):
        save_bundle(tmp_path / "second", bundle.manifest, model, precision)
    assert not (tmp_path / "second").exists()

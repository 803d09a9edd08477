"""The graph of a bundle computes what torch computes, holds no weights, and cannot lie."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from fsb_perception.bundles.bundle import Bundle, embedded_bundles, load_bundle
from fsb_perception.bundles.manifest import GRAPH, WEIGHTS, BundleError
from fsb_perception.bundles.manifest_file import read_manifest_file, write_manifest_file
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.cli import main
from fsb_perception.files import sha256_of
from fsb_perception.inference import runtimes
from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.engine import Engine
from fsb_perception.towers.backbones import BACKBONES
from tests.bundles import random_bundle

ONNX, TORCH = (
    EngineConfig(runtime=name, device="cpu", precision="fp32") for name in ("onnxruntime", "torch")
)


def faces(bundle: Bundle, count: int) -> list[np.ndarray]:
    side = bundle.manifest.preprocessing.size
    return list(np.random.default_rng(count).integers(0, 256, (count, side, side, 3), np.uint8))


def assert_same_answers(bundle: Bundle) -> None:
    ours, theirs = Engine(bundle, ONNX), Engine(bundle, TORCH)
    for count in (1, 5):
        expected = theirs.encode(faces(bundle, count))
        for task, rows in ours.encode(faces(bundle, count)).items():
            np.testing.assert_allclose(rows, expected[task], atol=2e-5)


@pytest.mark.parametrize("name", sorted(embedded_bundles()))
def test_a_shipped_bundle_answers_the_same_with_and_without_torch(name: str) -> None:
    assert_same_answers(load_bundle(name))


@pytest.mark.parametrize(
    ("backbone", "fields"),
    [
        ("PE-Core-micro", {"adapter": {"method": "mtlora"}, "head": "mlp"}),
        ("SigLIP2-micro", {"adapter": {"method": "vpt"}, "head": "text"}),
    ],
)
def test_an_upgraded_bundle_holds_its_weights_once(
    tmp_path: Path, backbone: str, fields: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    preprocessing = Preprocessing(size=BACKBONES[backbone].size)
    before = random_bundle(tmp_path, backbone=backbone, preprocessing=preprocessing, **fields)
    main_ends_well(["bundle", "upgrade", str(tmp_path)])
    after = load_bundle(tmp_path)
    assert after.bundle_id in capsys.readouterr().out
    assert after.manifest.files[WEIGHTS] == before.manifest.files[WEIGHTS]
    graph = onnx.load(tmp_path / GRAPH, load_external_data=False).graph
    inside = sum(len(tensor.raw_data) for tensor in graph.initializer)
    assert inside < (tmp_path / WEIGHTS).stat().st_size / 10
    assert {place.value for t in graph.initializer for place in t.external_data[:1]} == {WEIGHTS}
    assert_same_answers(after)


def main_ends_well(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert not ended.value.code


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(embedded_bundles()["nano"], tmp_path / "nano"))


def rewrite(folder: Path, change: Callable[[onnx.ModelProto], object]) -> None:
    """Change the graph, and let the manifest vouch for it."""
    model = onnx.load(folder / GRAPH, load_external_data=False)
    change(model)
    (folder / GRAPH).write_bytes(model.SerializeToString())
    reseal(folder)


def reseal(folder: Path) -> None:
    manifest, _ = read_manifest_file(folder)
    files = {**manifest.files, GRAPH: sha256_of(folder / GRAPH)}
    write_manifest_file(folder, manifest.model_copy(update={"files": files}))


def place(model: onnx.ModelProto, key: str, value: str) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.external_data)
    next(entry for entry in tensor.external_data if entry.key == key).value = value


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda model: place(model, "offset", str(1 << 40)), id="beyond the file"),
        pytest.param(lambda model: place(model, "location", "/etc/hostname"), id="another file"),
        pytest.param(lambda model: place(model, "location", "../nano/manifest.json"), id="upwards"),
        pytest.param(lambda model: model.graph.ClearField("node"), id="no nodes"),
    ],
)
def test_a_graph_that_lies_is_refused_in_one_line(
    copy: Path, change: Callable[[onnx.ModelProto], object]
) -> None:
    rewrite(copy, change)
    with pytest.raises(BundleError, match=r"encoder\.onnx cannot be run by onnxruntime") as caught:
        Engine(load_bundle(copy), ONNX)
    assert "\n" not in str(caught.value)


def test_a_graph_that_changed_after_the_check_is_not_run(copy: Path) -> None:
    bundle = load_bundle(copy)
    (copy / GRAPH).write_bytes((copy / GRAPH).read_bytes() + b"\0")
    with pytest.raises(BundleError, match=r"encoder\.onnx has changed since"):
        Engine(bundle, ONNX)
    with pytest.raises(BundleError, match=r"encoder\.onnx: has sha256"):
        load_bundle(copy)


def test_without_a_graph_torch_computes_or_the_error_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = random_bundle(tmp_path)
    assert Engine(bundle, EngineConfig(device="cpu")).runtime.__class__.__name__ == "TorchRuntime"
    with pytest.raises(BundleError, match=r"has no encoder\.onnx: make it with `fsb bundle upg"):
        Engine(bundle, ONNX)
    monkeypatch.setattr(runtimes.RuntimeRow, "is_installed", property(lambda row: False))
    with pytest.raises(BundleError, match="has no ONNX graph, and torch is not installed"):
        Engine(bundle, EngineConfig(device="cpu"))
    with pytest.raises(runtimes.OptionError, match=r"torch is needed .* pip install"):
        Engine(bundle, TORCH)


def test_the_path_of_a_robot_imports_neither_torch_nor_what_training_needs() -> None:
    program = (
        "import sys\n"
        "import cv2\n"
        "import fsb_perception.ros.node\n"
        "from importlib.resources import files\n"
        "from fsb_perception.options import build\n"
        "from fsb_perception.config import PerceptionConfig\n"
        "from fsb_perception.pipeline import FacePipeline\n"
        "path = files('fsb_perception.samples') / 'hopper.jpg'\n"
        "line = FacePipeline.from_config(build(PerceptionConfig, {'engine.device': 'cpu'}))\n"
        "assert len(line.process(cv2.imread(str(path)), 1)) == 1\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "timm", "open_clip", "transformers", "peft", "numba", "sklearn", "matplotlib"}
    assert heavy & set(run.stdout.split()) == set()

"""An exported encoder computes the same as torch, and holds the metadata that its user needs."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
import torch
from torch import nn

from fsb_perception.bundles import onnx as onnx_export
from fsb_perception.bundles.bundle import Bundle, load_bundle
from fsb_perception.bundles.graph import GraphError
from fsb_perception.bundles.onnx import OnnxFile, export_onnx
from fsb_perception.bundles.preprocessing import Preprocessing
from fsb_perception.cli import main
from fsb_perception.inference.config import EngineConfig
from fsb_perception.inference.engine import Engine
from fsb_perception.towers.backbones import BACKBONES
from tests.bundles import random_bundle
from tests.paths import ROOT
from tests.towers import MICRO

PAGE = ROOT / "docs" / "onnx.md"
HOPPER = PAGE.parents[1] / "fsb_perception" / "samples" / "hopper.jpg"


def micro_bundle(folder: Path, backbone: str) -> Bundle:
    size = BACKBONES[backbone].size
    return random_bundle(folder, backbone=backbone, preprocessing=Preprocessing(size=size))


@pytest.fixture(scope="module")
def nano(tmp_path_factory: pytest.TempPathFactory) -> OnnxFile:
    return export_onnx(load_bundle("nano"), tmp_path_factory.mktemp("onnx") / "nano.onnx")


@pytest.mark.parametrize("count", [1, 2, 7])
def test_its_logits_are_those_of_the_engine(nano: OnnxFile, count: int) -> None:
    bundle = load_bundle("nano")
    size = bundle.manifest.preprocessing.size
    faces = list(np.random.default_rng(0).integers(0, 256, (count, size, size, 3), np.uint8))
    pixels = bundle.manifest.preprocessing.pixels(faces)
    session = onnxruntime.InferenceSession(nano.path)
    expected = Engine(bundle, EngineConfig(precision="fp32")).encode(faces)
    outputs = session.run(list(expected), {"pixels": pixels})
    for (task, probabilities), logits in zip(expected.items(), outputs, strict=True):
        scaled = torch.from_numpy(logits) / bundle.manifest.temperatures[task]
        np.testing.assert_allclose(scaled.softmax(1), probabilities, atol=1e-4)


def test_its_report_is_true(nano: OnnxFile) -> None:
    assert 0 <= nano.difference <= 1e-4
    assert nano.size_bytes == nano.path.stat().st_size
    outputs = onnxruntime.InferenceSession(nano.path).get_outputs()
    assert nano.outputs == {output.name: output.shape[1] for output in outputs}


def test_the_metadata_describe_the_bundle(nano: OnnxFile) -> None:
    bundle = load_bundle("nano")
    texts = onnxruntime.InferenceSession(nano.path).get_modelmeta().custom_metadata_map
    metadata = {name: json.loads(text) for name, text in texts.items()}
    manifest = bundle.manifest
    assert metadata["bundle_id"] == bundle.bundle_id
    assert metadata["labels"] == {task.name: list(task.labels) for task in bundle.tasks}
    assert metadata["temperatures"] == manifest.temperatures
    assert metadata["size"] == manifest.preprocessing.size
    assert metadata["mean"] == list(manifest.preprocessing.mean)
    assert metadata["std"] == list(manifest.preprocessing.std)
    assert metadata["limits"] == manifest.limits


@pytest.mark.parametrize("backbone", MICRO)
def test_both_families_export(tmp_path: Path, backbone: str) -> None:
    file = export_onnx(micro_bundle(tmp_path / "bundle", backbone), tmp_path / "micro.onnx")
    assert file.difference <= 1e-4
    assert [path.name for path in tmp_path.glob("*.onnx*")] == ["micro.onnx"]


def test_a_graph_that_differs_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = micro_bundle(tmp_path / "bundle", "SigLIP2-micro")
    export = torch.onnx.export

    def export_other_weights(model: nn.Module, *rest: object, **options: object) -> object:
        other = bundle.build_model()
        with torch.no_grad():
            for parameter in other.heads.parameters():
                parameter.add_(0.25)
        return export(other, *rest, **options)

    monkeypatch.setattr(torch.onnx, "export", export_other_weights)
    target = tmp_path / "out.onnx"
    target.write_bytes(b"older")
    with pytest.raises(GraphError, match=r"from torch's by [\d.e+]+ in the logits of gender"):
        export_onnx(bundle, target)
    assert target.read_bytes() == b"older"
    assert {path.name for path in tmp_path.iterdir()} == {"bundle", "out.onnx"}


@pytest.mark.parametrize(
    ("path", "message"), [("", "is a folder: name the file"), ("no/file.onnx", "is not a folder")]
)
def test_a_place_that_cannot_be_written_is_refused_first(
    tmp_path: Path, path: str, message: str
) -> None:
    with pytest.raises(GraphError, match=message):
        export_onnx(load_bundle("nano"), tmp_path / path)


def test_missing_packages_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "onnx" else find_spec(name)
    )
    with pytest.raises(GraphError, match=r"needs onnx, which .*requirements/onnx\.txt"):
        export_onnx(load_bundle("nano"), tmp_path / "nano.onnx")


def test_an_encoder_too_large_for_one_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_export, "MOST_BYTES", 2**20)
    with pytest.raises(GraphError, match="an ONNX file holds 2"):
        export_onnx(load_bundle("nano"), tmp_path / "nano.onnx")


def test_the_command_reports_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    nano: OnnxFile,
) -> None:
    monkeypatch.setattr(onnx_export, "export_onnx", lambda *_: nano)
    with pytest.raises(SystemExit) as end:
        main(["onnx", "nano", str(tmp_path / "nano.onnx")])
    assert not end.value.code
    printed = capsys.readouterr().out
    assert "(n, 9)" in printed
    assert "of torch's logits" in printed


def test_the_command_explains_an_error(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["onnx", "nano", str(tmp_path / "no" / "nano.onnx")])
    assert "is not a folder" in capsys.readouterr().err


def test_the_page_runs_as_written(nano: OnnxFile) -> None:
    bundle = load_bundle("nano")
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)
    size = bundle.manifest.preprocessing.size
    face = cv2.resize(cv2.imread(str(HOPPER)), (size, size))
    cv2.imwrite(str(nano.path.parent / "face.png"), face)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=nano.path.parent,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    expected = Engine(bundle, EngineConfig(precision="fp32")).encode([face])
    for line, task in zip(run.stdout.splitlines(), bundle.tasks, strict=True):
        name, label, confidence = re.fullmatch(r"(\w+): (\S+) ([\d.]+)", line).groups()
        row = expected[name][0]
        assert (name, label) == (task.name, task.labels[row.argmax()])
        assert float(confidence) == pytest.approx(row.max(), abs=2e-3)

"""Every system from its recipe to the topic: two steps of training, a bundle, the node's answer."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fsb_perception.msg import FaceAttributes, FaceAttributesArray

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.config import PerceptionConfig
from fsb_perception.inference.config import EngineConfig
from fsb_perception.pipeline import FacePipeline
from fsb_perception.samples.clip import Clip
from fsb_perception.tasks import TASKS
from fsb_training.data.batches import total_steps
from fsb_training.data.faces import Source
from fsb_training.data.sources import open_sources
from fsb_training.export import export
from fsb_training.learning import trainer
from fsb_training.recipe_options import DataOptions, OptimiserOptions
from tests.builders import START
from tests.perception.ros.running import Line, image, running
from tests.sampling import in_turn, sampled
from tests.texts import word_tokenizer
from tests.towers import MICRO
from tests.training.datasets import layouts
from tests.training.systems import recipe

PICTURE = Clip("steady").frame(0)  # three photographed faces
FACES = 3
PLAIN = EngineConfig(device="cpu", precision="fp32")
NODE = {
    "engine__device": "cpu",
    "engine__precision": "fp32",
    "image_reliability": "reliable",
    "id_prefix": "x",
}
# The families in turn: what differs between these is tested without a node.
CASES = sorted(in_turn(MICRO))
# A text head, a merged adapter, one that stays in the tower, and one with parts for each task.
KEPT = [c for c in CASES if c[0] in ("zero-shot", "DoRA", "MTLoRA exact", "VPT deep")]

# A validation split of a handful of faces lacks most labels.
pytestmark = pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")


@dataclass(frozen=True)
class School:
    """Data and tokenizer of all systems here."""

    data: DataOptions
    tokenizer: Path
    sources: Sequence[Source]
    dev: Sequence[Source]


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> School:
    root = layouts.everything(tmp_path_factory.mktemp("data"), count=12)
    tokenizer = word_tokenizer(tmp_path_factory.mktemp("tokenizer"))
    shares = {"FairFace": 1.0, "UTKFace": 1.0, "FERPlus": 1.0}
    data = DataOptions(root=str(root), cache=str(root / "cache"), shares=shares, dev_share=0.3)
    chosen = recipe("linear probing", MICRO[0], tokenizer, data=data)
    return School(data, tokenizer, *open_sources(chosen))


def trained(system: str, backbone: str, school: School, run: Path) -> Bundle:
    """Return the bundle that `fsb-train fit` would make in a run of two steps."""
    chosen = recipe(
        system,
        backbone,
        school.tokenizer,
        data=school.data,
        optimiser=OptimiserOptions(images=16, batch_size=8, warmup_images=0),
    )
    assert total_steps(chosen) == 2
    encoder = trainer.fit(chosen, run, school.sources, school.dev, "cpu")
    return export(chosen, encoder, run / "bundle", school.sources, school.dev)


def answer(line: Line) -> FaceAttributesArray:
    """Return the answer of a node to `PICTURE` as its first image."""
    return line.activate().ask(image(0, PICTURE, START))


def check(array: FaceAttributesArray, bundle: Bundle) -> None:
    assert array.bundle_id == bundle.bundle_id
    assert len(array.faces) == FACES
    for face in array.faces:
        assert [estimate.task for estimate in face.estimates] == [*TASKS]
        for estimate in face.estimates:
            assert tuple(estimate.labels) == TASKS[estimate.task].labels
            assert estimate.looks == 1
            assert np.isfinite(estimate.probabilities).all()
            assert min(estimate.probabilities) >= 0
            assert sum(estimate.probabilities) == pytest.approx(1.0, abs=1e-4)


def table(faces: Sequence[FaceAttributes]) -> dict[str, list[float]]:
    """Return the probabilities of each face, task after task."""
    return {
        face.face_id: [p for estimate in face.estimates for p in estimate.probabilities]
        for face in faces
    }


def in_the_core(bundle: Bundle) -> FacePipeline:
    """Return the pipeline of the node, without its frozen graph."""
    config = PerceptionConfig(bundle=str(bundle.folder), engine=PLAIN)
    return FacePipeline.from_config(config, NODE["id_prefix"])


@pytest.mark.parametrize(("system", "backbone"), sampled(CASES, KEPT))
def test_the_node_publishes_what_was_trained(
    system: str, backbone: str, school: School, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # Before the node starts: training forks a process that loads data, and DDS has threads.
    bundle = trained(system, backbone, school, tmp_path)
    with running("every_system", bundle=str(bundle.folder), **NODE) as line:
        array = answer(line)
    check(array, bundle)
    # No warning, for instance that the fused encoder differs and is not used. Only the warning that
    # these few generated faces lack labels is right.
    loud = [r for r in caplog.records if r.name != "fsb_training.data.sources"]
    assert [r for r in loud if r.levelname == "WARNING"] == []
    received, own = table(array.faces), table(in_the_core(bundle).process(PICTURE, START))
    assert received.keys() == own.keys()
    for face_id, row in own.items():
        np.testing.assert_allclose(received[face_id], row, rtol=1e-3, atol=1e-5)
    one, other, *_ = own.values()
    assert not np.allclose(one, other, rtol=1e-2)  # it has looked at the faces


def test_a_bundle_that_is_replaced_is_taken_when_configured_again(
    school: School, tmp_path: Path
) -> None:
    names = (("DoRA", MICRO[0]), ("VPT task-specific", MICRO[1]))
    first, second = (trained(*name, school, tmp_path / name[0]) for name in names)
    folder = tmp_path / "in use"
    shutil.copytree(first.folder, folder)
    with running("replaced", bundle=str(folder), **NODE) as line:
        check(answer(line), first)
        shutil.copytree(second.folder, folder, dirs_exist_ok=True)
        assert line.step("deactivate", "cleanup")
        check(answer(line), second)

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch

from fsb_perception.bundle import Bundle
from fsb_perception.engine import Engine, EngineConfig
from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_perception.types import Image
from tests.bundles import random_bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return random_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture(scope="module")
def engine(bundle: Bundle) -> Engine:
    return Engine(bundle)


def faces(count: int, seed: int = 0) -> list[Image]:
    return list(np.random.default_rng(seed).integers(0, 256, (count, 80, 80, 3), np.uint8))


@pytest.mark.parametrize("count", [0, 1, 3, 16, 17, 40])
def test_one_row_a_face_that_sums_to_one(engine: Engine, count: int) -> None:
    said = engine.encode(faces(count))
    assert {task: rows.shape for task, rows in said.items()} == {
        name: (count, len(task.labels)) for name, task in TASKS.items()
    }
    for rows in said.values():
        assert rows.dtype == np.float32
        np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-5)


def test_a_face_is_read_alike_alone_and_in_company(bundle: Bundle) -> None:
    pictures = faces(5)
    together = Engine(bundle, EngineConfig(max_batch=2)).encode(pictures)
    for index, picture in enumerate(pictures):
        alone = Engine(bundle).encode([picture])
        for task, rows in alone.items():
            np.testing.assert_allclose(rows[0], together[task][index], atol=1e-4)


def test_threads_may_share_an_engine(engine: Engine) -> None:
    expected = engine.encode(faces(2))
    with ThreadPoolExecutor(4) as pool:
        for said in pool.map(lambda _: engine.encode(faces(2)), range(12)):
            for task, rows in said.items():
                np.testing.assert_allclose(rows, expected[task], atol=1e-5)


def test_a_temperature_softens_but_keeps_the_order(tmp_path: Path) -> None:
    sharp = Engine(random_bundle(tmp_path / "sharp")).encode(faces(4))
    soft = Engine(random_bundle(tmp_path / "soft", temperature=4.0)).encode(faces(4))
    for task, rows in sharp.items():
        np.testing.assert_array_equal(rows.argmax(axis=1), soft[task].argmax(axis=1))
        assert (soft[task].max(axis=1) < rows.max(axis=1)).all()
        logits = np.log(rows.astype(np.float64)) / 4
        expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(soft[task], expected, atol=1e-4)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_the_fused_encoder_says_the_same(bundle: Bundle, count: int) -> None:
    fused, plain = Engine(bundle), Engine(bundle, EngineConfig(fuse=False))
    assert fused._model is not plain._model
    assert isinstance(fused._model, torch.jit.ScriptModule)
    for task, rows in fused.encode(faces(count)).items():
        np.testing.assert_allclose(rows, plain.encode(faces(count))[task], atol=1e-5)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"device": "cuda"}, "finds no GPU"),
        ({"device": "cpu", "precision": "fp16"}, "fp16 is for GPUs"),
    ],
)
def test_what_the_machine_cannot_do_is_said(
    bundle: Bundle, config: dict[str, str], message: str
) -> None:
    if config["device"] == "cuda" and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(OptionError, match=message):
        Engine(bundle, EngineConfig(**config))


@pytest.mark.parametrize("face", [np.zeros((80, 80), np.uint8), np.zeros((80, 80, 3), np.float32)])
def test_what_is_no_face_is_refused(engine: Engine, face: np.ndarray) -> None:
    with pytest.raises(ValueError, match="image must"):
        engine.encode([face])

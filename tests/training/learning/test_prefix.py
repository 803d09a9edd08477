"""Frozen parts are computed once, and training on their activations gives the same losses."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fsb_perception.towers.backbones import BACKBONES
from fsb_training.data.batches import StepBatches, loader
from fsb_training.data.faces import Source
from fsb_training.data.sources import open_sources
from fsb_training.errors import TrainingError
from fsb_training.learning import feature_cache, trainer
from fsb_training.learning.feature_cache import cached
from fsb_training.learning.prefix import frozen_prefix
from fsb_training.recipe import Recipe
from fsb_training.systems import SYSTEMS
from tests.sampling import REPRESENTATIVE, in_turn, sampled
from tests.texts import word_tokenizer
from tests.towers import MICRO
from tests.training import systems
from tests.training.datasets import layouts

DATA = {"shares": {"FairFace": 0.5, "FERPlus": 0.5}, "dev_share": 0.3, "views": 2}
NANO = "nano-vit-80"
PREFIX = {  # what is frozen, by method; of the micro families' four blocks partial trains two
    "zero-shot": "tower", "linear": "tower", "softcpt": "tower", "partial": "blocks", "full": "",
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.everything(tmp_path_factory.mktemp("data"), count=8)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return word_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def sources(folder: Path, tokenizer: Path) -> list[Source]:
    return open_sources(chosen("LoRA", MICRO[0], tokenizer, folder))[0]


def chosen(system: str, backbone: str, tokenizer: Path, root: Path, **data: object) -> Recipe:
    options = DATA | {"root": str(root), "cache": str(root / "cache"), "view_precision": "fp32"}
    small = {"sizes": (32,)} if backbone == NANO else {}
    recipe = systems.recipe(system, backbone, tokenizer, data=options | data, **small)
    update = {"batch_size": 4, "images": 12, "precision": "fp32"}
    return recipe.model_copy(update={"optimiser": recipe.optimiser.model_copy(update=update)})


def cases() -> Iterator[tuple[str, str]]:
    for system, row in SYSTEMS.items():
        for backbone in (*MICRO, NANO):
            if row.head != "text" or BACKBONES[backbone].has_text:
                yield system, backbone


# Every kind of prefix on one tower at least; nano's stem differs from the families'.
FIRST = in_turn(MICRO, REPRESENTATIVE) | {("DoRA", NANO), ("partial fine-tuning", NANO)}


@pytest.mark.parametrize(("system", "backbone"), sampled(cases(), FIRST))
def test_activations_teach_what_pictures_teach(
    system: str, backbone: str, tokenizer: Path, folder: Path, sources: list[Source]
) -> None:
    recipe = chosen(system, backbone, tokenizer, folder)
    method = recipe.model_dump()["adapter"]["method"]
    seeing, reading = trainer.start(recipe), trainer.start(recipe)
    prefix = frozen_prefix(reading.learner.encoder, recipe.adapter)
    assert (prefix.name.split()[0] if prefix else "") == PREFIX.get(method, "patch_embed")
    if not prefix:
        return
    names = list(reading.learner.state_dict())
    activations = cached(prefix, recipe, sources)
    reading.learner.after = prefix.part
    pictures = StepBatches(sources, recipe)
    stored = StepBatches(sources, recipe, activations=activations)
    for step in range(3):
        expected = trainer.train_step(seeing, [pictures[step]], recipe)
        loss = trainer.train_step(reading, [stored[step]], recipe)
        assert loss == pytest.approx(expected, rel=1e-5)
    assert list(reading.learner.state_dict()) == names


def test_views_differ_and_depend_on_nothing_but_their_seed(
    tokenizer: Path, folder: Path, sources: list[Source]
) -> None:
    recipe = chosen("LoRA", MICRO[0], tokenizer, folder)
    again = chosen("LoRA", MICRO[0], tokenizer, folder, view_seed=1)
    few = [replace(s, faces=s.faces.subset([1, 0], "fit"), rows=s.rows[[1, 0]]) for s in sources]
    from fsb_perception.alignment import Aligner
    from fsb_training.data.batches import views_of

    aligner = Aligner(32, recipe.alignment)
    first = views_of(sources[0], recipe).picture(0, 0, aligner)
    np.testing.assert_array_equal(views_of(few[0], recipe).picture(1, 0, aligner), first)
    other_training = recipe.model_copy(update={"seed": 9})
    np.testing.assert_array_equal(
        views_of(sources[0], other_training).picture(0, 0, aligner), first
    )
    for other in (
        views_of(sources[0], recipe).picture(0, 1, aligner),
        views_of(sources[0], recipe).picture(1, 0, aligner),
        views_of(sources[0], again).picture(0, 0, aligner),
    ):
        assert not np.array_equal(other, first)


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (root / "cache/prefix").rglob("*.npy")}


@pytest.mark.parametrize(
    ("changes", "shared"),
    [
        ({}, True),
        ({"seed": 3}, True),
        ({"system": "VPT"}, True),
        ({"system": "DoRA"}, True),
        ({"views": 1}, True),
        ({"system": "linear probing"}, False),
        ({"view_seed": 1}, False),
        ({"view_precision": "fp16"}, False),
        ({"backbone": MICRO[1]}, False),
        ({"augment": {"rotation": 1.0}}, False),
    ],
    ids=str,
)
def test_runs_share_what_is_the_same(
    changes: dict[str, object], shared: bool, tokenizer: Path, folder: Path,
    sources: list[Source], tmp_path: Path,
) -> None:  # fmt: skip
    def run(system: str = "LoRA", backbone: str = MICRO[0], **changes: object) -> None:
        of_data = {name: changes.pop(name) for name in list(changes) if name.startswith("view")}
        recipe = chosen(system, backbone, tokenizer, folder, **of_data)
        data = recipe.data.model_copy(update={"cache": str(tmp_path / "cache")})
        base = recipe.model_copy(update={"data": data, "seed": 0})
        recipe = Recipe.model_validate(base.model_dump() | {"adapter": base.adapter} | changes)
        # The towers' random weights would follow the training's seed.
        weights = trainer.start(base).learner.encoder
        cached(frozen_prefix(weights, base.adapter), recipe, sources)

    run()
    before = files(tmp_path)
    assert len(before) == 4  # two views of two data sets
    run(**changes)
    assert (files(tmp_path) == before) is shared


def test_fit_says_what_it_reads_and_looks_at_pictures(
    tokenizer: Path, folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = chosen("linear probing", MICRO[0], tokenizer, folder)
    with caplog.at_level(logging.INFO, "fsb_training"):
        encoder = trainer.fit(recipe, tmp_path, *open_sources(recipe), "cpu")
    (line,) = [r.getMessage() for r in caplog.records if "does not learn" in r.getMessage()]
    assert "tower does not learn: 2 views of" in line
    assert encoder(torch.zeros(1, 3, 32, 32))["gender"].shape == (1, 2)


@pytest.mark.parametrize(
    ("system", "views", "reason"),
    [("full fine-tuning", 2, "everything learns"), ("LoRA", 0, "data.views is 0")],
)
def test_fit_says_why_nothing_is_computed_once(
    system: str, views: int, reason: str, tokenizer: Path, folder: Path, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    recipe = chosen(system, MICRO[0], tokenizer, folder, views=views)
    with caplog.at_level(logging.INFO, "fsb_training"):
        trainer.fit(recipe, tmp_path, *open_sources(recipe), "cpu")
    assert sum(reason in record.getMessage() for record in caplog.records) == 1


def test_too_small_a_disk_is_refused_before_anything_is_written(
    tokenizer: Path, folder: Path, sources: list[Source], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    recipe = chosen("LoRA", MICRO[0], tokenizer, folder)
    data = recipe.data.model_copy(update={"cache": str(tmp_path / "cache")})
    recipe = recipe.model_copy(update={"data": data})
    prefix = frozen_prefix(trainer.start(recipe).learner.encoder, recipe.adapter)
    monkeypatch.setattr(feature_cache, "free_bytes", lambda folder: 1000)
    with pytest.raises(TrainingError, match=r"take [\d,]+ bytes, and 1,000 are free.*data.views"):
        cached(prefix, recipe, sources)
    assert not files(tmp_path)


def test_what_half_precision_cannot_hold_is_refused(
    tokenizer: Path, folder: Path, sources: list[Source]
) -> None:
    recipe = chosen("LoRA", MICRO[0], tokenizer, folder, view_precision="fp16")
    encoder = trainer.start(recipe).learner.encoder
    prefix = frozen_prefix(encoder, recipe.adapter)
    with torch.no_grad():
        prefix.tower.patch_embed.proj.weight.mul_(1e7)
    with pytest.raises(TrainingError, match=r"view_precision=fp32"):
        cached(prefix, recipe, sources)


def test_activations_are_read_in_this_process(
    tokenizer: Path, folder: Path, sources: list[Source]
) -> None:
    recipe = chosen("LoRA", MICRO[0], tokenizer, folder, view_precision="fp16")
    prefix = frozen_prefix(trainer.start(recipe).learner.encoder, recipe.adapter)
    batches = StepBatches(sources, recipe, activations=cached(prefix, recipe, sources))
    steps = list(loader(batches, 1))
    assert len(steps) == 2
    assert steps[0][0].pixels.dtype == torch.float16
    assert torch.equal(steps[0][0].pixels, batches[1].pixels)

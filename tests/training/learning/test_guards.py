"""A full disk, a kill at any moment, a task without labels: nothing is lost, all is named."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from fsb_perception.files import FileError
from fsb_training.data.sources import open_sources, require_labels
from fsb_training.datasets.faceset import DatasetError, FaceSet
from fsb_training.learning import checkpoints, trainer
from fsb_training.recipe import Recipe
from tests.towers import MICRO
from tests.training import systems
from tests.training.datasets import layouts


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.everything(tmp_path_factory.mktemp("data"), count=8)


STEPS = 20
CALLS = 600  # of functions of fsb_training, fewer than a run of `STEPS` makes


def small(root: Path, views: int = 0, **rest: object) -> Recipe:
    data = {"root": str(root), "cache": str(root / "cache"), "dev_share": 0.3, "views": views}
    data["shares"] = {"FairFace": 0.5, "FERPlus": 0.5}
    recipe = systems.recipe(
        "partial fine-tuning", MICRO[0], Path(), data=data,
        checkpoint_images=8, evaluate_images=16, **rest,
    )  # fmt: skip
    update = {"batch_size": 4, "images": STEPS * 4, "schedule": "plateau", "patience": 40}
    return recipe.model_copy(update={"optimiser": recipe.optimiser.model_copy(update=update)})


def test_torch_meets_a_disk_that_is_really_full(root: Path, tmp_path: Path) -> None:
    recipe = small(root)
    state = trainer.start(recipe)
    trainer.save(state, tmp_path)
    before = (tmp_path / trainer.CHECKPOINT).read_bytes()
    (tmp_path / f"{trainer.CHECKPOINT}.partial").symlink_to("/dev/full")
    state.step = 1
    with pytest.raises(FileError, match=r"cannot write .*checkpoint\.pt: No space.*bytes are free"):
        trainer.save(state, tmp_path)
    assert (tmp_path / trainer.CHECKPOINT).read_bytes() == before
    assert trainer.resume(recipe, tmp_path).step == 0


def in_a_fork(work: Callable[[], object]) -> int:
    """Run ``work`` in a fork; return its exit status, negative for a signal."""
    child = os.fork()
    if not child:
        try:
            work()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at_a_call(work: Callable[[], object], number: int) -> Callable[[], object]:
    """Return ``work`` with a kill at the ``number``-th call of a function of fsb_training.

    Calls are counted, and no seconds, so that a loaded machine kills at the same place.
    """

    def killed() -> None:
        process, left = os.getpid(), number

        def count(frame: FrameType, event: str, _: object) -> None:
            nonlocal left
            # A fork that loads data inherits this.
            if event == "call" and "fsb_training" in frame.f_code.co_filename:
                left -= os.getpid() == process
                if not left:
                    os.kill(process, signal.SIGKILL)

        sys.setprofile(count)
        work()

    return killed


def killed_while_saving(rng: random.Random) -> Callable[[object, IO[bytes]], None]:
    """torch.save, but within one of the next few saves the process dies at some byte."""
    left, save = rng.randrange(2, 5), torch.save

    def dying(saved: object, file: IO[bytes]) -> None:
        nonlocal left
        left -= 1
        save(saved, file)
        if not left:
            file.truncate(rng.randrange(file.tell()))
            os.kill(os.getpid(), signal.SIGKILL)

    return dying


@pytest.mark.parametrize("views", [0, 2])
def test_a_run_killed_anywhere_ends_as_an_unbroken_one(
    views: int, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, rng = small(root, views), random.Random(views)
    sources, dev = open_sources(recipe)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    trainer.fit(recipe, unbroken, sources, dev, "cpu")  # no fork: it imports what these need

    def fit() -> None:
        trainer.fit(recipe, broken, sources, dev, "cpu")

    statuses = []
    for kill in range(4):
        with monkeypatch.context() as patch:
            if kill % 2:
                patch.setattr(checkpoints.torch, "save", killed_while_saving(rng))
                statuses.append(in_a_fork(fit))
            else:
                statuses.append(in_a_fork(killed_at_a_call(fit, rng.randrange(100, CALLS))))
        if (broken / trainer.CHECKPOINT).is_file():
            trainer.resume(recipe, broken)  # always whole
    assert statuses == [-signal.SIGKILL] * 4
    assert in_a_fork(fit) == 0

    one, two = (
        torch.load(run / trainer.CHECKPOINT, weights_only=True) for run in (unbroken, broken)
    )
    assert one["step"] == STEPS
    assert one["looks"] == two["looks"]
    for part in ("learner", "average", "best"):
        assert one[part].keys() == two[part].keys()
        assert all(torch.equal(two[part][name], rows) for name, rows in one[part].items())
    reports = [[without_time(line) for line in lines(run)] for run in (unbroken, broken)]
    assert reports[0] == reports[1]
    assert len(set(reports[0])) == len(reports[0]) == STEPS // 2 + STEPS // 4
    curves = [curve(run / "tensorboard") for run in (unbroken, broken)]
    assert curves[0] == curves[1]
    assert [step for step, _ in curves[0]["loss"]] == [20]
    assert [step for step, _ in curves[0]["dev/score"]] == list(range(4, STEPS + 1, 4))


def lines(run: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]


def without_time(line: dict[str, object]) -> str:
    return json.dumps({name: value for name, value in line.items() if name != "time"})


def curve(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return TensorBoard's curves except those that depend on the clock."""
    events = EventAccumulator(str(folder), purge_orphaned_data=True)
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
        if not tag.startswith("speed")
    }


def test_curves_name_everything_and_can_be_left_out(root: Path, tmp_path: Path) -> None:
    recipe = small(root, 1)
    for name, wanted in (("with", True), ("without", False)):
        one = recipe.model_copy(update={"tensorboard": wanted})
        trainer.fit(one, tmp_path / name, *open_sources(one), "cpu")
    assert not (tmp_path / "without/tensorboard").exists()
    events = EventAccumulator(str(tmp_path / "with/tensorboard"))
    events.Reload()
    tags = set(events.Tags()["scalars"])
    assert tags >= {
        "loss", "loss/gender", "loss/emotion", "learning_rate", "speed/images_per_second",
        "speed/waiting_for_data", "dev/score", "dev/FairFace/gender/accuracy",
    }  # fmt: skip
    (first, *_) = events.Scalars("speed/waiting_for_data")
    assert 0 < first.value < 1


def test_an_empty_task_is_named_before_pictures_are_opened(root: Path) -> None:
    recipe = small(root)
    data = recipe.data.model_copy(update={"shares": {"FairFace": 1.0}, "cache": "/nowhere"})
    with pytest.raises(
        DatasetError, match="no face of FairFace has a label of emotion: leave it out"
    ):
        open_sources(recipe.model_copy(update={"data": data}))


@pytest.mark.parametrize(("labels", "empty"), [({}, True), ([-1, -1], True), ([-1, 0], False)])
def test_a_column_without_a_label_is_none(labels: object, empty: bool) -> None:
    columns = {"gender": np.array(labels)} if isinstance(labels, list) else {}
    faces = FaceSet("Mine", "train", Path(), ["a", "b"], columns)
    if empty:
        with pytest.raises(DatasetError, match="gender"):
            require_labels(["gender"], [faces])
    else:
        require_labels(["gender"], [faces])


def test_fit_refuses_a_task_that_the_split_left_empty(root: Path, tmp_path: Path) -> None:
    recipe = small(root)
    sources, dev = open_sources(recipe)
    with pytest.raises(DatasetError, match="emotion"):
        trainer.fit(recipe, tmp_path, [s for s in sources if s.faces.name == "FairFace"], dev)

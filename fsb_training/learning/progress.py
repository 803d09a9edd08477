"""What a run says of itself: the bar, ``log.jsonl``, and curves for TensorBoard."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tqdm import tqdm

from fsb_training.data.batches import Batch, size_at, total_steps
from fsb_training.judging import evaluate
from fsb_training.recipe import Recipe
from fsb_training.writing import write_whole, writing_to

if TYPE_CHECKING:
    from fsb_training.learning.checkpoints import State

LOG, BOARD = "log.jsonl", "tensorboard"
_EVERY = 20  # steps between the points of a curve


class Progress:
    """Of several processes rank 0's alone says anything. A context: it ends what it began.

    Args:
        state: where the run begins or goes on; what was said of later steps is taken back.
        recipe: of the run.
        run: its folder.
    """

    def __init__(self, state: State, recipe: Recipe, run: Path) -> None:
        self._state, self._recipe, self._run = state, recipe, run
        self._leads = state.world.leads
        self._board = _board(run, state.step) if self._leads and recipe.tensorboard else None
        if self._leads:
            _take_back(run / LOG, state.step)
        self._bar = tqdm(
            total=total_steps(recipe), initial=state.step, unit="step", smoothing=0.05,
            disable=not self._leads,
        )  # fmt: skip
        self._begin_interval()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
        if self._board:
            self._board.close()

    def _begin_interval(self) -> None:
        self._start, self._waited, self._first = time.perf_counter(), 0.0, self._state.step

    def timed(self, batches: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
        """The same, and how long each was waited for is counted."""
        while True:
            start = time.perf_counter()
            group = next(batches, None)
            self._waited += time.perf_counter() - start
            if group is None:
                return
            yield group

    def step(self, loss: float) -> None:
        """After a step."""
        self._bar.update()
        if not self._leads or self._state.step % _EVERY:
            return
        seconds, steps = time.perf_counter() - self._start, self._state.step - self._first
        speed = steps * self._recipe.optimiser.step_images / seconds
        waiting = self._waited / seconds
        self._bar.set_postfix(
            loss=f"{loss:.3f}", px=size_at(self._state.step - 1, self._recipe),
            images=f"{speed:.0f}/s", waiting=f"{100 * waiting:.0f}%",
        )  # fmt: skip
        losses = self._state.learner.last_losses
        self._curve("loss", loss)
        self._curves("loss", {task: float(value) for task, value in losses.items()})
        self._curve("learning_rate", self._state.rate)
        self._curves("speed", {"images_per_second": speed, "waiting_for_data": waiting})
        self._begin_interval()

    def saving(self, loss: float) -> None:
        """Before a checkpoint: what is said up to its step is on disk when it is."""
        self._append({"step": self._state.step, "loss": loss, "time": time.time()})
        if self._board:
            self._board.flush()

    def looked(self, metrics: evaluate.Metrics, score: float) -> None:
        """After a look at the validation split, on rank 0."""
        step = self._state.step
        self._append({"step": step, "metrics": metrics})
        accuracies: dict[str, Any] = {
            name: {t: round(m["accuracy"], 3) for t, m in tasks.items()}
            for name, tasks in metrics.items()
        }
        tqdm.write(json.dumps({"step": step} | accuracies))
        self._curve("dev/score", score)
        for name, tasks in metrics.items():
            for task, numbers in tasks.items():
                self._curves(f"dev/{name}/{task}", numbers)
        self._begin_interval()  # its time is not that of a step

    def _append(self, record: dict[str, Any]) -> None:
        if self._leads:
            with (
                writing_to(self._run / LOG),
                (self._run / LOG).open("a", encoding="utf-8") as file,
            ):
                file.write(json.dumps(record) + "\n")

    def _curves(self, name: str, values: Mapping[str, float]) -> None:
        for part, value in values.items():
            self._curve(f"{name}/{part}", value)

    def _curve(self, name: str, value: float) -> None:
        if self._board:
            self._board.add_scalar(name, value, self._state.step)


def _board(run: Path, step: int) -> Any:
    """A writer whose readers forget what a killed run wrote of steps that are taken again."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run / BOARD), purge_step=step + 1)


def _take_back(path: Path, step: int) -> None:
    """Leave out the lines of a log that are of later steps, or were never finished."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = (line for line in lines if line.endswith("\n"))
    kept = "".join(line for line in whole if json.loads(line)["step"] <= step)
    if kept != "".join(lines):
        write_whole(path, lambda file: file.write(kept.encode()), len(kept))

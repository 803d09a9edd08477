"""Progress of a run: a bar for the program, the run's ``log.jsonl``, and curves for TensorBoard."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsb_perception.files import write_whole
from fsb_perception.progress import SILENT, Bar, Progress
from fsb_training.data.batches import Batch, size_at, total_steps
from fsb_training.judging import evaluate
from fsb_training.recipe import Recipe

if TYPE_CHECKING:
    from fsb_training.learning.state import State

_log = logging.getLogger(__name__)
LOG, BOARD = "log.jsonl", "tensorboard"
_EVERY = 20  # steps between the points of a curve


@contextmanager
def run_progress(
    state: State, recipe: Recipe, run: Path, progress: Progress = SILENT
) -> Iterator[RunProgress]:
    """Open the reports of a run; of several processes rank 0 alone reports.

    Args:
        state: where the run begins or goes on; entries of later steps are removed.
        recipe: of the run.
        run: its folder.
        progress: shows the steps.
    """
    leads, total = state.world.leads, total_steps(recipe)
    if leads:
        _remove_later(run / LOG, state.step)
    board = _board(run, state.step) if leads and recipe.tensorboard else None
    try:
        with (progress if leads else SILENT).bar("training", total, state.step) as bar:
            yield RunProgress(state, recipe, run, bar, board)
    finally:
        if board:
            board.close()


class RunProgress:
    """Reports each step, checkpoint and validation of a run.

    Args:
        state: of the run, which it reads and never changes.
        recipe: of the run.
        run: its folder.
        bar: shows the steps.
        board: TensorBoard's writer, or None for no curves.
    """

    def __init__(
        self, state: State, recipe: Recipe, run: Path, bar: Bar, board: Any = None
    ) -> None:
        self._state, self._recipe, self._run = state, recipe, run
        self._bar, self._board = bar, board
        self._leads = state.world.leads
        self._begin_interval()

    def _begin_interval(self) -> None:
        self._start, self._waited, self._first = time.perf_counter(), 0.0, self._state.step

    def timed(self, batches: Iterator[list[Batch]]) -> Iterator[list[Batch]]:
        """Yield ``batches`` unchanged, and measure how long each is waited for."""
        while True:
            start = time.perf_counter()
            group = next(batches, None)
            self._waited += time.perf_counter() - start
            if group is None:
                return
            yield group

    def step(self, loss: float) -> None:
        """Report a finished step."""
        self._bar.advance()
        if not self._leads or self._state.step % _EVERY:
            return
        seconds, steps = time.perf_counter() - self._start, self._state.step - self._first
        speed = steps * self._recipe.optimiser.step_images / seconds
        waiting = self._waited / seconds
        size = size_at(self._state.step - 1, self._recipe)
        self._bar.note(
            f"loss {loss:.3f}, {size} px, {speed:.0f} pictures/s, {100 * waiting:.0f} % waiting"
        )
        losses = self._state.learner.last_losses
        self._curve("loss", loss)
        self._curves("loss", {task: float(value) for task, value in losses.items()})
        self._curve("learning_rate", self._state.rate)
        self._curves("speed", {"images_per_second": speed, "waiting_for_data": waiting})
        self._begin_interval()

    def saving(self, loss: float) -> None:
        """Write the log up to this step; call it before the checkpoint of the step is saved."""
        self._append({"step": self._state.step, "loss": loss, "time": time.time()})
        if self._board:
            self._board.flush()

    def validated(self, metrics: evaluate.Metrics, score: float) -> None:
        """Report a validation; call it on rank 0."""
        step = self._state.step
        self._append({"step": step, "metrics": metrics})
        accuracies = {
            name: {task: round(numbers["accuracy"], 3) for task, numbers in tasks.items()}
            for name, tasks in metrics.items()
        }
        _log.info("step %d, accuracy on dev: %s", step, json.dumps(accuracies))
        self._curve("dev/score", score)
        for name, tasks in metrics.items():
            for task, numbers in tasks.items():
                self._curves(f"dev/{name}/{task}", numbers)
        self._begin_interval()  # its time is not that of a step

    def _append(self, record: dict[str, Any]) -> None:
        if self._leads:
            path = self._run / LOG
            earlier = path.read_text(encoding="utf-8") if path.is_file() else ""
            write_whole(path, f"{earlier}{json.dumps(record)}\n")

    def _curves(self, name: str, values: Mapping[str, float]) -> None:
        for part, value in values.items():
            self._curve(f"{name}/{part}", value)

    def _curve(self, name: str, value: float) -> None:
        if self._board:
            self._board.add_scalar(name, value, self._state.step)


def _board(run: Path, step: int) -> Any:
    """Return a writer whose readers drop what a killed run wrote of later steps."""
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run / BOARD), purge_step=step + 1)


def _remove_later(path: Path, step: int) -> None:
    """Remove the lines of a log that are of later steps or unfinished."""
    if not path.is_file():
        return
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    whole = (line for line in lines if line.endswith("\n"))
    kept = "".join(line for line in whole if json.loads(line)["step"] <= step)
    if kept != "".join(lines):
        write_whole(path, kept)

"""Many recordings over several processes, with the results of one process.

Each process has its own engine and computes with one thread, as a single process does, so that the
answers do not depend on how the work was shared. A recording that fails is reported, and the others
go on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

from fsb_perception.errors import FsbError, error_line
from fsb_perception.progress import SILENT, Progress
from fsb_perception.replay.running.replayer import Replayer, ReplayResult
from fsb_perception.replay.running.request import ReplayRequest
from fsb_perception.workers import end_with_parent


class Outcome(NamedTuple):
    """The outcome of one recording.

    Attributes:
        bag: path of the recording.
        result: the replayed recording; None if it failed.
        error: reason of the failure; empty without one.
    """

    bag: Path
    result: ReplayResult | None
    error: str = ""


def replay_all(
    request: ReplayRequest,
    bags: Sequence[Path],
    folders: Iterable[Path],
    progress: Progress = SILENT,
) -> Iterator[Outcome]:
    """Replay recordings, and yield their outcomes as they are ready.

    Args:
        request: what to do with each recording, and in how many processes.
        bags: paths of the recordings.
        folders: folder to write for each recording.
        progress: shows how many images of a recording are done, with one process.

    Raises:
        BundleError, DetectorError, OptionError, UnknownNameError: no recording can be replayed.
    """
    pairs = list(zip(bags, folders, strict=True))
    if request.jobs == 1 or len(pairs) == 1:
        use_one_thread()
        replayer = Replayer(request, request.answering())
        for bag, folder in pairs:
            yield attempt(replayer, bag, folder, progress)
        return
    workers = min(request.jobs, len(pairs))
    start = (request.as_text(),)
    with ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, start) as pool:
        for future in as_completed([pool.submit(_work, *pair) for pair in pairs]):
            yield future.result()


def use_one_thread() -> None:
    """Compute with one thread: sums, and so answers, are the same wherever the processor is."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def attempt(replayer: Replayer, bag: Path, folder: Path, progress: Progress = SILENT) -> Outcome:
    """Replay a recording; an error, such as a full disk, becomes its outcome."""
    try:
        return Outcome(bag, replayer.run(bag, folder, progress))
    except (FsbError, OSError) as error:
        reason = error_line(error)
        return Outcome(bag, None, reason if str(bag) in reason else f"{bag}: {reason}")


_replayers: list[Replayer] = []  # the one of this worker process


def _start_worker(text: str) -> None:
    end_with_parent()
    use_one_thread()
    request = ReplayRequest.from_text(text)
    _replayers.append(Replayer(request, request.answering()))


def _work(bag: Path, folder: Path) -> Outcome:
    return attempt(_replayers[0], bag, folder)

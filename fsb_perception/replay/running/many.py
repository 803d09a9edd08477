"""Many recordings over several processes, with the results of one process.

Each process has an engine of its own and computes with one thread, as a single process does, so
that the answers do not depend on how the work was shared. A recording that fails is told of, and
the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import cv2
import torch

from fsb_perception.config import PerceptionConfig
from fsb_perception.inference.engine import EngineMemoryError
from fsb_perception.registry import UnknownNameError
from fsb_perception.replay.answering import Answering
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.running.offline import Offline
from fsb_perception.replay.running.replayer import Done, Order, Progress, Replayer
from fsb_perception.replay.scoring.criteria import Criterion
from fsb_perception.replay.truth.statements import Statement
from fsb_perception.workers import end_with_parent

# What may go wrong with one recording and not with the next: its disk is full, say.
_OF_ONE = (BagError, EngineMemoryError, OSError, UnknownNameError)

MakeAnswering = Callable[[PerceptionConfig], Answering]


class Outcome(NamedTuple):
    """What became of a recording.

    Attributes:
        bag: which.
        done: what was written; None if it failed.
        error: why it failed; empty if it did not.
    """

    bag: Path
    done: Done | None
    error: str = ""


def replay_all(
    order: Order,
    bags: Sequence[Path],
    folders: Iterable[Path],
    answer: MakeAnswering = Offline,
    jobs: int = 1,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Replay recordings; outcomes come as they are ready.

    Args:
        order: what is to be done with each.
        bags: the recordings.
        folders: what each is written to.
        answer: makes what has the images answered; a class or function of a module.
        jobs: processes that share them; with one, they are replayed in this process.
        progress: shows how far a recording is, with one process.

    Raises:
        BundleError, DetectorError, OptionError, UnknownNameError: nothing can be replayed so.
    """
    pairs = list(zip(bags, folders, strict=True))
    if jobs == 1 or len(pairs) == 1:
        one_thread()
        replayer = Replayer(order, answer(order.config))
        for bag, folder in pairs:
            yield attempt(replayer, bag, folder, progress)
        return
    workers = min(jobs, len(pairs))
    begin = (order_text(order), answer)
    with ProcessPoolExecutor(workers, get_context("spawn"), _begin, begin) as pool:
        for future in as_completed([pool.submit(_work, *pair) for pair in pairs]):
            yield future.result()


def one_thread() -> None:
    """Sums, and so answers, are then the same on every machine with the same processor."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)


def order_text(order: Order) -> str:
    """An order as JSON, for other processes: pickle cannot name classes made at run time."""
    return json.dumps(
        {
            "config": order.config.model_dump(mode="json"),
            "topics": list(order.topics),
            "truth": [said.model_dump(mode="json", exclude_defaults=True) for said in order.truth],
            "criteria": [asdict(criterion) for criterion in order.criteria],
            "mcap": order.mcap,
        }
    )


def order_of(text: str) -> Order:
    """The order that `order_text` gave."""
    said = json.loads(text)
    return Order(
        config=PerceptionConfig.model_validate(said["config"]),
        topics=tuple(said["topics"]),
        truth=[Statement.model_validate(each) for each in said["truth"]],
        criteria=[Criterion(**each) for each in said["criteria"]],
        mcap=said["mcap"],
    )


def attempt(
    replayer: Replayer, bag: Path, folder: Path, progress: Progress | None = None
) -> Outcome:
    """Replay a recording; what is wrong with it alone becomes its outcome."""
    try:
        return Outcome(bag, replayer.run(bag, folder, progress))
    except _OF_ONE as error:
        said = str(error)
        return Outcome(bag, None, said if str(bag) in said else f"{bag}: {said}")


_replayers: list[Replayer] = []  # this process's one, as a worker


def _begin(text: str, answer: MakeAnswering) -> None:
    end_with_parent()
    one_thread()
    order = order_of(text)
    _replayers.append(Replayer(order, answer(order.config)))


def _work(bag: Path, folder: Path) -> Outcome:
    return attempt(_replayers[0], bag, folder)

"""One recording after the other: replayed, judged, and its folder written."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

from fsb_perception.config import PerceptionConfig
from fsb_perception.replay import annotated, outputs
from fsb_perception.replay.answering import Answering
from fsb_perception.replay.bags.reader import Bag, choose_topics
from fsb_perception.replay.bags.storages import bag_name
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.report import REPORT, write_report
from fsb_perception.replay.running.load import load_summary, metered
from fsb_perception.replay.scoring.criteria import MEASURED, Criterion, Judged
from fsb_perception.replay.scoring.matching import Matches, Truth, match
from fsb_perception.replay.scoring.persons import persons
from fsb_perception.replay.scoring.scores import scores
from fsb_perception.replay.truth.statements import Statement

ANNOTATED = "annotated"
"""Folder of the bag with the answers over the images."""

_T = TypeVar("_T")
Progress = Callable[[Iterable[_T], str, int | None], Iterable[_T]]
"""Shows how far an iterable is: what, of what name, of how many."""


@dataclass(frozen=True)
class Order:
    """What is to be done with every recording.

    Attributes:
        config: of the pipeline.
        topics: of images; all if empty.
        truth: what is known of the people; not judged if empty.
        criteria: that the metrics, or other numbers of the summary, must meet.
        mcap: also write a bag with the answers over the images.
    """

    config: PerceptionConfig
    topics: tuple[str, ...] = ()
    truth: Sequence[Statement] = ()
    criteria: Sequence[Criterion] = ()
    mcap: bool = False


@dataclass(frozen=True)
class Done:
    """A replayed recording.

    Attributes:
        folder: what was written.
        summary: as in summary.json.
        unmet: criteria that it misses.
        kept: the answers are those of an earlier run of the same on the same.
    """

    folder: Path
    summary: dict[str, Any]
    unmet: Sequence[Judged] = ()
    kept: bool = False


class Replayer:
    """Replays recordings in one way.

    Args:
        order: what is to be done.
        answering: has the images answered.
    """

    def __init__(self, order: Order, answering: Answering) -> None:
        self._order = order
        self._answering = answering
        self._truth = Truth(order.truth)

    def run(self, path: Path, folder: Path, progress: Progress | None = None) -> Done:
        """Replay a bag and write its folder.

        Args:
            path: of the bag.
            folder: to write.
            progress: shows how far it is.

        Raises:
            BagError: it has no images that can be read.
            UnknownNameError: a criterion is about what was not measured.
        """
        bag = Bag(path)
        topics = choose_topics(bag, self._order.topics)
        names = [topic.name for topic in topics]
        way = self._answering
        of = outputs.identity(path, names, way.mode, way.bundle_id, self._order.config)
        before = outputs.unchanged(folder, of)
        said = before or (of | self._answered(bag, topics, folder, progress))
        said = {k: v for k, v in said.items() if k not in ("metrics", "people", "criteria")}
        said |= self._judged(bag, topics, folder)
        found = {**said.get("metrics", {}), **{part: said.get(part, {}) for part in MEASURED}}
        judged = [criterion.judged(found) for criterion in self._order.criteria]
        said |= {"criteria": [each.as_json() for each in judged]} if judged else {}
        outputs.write_summary(folder, said)
        write_report(folder)
        return Done(folder, said, [j for j in judged if not j.met], kept=before is not None)

    def _answered(
        self, bag: Bag, topics: Sequence[ImageTopic], folder: Path, progress: Progress | None
    ) -> dict[str, Any]:
        # Both are of other answers.
        shutil.rmtree(folder / ANNOTATED, ignore_errors=True)
        (folder / REPORT).unlink(missing_ok=True)
        answered: Iterable[Any] = self._answering.answers(bag, topics)
        if progress:
            answered = progress(answered, bag.path.name, sum(t.count for t in topics) or None)
        with metered(folder / outputs.LOAD, lambda: self._answering.pid) as samples:
            counts, sha256 = outputs.write_answers(folder, answered)
        said = outputs.outcome(counts, sha256, bag.problems) | self._answering.facts
        return said | {"load": load_summary(samples)}

    def _judged(self, bag: Bag, topics: Sequence[ImageTopic], folder: Path) -> dict[str, Any]:
        """What the truth says of the answers; and the bag that shows it, if it is wanted."""
        rows = folder / outputs.RESULTS
        matches = match(outputs.read_rows(rows), self._truth) if self._order.truth else Matches()
        if self._order.mcap:
            annotated.write_annotated(
                folder / ANNOTATED,
                Bag(bag.path),  # anew: its problems have been counted
                topics,
                outputs.read_rows(rows),
                self._answering.bundle_id,
                annotated.known_of(matches.faces),
            )
        if not self._order.truth:
            return {}
        people = [asdict(person) for person in persons(matches.faces, self._answering.tasks)]
        return {"metrics": scores(matches, self._answering.tasks), "people": people}


def folders(bags: Sequence[Path], out: Path) -> Iterator[Path]:
    """A folder for each bag, by its name; numbered where bags share one.

    >>> [f.name for f in folders([Path("a/run"), Path("b/run"), Path("c.mcap")], Path("out"))]
    ['run', 'run_2', 'c']
    """
    taken: set[str] = set()
    for bag in bags:
        name = bag_name(bag)
        unique, number = name, 1
        while unique in taken:
            number += 1
            unique = f"{name}_{number}"
        taken.add(unique)
        yield out / unique

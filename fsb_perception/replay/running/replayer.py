"""One recording after the other: answered, judged, and written to its folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from fsb_perception.progress import SILENT, Progress
from fsb_perception.replay import annotated, outputs
from fsb_perception.replay.answering import Answering
from fsb_perception.replay.bags.reader import Bag, choose_topics
from fsb_perception.replay.bags.storages import bag_name
from fsb_perception.replay.bags.topics import ImageTopic
from fsb_perception.replay.metrics import CriterionResult
from fsb_perception.replay.report import REPORT, write_report
from fsb_perception.replay.running.load import load_summary, metered
from fsb_perception.replay.running.request import ReplayRequest
from fsb_perception.replay.scoring.matching import Matches, Truth, match
from fsb_perception.replay.scoring.persons import persons
from fsb_perception.replay.scoring.scores import scores
from fsb_perception.replay.summary import Answers, Identity, Summary

ANNOTATED = "annotated"
"""Folder of the bag with the answers over the images."""


@dataclass(frozen=True)
class ReplayResult:
    """A replayed recording.

    Attributes:
        folder: folder of the written files.
        summary: content of summary.json.
        kept: the answers are those of an earlier run with the same identity.
    """

    folder: Path
    summary: Summary
    kept: bool = False

    @property
    def unmet(self) -> list[CriterionResult]:
        """Criteria that the recording misses."""
        return [result for result in self.summary.criteria or () if not result.met]


class Replayer:
    """A replay of recordings under one request.

    Args:
        request: what to do with each recording.
        answering: answers the images.
    """

    def __init__(self, request: ReplayRequest, answering: Answering) -> None:
        self._request = request
        self._answering = answering
        self._truth = Truth(request.truth)

    def run(self, path: Path, folder: Path, progress: Progress = SILENT) -> ReplayResult:
        """Replay a bag and write its folder.

        Args:
            path: path of the bag.
            folder: folder to write.
            progress: shows how many images are done.

        Raises:
            BagError: the bag has no images that can be read.
            UnknownNameError: a criterion names a number that was not measured.
        """
        bag = Bag(path)
        topics = choose_topics(bag, self._request.topics)
        identity = outputs.identity(
            path,
            [topic.name for topic in topics],
            self._answering.mode,
            self._answering.bundle_id,
            self._request.config,
        )
        kept = outputs.kept_answers(folder, identity)
        answers = kept or self._answer(identity, bag, topics, folder, progress)
        matches = self._match(folder)
        if self._request.mcap:
            self._write_annotated(path, topics, folder, matches)
        summary = self._judge(answers, matches)
        outputs.write_summary(folder, summary)
        write_report(folder)
        return ReplayResult(folder, summary, kept=kept is not None)

    def _answer(
        self,
        identity: Identity,
        bag: Bag,
        topics: Sequence[ImageTopic],
        folder: Path,
        progress: Progress,
    ) -> Answers:
        # The annotated bag and the report belong to other answers.
        shutil.rmtree(folder / ANNOTATED, ignore_errors=True)
        (folder / REPORT).unlink(missing_ok=True)
        images = sum(topic.count for topic in topics) or None
        answered = self._answering.answers(bag, topics)
        tracked = progress.track(bag.path.name, answered, images)
        with metered(folder / outputs.LOAD, lambda: self._answering.pid) as samples:
            counts = outputs.write_answers(folder, tracked)
        return outputs.answers(
            identity, counts, folder, bag.problems, load_summary(samples), self._answering.play
        )

    def _match(self, folder: Path) -> Matches:
        rows = outputs.read_rows(folder / outputs.RESULTS)
        return match(rows, self._truth) if self._request.truth else Matches()

    def _write_annotated(
        self, path: Path, topics: Sequence[ImageTopic], folder: Path, matches: Matches
    ) -> None:
        annotated.write_annotated(
            folder / ANNOTATED,
            Bag(path),  # opened again: the problems of the first have been counted
            topics,
            outputs.read_rows(folder / outputs.RESULTS),
            self._answering.bundle_id,
            annotated.known_of(matches.faces),
        )

    def _judge(self, answers: Answers, matches: Matches) -> Summary:
        summary = Summary.model_validate(answers.as_json())
        if self._request.truth:
            tasks = self._answering.tasks
            people = persons(matches.faces, tasks)
            metrics = scores(matches, tasks)
            summary = summary.model_copy(
                update={"truth_images": matches.images, "metrics": metrics, "people": people}
            )
        numbers = summary.numbers()
        results = [criterion.judge(numbers) for criterion in self._request.criteria]
        return summary.model_copy(update={"criteria": results}) if results else summary


def folders(bags: Sequence[Path], out: Path) -> Iterator[Path]:
    """Yield a folder for each bag, by the bag's name; numbered where bags share one.

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

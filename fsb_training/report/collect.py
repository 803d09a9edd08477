"""All measurements of one bundle that a report shows."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import cv2

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.inference.config import EngineConfig
from fsb_perception.options import OptionError
from fsb_perception.pages.drawing import Picture
from fsb_perception.progress import SILENT, Progress
from fsb_training.data.faces import Source
from fsb_training.export import answers
from fsb_training.judging.evaluate import learned_from
from fsb_training.judging.results import Result, results, to_json
from fsb_training.judging.subgroups import MIN_COUNT
from fsb_training.report import figures
from fsb_training.report.efficiency import Efficiency, measure
from fsb_training.report.features import (
    Tower,
    feature_maps,
    patch_colours,
    sample_faces,
    tower_before,
    tower_of,
)

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choices:
    """Choices of the user about a report.

    Attributes:
        before: tower to compare patch features with; see `features.tower_before`. Empty for none.
        show_faces: put the sample photographs beside their maps.
        min_count: number of faces that a group of people must have to be judged.
    """

    before: str = ""
    show_faces: bool = False
    min_count: int = MIN_COUNT


@dataclass(frozen=True)
class Section:
    """One bundle in a report. The names of its pictures are unique in the report.

    Attributes:
        bundle: the bundle.
        results: one a data set and task.
        learned: the parts among the judged ones that the bundle learned from.
        reliability: reliability diagrams, one a result.
        groups: accuracy by group of people, one a result; None where no groups are known.
        maps: t-SNE maps, one a task.
        patches: maps of patch features.
        before: name of the tower in the maps of patch features beside the bundle's; may be empty.
        efficiency: parameters, memory and time on this machine.
    """

    bundle: Bundle
    results: list[Result]
    learned: list[str]
    reliability: list[Picture]
    groups: list[Picture | None]
    maps: list[Picture]
    patches: Picture
    before: str
    efficiency: Efficiency

    def pictures(self) -> Iterator[Picture]:
        """Yield every picture."""
        yield from self.reliability
        yield from (picture for picture in self.groups if picture)
        yield from self.maps
        yield self.patches

    def to_json(self) -> dict[str, object]:
        """Return every number as plain values."""
        return {
            "name": self.bundle.name,
            "metrics": to_json(self.results),
            "learned_from": self.learned,
            "efficiency": asdict(self.efficiency),
        }


def collect(
    number: int,
    bundle: Bundle,
    sources: Sequence[Source],
    config: EngineConfig,
    choices: Choices,
    progress: Progress = SILENT,
) -> Section:
    """Measure one bundle: answers, features, time and memory.

    Args:
        number: place of the bundle in the report; the names of its pictures begin with it.
        bundle: the bundle.
        sources: faces to judge it on.
        config: options of the engine that judges it and is timed.
        choices: choices of the user.
        progress: shows the faces that are judged.

    Raises:
        OptionError: no face has a label of the bundle's tasks.
        FsbError: there is no tower of the name ``choices.before``.
    """
    # Errors of names come first: judging takes minutes.
    before = tower_before(choices.before, bundle) if choices.before else None
    _require_labels(bundle, sources)
    _log.info("%s: judging", bundle.bundle_id)
    probabilities = answers(bundle, sources, config, progress)
    measured = results(probabilities, sources, bundle.manifest.temperatures, choices.min_count)
    _log.info("%s: maps of the features", bundle.bundle_id)
    tower = tower_of(bundle)
    tasks = [task.name for task in bundle.tasks]
    features = feature_maps(tower, tasks, sources, progress=progress)
    patches = _patches(tower, before, show_faces=choices.show_faces)
    _log.info("%s: time and memory", bundle.bundle_id)

    def named(picture: Picture) -> Picture:  # two bundles may share a name, but not a number
        return replace(picture, name=f"{number}-{picture.name}")

    return Section(
        bundle=bundle,
        results=measured,
        learned=learned_from(bundle.manifest, [source.spec for source in sources]),
        reliability=[named(figures.reliability(result)) for result in measured],
        groups=[named(figures.groups(r)) if r.groupings else None for r in measured],
        maps=[named(figures.feature_map(item)) for item in features],
        patches=named(patches),
        before=before.name if before else "",
        efficiency=measure(bundle, config),
    )


def _require_labels(bundle: Bundle, sources: Sequence[Source]) -> None:
    tasks = [task.name for task in bundle.tasks]
    if not any(task in source.faces.labels for source in sources for task in tasks):
        names = ", ".join(source.faces.name for source in sources)
        raise OptionError(
            f"{bundle.name} estimates {', '.join(tasks)}, of which {names} has no label: "
            "name a data set that has"
        )


def _patches(after: Tower, before: Tower | None, *, show_faces: bool) -> Picture:
    """Draw the sample faces and the patch features of both towers."""
    faces = sample_faces()
    rows: list[figures.Row] = []
    for heading, tower in (("before", before), ("after", after)):
        if tower is not None:
            aligner = tower.preprocessing.aligner
            images = [aligner.align(image, face) for image, face in faces]
            rows.append((heading if before else tower.name, patch_colours(tower, images)))
    if show_faces:
        aligner = after.preprocessing.aligner
        shown = [cv2.cvtColor(aligner.align(*face), cv2.COLOR_BGR2RGB) for face in faces]
        rows.insert(0, ("photograph", shown))
    return figures.patch_maps(rows)

"""Everything that a report shows of one bundle, measured."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import cv2

from fsb_perception.bundles.bundle import Bundle
from fsb_perception.inference.engine import EngineConfig
from fsb_perception.options import OptionError
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
from fsb_training.report.figures import Picture

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choices:
    """What a report is to hold.

    Attributes:
        before: what each bundle's patch features stand beside; see `features.tower_before`. Empty
            for nothing.
        show_faces: put the sample photographs beside their maps.
        min_count: faces that a group of people must have to be judged.
    """

    before: str = ""
    show_faces: bool = False
    min_count: int = MIN_COUNT


@dataclass(frozen=True)
class Section:
    """What is known of one bundle.

    Attributes:
        bundle: itself.
        results: one a data set and task.
        learned: data sets judged that it learned from.
        reliability, groups: pictures, one a result; a result of unknown people has no groups.
        maps: t-SNE, one a task.
        patches: the maps of patch features.
        before: name of what they stand beside; empty for nothing.
        efficiency: on this machine.
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

    def to_json(self) -> dict[str, object]:
        """Every number of it."""
        return {
            "name": self.bundle.name,
            "metrics": to_json(self.results),
            "learned_from": self.learned,
            "efficiency": asdict(self.efficiency),
        }


def collect(
    bundle: Bundle, sources: Sequence[Source], config: EngineConfig, choices: Choices
) -> Section:
    """Judge, look into and time one bundle.

    Raises:
        OptionError: none of the faces has a label of what the bundle estimates.
    """
    # First what may be wrong with a name: judging takes minutes.
    before = tower_before(choices.before, bundle) if choices.before else None
    _require_labels(bundle, sources)
    _log.info("%s: judging", bundle.bundle_id)
    said = answers(bundle, sources, config)
    found = results(said, sources, bundle.manifest.temperatures, choices.min_count)
    specs = [f"{source.faces.name}:{source.faces.part}" for source in sources]
    _log.info("%s: maps of the features", bundle.bundle_id)
    tower = tower_of(bundle)
    tasks = [task.name for task in bundle.tasks]
    maps = [figures.feature_map(made) for made in feature_maps(tower, tasks, sources)]
    patches = _patches(tower, before, choices.show_faces)
    _log.info("%s: time and memory", bundle.bundle_id)
    return Section(
        bundle=bundle,
        results=found,
        learned=learned_from(bundle.manifest, specs),
        reliability=[figures.reliability(each) for each in found],
        groups=[figures.gaps(each) for each in found],
        maps=maps,
        patches=patches,
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


def _patches(after: Tower, before: Tower | None, show_faces: bool) -> Picture:
    """The sample faces as each tower sees them."""
    faces = sample_faces()
    rows: list[figures.Row] = []
    for heading, tower in (("before", before), ("after", after)):
        if tower is not None:
            aligner = tower.preprocessing.aligner
            pictures = [aligner.align(image, face) for image, face in faces]
            rows.append((heading if before else tower.name, patch_colours(tower, pictures)))
    if show_faces:
        aligner = after.preprocessing.aligner
        shown = [cv2.cvtColor(aligner.align(*each), cv2.COLOR_BGR2RGB) for each in faces]
        rows.insert(0, ("photograph", shown))
    return figures.patch_maps(rows)

"""From a camera image to what is believed about every face in it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fsb_perception.bundles.bundle import Bundle, load_bundle
from fsb_perception.bundles.manifest import BundleTask
from fsb_perception.config import PerceptionConfig
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import Detector
from fsb_perception.fusion import FaceFusion
from fsb_perception.inference.engine import Engine
from fsb_perception.quality import measure
from fsb_perception.registry import UnknownNameError
from fsb_perception.tracking import FaceTracker, Track
from fsb_perception.types import (
    Face,
    FaceAttributes,
    Floats,
    Image,
    Quality,
    TrackState,
    check_image,
)


@dataclass(frozen=True, eq=False)
class _View:
    """A face in the frame: how well it shows, and what the encoder says of it, if it was asked."""

    quality: Quality
    look: dict[str, Floats] | None


_UNSEEN = _View(Quality(), None)


class FacePipeline:
    """Follows and describes the faces of one camera.

    The engine and the detector may be shared with other cameras' pipelines; the tracker and the
    fusion, which remember, are this camera's own.

    Args:
        config: see `PerceptionConfig`.
        engine: a bundle's encoder, ready to run.
        detector: finds the faces.
        id_prefix: what every face_id begins with.

    Raises:
        UnknownNameError: ``config.tasks`` names one that the bundle does not have.
    """

    def __init__(
        self, config: PerceptionConfig, engine: Engine, detector: Detector, id_prefix: str = "face"
    ) -> None:
        self._config = config
        self._engine = engine
        self._detector = detector
        self._tasks = _chosen(engine.bundle, config.tasks)
        self._tracker = FaceTracker(config.tracker, id_prefix)
        self._fusion = FaceFusion(self._tasks, config.fusion)
        self._unreported: list[Track] = []

    @classmethod
    def from_config(cls, config: PerceptionConfig, id_prefix: str = "face") -> FacePipeline:
        """A pipeline with an engine and a detector of its own, warmed up.

        Raises:
            BundleError, DetectorError, OptionError, UnknownNameError: a part cannot be built.
        """
        engine = Engine(load_bundle(config.bundle), config.engine)
        pipeline = cls(config, engine, build_detector(config.detector), id_prefix)
        engine.warm_up()
        return pipeline

    def process(self, image: Image, stamp: int) -> list[FaceAttributes]:
        """What is believed about each face after the next frame.

        Args:
            image: uint8 BGR (height, width, 3).
            stamp: of the image, in nanoseconds. Time is known from stamps alone: see `FaceTracker`
                for one that is zero or jumps.

        Returns:
            One entry a followed face, COASTED ones with the box predicted, and once more each face
            that has ENDED. Faces too bad to read are there too, with the flags that say why.

        Raises:
            ValueError: the image is empty or of another type or shape.
        """
        check_image(image)
        image = np.ascontiguousarray(image)
        return self.follow(image, self._detector.detect(image), stamp)

    def follow(self, image: Image, faces: Sequence[Face], stamp: int) -> list[FaceAttributes]:
        """As `process`, with the faces found by the caller: finding them remembers nothing.

        Args:
            image: uint8 BGR (height, width, 3), contiguous.
            faces: as a detector found them in it.
            stamp: of the image, in nanoseconds.
        """
        tracks = [*self._unreported, *self._tracker.update(faces, stamp)]
        # Should the encoder fail, who has ended is still reported with the next frame.
        self._unreported = [track for track in tracks if track.state is TrackState.ENDED]
        views = self._look(image, [track for track in tracks if _in_frame(track)])
        self._unreported = []
        return [self._report(track, stamp, views.get(track.face_id, _UNSEEN)) for track in tracks]

    def reset(self) -> None:
        """End all tracks; the next frame reports them as ENDED."""
        self._tracker.reset()

    def configure(self, config: PerceptionConfig) -> None:
        """Take over the live options of quality and fusion; the others stay as they were built."""
        self._config = config
        self._fusion.config = config.fusion

    def _look(self, image: Image, tracks: Sequence[Track]) -> dict[str, _View]:
        """Measure every face, and encode in one batch those that are good enough."""
        aligner, config = self._engine.aligner, self._config
        aligned = [aligner.align(image, track.face) for track in tracks]
        qualities = [
            measure(image, cut, track.face, config.quality)
            for cut, track in zip(aligned, tracks, strict=True)
        ]
        good = [
            i for i, quality in enumerate(qualities) if quality.score >= config.fusion.min_quality
        ]
        encoded = self._engine.encode([aligned[i] for i in good]) if good else {}
        looks = {
            i: {row.name: encoded[row.name][place] for row in self._tasks}
            for place, i in enumerate(good)
        }
        return {track.face_id: _View(qualities[i], looks.get(i)) for i, track in enumerate(tracks)}

    def _report(self, track: Track, stamp: int, view: _View) -> FaceAttributes:
        estimates = self._fusion.update(track.face_id, stamp, view.look, view.quality.score)
        if track.state is TrackState.ENDED:
            self._fusion.forget(track.face_id)
        return FaceAttributes(
            face_id=track.face_id,
            state=track.state,
            first_seen=track.first_seen,
            last_seen=track.last_seen,
            face=track.face,
            quality=view.quality,
            estimates=estimates,
        )


def _in_frame(track: Track) -> bool:
    return track.state in (TrackState.TENTATIVE, TrackState.CONFIRMED)


def _chosen(bundle: Bundle, names: Sequence[str]) -> tuple[BundleTask, ...]:
    known = {row.name: row for row in bundle.tasks}
    for name in names:
        if name not in known:
            raise UnknownNameError(f"task of {bundle.bundle_id}", name, known)
    return tuple(row for row in bundle.tasks if not names or row.name in names)

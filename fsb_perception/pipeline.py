"""From a camera image to the attributes of every face in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fsb_perception.bundles.bundle import Bundle, load_bundle
from fsb_perception.bundles.manifest import BundleTask
from fsb_perception.config import PerceptionConfig
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import Detector
from fsb_perception.fusion import FaceFusion
from fsb_perception.inference.engine import Engine
from fsb_perception.quality import measure
from fsb_perception.registry import Registry
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

Look = dict[str, Floats]
"""One reading of a face: calibrated probabilities (classes,) by task."""


class FacePipeline:
    """Follows and describes the faces of one camera.

    Pipelines of several cameras may share the engine and the detector. The tracker and the fusion
    remember faces, so each pipeline has its own.

    Args:
        config: see `PerceptionConfig`.
        engine: a bundle's encoder, ready to run.
        detector: finds the faces.
        id_prefix: begins every face_id.

    Raises:
        UnknownNameError: ``config.tasks`` names a task that the bundle does not have.
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

    @property
    def faces_in_memory(self) -> int:
        """Number of faces that the tracker or the fusion holds."""
        return max(len(self._tracker), len(self._fusion))

    @classmethod
    def from_config(cls, config: PerceptionConfig, id_prefix: str = "face") -> FacePipeline:
        """Build a pipeline with an engine and a detector of its own, warmed up.

        Raises:
            BundleError, DetectorError, OptionError, UnknownNameError: a part cannot be built.
        """
        bundle = load_bundle(config.bundle, digest=config.bundle_digest)
        engine = Engine(bundle, config.engine)
        pipeline = cls(config, engine, build_detector(config.detector), id_prefix)
        engine.warm_up()
        return pipeline

    def process(self, image: Image, stamp: int) -> list[FaceAttributes]:
        """Process the next frame: detect, track, align, measure, encode and fuse its faces.

        Args:
            image: uint8 BGR (height, width, 3).
            stamp: of the image, in nanoseconds. Time is known from stamps alone: see `FaceTracker`
                for one that is zero or jumps.

        Returns:
            One entry for each followed face: COASTED ones with a predicted box, ENDED ones once
            more. A face too bad to read has an entry too, with flags that say why.

        Raises:
            ValueError: the image is empty or of another type or shape.
        """
        check_image(image)
        image = np.ascontiguousarray(image)
        faces = self._detector.detect(image)
        return self.follow(image, faces, stamp)

    def follow(self, image: Image, faces: Sequence[Face], stamp: int) -> list[FaceAttributes]:
        """Process the next frame as `process` does, with faces that the caller has detected.

        Args:
            image: uint8 BGR (height, width, 3), contiguous.
            faces: as a detector found them in it.
            stamp: of the image, in nanoseconds.
        """
        tracks = self._track(faces, stamp)
        visible = [track for track in tracks if track.in_frame]
        aligned = self._align(image, visible)
        qualities = self._measure(image, visible, aligned)
        looks = self._encode(aligned, qualities)
        return self._fuse(tracks, qualities, looks, stamp)

    def reset(self) -> None:
        """End all tracks; the next frame reports them as ENDED."""
        self._tracker.reset()

    def configure(self, config: PerceptionConfig) -> None:
        """Take over the live options of quality and fusion; the others stay as they were built."""
        self._config = config
        self._fusion.config = config.fusion

    # The stages. They pass on mappings by face_id.

    def _track(self, faces: Sequence[Face], stamp: int) -> list[Track]:
        tracks = [*self._unreported, *self._tracker.update(faces, stamp)]
        # If the encoder fails, the next frame still reports the faces that have ended.
        self._unreported = [track for track in tracks if track.state is TrackState.ENDED]
        return tracks

    def _align(self, image: Image, tracks: Sequence[Track]) -> dict[str, Image]:
        return {track.face_id: self._engine.aligner.align(image, track.face) for track in tracks}

    def _measure(
        self, image: Image, tracks: Sequence[Track], aligned: Mapping[str, Image]
    ) -> dict[str, Quality]:
        config = self._config.quality
        return {
            track.face_id: measure(image, aligned[track.face_id], track.face, config)
            for track in tracks
        }

    def _encode(
        self, aligned: Mapping[str, Image], qualities: Mapping[str, Quality]
    ) -> dict[str, Look]:
        """Encode in one batch the faces that are good enough to read."""
        least = self._config.fusion.min_quality
        readable = [face_id for face_id, quality in qualities.items() if quality.score >= least]
        if not readable:
            return {}
        probabilities = self._engine.encode([aligned[face_id] for face_id in readable])
        return {
            face_id: {task.name: probabilities[task.name][row] for task in self._tasks}
            for row, face_id in enumerate(readable)
        }

    def _fuse(
        self,
        tracks: Sequence[Track],
        qualities: Mapping[str, Quality],
        looks: Mapping[str, Look],
        stamp: int,
    ) -> list[FaceAttributes]:
        self._unreported = []
        return [
            self._report(track, qualities.get(track.face_id, _UNSEEN), looks, stamp)
            for track in tracks
        ]

    def _report(
        self, track: Track, quality: Quality, looks: Mapping[str, Look], stamp: int
    ) -> FaceAttributes:
        look = looks.get(track.face_id)
        estimates = self._fusion.update(track.face_id, stamp, look, quality.score)
        if track.state is TrackState.ENDED:
            self._fusion.forget(track.face_id)
        return FaceAttributes(
            face_id=track.face_id,
            state=track.state,
            first_seen=track.first_seen,
            last_seen=track.last_seen,
            face=track.face,
            quality=quality,
            estimates=estimates,
        )


_UNSEEN = Quality()


def _chosen(bundle: Bundle, names: Sequence[str]) -> tuple[BundleTask, ...]:
    """Return the bundle's tasks that are named, in its order; all if none is."""
    known = Registry(f"task of {bundle.bundle_id}", {task.name: task for task in bundle.tasks})
    chosen = {known[name].name for name in names or known}
    return tuple(task for task in bundle.tasks if task.name in chosen)

"""The option tree of perception: the model of every part, nested under its name."""

from __future__ import annotations

from fsb_perception.bundles import BUNDLE_HELP
from fsb_perception.detection.base import DetectorConfig
from fsb_perception.fusion import FusionConfig
from fsb_perception.images.decoding import DecodingConfig
from fsb_perception.inference.config import EngineConfig
from fsb_perception.options import Options, option
from fsb_perception.quality import QualityConfig
from fsb_perception.tracking import TrackerConfig


class PerceptionConfig(Options):
    """All options of `fsb_perception.pipeline.FacePipeline`.

    >>> from fsb_perception.options import build
    >>> build(PerceptionConfig, {"tracker.max_coast": 0.5, "tasks": ["gender"]}).tracker.max_coast
    0.5
    """

    bundle: str = option("nano", BUNDLE_HELP)
    bundle_digest: str = option(
        "", "digest that the bundle must have, as `fsb bundle verify` prints it; empty for any"
    )
    tasks: tuple[str, ...] = option(
        (), "tasks to report; the others are absent. Empty for all that the bundle has"
    )
    decoding: DecodingConfig = DecodingConfig()
    detector: DetectorConfig = DetectorConfig()
    tracker: TrackerConfig = TrackerConfig()
    quality: QualityConfig = QualityConfig()
    fusion: FusionConfig = FusionConfig()
    engine: EngineConfig = EngineConfig()

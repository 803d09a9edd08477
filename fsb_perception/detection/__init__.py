"""Face detectors: a protocol in `base`, one file a detector, and the table of their names.

To add a detector, write a file here with a function ``build(config) -> Detector`` and add its row
to the table.
"""

from __future__ import annotations

from importlib import import_module

from fsb_perception.detection.base import Detector, DetectorConfig
from fsb_perception.registry import Registry

# The module that builds each detector; it is imported on use.
DETECTORS: Registry[str] = Registry(
    "detector",
    {
        "yunet": "yunet",
        "sfd": "face_alignment",
        "blazeface": "face_alignment",
        "retinaface": "face_alignment",
        "scrfd": "face_alignment",
    },
)


def build_detector(config: DetectorConfig) -> Detector:
    """Build the detector that ``config`` names.

    Raises:
        UnknownNameError: no detector of that name.
        DetectorError: its model or library is missing.
    """
    module = import_module(f"{__name__}.{DETECTORS[config.name]}")
    detector: Detector = module.build(config)
    return detector

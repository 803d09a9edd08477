"""The error of a run that cannot go on."""

from __future__ import annotations

from fsb_perception.errors import FsbError


class TrainingError(FsbError):
    """Training cannot go on; the message names the step or the folder, and what to change."""

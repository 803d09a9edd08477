"""The error of recordings that cannot be used, and the check for the packages that read them."""

from __future__ import annotations

import importlib.util

from fsb_perception.errors import FsbError


class BagError(FsbError):
    """A recording that cannot be read or written; the message names it, and says what to do.

    >>> raise BagError("kitchen: there is no such bag; check the path")
    Traceback (most recent call last):
    ...
    fsb_perception.replay.bags.errors.BagError: kitchen: there is no such bag; check the path
    """


def require_packages() -> None:
    """Raise `BagError` where the packages that read and write bags are not installed."""
    needed = ("rosbags", "mcap", "jinja2", "matplotlib")
    missing = [name for name in needed if importlib.util.find_spec(name) is None]
    if missing:
        raise BagError(
            f"bags need {', '.join(missing)}, which this environment lacks: "
            "pip install -r requirements/replay.txt"
        )

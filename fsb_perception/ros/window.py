"""Whether a window can be opened here. Needs neither ROS nor OpenCV."""

from __future__ import annotations

import os


def display_shortage() -> str:
    """Why no window can be opened; empty if one can be tried.

    On Linux a window needs DISPLAY, also under Wayland: OpenCV's toolkit speaks X11.
    """
    return "" if os.environ.get("DISPLAY") else "there is no display (DISPLAY is not set)"

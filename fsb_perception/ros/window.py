"""A check that a window can be opened here; needs neither ROS nor OpenCV."""

from __future__ import annotations

import contextlib
import os
import re
import socket

_TIMEOUT = 2.0  # s


def display_shortage() -> str:
    """Return the reason why no window can be opened; empty if one can be tried.

    On Linux a window needs DISPLAY, also under Wayland: OpenCV's toolkit uses X11. If the X server
    does not answer, that toolkit aborts the process, so this connects first.
    """
    display = os.environ.get("DISPLAY", "")
    if not display:
        return "there is no display (DISPLAY is not set)"
    match = re.fullmatch(r"(?:unix/?)?(?P<host>[^:]*):(?P<number>\d+)(?:\.\d+)?", display)
    if not match:
        return ""  # a form unknown here; the toolkit may know it
    host, number = match["host"], int(match["number"])
    answers = _answers(host, 6000 + number) if host else _answers_here(number)
    return "" if answers else f"the display {display} does not answer"


def _answers(host: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((host, port), _TIMEOUT):
        return True
    return False


def _answers_here(number: int) -> bool:
    path = f"/tmp/.X11-unix/X{number}"  # noqa: S108
    for address in (path, f"\0{path}"):  # as a file, and in the kernel's own name space
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as server:
            server.settimeout(_TIMEOUT)
            server.connect(address)
            return True
    return False

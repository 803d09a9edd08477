"""The readers of Fast DDS's shared memory: it gives its segments the mode 0644.

Neither its profiles nor the umask change that, so this module changes it when the first node
has been made, with which the segment comes, and before an image is sent. docs/reliability.md says
what remains.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

_SEGMENT = re.compile(r"/dev/shm/fast(?:dds|rtps)_[0-9a-f]{16}")  # noqa: S108
_OWNER_ALONE = 0o600
_MAPS = Path("/proc/self/maps")  # of Linux; elsewhere there is nothing to do


def protect() -> None:
    """Let no other user open the data segments that this process has mapped; call it after a node.

    A segment of another user, and the ports through which participants find each other, stay.
    """
    with contextlib.suppress(OSError):
        for path in set(_SEGMENT.findall(_MAPS.read_text())):
            _close_to_others(path)


def _close_to_others(path: str) -> None:
    with contextlib.suppress(OSError):  # gone meanwhile
        if os.stat(path).st_uid == os.getuid():
            os.chmod(path, _OWNER_ALONE)

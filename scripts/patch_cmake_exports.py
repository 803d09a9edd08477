"""Make the CMake files of the ROS 2 wheels name this Python, not that of their build machine.

Runs under the Python of the environment to mend. The wheels export the include folders of a Python
and a NumPy that do not exist here; without this no message builds on them.
"""

from __future__ import annotations

import re
import sys
import sysconfig
from pathlib import Path

import numpy

FOREIGN_NUMPY = re.compile(r'/opt/python/[^";]*/numpy/_core/include')
FOREIGN_PYTHON = re.compile(r'/opt/python/[^";]*/include/python3\.\d+')


def main() -> None:
    for path in Path(sys.prefix, "share").rglob("*Export.cmake"):
        text = path.read_text(encoding="utf-8")
        mended = FOREIGN_NUMPY.sub(numpy.get_include(), text)
        mended = FOREIGN_PYTHON.sub(sysconfig.get_path("include"), mended)
        if mended != text:
            path.write_text(mended, encoding="utf-8")


if __name__ == "__main__":
    main()

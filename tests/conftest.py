"""Set before anything imports ROS, torch or OpenCV: every test process for itself, and small."""

from __future__ import annotations

import os
import zlib
from pathlib import Path

import hypothesis
import pytest

# Processes of one test run and of runs side by side must not hear each other. 101 is the last
# domain whose ports stay clear of those that Linux hands out by itself.
_run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
_worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
os.environ["ROS_DOMAIN_ID"] = str(1 + (zlib.crc32(_run.encode()) + _worker) % 101)
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
# Without this a wrong type in a message field aborts the process, or sends 0.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
# Several workers share the cores: more threads only make them wait for each other.
for _threads in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ[_threads] = "1"
os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
# Tests need no network, and must not try.
os.environ["HF_HUB_OFFLINE"] = "1"

# A loaded machine may take any time for an example; `make bench` measures speed.
hypothesis.settings.register_profile("fsb", deadline=None)
hypothesis.settings.load_profile("fsb")

_MOST_WORKERS = 8  # each holds torch, some 400 MB


def pytest_xdist_auto_num_workers() -> int:
    """One worker for each core that this process may use."""
    return min(len(os.sched_getaffinity(0)), _MOST_WORKERS)


# Folders and files whose tests start processes, train, or build networks: `make quick` leaves them
# out.
_SLOW = (
    *("house", "perception/ros", "perception/commands", "perception/bundles/test_hub.py"),
    *(
        "perception/bundles/test_onnx.py",
        "perception/bundles/test_lying_hub.py",
        "perception/inference",
        "perception/replay/running",
    ),
    *("perception/replay/recording", "perception/replay/sample", "perception/replay/report"),
    *("training/learning", "training/experiments", "training/report", "training/test_guides.py"),
    *("training/test_params.py", "training/test_systems.py", "training/test_bad_recipes.py"),
    *("training/test_bad_files.py", "training/data/test_survey.py", "training/filters"),
    *("perception/adapters", "perception/towers", "perception/test_heads.py"),
    *("perception/bundles/test_graph.py", "perception/bundles/test_bundle.py"),
    *("perception/images/test_fuzz.py", "training/test_recipes.py", "training/data/test_faces.py"),
    "training/losses/test_weighting.py",
)
_TESTS = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests; sort those marked ``long`` first, so that no core idles at the end."""
    for item in items:
        if str(item.path.relative_to(_TESTS)).startswith(_SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: item.get_closest_marker("long") is None)

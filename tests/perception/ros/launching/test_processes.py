"""Node processes end with the program that started them, whatever happens to it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from fsb_perception.ros.launching.graph import NodeSpec
from fsb_perception.ros.launching.processes import NodeProcesses
from tests.perception.ros.harness import until

STUBBORN = "import signal, time\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
WAIT = "import time\nprint('ready', flush=True)\ntime.sleep(60)\n"


@pytest.fixture
def spec(tmp_path: Path) -> Callable[[str, str], NodeSpec]:
    """Makes the spec of a node whose module is the given program."""

    def make(name: str, program: str) -> NodeSpec:
        (tmp_path / f"stand_in_{name}.py").write_text(program, encoding="utf-8")
        return NodeSpec(name, f"stand_in_{name}")

    return make


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return os.environ | {"PYTHONPATH": str(tmp_path)}


@pytest.mark.parametrize(
    ("program", "status"), [(WAIT, -signal.SIGINT), (STUBBORN + WAIT, -signal.SIGTERM)]
)
def test_a_node_is_asked_then_told_to_end(
    program: str,
    status: int,
    spec: Callable[[str, str], NodeSpec],
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    limits = ((signal.SIGINT, 0.5), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
    monkeypatch.setattr("fsb_perception.ros.launching.processes._ENDINGS", limits)
    with NodeProcesses([spec("node", program)], environ) as processes:
        node = processes["node"]
        until(lambda: node.last_lines(1) == ["ready"])
        assert processes.ended() == []
    # An interrupt unhandled by Python code ends it with a traceback and the signal.
    assert node.status in (status, 1 if status == -signal.SIGINT else status)


def test_the_last_words_of_a_failed_node_are_kept(
    spec: Callable[[str, str], NodeSpec], environ: dict[str, str]
) -> None:
    program = (
        "import sys\n"
        "for i in range(500): print('line', i, flush=True)\n"
        "sys.exit('no bundle called nono')\n"
    )
    with NodeProcesses([spec("node", program)], environ) as processes:
        until(lambda: bool(processes.ended()))
        (node,) = processes.ended()
        assert node.status == 1
        assert node.last_lines(2) == ["line 499", "no bundle called nono"]
        assert len(node.last_lines(1000)) <= 200


def test_an_error_in_the_block_ends_the_nodes(
    spec: Callable[[str, str], NodeSpec], environ: dict[str, str]
) -> None:
    nodes = []

    def fail_while_running() -> None:
        with NodeProcesses([spec("one", WAIT), spec("two", WAIT)], environ) as processes:
            nodes.extend([processes["one"], processes["two"]])
            raise KeyError

    with pytest.raises(KeyError):
        fail_while_running()
    assert [node.status is not None for node in nodes] == [True, True]


def test_nodes_do_not_outlive_a_killed_program(
    spec: Callable[[str, str], NodeSpec], environ: dict[str, str]
) -> None:
    made = spec("node", WAIT)
    program = (
        "import os, sys, time\n"
        "from fsb_perception.ros.launching.graph import NodeSpec\n"
        "from fsb_perception.ros.launching.processes import NodeProcesses\n"
        f"with NodeProcesses([NodeSpec('node', {made.module!r})], os.environ) as p:\n"
        "    print(p['node'].pid, flush=True)\n"
        "    time.sleep(60)\n"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", program], env=environ, stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.wait(timeout=5)
    parent.stdout.close()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)

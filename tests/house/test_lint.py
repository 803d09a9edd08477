"""The linters, each as `make lint` runs it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

BIN = Path(sys.prefix, "bin")


@pytest.mark.long
@pytest.mark.timeout(400)  # mypy reads torch's types when it has no cache
@pytest.mark.parametrize(
    "command",
    ["mypy", "ruff check .", "ruff format --check .", "lint-imports --no-logo"],
)
def test_linter_is_content(command):
    program, *arguments = command.split()
    run = subprocess.run(
        [BIN / program, *arguments], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, f"{command}\n{run.stdout}{run.stderr}"

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "fsb_perception.adapters.variational",
    "fsb_perception.images.annotate",
    "fsb_perception.config",
    "fsb_perception.errors",
    "fsb_perception.inference.engine",
    "fsb_perception.options",
    "fsb_perception.images.files",
    "fsb_perception.quality",
    "fsb_perception.registry",
    "fsb_perception.tasks",
    "fsb_training.data.balance",
    "fsb_training.learning.groups",
    "fsb_training.report.words",
    "fsb_training.experiments.markdown",
    "fsb_training.losses.by_task",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings_are_true(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0

"""Large tables: `make test` runs some of the cases, `make nightly` the others."""

from __future__ import annotations

from collections.abc import Container, Iterable

import pytest
from _pytest.mark import ParameterSet

from fsb_training.systems import SYSTEMS

# One system of each adapter, in its most intricate form.
REPRESENTATIVE = (
    "zero-shot", "linear probing", "partial fine-tuning", "PiSSA", "DoRA", "MTLoRA exact",
    "VPT deep, task-specific", "V2PT", "SoftCPT-CATS", "full fine-tuning",
)  # fmt: skip


def sampled(
    cases: Iterable[tuple[object, ...]], kept: Container[tuple[object, ...]]
) -> list[ParameterSet]:
    """Return the cases as parameters; those that are not ``kept`` carry the mark ``nightly``."""
    return [
        pytest.param(*case, marks=() if case in kept else pytest.mark.nightly) for case in cases
    ]


def in_turn(backbones: tuple[str, ...], names: Iterable[str] = SYSTEMS) -> set[tuple[str, str]]:
    """Return each system once, the backbones in turn.

    >>> sorted(in_turn(("a", "b"), ["x", "y", "z"]))
    [('x', 'a'), ('y', 'b'), ('z', 'a')]
    """
    return {(name, backbones[place % len(backbones)]) for place, name in enumerate(names)}

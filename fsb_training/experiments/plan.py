"""Which runs a sweep holds: one cell each, named so that its record is found again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from fsb_perception.options import OptionError
from fsb_training.systems import SYSTEMS

MAIN = "main"
"""The study of all systems; the others vary one thing on few systems."""


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        study: what it is part of: `MAIN`, or the name of an ablation.
        variant: of the ablation; "" in the main study.
        system: name in `SYSTEMS`.
        tasks: learned together; one is the single-task form.
        seed: of the weights and of the order; the split has its own.
        settings: of the recipe, by dotted name, over those of the sweep.
    """

    study: str
    system: str
    tasks: tuple[str, ...]
    seed: int
    variant: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False, compare=False)

    @property
    def name(self) -> str:
        """A file name: ``main-lora-gender+age_group+emotion-0``."""
        parts = (self.study, self.variant, self.system, "+".join(self.tasks), str(self.seed))
        return "-".join(slug(part) for part in parts if part)


def slug(text: str) -> str:
    """``text`` as a part of a file name."""
    return re.sub(r"[^a-z0-9_+]+", "-", text.lower()).strip("-")


def cells(
    systems: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int],
    single: Sequence[str] = (),
    ablations: Mapping[str, Mapping[str, Mapping[str, Any]]] | None = None,
    ablated: Sequence[str] = (),
) -> Iterator[Cell]:
    """All runs, the most telling first: what is not reached before the time is up is the least.

    Args:
        systems: names in `SYSTEMS`, for the main study.
        tasks: of the multi-task form.
        seeds: a run each.
        single: systems that are also run in the single-task form.
        ablations: settings by study and variant.
        ablated: systems that the ablations are done on.

    Raises:
        OptionError: a system that is not known.
    """
    for name in (*systems, *single, *ablated):
        if name not in SYSTEMS:
            raise OptionError(f"systems: unknown {name!r}; known are {', '.join(SYSTEMS)}")
    for seed in seeds:
        yield from (Cell(MAIN, system, tuple(tasks), seed) for system in systems)
    for seed in seeds:
        for task in tasks:
            yield from (Cell(MAIN, system, (task,), seed) for system in single)
    for seed in seeds:
        for study, variants in (ablations or {}).items():
            for variant, settings in variants.items():
                for system in ablated:
                    yield Cell(study, system, tuple(tasks), seed, variant, settings)

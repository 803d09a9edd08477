"""The runs of a sweep: one cell each, whose name is also that of its record."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

MAIN = "main"
"""Name of the study of all systems; other studies vary one thing on few systems."""


@dataclass(frozen=True)
class Cell:
    """One run.

    Attributes:
        study: `MAIN`, or the name of an ablation.
        system: name in `fsb_training.systems.SYSTEMS`.
        tasks: tasks that are learned together; a single one is the single-task form.
        seed: seed of the weights and of the order of faces; the split has its own.
        variant: variant of the ablation; "" in the main study.
        settings: settings of the recipe by dotted name, over those of the sweep.

    >>> Cell(MAIN, "VPT deep", ("gender", "emotion"), seed=0).name
    'main-vpt-deep-gender+emotion-0'
    """

    study: str
    system: str
    tasks: tuple[str, ...]
    seed: int
    variant: str = ""
    settings: Mapping[str, object] = field(default_factory=dict, hash=False, compare=False)

    @property
    def name(self) -> str:
        """Name of the record's file, without its ending."""
        parts = (self.study, self.variant, self.system, "+".join(self.tasks), str(self.seed))
        return "-".join(slug(part) for part in parts if part)


def slug(text: str) -> str:
    """Return a text as a part of a file name."""
    return re.sub(r"[^a-z0-9_+]+", "-", text.lower()).strip("-")


def cells(
    systems: Sequence[str],
    tasks: Sequence[str],
    seeds: Sequence[int],
    single: Sequence[str] = (),
    ablations: Mapping[str, Mapping[str, Mapping[str, object]]] | None = None,
    ablated: Sequence[str] = (),
) -> Iterator[Cell]:
    """Yield all runs, the most important first, so that a sweep that is cut short lacks the others.

    Args:
        systems: systems of the main study.
        tasks: tasks of the multi-task form.
        seeds: seeds; one run each.
        single: systems that are also run in the single-task form.
        ablations: settings by study and variant.
        ablated: systems of the ablations.
    """
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

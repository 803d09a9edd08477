"""Options of a sweep, read from one YAML file such as nano-sweep.yaml beside this module."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

from pydantic import field_validator

from fsb_perception.errors import FsbError
from fsb_perception.options import OptionError, Options, build, load_tree, option
from fsb_perception.registry import UnknownNameError
from fsb_perception.tasks import TASKS
from fsb_training.experiments.plan import MAIN, Cell, cells
from fsb_training.recipe import Recipe, load_recipe
from fsb_training.recipe_files import find_recipe
from fsb_training.systems import SYSTEMS

NamesT = TypeVar("NamesT", bound=Iterable[str])

SHIPPED = Path(__file__).with_name("nano-sweep.yaml")
PRETRAIN, ADAPT, DEV, TEST = "pretrain", "adapt", "dev", "test"
PARTS = (PRETRAIN, ADAPT, DEV, TEST)


class SweepOptions(Options):
    """The runs of a sweep, their data, and the budget of each."""

    name: str = option("nano-sweep", "name of the sweep, and of its folder below runs/")
    pretrain: str = option(
        "", "recipe of the vision-language model: its name, or a path relative to the sweep's file"
    )
    adapt: str = option("", "recipe that every system starts from: its name or path")
    shares: dict[str, float] = option(
        {PRETRAIN: 0.70, ADAPT: 0.16, DEV: 0.03, TEST: 0.08}, "share of the faces in each part"
    )
    faces: int = option(8000, "faces of the part adapt that systems learn from", ge=16)
    visits: int = option(6, "times that each face is seen", ge=1)
    rank: int = option(8, "rank of the low-rank systems", ge=1)
    seeds: tuple[int, ...] = option((0, 1, 2), "seeds, one run each")
    systems: tuple[str, ...] = option(tuple(SYSTEMS), "systems of the main study")
    single: tuple[str, ...] = option((), "systems that also learn each task alone")
    ablated: tuple[str, ...] = option((), "systems of the ablations")
    ablations: dict[str, dict[str, dict[str, object]]] = option(
        {}, "settings of the recipe by study and variant"
    )
    settings: dict[str, dict[str, object]] = option({}, "settings of the recipe by system")
    mapped: tuple[str, ...] = option(
        (), "systems whose features are drawn as t-SNE maps, of all tasks and the first seed"
    )
    map_faces: int = option(900, "test faces in a map, the same number of each data set", ge=16)

    @field_validator("shares")
    @classmethod
    def _check_shares(cls, shares: dict[str, float]) -> dict[str, float]:
        if set(shares) != set(PARTS):
            raise ValueError(f"got {list(shares)}, must name {', '.join(PARTS)}")
        return {part: shares[part] for part in PARTS}

    @field_validator("systems", "single", "ablated", "settings", "mapped")
    @classmethod
    def _check_systems(cls, names: NamesT) -> NamesT:
        for name in names:
            if name not in SYSTEMS:
                raise ValueError(str(UnknownNameError("system", name, SYSTEMS)))
        return names

    def draws(self, cell: Cell) -> bool:
        """Return whether the record of a cell holds maps of its features."""
        return (cell.study, cell.seed, cell.tasks) == (MAIN, self.seeds[0], tuple(TASKS)) and (
            cell.system in self.mapped
        )

    def plan(self) -> list[Cell]:
        """Return every run, in the order in which they are done."""
        return list(
            cells(self.systems, tuple(TASKS), self.seeds, self.single, self.ablations, self.ablated)
        )


@dataclass(frozen=True)
class Sweep:
    """A sweep and the recipes that it is made of.

    Attributes:
        path: path of its YAML file.
        settings: ``NAME=VALUE`` over every recipe, such as ``data.root=DIR``.

    Raises:
        OptionError: a key or value that a sweep or recipe cannot have.
    """

    path: Path
    settings: tuple[str, ...] = ()

    @cached_property
    def options(self) -> SweepOptions:
        """The content of the file."""
        return _load(self.path)

    @cached_property
    def pretraining(self) -> Recipe:
        """The recipe of the vision-language model."""
        return load_recipe(self._file(self.options.pretrain), self.settings)

    def _file(self, name: str) -> Path:
        return find_recipe(name, self.path.parent)

    def recipe(self, cell: Cell, towers: Path, faces: int) -> Recipe:
        """Return the recipe of a run.

        Args:
            cell: the run.
            towers: weights of both pretrained towers.
            faces: number of faces with a label of the cell's tasks; each is seen equally often in
                every run.
        """
        system, options = SYSTEMS[cell.system], self.options
        settings: dict[str, object] = {
            "name": "cell",
            "backbone": self.pretraining.backbone,
            "head": system.head,
            "seed": cell.seed,
            "tasks": list(cell.tasks),
            "weights.tower": str(towers),
            "optimiser.images": faces * options.visits,
            **{f"adapter.{name}": value for name, value in self._adapter(cell).items()},
            **{k: v for k, v in self._of_system(cell).items() if not k.startswith("adapter.")},
            **cell.settings,
        }
        texts = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
        return load_recipe(self._file(options.adapt), [*texts, *self.settings])

    def _adapter(self, cell: Cell) -> Mapping[str, object]:
        system = SYSTEMS[cell.system]
        own = {
            name.removeprefix("adapter."): value
            for name, value in self._of_system(cell).items()
            if name.startswith("adapter.")
        }
        ranked = {"rank": self.options.rank} if system.low_rank else {}
        return {**system.settings, **ranked, **own}

    def _of_system(self, cell: Cell) -> Mapping[str, object]:
        return self.options.settings.get(cell.system, {})


def _load(path: Path) -> SweepOptions:
    try:
        return build(SweepOptions, load_tree(path))
    except FsbError as error:
        raise OptionError(f"cannot use the sweep {path}: {error}") from error

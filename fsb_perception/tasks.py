"""The task table: what is estimated from a face. Adding a task is adding one row."""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType

from fsb_perception.registry import UnknownNameError


@dataclass(frozen=True)
class Task:
    """One thing estimated from a face.

    Attributes:
        name: identifier, also the name in messages, manifests and recipes.
        labels: class names; their order is the order of every probability vector.
        ordered: neighbouring labels are neighbouring values, so that being one label off is
            less wrong than being two off (``within_one_accuracy``).
        edges: for labels that are ranges of a number, where each begins, and where the last ends;
            the middles between them turn probabilities into a value. Empty for other tasks.
        unit: of that number.
        sensitive: law or ethics restrict its use in some places; see the README's privacy section.
    """

    name: str
    labels: tuple[str, ...]
    ordered: bool = False
    edges: tuple[float, ...] = ()
    unit: str = ""
    sensitive: bool = False


_TASKS = (
    Task("gender", ("male", "female"), sensitive=True),
    Task(
        "age_group",
        ("0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "70+"),
        ordered=True,
        # 70+ has no end: 85 puts its middle at 77.5, about the mean age of people over 70.
        edges=(0, 3, 10, 20, 30, 40, 50, 60, 70, 85),
        unit="year",
    ),
    Task(
        "emotion",
        ("surprise", "fear", "disgust", "happiness", "sadness", "anger", "neutral"),
        sensitive=True,
    ),
)

TASKS = MappingProxyType({task.name: task for task in _TASKS})


def task(name: str) -> Task:
    """The task called ``name``; `UnknownNameError` names the known ones otherwise."""
    if name not in TASKS:
        raise UnknownNameError("task", name, TASKS)
    return TASKS[name]


def age_group(years: int) -> int:
    """Index of the age_group label that holds an age in whole years.

    >>> [TASKS["age_group"].labels[age_group(years)] for years in (0, 2, 3, 69, 116)]
    ['0-2', '0-2', '3-9', '60-69', '70+']
    """
    if years < 0:
        raise ValueError(f"an age in years cannot be negative, got {years}")
    return sum(years >= edge for edge in TASKS["age_group"].edges[1:-1])

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fsb_training.experiments.estimates import accuracy, difference
from fsb_training.experiments.plan import MAIN, Cell, cells
from fsb_training.experiments.records import write
from fsb_training.experiments.results import PARTS, Runs, results_page, write_page
from tests.training.experiments.made_up import TASKS, record

SYSTEMS = ("linear probing", "LoRA", "DoRA")
PLAN = list(
    cells(
        SYSTEMS, TASKS, (0, 1, 2), single=("LoRA",),
        ablations={"task weighting": {"famo": {"loss.weighting": "famo"}}}, ablated=("LoRA",),
    )
)  # fmt: skip
PAGE = "\n".join(f"<!-- {name} -->" for name in PARTS)


def runs(**accuracies: float) -> Runs:
    """Make all records but those of DoRA and one seed of LoRA."""
    done = [
        cell
        for cell in PLAN
        if cell.system != "DoRA" and not (cell.system == "LoRA" and cell.seed == 2)
    ]
    return Runs([record(cell, accuracies.get(cell.study, 0.8)) for cell in done], PLAN)


def test_an_interval_is_that_of_a_share() -> None:
    estimate = accuracy([record(Cell(MAIN, "LoRA", TASKS, 0), 0.8, faces=1000)], "gender")
    assert estimate.mean == pytest.approx(0.8)
    assert estimate.half_width == pytest.approx(1.96 * np.sqrt(0.8 * 0.2 / 1000), rel=1e-3)


def test_a_difference_is_paired() -> None:
    """Nine tenths of the answers agree: the interval is far below that of two samples."""
    cell = Cell(MAIN, "LoRA", TASKS, 0)
    better, worse = record(cell, 0.8), record(cell, 0.7)
    estimate = difference([better], [worse], "emotion")
    assert estimate.mean == pytest.approx(0.1)
    assert estimate.half_width < 1.96 * np.sqrt(0.8 * 0.2 / 400 + 0.7 * 0.3 / 400) * 0.6
    assert difference([better], [better], "emotion").half_width == 0


def test_the_page_is_the_same_whatever_the_order_of_the_records() -> None:
    ordered = runs()
    turned = Runs(ordered.records[::-1], PLAN)
    assert results_page(ordered, PAGE) == results_page(turned, PAGE)


def test_systems_are_paired_with_linear_probing_face_by_face() -> None:
    better = [record(Cell(MAIN, "LoRA", TASKS, seed), 0.85) for seed in (0, 1, 2)]
    probe = [record(Cell(MAIN, "linear probing", TASKS, seed), 0.8) for seed in (0, 1, 2)]
    page = results_page(Runs([*better, *probe], PLAN), "<!-- systems -->")
    assert "| points over linear probing |" in page
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| LoRA")]
    assert [row[2] for row in rows] == ["**+5.0 ± 2.1**"] * len(TASKS)
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| linear")]
    assert [row[2] for row in rows] == [""] * len(TASKS)


def test_times_are_the_least_of_the_seeds() -> None:
    """Other programs on the machine only add time."""
    seeds = [record(Cell(MAIN, "LoRA", TASKS, seed)) for seed in (0, 1)]
    slow = replace(seeds[1], cost={**seeds[1].cost, "milliseconds_a_face": {"1": 9.9, "8": 1.2}})
    (row,) = [
        line
        for line in results_page(Runs([seeds[0], slow], PLAN), "<!-- cost -->").splitlines()
        if line.startswith("| LoRA")
    ]
    assert "| 3.21 | 1.20 |" in row


def test_what_was_not_run_says_so() -> None:
    page = results_page(runs(), PAGE)
    assert "| DoRA | not run |" in page
    assert "0.800 ± 0.039 (0.800-0.800), 2 of 3 seeds" in page
    assert f"{len(runs().records)} of {len(PLAN)} runs are done." in page
    assert "nan" not in page


def test_every_row_says_its_budget() -> None:
    page = results_page(runs(), "<!-- systems -->")
    rows = [line for line in page.splitlines() if line.startswith("| linear probing")]
    assert len(rows) == len(TASKS)
    assert all("8,000 x 6, 64 px" in row for row in rows)


def test_parity_and_ablations_are_differences_in_points() -> None:
    page = results_page(runs(), "<!-- parity -->")
    assert "| LoRA | +0.0 ± 0.0 | +0.0 ± 0.0 | +0.0 ± 0.0 |" in page
    page = results_page(runs(**{"task weighting": 0.85}), "<!-- ablations -->")
    assert "### task weighting" in page
    assert "| LoRA, famo | **+5.0 ±" in page


def test_every_map_that_the_page_links_to_is_drawn(tmp_path: Path) -> None:
    for cell in PLAN:
        write(tmp_path / "records", cell, record(cell))
    write_page(PLAN, tmp_path / "records", tmp_path / "page.md")
    links = re.findall(r"!\[t-SNE of LoRA[^]]*]\((.+?)\)", (tmp_path / "page.md").read_text())
    assert links == [f"results/tsne-lora-{task}.svg" for task in TASKS]
    for link in links:
        assert (tmp_path / link).read_text().lstrip().startswith("<?xml")


def test_a_sweep_that_has_not_begun_has_a_page_too() -> None:
    page = results_page(Runs([], PLAN), PAGE)
    assert f"0 of {len(PLAN)} runs are done." in page
    assert page.count("not run") >= len(SYSTEMS)

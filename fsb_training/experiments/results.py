"""The page docs/results.md, made from the records of a sweep: same records, same bytes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsb_perception.files import write_whole
from fsb_perception.pages.text import plain
from fsb_perception.tasks import TASKS
from fsb_training.experiments import markdown
from fsb_training.experiments.estimates import accuracy, difference, metric
from fsb_training.experiments.maps import FOLDER, draw_maps, map_table
from fsb_training.experiments.markdown import percent
from fsb_training.experiments.plan import MAIN, Cell
from fsb_training.experiments.records import Record, read_all


@dataclass(frozen=True)
class Runs:
    """The records of a sweep, and its plan.

    Attributes:
        records: the records that are there.
        planned: every cell of the plan.
    """

    records: Sequence[Record]
    planned: Sequence[Cell]

    @property
    def seeds(self) -> int:
        """Number of seeds of each run."""
        return len({cell.seed for cell in self.planned})

    def names(self, study: str, tasks: int | None = None) -> list[tuple[str, str]]:
        """Return ``(system, variant)`` of a study, in the order of the plan."""
        chosen = (
            (cell.system, cell.variant)
            for cell in self.planned
            if cell.study == study and (tasks is None or len(cell.tasks) == tasks)
        )
        return list(dict.fromkeys(chosen))

    def records_of(
        self, study: str, system: str, variant: str = "", tasks: Iterable[str] = ()
    ) -> list[Record]:
        """Return the records of a run by seed; without ``tasks``, those of the multi-task form."""
        wanted = tuple(tasks) or self.tasks
        same = [
            record
            for record in self.records
            if (record.cell["study"], record.system, record.cell["variant"])
            == (study, system, variant)
            and record.tasks == wanted
        ]
        return sorted(same, key=lambda record: int(record.cell["seed"]))

    @property
    def tasks(self) -> tuple[str, ...]:
        """Tasks of the multi-task form."""
        return max((cell.tasks for cell in self.planned), key=len)


def results_page(runs: Runs, page: str) -> str:
    """Replace each mark ``<!-- NAME -->`` of a page by the part of that name.

    Args:
        runs: the runs of a sweep.
        page: Markdown with marks for `PARTS`.
    """
    for name, part in PARTS.items():
        page = page.replace(f"<!-- {name} -->", part(runs))
    return page


def write_page(planned: Sequence[Cell], records: Path, page: Path) -> None:
    """Write the page of a sweep, and its pictures beside it, from the records in a folder.

    Args:
        planned: every cell of the sweep.
        records: folder of the records.
        page: file to write.

    Raises:
        RecordError: a record cannot be used.
        FileError: a file cannot be written.
    """
    template = Path(__file__).with_name("results_page.md").read_text(encoding="utf-8")
    runs = Runs(read_all(records), planned)
    write_whole(page, results_page(runs, template))
    draw_maps(runs.records, page.with_name(FOLDER))


def budget(runs: Runs) -> str:
    """Return the number of runs that are done, and the budget of each."""
    seen = list(dict.fromkeys(_budget_text(record) for record in runs.records))
    done = f"{len(runs.records)} of {len(runs.planned)} runs are done."
    return " ".join([done, *(f"Budget: {text}." for text in seen)])


def _budget_text(record: Record) -> str:
    return ", ".join(f"{key} {_with_commas(value)}" for key, value in sorted(record.budget.items()))


def _with_commas(value: int | str) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def faces(runs: Runs) -> str:
    """Build the table of faces by part and data set."""
    if not runs.records:
        return markdown.NOT_RUN
    counts = runs.records[0].counts
    sets = sorted({name for part in counts.values() for name in part})
    rows = [(part, *(f"{row.get(name, 0):,}" for name in sets)) for part, row in counts.items()]
    return markdown.table(("part", *sets), rows)


REFERENCE = "linear probing"
"""The system that others are compared with: it trains least on the same feature."""

_COLUMNS = {
    "balanced_accuracy": "balanced",
    "macro_f1": "macro-F1",
    "within_one_accuracy": "within one",
    "ece_before": "ECE before",
    "ece": "ECE after",
}


def main_tables(runs: Runs) -> str:
    """Build one table a task with one row a system, for all tasks learned together."""
    return "\n\n".join(f"### {_title(task)}\n\n{_task_table(runs, task)}" for task in runs.tasks)


def _title(task: str) -> str:
    return f"{plain(task)}, {len(TASKS[task].labels)} classes"


def _task_table(runs: Runs, task: str) -> str:
    columns = [name for name in _COLUMNS if TASKS[task].ordered or name != "within_one_accuracy"]
    names = (_COLUMNS[name] for name in columns)
    header = ["system", "accuracy", f"points over {REFERENCE}", *names, "budget"]
    rows = []
    for system, variant in runs.names(MAIN, len(runs.tasks)):
        records = runs.records_of(MAIN, system, variant)
        rows.append([system, *(_cells(runs, records, task, columns))])
    return markdown.table(header, rows)


def _cells(
    runs: Runs, records: Sequence[Record], task: str, columns: Sequence[str]
) -> Iterator[str]:
    if not records:
        yield markdown.NOT_RUN
        yield from [""] * (len(columns) + 2)
        return
    yield markdown.share(accuracy(records, task), runs.seeds)
    probe = runs.records_of(MAIN, REFERENCE)
    same = not probe or records[0].system == REFERENCE
    yield "" if same else markdown.points(difference(records, probe, task))
    yield from (markdown.number(metric(records, task, name).mean) for name in columns)
    yield _short_budget(records[0])


def _short_budget(record: Record) -> str:
    given = record.budget
    return f"{given['faces']:,} x {given['visits']}, {given['size']} px"


def cost_table(runs: Runs) -> str:
    """Build the table of parameters, memory and time by system."""
    header = (
        "system", "trained", "share", "added on the robot", "memory to train, MB", "training, s",
        "1 face, ms", "8 faces, ms a face", "weights, MB", "with text tower, MB",
    )  # fmt: skip
    rows = []
    for system, variant in runs.names(MAIN, len(runs.tasks)):
        records = runs.records_of(MAIN, system, variant)
        rows.append((system, *(_costs(records) if records else (markdown.NOT_RUN, *[""] * 8))))
    return markdown.table(header, rows)


def _costs(records: Sequence[Record]) -> tuple[str, ...]:
    first = records[0]

    def least(*path: str) -> float:
        """Return the least of the seeds: other work on the machine only adds time."""
        return min(_at(record.cost, path) for record in records)

    sizes = first.parameters
    return (
        f"{sizes['trained']:,}",
        percent(sizes["trained"] / sizes["total"]),
        f"{sizes['added']:,}",
        markdown.megabytes(first.cost["training_bytes"]),
        f"{least('training_seconds'):.0f}",
        markdown.number(least("milliseconds_a_face", "1"), 2),
        markdown.number(least("milliseconds_a_face", "8"), 2),
        markdown.megabytes(first.cost["weights_bytes"]),
        markdown.megabytes(first.cost["weights_bytes"] + first.cost["text_bytes"]),
    )


def _at(tree: Any, path: Sequence[str]) -> float:
    for key in path:
        tree = tree[key]
    return float(tree)


def parity_table(runs: Runs) -> str:
    """Build the table of accuracy with all tasks learned together, minus that of each alone."""
    rows = []
    for system, _ in runs.names(MAIN, 1):
        together = runs.records_of(MAIN, system)
        row = [system]
        for task in runs.tasks:
            alone = runs.records_of(MAIN, system, tasks=(task,))
            there = together and alone
            row.append(
                markdown.points(difference(together, alone, task)) if there else markdown.NOT_RUN
            )
        rows.append(row)
    return markdown.table(("system", *(plain(task) for task in runs.tasks)), rows)


def maps(runs: Runs) -> str:
    """Build the table of pictures of the features: one row a task, one column a system."""
    return map_table(runs.records)


def ablation_tables(runs: Runs) -> str:
    """Build one table an ablation: each variant against the main run of its system."""
    studies = dict.fromkeys(cell.study for cell in runs.planned if cell.study != MAIN)
    return "\n\n".join(f"### {study}\n\n{_ablation(runs, study)}" for study in studies)


def _ablation(runs: Runs, study: str) -> str:
    header = ["variant"]
    for task in runs.tasks:
        header += [f"{plain(task)}, points", "balanced"]
    rows = []
    for system, variant in runs.names(study):
        records, usual = runs.records_of(study, system, variant), runs.records_of(MAIN, system)
        row = [f"{system}, {variant}"]
        for task in runs.tasks:
            row += _against(records, usual, task)
        rows.append(row)
    return markdown.table(header, rows)


def _against(records: Sequence[Record], usual: Sequence[Record], task: str) -> list[str]:
    if not records or not usual:
        return [markdown.NOT_RUN, ""]
    points = markdown.points(difference(records, usual, task))
    return [points, markdown.number(metric(records, task, "balanced_accuracy").mean)]


PARTS = {
    "budget": budget,
    "faces": faces,
    "systems": main_tables,
    "cost": cost_table,
    "parity": parity_table,
    "ablations": ablation_tables,
    "maps": maps,
}

from __future__ import annotations

from fsb_training.experiments.plan import MAIN, cells
from fsb_training.systems import SYSTEMS

TASKS = ("gender", "emotion")


def test_every_run_once_and_the_main_study_first() -> None:
    plan = list(
        cells(
            list(SYSTEMS), TASKS, [0, 1], single=["LoRA"],
            ablations={"weighting": {"famo": {"loss.weighting": "famo"}}}, ablated=["LoRA"],
        )
    )  # fmt: skip
    assert len(plan) == len(SYSTEMS) * 2 + 2 * 2 + 2
    assert len({cell.name for cell in plan}) == len(plan)
    studies = [(cell.study, len(cell.tasks)) for cell in plan]
    assert studies == sorted(studies, key=[(MAIN, 2), (MAIN, 1), ("weighting", 2)].index)
    assert [cell.seed for cell in plan[: len(SYSTEMS) * 2]] == [0] * len(SYSTEMS) + [1] * len(
        SYSTEMS
    )

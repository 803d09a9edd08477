from __future__ import annotations

import re

import pytest
import torch
from typer.testing import CliRunner

from fsb_perception.tasks import TASKS
from fsb_perception.towers.backbones import BACKBONES
from fsb_training.cli import app
from fsb_training.learning.assembly import adapted_encoder
from fsb_training.memory import activation_bytes, saved_bytes
from fsb_training.params import sizes
from fsb_training.systems import SYSTEMS

# Published for PE-Core-L-14-336 at rank 64, in per cent of all parameters.
PUBLISHED = {
    "linear probing": 0.99,
    "partial fine-tuning": 20.7,
    "DoRA": 8.4,
    "MTLoRA matrix": 10.1,
}
ACTIVE = ("full fine-tuning", "LoRA", "DoRA", "MTLoRA matrix", "MTLoRA exact", "VPT deep", "V2PT")


@pytest.mark.long
def test_the_published_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {name: SYSTEMS[name] for name in PUBLISHED}
    monkeypatch.setattr("fsb_training.params.SYSTEMS", chosen)
    for size in sizes("PE-Core-L-14-336", 64, tuple(TASKS), batch_size=2):
        assert 100 * size.share == pytest.approx(PUBLISHED[size.system], abs=0.3)


@pytest.mark.parametrize("system", ACTIVE)
@pytest.mark.parametrize("backbone", ["PE-Core-micro", "SigLIP2-micro"])
def test_what_a_step_keeps_is_counted_exactly(system: str, backbone: str) -> None:
    """Fake tensors against a forward in real memory."""
    row, adapter = BACKBONES[backbone], SYSTEMS[system].adapter(4)
    shape = (3, 3, row.size, row.size)
    real = adapted_encoder(backbone, adapter, "mlp", tuple(TASKS), row.build())
    with torch.device("meta"):
        fake = adapted_encoder(backbone, adapter, "mlp", tuple(TASKS), row.build())
    assert activation_bytes(fake, shape) == saved_bytes(real, torch.rand(shape)) > 0


def test_a_row_adds_what_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("zero-shot", "linear probing", "LoRA", "DoRA", "VPT", "VPT task-specific")
    chosen = {name: SYSTEMS[name] for name in (*names, "full fine-tuning")}
    monkeypatch.setattr("fsb_training.params.SYSTEMS", chosen)
    rows = {size.system: size for size in sizes("SigLIP2-micro", 4, tuple(TASKS), 2)}
    assert set(rows) == set(chosen)
    heads = rows["linear probing"].added
    assert rows["LoRA"].added == rows["DoRA"].added == rows["full fine-tuning"].added == heads
    assert rows["VPT"].added == heads + 10 * 64
    assert rows["VPT task-specific"].added == heads + 3 * 10 * 64
    assert rows["zero-shot"].trained == 3
    assert rows["full fine-tuning"].share == 1.0
    assert rows["full fine-tuning"].memory > rows["linear probing"].memory


@pytest.fixture
def three_systems(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = {name: SYSTEMS[name] for name in ("zero-shot", "VPT, text", "LoRA")}
    monkeypatch.setattr("fsb_training.params.SYSTEMS", chosen)


@pytest.mark.usefixtures("three_systems")
def test_a_tower_without_text_says_so() -> None:
    rows = {size.system: size for size in sizes("nano-vit-80", 4, ("gender",), 2)}
    assert "no text tower" in rows["zero-shot"].refusal
    assert "no text tower" in rows["VPT, text"].refusal
    assert rows["LoRA"].share > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backbone", "PE-Core-L14"], "PE-Core-L-14-336"),
        (["--rank", "0"], "rank: got 0"),
        (["--tasks", "gaze"], "unknown task 'gaze'"),
        (["--batch-size", "1"], "batch-size"),
    ],
)
def test_what_cannot_be_counted_is_named_before_a_table(arguments: list[str], message: str) -> None:
    result = CliRunner().invoke(app, ["params", *arguments])
    assert result.exit_code != 0
    assert message in f"{result.exception} {result.output}"
    assert "system" not in result.stdout


@pytest.mark.usefixtures("three_systems")
def test_the_command_prints_the_table() -> None:
    result = CliRunner().invoke(app, ["params", "--backbone", "nano-vit-80", "--rank", "8"])
    assert result.exit_code == 0
    assert re.search(r"LoRA .*\d %.*GiB", result.stdout)
    assert "no text tower" in result.stdout

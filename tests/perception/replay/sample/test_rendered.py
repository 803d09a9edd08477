"""Rendered people: they are as they were described, and a detector finds them."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from fsb_perception.cli import app
from fsb_perception.replay.sample.rendered import EXPRESSIONS, LOOKS, Maker
from fsb_perception.replay.sample.rendered_heads import draw
from fsb_perception.samples.roles import MOST
from fsb_perception.tasks import TASKS
from fsb_perception.types import check_image

_MISSING = [n for n in ("anny", "embreex", "trimesh") if importlib.util.find_spec(n) is None]
needs_packages = pytest.mark.skipif(
    bool(_MISSING), reason=f"not installed: {_MISSING}; see requirements/rendered.txt"
)


@pytest.fixture(scope="module")
def maker() -> Maker:
    return Maker()


def test_expressions_are_the_labels_of_the_task() -> None:
    assert set(EXPRESSIONS) == set(TASKS["emotion"].labels)
    assert {name for look in LOOKS for name in look.expressions} == set(EXPRESSIONS)


def test_everybody_has_a_name_and_a_part() -> None:
    assert len({look.name for look in LOOKS}) == len(LOOKS) == MOST


@needs_packages
def test_a_person_has_a_portrait_for_each_expression(maker: Maker) -> None:
    person = maker.person(replace(LOOKS[1], expressions=("neutral", "surprise")))
    assert person.attributes == (
        {"gender": "male", "age_group": "70+", "emotion": "neutral"},
        {"gender": "male", "age_group": "70+", "emotion": "surprise"},
    )
    for portrait in person.portraits:
        check_image(portrait.image)
        x, y, width, height = portrait.face_xywh
        assert width == pytest.approx(150, rel=0.01)
        assert 0 < x < x + width < portrait.image.shape[1]
        assert 0 < y < y + height < portrait.image.shape[0]


@needs_packages
def test_a_picture_is_the_same_every_time(maker: Maker) -> None:
    look = LOOKS[0]
    once, again = (draw(m.head(look, "anger"), look.skin, look.hair) for m in (maker, Maker()))
    np.testing.assert_array_equal(once, again)


@needs_packages
@pytest.mark.parametrize("expression", [name for name in EXPRESSIONS if name != "neutral"])
def test_an_expression_moves_the_face_and_nothing_else(maker: Maker, expression: str) -> None:
    head = maker.head(LOOKS[3], expression)
    moved = np.abs(head.vertices - head.rest).max(1)
    assert 0.002 < moved.max() < 0.05  # m
    below = head.rest[:, 2] < head.eyes[0, 2] - 0.3
    assert moved[below].max() < 1e-6


def test_without_the_packages_it_says_what_to_install(tmp_path: Path) -> None:
    """Run a process that cannot find them."""
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n in ('anny', 'embreex') else find(n, *a)\n"
        "from fsb_perception.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "replay", "make-sample", str(tmp_path), "--rendered"]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ, check=False)
    assert done.returncode != 0
    output = " ".join((done.stdout + done.stderr).split())
    assert "rendered people need anny, embreex" in output
    assert "pip install -r requirements/rendered.txt" in output
    assert "Traceback" not in output


def test_people_come_from_one_place(tmp_path: Path) -> None:
    command = ["replay", "make-sample", str(tmp_path), "--rendered", "--faces", str(tmp_path)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    assert "give one of them" in str(result.exception) + result.output

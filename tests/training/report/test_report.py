from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from fsb_perception.options import OptionError
from fsb_perception.tasks import TASKS
from fsb_training.cli import app
from tests.bundles import random_bundle
from tests.training.datasets import layouts

# One process makes both reports; the imports alone take a while where many tests run.
pytestmark = [pytest.mark.timeout(300), pytest.mark.long]

SECTIONS = (
    "Summary", "Metrics", "Calibration", "Confusion", "Groups of people", "Patch features",
    "Feature maps", "Efficiency", "Words",
)  # fmt: skip


SVG, HREF = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"


def make(root: Path, out: Path, *words: str | Path) -> Result:
    fixed = ["report", "--data-root", root, "--cache", root / "cache", "--out", out]
    return CliRunner().invoke(app, [str(word) for word in (*fixed, *words)])


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return layouts.everything(tmp_path_factory.mktemp("data"), count=18)


@pytest.fixture(scope="module")
def out(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a report on two bundles: all tasks on nano's tower, and emotion alone on SigLIP2's."""
    folder = tmp_path_factory.mktemp("out")
    first = random_bundle(folder / "nano", temperature=0.5).folder
    emotion = TASKS["emotion"]
    second = random_bundle(
        folder / "small",
        name="small",
        backbone="SigLIP2-micro",
        preprocessing={"size": 32},
        tasks=[{"name": emotion.name, "labels": emotion.labels}],
        temperatures={"emotion": 1.0},
    ).folder
    result = make(
        root, folder / "report", "--bundle", first, "--bundle", second, "--min-count", "4",
        "--datasets", "FairFace:val", "UTKFace:all", "FERPlus:test",
    )  # fmt: skip
    if result.exception:
        raise result.exception
    return folder / "report"


@pytest.fixture(scope="module")
def page(out: Path) -> ET.Element:
    """Return the HTML, which is well-formed as XML too."""
    text = (out / "report.html").read_text(encoding="utf-8")
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>"))


def text_of(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def test_every_section_is_there(page: ET.Element, out: Path) -> None:
    assert [element.text for element in page.iter("h2")] == list(SECTIONS)
    markdown = (out / "report.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (.+)$", markdown, re.MULTILINE) == list(SECTIONS)
    links = {element.get("href", "").removeprefix("#") for element in page.iter("a")}
    assert links <= {element.get("id") for element in page.iter("section")}


def test_nothing_is_asked_of_the_network(page: ET.Element, out: Path) -> None:
    text = (out / "report.html").read_text(encoding="utf-8")
    assert not {"script", "link", "iframe", "object", "img"} & {e.tag for e in page.iter()}
    assert set(re.findall(r"\bhttps?://[^\"]+", text)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert "@import" not in text
    for image in page.iter(f"{SVG}image"):
        assert image.get(HREF, "").startswith("data:image/png;base64,")


def test_every_picture_is_in_the_page(page: ET.Element, out: Path) -> None:
    plots = list(page.iter(f"{SVG}svg"))
    assert len(plots) == len(list((out / "pictures").iterdir()))
    assert all(plot.get("role") == "img" and plot.get("aria-label") for plot in plots)
    identifiers = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(identifiers) == len(set(identifiers))


def test_markdown_has_its_pictures(out: Path) -> None:
    named = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (out / "report.md").read_text(encoding="utf-8"))
    assert set(named) == {f"pictures/{path.name}" for path in (out / "pictures").iterdir()}
    for name in named:
        assert ET.parse(out / name).getroot().tag.endswith("svg")


def test_markdown_tables_are_whole(out: Path) -> None:
    blocks = re.findall(
        r"(?:^\|.*\|$\n)+", (out / "report.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert len(blocks) > 10
    for block in blocks:
        lines = block.splitlines()
        assert set(lines[1]) == set("| -")
        assert len({line.count("|") for line in lines}) == 1, block


def test_numbers_hold_what_the_page_shows(page: ET.Element, out: Path) -> None:
    numbers = json.loads((out / "report.json").read_text(encoding="utf-8"))
    shown = text_of(page)
    for row in numbers.values():
        assert all(" ".join(sentence.split()) in shown for sentence in row["summary"])
        assert len(row["summary"]) == 3
        assert f"{row['efficiency']['parameters']:,}" in shown
        for tasks in row["metrics"].values():
            for metrics in tasks.values():
                assert f"{100 * metrics['accuracy']:.1f} %" in shown
                assert np.sum(metrics["confusion"]) == metrics["count"]
                assert sum(item["count"] for item in metrics["reliability"]) == metrics["count"]
                for grouping in metrics["subgroups"]:
                    assert sum(group["count"] for group in grouping["groups"]) == metrics["count"]


def test_what_is_not_known_is_said(page: ET.Element) -> None:
    shown = text_of(page)
    assert "FERPlus holds nothing about these people beyond the emotion" in shown
    assert "no tower was named for comparison" in shown
    assert "nano-vit-80 has no text tower" in shown
    assert "with the text tower" in shown  # of SigLIP2
    assert "but it learned from" not in shown


def test_pictures_turn_light_in_the_dark(out: Path) -> None:
    """Require a rule for all that is drawn in ink: nothing stays dark on a dark page."""
    for path in (out / "pictures").iterdir():
        svg = path.read_text(encoding="utf-8")
        assert "prefers-color-scheme:dark" in svg
        texts = re.findall(r"<text [^>]*>", svg)
        assert all("fill: #404040" in text for text in texts), path.name


def test_small_groups_are_in_the_page(page: ET.Element) -> None:
    """FairFace's 18 faces have nine ages and two genders: one of each pair, fewer than four."""
    rows = [[text_of(cell) for cell in row] for row in page.iter("tr")]
    assert ["male, 0-2", "1", "too few", ""] in rows
    assert ["male", "9"] in [row[:2] for row in rows]


def test_before_stands_beside_after(root: Path, out: Path, tmp_path: Path) -> None:
    """Compare a task-specific prompted tower with another tower."""
    prompted = random_bundle(
        tmp_path / "prompted",
        backbone="PE-Core-micro",
        preprocessing={"size": 32},
        adapter={"method": "vpt", "prompts": 3, "per_task": True},
        training_data=[{"name": "FERPlus", "count": 3, "licence": "none"}],
    ).folder
    result = make(
        root, tmp_path / "r", "--bundle", prompted, "--before", "random", "--show-faces",
        "--datasets", "FERPlus:train",
    )  # fmt: skip
    assert result.exit_code == 0, result.exception
    shown = (tmp_path / "r/report.html").read_text(encoding="utf-8")
    assert "Before: PE-Core-micro, random. After: random@" in shown
    assert "but it learned from FERPlus:train" in shown
    svg = (tmp_path / "r/pictures/1-patches.svg").read_text(encoding="utf-8")
    assert all(heading in svg for heading in ("photograph", "before", "after"))
    assert "photograph" not in (out / "pictures/1-patches.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--datasets", "FairFace"), "NAME:PART"),
        (("--datasets", "FairFace:val", "FairFace:train"), "named more than once"),
    ],
)
def test_bad_input_is_refused(
    root: Path, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(OptionError, match=message):
        raise make(root, tmp_path / "out", *words).exception or AssertionError("it was accepted")


def test_a_folder_that_cannot_be_is_refused_first(root: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="cannot write the report to"):
        raise make(root, tmp_path / "file", "--datasets", "FairFace:val").exception or SystemExit


def test_a_bundle_that_none_of_the_faces_can_judge_is_refused(root: Path, tmp_path: Path) -> None:
    gender = TASKS["gender"]
    bundle = random_bundle(
        tmp_path / "bundle", tasks=[{"name": gender.name, "labels": gender.labels}]
    ).folder
    with pytest.raises(OptionError, match="FERPlus has no label"):
        raise (
            make(root, tmp_path / "r", "--bundle", bundle, "--datasets", "FERPlus:test").exception
            or AssertionError("it was accepted")
        )

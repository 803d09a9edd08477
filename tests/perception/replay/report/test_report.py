"""The page of a replay: whole and well-formed whatever the recording, and of the files alone."""

from __future__ import annotations

import json
import random
import re
import xml.etree.ElementTree as ET
from itertools import chain
from pathlib import Path

import pytest

from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.report import write_report
from fsb_perception.replay.rows import dropped_row, failed_row, line
from fsb_perception.replay.scoring.matching import Truth, match
from fsb_perception.replay.scoring.persons import persons
from fsb_perception.replay.scoring.scores import scores
from tests.perception.replay.made_answers import BOX, SECOND, face, row, shifted, true_face
from tests.perception.replay.made_replays import written

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '<script>alert("1")</script>&amp; $\\frac \x00\x1b \ud800 名 {{ 1 }} </svg> id="x url(#y'
TIMES = [SECOND * n for n in range(1, 11)]


def page_of(folder: Path) -> ET.Element:
    """Write the page and return it, which is well-formed as XML too."""
    text = write_report(folder).read_text(encoding="utf-8")
    return ET.fromstring(text.removeprefix("<!DOCTYPE html>"))


def text_of(element: ET.Element) -> str:
    return " ".join(" ".join(element.itertext()).split())


def judged_rows() -> list[dict]:
    labels = ["male", *["female"] * 9]
    pairs = zip(TIMES, labels, strict=True)
    return [
        row(t, face("a", t, x), face("b", t, "female", box=shifted(BOX, 300))) for t, x in pairs
    ]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a replay in real time, with truth, criteria and load."""
    rows = [
        *judged_rows(),
        dropped_row("front", 11 * SECOND),
        failed_row("front", 12 * SECOND, "?"),
    ]
    truth = [true_face(t, identity, box) for t in TIMES for identity, box in
             (("ada", BOX), ("eve", shifted(BOX, 300)))]  # fmt: skip
    matches = match(rows, Truth(truth))
    criteria = [
        {"name": "gender.ece", "sign": "<=", "value": 0.01, "found": 0.12, "met": False},
        {"name": "detection.recall", "sign": ">=", "value": 0.9, "found": 1.0, "met": True},
    ]
    folder = written(
        tmp_path_factory.mktemp("out"),
        rows,
        mode="realtime",
        criteria=criteria,
        metrics=scores(matches, ["gender"]).as_json(),
        people=[person.as_json() for person in persons(matches.faces, ["gender"])],
        problems={"stamp is repeated": {"count": 3, "first": "front at 5 ns"}},
        load={"cpu_mean": 1.31, "memory_mib_last": 812.4, "memory_mib_a_minute": 0.1},
        play={"rate": 1.0, "published": 12, "answered": 10, "dropped": 1, "drop_rate": 1 / 12,
              "latency": {"p50_ms": 25.0, "p95_ms": 30.0, "p99_ms": 35.0}},
    )  # fmt: skip
    load = [{"seconds": float(s), "cpu": 1.3, "memory_mib": 800.0 + s, "gpu_memory_mib": None}
            for s in range(1, 12)]  # fmt: skip
    (folder / "load.jsonl").write_bytes(b"".join(map(line, load)))
    return folder


def test_the_verdict_comes_first_and_in_words(judged: Path) -> None:
    page = page_of(judged)
    verdict = text_of(page.find(".//section[@id='verdict']"))
    for words in (
        "Not good enough: 1 of 2 criteria not met",
        "“kitchen” holds 12 images of 1 camera (front) over 11.0 seconds",
        "nano@1234 answered in mode realtime",
        "2 faces were followed",
        "Gender: of 2 faces, 2 had an answer, 2 a right one",
        "Of 12 images played, 1 (8.3 %) got no answer",
        "gender.ece <= 0.01 0.12 no",
        "stamp is repeated: 3, first front at 5 ns",
        "images that could not be read: 1 of 12",
    ):
        assert words in verdict, words
    assert next(page.iter("section")).get("id") == "verdict"


def test_the_numbers_are_those_of_the_summary(judged: Path) -> None:
    shown = text_of(page_of(judged))
    known = json.loads((judged / "summary.json").read_text())
    gender = known["metrics"]["gender"]
    assert gender["look_accuracy"] == 0.95
    for words in ("95.0 %", f"{100 * gender['ece']:.1f} %", "812.4 MiB", "25.0 ms", "1.31"):
        assert words in shown
    for key in ("config_sha256", "results_sha256"):
        assert known[key] in shown


def test_a_page_can_be_heard_and_walked_through(judged: Path) -> None:
    page = page_of(judged)
    assert page.get("lang") == "en"
    assert text_of(page.find("head/title")) == "Replay of kitchen with nano@1234"
    links = {element.get("href", "") for element in page.iter("a")}
    names = [element.get("id") for element in page.iter() if element.get("id")]
    assert links <= {f"#{name}" for name in names}
    sections = [section.get("id") for section in page.iter("section")]
    assert sections == ["verdict", "right", "time", "speed", "load", "trace"]
    assert len([name for name in names if name in sections]) == len(sections)
    plots = list(page.iter(f"{SVG}svg"))
    assert len(plots) == 4  # risk and coverage, a camera, speed, load
    assert all(plot.get("role") == "img" and plot.get("aria-label") for plot in plots)
    assert all(head.get("scope") for head in page.iter("th"))


def test_nothing_is_asked_of_the_network_and_nothing_runs(judged: Path) -> None:
    text = (write_report(judged)).read_text(encoding="utf-8")
    tags = {element.tag.removeprefix(SVG) for element in page_of(judged).iter()}
    assert not {"script", "link", "iframe", "object", "image", "img"} & tags
    assert set(re.findall(r"\bhttps?://[^\"]+", text)) == {
        "http://www.w3.org/2000/svg",
        "http://www.w3.org/1999/xlink",
    }
    assert set(re.findall(r"url\((.)", text)) <= {"#"}
    assert str(judged) not in text


def test_the_same_files_give_the_same_bytes(judged: Path) -> None:
    first = write_report(judged).read_bytes()
    assert write_report(judged).read_bytes() == first


WALL = 1_700_000_000 * SECOND
CASES: dict[str, list[dict]] = {
    "no image": [],
    "one image without a face": [row(SECOND)],
    "one face, once": [row(SECOND, face("a", SECOND, "female"))],
    "only unreadable": [failed_row("front", t, "damaged") for t in TIMES],
    "only dropped": [dropped_row("front", t) for t in TIMES],
    "no stamps": [row(0, face("a", 0, "female")) for _ in TIMES],
    "stamps before time": [row(-t, face("a", -t, "female")) for t in TIMES],
    "stamps go back": [row(t, face("a", t, "female")) for t in reversed(TIMES)],
    "stamps are repeated": [row(SECOND, face("a", SECOND, "male")) for _ in TIMES],
    "the clock leaps": [row(t, face("a", t, "male")) for t in (1, *(WALL + t for t in TIMES))],
    "no tasks": [row(t, face("a", t, "female") | {"estimates": []}) for t in TIMES],
    "withheld": [row(t, face("a", t, "unknown")) for t in TIMES],
    "has ended": [row(SECOND, face("a", SECOND, "female", state="ENDED"))],
    "a nameless camera": [row(t, face("a", t, "female"), camera="") for t in TIMES],
    "hundreds of faces": [
        row(t, *(face(f"f{t}_{n}", t, "female") for n in range(30))) for t in TIMES
    ],
}


@pytest.mark.parametrize("name", CASES)
def test_every_recording_has_a_page(name: str, tmp_path: Path) -> None:
    page = page_of(written(tmp_path, CASES[name]))
    assert text_of(page.find(".//h1")) == "Replay of kitchen with nano@1234"
    assert "nan" not in {word for path in page.iter(f"{SVG}path") for word in path.get("d").split()}


def test_a_short_axis_keeps_its_numbers(tmp_path: Path) -> None:
    page = page_of(written(tmp_path, [row(SECOND)]))
    (plot,) = (e for e in page.iter(f"{SVG}svg") if "images" in e.get("aria-label", ""))
    numbers = {e.text for e in plot.iter(f"{SVG}text")}
    assert {"0.0002", "0.0004"} <= numbers


def test_what_cannot_be_placed_is_counted(tmp_path: Path) -> None:
    shown = text_of(page_of(written(tmp_path, CASES["the clock leaps"])))
    assert "camera front: 1 image without a stamp, or half a day from the others" in shown
    assert "over 9.0 seconds" in shown


def test_faces_without_a_lane_are_counted(tmp_path: Path) -> None:
    shown = text_of(page_of(written(tmp_path, CASES["hundreds of faces"])))
    assert (
        "300 faces followed, of which the 12 followed longest are shown and 288 left out" in shown
    )


def test_names_are_words_and_nothing_else(tmp_path: Path) -> None:
    more = {"labels": [HOSTILE, "b"], "task": HOSTILE}
    rows = [row(t, face(f"{HOSTILE}{t}", t, HOSTILE), camera=HOSTILE) for t in TIMES]
    for answer in chain.from_iterable(f["estimates"] for r in rows for f in r["faces"]):
        answer |= more
    parts = {HOSTILE: {"look_accuracy": 1.0, "looks": 1}, "b": {"look_accuracy": 0.5, "looks": 2}}
    curve = [{"confidence": 0.5, "coverage": 1.0, "accuracy": 1.0}]
    counts = {"looks": 1, "tracks": 1, "track_coverage": 0.0}
    metrics = {HOSTILE: {**counts, "risk_coverage": curve, "slices": {HOSTILE: parts}}}
    folder = written(
        tmp_path, rows, metrics=metrics, bag={"name": HOSTILE, "sha256": ""}, bundle=HOSTILE,
        problems={HOSTILE: {"count": 1, "first": HOSTILE}}, mode=HOSTILE, topics=[HOSTILE],
        people=[{"camera": HOSTILE, "identity": HOSTILE, "task": HOSTILE, "looks": 1, "right": 1}],
    )  # fmt: skip
    page = page_of(folder)
    assert not [e for e in page.iter() if e.tag.removeprefix(SVG) == "script"]
    assert '<script>alert("1")</script>&amp; $\\frac' in text_of(page.find(".//h1"))


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"summary.json": None}, "holds no whole replay"),
        ({"summary.json": b"{"}, "holds no whole replay"),
        ({"results.jsonl": None}, "results.jsonl: No such file"),
        ({"results.jsonl": b"{"}, "results.jsonl:1: no JSON"),
        ({"timing.jsonl": b"\xff\n"}, "timing.jsonl:1: no JSON"),
    ],
)
def test_a_damaged_folder_is_named(damage: dict, why: str, tmp_path: Path) -> None:
    folder = written(tmp_path, CASES["one face, once"])
    for name, data in damage.items():
        (folder / name).unlink()
        if data is not None:
            (folder / name).write_bytes(data)
    with pytest.raises(BagError, match=why):
        write_report(folder)


def test_a_long_recording_makes_no_long_page(tmp_path: Path) -> None:
    """Answers that change at every image, in so many lanes as there may be."""
    chance, rows = random.Random(0), []
    for n in range(3000):
        stamp = SECOND + n * SECOND // 30
        faces = [
            face(f"face_{i}", stamp, chance.choice(["male", "female"]), confidence=chance.random())
            for i in range(12)
        ]
        rows.append(row(stamp, *faces))
    folder = written(tmp_path, rows)
    assert write_report(folder).stat().st_size < 2_000_000

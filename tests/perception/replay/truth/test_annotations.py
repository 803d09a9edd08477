"""Boxes drawn over images as truth, with the texts at them, and the errors of the rest."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from typer.testing import CliRunner

from fsb_perception.cli import app
from fsb_perception.replay.bags.message_types import ANNOTATIONS
from fsb_perception.replay.truth.annotations import parse_words
from fsb_perception.replay.truth.files import read_truth
from fsb_perception.replay.truth.statements import Statement, TruthError
from fsb_perception.tasks import TASKS
from tests.perception.replay import made_bags
from tests.perception.replay.made_annotations import (
    BOX,
    LINE_LOOP,
    OTHER,
    POINTS,
    STAMP,
    TOPIC,
    box,
    text,
    write,
    write_mcap,
)


@pytest.mark.parametrize("storage", ["mcap", "sqlite3"])
@pytest.mark.parametrize("single", [False, True], ids=["folder", "file"])
def test_what_is_drawn_is_read(storage: str, single: bool, tmp_path: Path) -> None:
    bag = write(
        tmp_path / "bag",
        ([box(), box(OTHER, kind=POINTS)], [text("ada gender=female age_group=20-29\nhidden=0.5")]),
        ([box(OTHER, STAMP + 7)], []),
        storage=storage,
        others=["/talk"],
    )
    attributes = {"gender": "female", "age_group": "20-29"}
    assert read_truth(made_bags.file_of(bag) if single else bag) == [
        Statement(camera="front", stamp=STAMP, identity="ada", box_xyxy=BOX, attributes=attributes,
                  hidden=0.5),
        Statement(camera="front", stamp=STAMP + 7, box_xyxy=OTHER),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("topic", "camera"),
    [("/annotations", ""), ("/head/front/annotations", "head/front")],
)
def test_the_topic_names_the_camera(topic: str, camera: str, tmp_path: Path) -> None:
    (statement,) = read_truth(write(tmp_path / "bag", ([box()], []), topic=topic))
    assert statement.camera == camera


@pytest.mark.parametrize(
    "places",
    [
        (BOX[:2], OTHER[:2]),  # the top left of one is the top right of the other
        (OTHER[:2], OTHER[2:]),
        ((100, 214), (180, 214)),  # below, as `fsb replay run --mcap` writes it
        ((104, 96), (220, 190)),
    ],
)
def test_texts_go_to_the_boxes_that_all_together_are_closest(places, tmp_path: Path) -> None:
    texts = [text(name, at) for name, at in zip(("ada", "bob"), places, strict=True)]
    for drawn in (texts, texts[::-1]):
        statements = read_truth(write(tmp_path / f"{drawn is texts}", ([box(), box(OTHER)], drawn)))
        assert {s.identity: s.box_xyxy for s in statements} == {"ada": BOX, "bob": OTHER}


_names = st.text("abcxyz_019-.", min_size=1, max_size=8)
_labels = st.fixed_dictionaries(
    {}, optional={n: st.sampled_from(t.labels) for n, t in TASKS.items()}
)


@given(
    st.just("") | _names, _labels, st.sampled_from([" ", "\n", "  \t"]), st.permutations([*TASKS])
)
def test_words_are_parsed_in_any_order(name: str, labels: dict, gap: str, order: list) -> None:
    pairs = [f"{task}={labels[task]}" for task in order if task in labels]
    wanted = labels | ({"identity": name} if name else {})
    assert parse_words(gap.join([*([name] if name else []), *pairs])) == wanted


_boxes = st.builds(
    lambda left, top, width, height: (left, top, left + width, top + height),
    st.integers(0, 90),
    st.integers(-50, 300),
    st.integers(1, 90),
    st.integers(1, 180),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(_boxes, _names, _labels, st.integers(0, 3)), min_size=1, max_size=4))
def test_any_boxes_and_texts_are_read_again(people: list) -> None:
    points, texts, wanted = [], [], []
    for n, ((left, top, right, bottom), name, labels, corner) in enumerate(people):
        place = (left + 400 * n, top, right + 400 * n, bottom)
        words = " ".join([name, *(f"{task}={label}" for task, label in labels.items())])
        points.append(box(place))
        texts.append(text(words, (place[corner // 2 * 2], place[corner % 2 * 2 + 1])))
        wanted.append(
            Statement(camera="front", stamp=STAMP, identity=name, box_xyxy=place, attributes=labels)
        )
    with tempfile.TemporaryDirectory() as folder:
        assert read_truth(write(Path(folder) / "bag", (points, texts))) == wanted


@pytest.mark.parametrize(
    ("points", "texts", "why"),
    [
        ([box()], [text("ada mood=good")], "unknown task 'mood'"),
        ([box()], [text("ada gender=f")], "unknown gender 'f'"),
        ([box()], [text("7 female 93%")], "'female' is not NAME=VALUE"),  # an answer, no truth
        ([box()], [text("gender=male gender=female")], "gender is given twice"),
        ([box()], [text("ada hidden=2")], "hidden: got '2', .*less than or equal to 1"),
        ([box()], [text("ada", (400, 400))], r"text 'ada' at \(400, 400\) is at no corner"),
        ([box()], [text("ada"), text("bob")], "at no corner of a box that has no other text"),
        ([box()], [text("ada", stamp=STAMP + 1)], f"has stamp {STAMP + 1}, its box {STAMP}"),
        ([], [text("ada")], "at no corner of a box"),
        ([box((5, 5, 5, 9))], [], "right > left"),
        ([box((float("nan"), 5, 9, 9))], [], "points.0.*got nan, .*finite number"),
    ],
)
def test_invalid_truth_is_named_with_topic_and_stamp(
    points: list, texts: list, why: str, tmp_path: Path
) -> None:
    bag = write(tmp_path / "bag", ([box(OTHER)], []), (points, texts))
    with pytest.raises(TruthError, match=rf"{TOPIC} at \d+ ns: .*{why}"):
        read_truth(bag)


def test_a_box_without_a_stamp_is_of_no_image(tmp_path: Path) -> None:
    with pytest.raises(TruthError, match=f"{TOPIC} at 1 ns: .*no timestamp"):
        read_truth(write(tmp_path / "bag", ([box(stamp=0)], [])))


JSON = {
    "timestamp": {"sec": 1_700_000_000, "nsec": 1},
    "metadata": [{"key": "emotion", "value": "neutral"}, {"key": "identity", "value": "nobody"}],
    "points": [
        {
            "type": LINE_LOOP,
            "points": [{"x": 100, "y": 100}, {"x": 180, "y": 150}, {"x": 140, "y": 200}],
            "metadata": [{"key": "gender", "value": "female"}],
        }
    ],
    "texts": [{"position": {"x": 100, "y": 100}, "text": "ada gender=male"}],
}


def test_json_and_metadata_are_read_and_what_is_closer_to_the_box_wins(tmp_path: Path) -> None:
    data = json.dumps(JSON).encode()
    path = write_mcap(tmp_path / "a.mcap", data, "json", "foxglove.ImageAnnotations", b"{}")
    (statement,) = read_truth(path)
    attributes = {"gender": "female", "emotion": "neutral"}
    assert statement == Statement(
        camera="front", stamp=STAMP, identity="ada", box_xyxy=BOX, attributes=attributes
    )


def test_a_newer_schema_is_read_by_the_definition_in_the_bag(tmp_path: Path) -> None:
    parts = {
        ANNOTATIONS: "builtin_interfaces/Time timestamp\nfoxglove_msgs/PointsAnnotation[] points",
        "foxglove_msgs/PointsAnnotation": (
            "foxglove_msgs/KeyValuePair[] metadata\nuint8 type\nfoxglove_msgs/Point2[] points"
        ),
        "foxglove_msgs/KeyValuePair": "string key\nstring value",
        "foxglove_msgs/Point2": "float64 x\nfloat64 y",
        "builtin_interfaces/Time": "int32 sec\nuint32 nanosec",
    }
    head, *rest = parts.items()
    definition = "\n".join([head[1], *(f"{'=' * 80}\nMSG: {n}\n{t}" for n, t in rest)])
    types = get_typestore(Stores.EMPTY)
    types.register(get_types_from_msg(definition, ANNOTATIONS))
    new = SimpleNamespace(**{n.rsplit("/", 1)[-1]: t for n, t in types.types.items()})
    points = [new.Point2(float(x), float(y)) for x, y in ((100, 100), (180, 100), (180, 200))]
    line = new.PointsAnnotation([new.KeyValuePair("identity", "ada")], LINE_LOOP, points)
    message = new.ImageAnnotations(new.Time(*divmod(STAMP, 1_000_000_000)), [line])
    data = bytes(types.serialize_cdr(message, ANNOTATIONS))
    path = write_mcap(tmp_path / "a.mcap", data, "cdr", ANNOTATIONS, definition.encode())
    assert read_truth(path) == [
        Statement(camera="front", stamp=STAMP, identity="ada", box_xyxy=BOX)
    ]


def cases(folder: Path) -> dict[str, Path]:
    """Make bags without truth, by the error that they give."""
    (folder / "empty").mkdir()
    (folder / "noise.mcap").write_bytes(b"\x55" * 1000)
    (folder / "noise.db3").write_bytes(b"\x55" * 1000)
    name = "foxglove.ImageAnnotations"
    whole = write(folder / "whole", *[([box()], [])] * 200)
    return {
        "there is no such file": folder / "absent.mcap",
        "no .mcap or .db3 file in this folder": folder / "empty",
        "noise.mcap cannot be read": folder / "noise.mcap",
        "noise.db3 cannot be read": folder / "noise.db3",
        "it holds /front/image": made_bags.write(folder / "images", {"/front/image": [1]}),
        "it holds /detections": write(folder / "t", ([box()], []), topic="/detections"),
        "hold no box": write(folder / "none", ([], [])),
        "encoded as 'protobuf', not cdr or json": write_mcap(
            folder / "p.mcap", b"", "protobuf", name, b""
        ),
        "cannot be read to its end": write_mcap(folder / "j.mcap", b"{", "json", name, b""),
        "cannot be read": made_bags.cut(whole, 0.5, folder / "cut"),
    }


def test_bags_without_truth_are_named_with_the_reason(tmp_path: Path) -> None:
    for why, path in cases(tmp_path).items():
        with pytest.raises(TruthError, match=why):
            read_truth(path)


def test_replay_judges_by_what_was_drawn(tmp_path: Path) -> None:
    """Draw a sample's own truth into a bag: it gives the same metrics."""
    sample = tmp_path / "sample"
    fsb("make-sample", sample, "--seconds", "0.2")
    drawn = [
        ([box(s.box_xyxy, s.stamp)], [text(words(s), s.box_xyxy[:2], s.stamp)])
        for s in read_truth(sample / "truth.jsonl")
        if s.camera == "front"
    ]
    metrics = []
    for truth in (sample / "truth.jsonl", write(tmp_path / "drawn", *drawn)):
        topic = ("--topic", "/front/image_raw/compressed")
        fsb("run", sample / "bag", "--truth", truth, "--out", tmp_path / "out", *topic)
        metrics.append(json.loads((tmp_path / "out/bag/summary.json").read_text())["metrics"])
    assert metrics[0] == metrics[1]
    assert "look_accuracy" in metrics[1]["gender"]


def fsb(*words: object) -> None:
    result = CliRunner().invoke(app, ["replay", *map(str, words)])
    assert result.exit_code == 0, result.output


def words(statement: Statement) -> str:
    pairs = [f"{task}={label}" for task, label in statement.attributes.items()]
    return " ".join([statement.identity, *pairs, f"hidden={statement.hidden}"])

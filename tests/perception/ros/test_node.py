"""The node and real topics in one process: its answers, and bad input."""

from __future__ import annotations

import gc
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from fsb_perception.msg import AttributeEstimate, BundleInfo, FaceAttributes
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from fsb_perception.bundles.bundle import Bundle, load_bundle
from fsb_perception.images.messages import compressed_to_bgr
from fsb_perception.options import OptionError
from fsb_perception.registry import UnknownNameError
from fsb_perception.ros import parts
from fsb_perception.ros.conversions import bgr_to_image
from fsb_perception.ros.node import start
from fsb_perception.tasks import TASKS
from fsb_perception.types import Face
from tests.builders import SECOND, START, FakeDetector, face
from tests.bundles import QUICK_ENGINE, random_bundle
from tests.perception.ros.harness import until
from tests.perception.ros.running import (
    BEST_EFFORT,
    PICTURE,
    RELIABLE,
    Line,
    grey,
    header,
    image,
    running,
    stamp_of,
)

_names = count()
ONE_FACE = face(80, 60, 50)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(random_bundle(tmp_path_factory.mktemp("bundle")).folder)


class Detector(FakeDetector):
    """Finds one face in every picture, in the set number of seconds."""

    def __init__(self) -> None:
        super().__init__([[ONE_FACE]])
        self.seconds = 0.0

    def detect(self, picture: Any) -> list[Face]:
        time.sleep(self.seconds)
        return super().detect(picture)


@pytest.fixture
def detector() -> Detector:
    return Detector()


@pytest.fixture
def make(bundle: str, detector: Detector) -> Iterator[Any]:
    """Make the unconfigured node with these parameters.

    Its engine begins quickly; test_every_system.py runs nodes with the usual one.

    Its subscriptions are reliable: "auto" would subscribe again in the middle of a test, and lose
    the images of that moment.
    """
    usual = {"bundle": bundle, "image_reliability": "reliable", **QUICK_ENGINE}
    with ExitStack() as stack:
        yield lambda **values: stack.enter_context(
            running(f"node{next(_names)}", detector=detector, **usual | values)
        )


# ---- answers


def test_every_image_has_one_answer_with_its_own_header(make: Any, detector: Detector) -> None:
    detector.script = [[], [ONE_FACE]]
    line = make().activate()
    for number in range(6):
        array = line.ask(image(number))
        assert array.header == header(START + number * SECOND // 10)
        assert (array.camera, array.width, array.height) == ("", 160, 120)
        assert (array.sequence, array.dropped) == (number + 1, 0)
        assert array.wait_time >= 0
        assert array.process_time > 0
        assert array.bundle_id.startswith("random@")
        assert len(array.faces) == min(number, 1)  # the first picture shows none, and is answered
        assert all(face.header == array.header for face in array.faces)


def test_a_face_is_followed_and_described(make: Any) -> None:
    line = make().activate()
    ids, states = set(), []
    for number in range(4):
        (seen,) = line.ask(image(number)).faces
        ids.add(seen.face_id)
        states.append(seen.state)
    assert len(ids) == 1
    assert states[0] == FaceAttributes.TENTATIVE
    assert states[-1] == FaceAttributes.CONFIRMED
    assert seen.box_xyxy == pytest.approx(ONE_FACE.box_xyxy)
    assert [estimate.task for estimate in seen.estimates] == [*TASKS]
    for estimate in seen.estimates:
        assert tuple(estimate.labels) == TASKS[estimate.task].labels
        assert estimate.looks == 4
        assert sum(estimate.probabilities) == pytest.approx(1.0, abs=1e-4)
    assert seen.position_source == FaceAttributes.POSITION_NONE
    assert np.isnan([seen.position.x, seen.position.y, seen.position.z]).all()


def test_a_task_that_is_off_is_absent_everywhere(make: Any) -> None:
    line = make(tasks=["emotion"]).activate()
    (seen,) = line.ask(image(0)).faces
    assert [estimate.task for estimate in seen.estimates] == ["emotion"]
    assert list(latched(line).tasks) == ["emotion"]


def latched(line: Line) -> BundleInfo:
    """Return the bundle info as a late subscriber receives it."""
    received: list[BundleInfo] = []
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    line.subscribe(BundleInfo, "face_attributes/bundle_info", received, qos)
    until(lambda: received, what="no bundle_info")
    return received[0]


def test_a_late_subscriber_gets_the_bundle_info(make: Any) -> None:
    line = make().activate()
    array = line.ask(image(0))
    info = latched(line)
    assert info.bundle_id == array.bundle_id
    assert list(info.tasks) == [*TASKS]
    assert json.loads(info.manifest)["name"] == "random"
    assert stamp_of_time(info.stamp) > 0


def stamp_of_time(stamp: Any) -> int:
    return int(stamp.sec) * SECOND + int(stamp.nanosec)


def test_the_newest_image_wins_and_every_other_is_counted(make: Any, detector: Detector) -> None:
    line = make().activate()
    detector.seconds = 0.1
    sent = 40
    publisher = line.publisher()
    for number in range(sent):
        publisher.publish(image(number, grey(90)))
        time.sleep(0.01)
    last = START + (sent - 1) * SECOND // 10
    until(lambda: line.arrays and stamp_of(line.arrays[-1]) == last)
    assert line.arrays[-1].sequence + line.arrays[-1].dropped == sent
    assert line.arrays[-1].dropped > sent / 2
    # No image waits longer than the one before it takes.
    assert max(array.wait_time for array in line.arrays) < 2 * 0.1 + 0.1
    assert [array.sequence for array in line.arrays] == [*range(1, len(line.arrays) + 1)]


# ---- several cameras


def test_each_camera_has_its_own_faces_and_counts(make: Any) -> None:
    line = make(cameras=["front", "rear"]).activate()
    for number in range(3):
        line.ask(image(number), "front/image")
    line.ask(image(0, grey(90)), "rear/image")
    front = [array for array in line.arrays if array.camera == "front"]
    rear = [array for array in line.arrays if array.camera == "rear"]
    assert [array.sequence for array in front] == [1, 2, 3]
    assert [(array.sequence, array.width) for array in rear] == [(1, 64)]
    ids = [{face.face_id for array in some for face in array.faces} for some in (front, rear)]
    assert len(ids[0]) == len(ids[1]) == 1
    assert not ids[0] & ids[1]


def test_a_busy_camera_does_not_starve_the_other(make: Any, detector: Detector) -> None:
    line = make(cameras=["front", "rear"]).activate()
    detector.seconds = 0.03
    publishers = [line.publisher(f"{camera}/image") for camera in ("front", "rear")]
    for number in range(40):
        publishers[0].publish(image(number, grey(90)))
        if number % 8 == 0:
            publishers[1].publish(image(number, grey(90)))
        time.sleep(0.01)
    until(lambda: sum(array.camera == "rear" for array in line.arrays) == 5)
    assert [array.dropped for array in line.arrays if array.camera == "rear"] == [0] * 5


def test_a_picture_that_takes_long_to_decode_delays_no_other_camera(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = threading.Event()

    def slow(message: Any, config: Any) -> Any:
        if message.format == "slow":
            assert decoded.wait(60)
        return compressed_to_bgr(message, config)

    monkeypatch.setattr(parts, "compressed_to_bgr", slow)
    line = make(cameras=["front", "rear"], image_transport="compressed").activate()
    late = jpeg(GOOD_JPEG, 0)
    late.format = "slow"
    front = line.publisher("front/image/compressed", CompressedImage)
    front.publish(late)
    for number in range(5):
        line.ask(jpeg(GOOD_JPEG, number), "rear/image/compressed")
    decoded.set()
    until(lambda: sum(array.camera == "front" for array in line.arrays) == 1)
    front.publish(jpeg(GOOD_JPEG, 1))
    until(lambda: sum(array.camera == "front" for array in line.arrays) == 2)
    assert [array.dropped for array in line.arrays] == [0] * 7


# ---- bad input


def bad(**changes: Any) -> Image:
    message = image(0)
    for name, value in changes.items():
        setattr(message, name, value)
    return message


BAD_IMAGES = {
    "an unsupported encoding": (bad(encoding="jpeg2000"), "jpeg2000"),
    "depth": (bad(encoding="32FC1"), "32FC1"),
    "truncated": (bad(data=[1, 2, 3]), "got 3"),
    "no size": (bad(width=0, height=0, step=0), "0 x 0"),
    "a step smaller than the row": (bad(step=479), "step is 479"),
    "a huge claim": (bad(width=2**32 - 1, height=2**32 - 1), str(2**32 - 1)),
    "nothing at all": (Image(), "unknown encoding ''"),
}


@pytest.mark.parametrize("name", BAD_IMAGES)
def test_a_bad_image_costs_a_line_in_the_log_and_is_counted(
    make: Any, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    message, text = BAD_IMAGES[name]
    line = make().activate()
    assert line.ask(image(0)).dropped == 0
    line.publisher().publish(message)
    line.await_dropped(1)
    array = line.ask(image(1))
    assert (array.sequence, array.dropped) == (2, 1)
    (warning,) = [row for row in capfd.readouterr().err.splitlines() if "[WARN]" in row]
    assert text in warning


def jpeg(data: bytes, number: int = 0) -> CompressedImage:
    message = CompressedImage(header=image(number).header, format="jpeg")
    message.data.frombytes(data)
    return message


GOOD_JPEG = cv2.imencode(".jpg", PICTURE)[1].tobytes()


@pytest.mark.parametrize(
    "data", [b"", b"no picture", GOOD_JPEG[: len(GOOD_JPEG) // 2]], ids=["empty", "text", "half"]
)
def test_a_corrupt_jpeg_costs_a_line_in_the_log_and_is_counted(
    make: Any, capfd: pytest.CaptureFixture[str], data: bytes
) -> None:
    line = make(image_transport="compressed").activate()
    assert line.ask(jpeg(GOOD_JPEG), "image/compressed").width == 160
    line.publisher("image/compressed", CompressedImage).publish(jpeg(data))
    line.await_dropped(1)
    array = line.ask(jpeg(GOOD_JPEG, 1), "image/compressed")
    assert (array.sequence, array.dropped) == (2, 1)
    assert f"{len(data)} bytes" in capfd.readouterr().err


def test_many_bad_images_do_not_fill_the_log(make: Any, capfd: pytest.CaptureFixture[str]) -> None:
    line = make().activate()
    publisher = line.publisher()
    for _ in range(20):
        publisher.publish(bad(encoding="nonsense"))
        time.sleep(0.02)
    assert line.ask(image(0)).dropped == 20
    assert capfd.readouterr().err.count("nonsense") == 1


def test_a_frame_on_which_the_pipeline_fails_is_counted(
    make: Any, detector: Detector, capfd: pytest.CaptureFixture[str]
) -> None:
    line = make().activate()
    detector.script, good = [], detector.script  # an IndexError
    line.publisher().publish(image(0))
    line.await_dropped(1)
    detector.script = good
    assert line.ask(image(1)).dropped == 1
    assert "IndexError" in capfd.readouterr().err


def test_an_answer_that_is_no_number_is_never_published(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken: list[bool] = []
    build = Bundle.build_model

    def build_with_a_hook(bundle: Bundle) -> Any:
        model = build(bundle)
        model.register_forward_hook(
            lambda *layer: (
                {name: row * np.nan for name, row in layer[2].items()} if broken else None
            )
        )
        return model

    monkeypatch.setattr(Bundle, "build_model", build_with_a_hook)
    line = make().activate()
    line.ask(image(0))
    broken.append(True)
    publisher = line.publisher()
    for number in range(1, 16):
        publisher.publish(image(number))
        time.sleep(0.1)
    line.await_status("answers gender, age_group, emotion with NaN", DiagnosticStatus.ERROR)
    line.await_dropped(15)
    broken.clear()
    answer = line.ask(image(20))
    assert answer.dropped == 15
    assert all(np.isfinite(e.confidence) for f in answer.faces for e in f.estimates)


def test_an_image_without_a_stamp_is_answered_with_its_own_header(
    make: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    line = make().activate()
    arrays = [line.ask(image(0, stamp=0)) for _ in range(3)]
    assert [stamp_of(array) for array in arrays] == [0, 0, 0]
    seen = [array.faces[0] for array in arrays]
    assert len({face.face_id for face in seen}) == 1  # followed by the time of receipt
    assert stamp_of_time(seen[-1].last_seen) > stamp_of_time(seen[-1].first_seen) > START
    assert capfd.readouterr().err.count("no stamp") == 1


def test_a_stamp_that_goes_back_ends_all_tracks(make: Any) -> None:
    line = make().activate()
    before = line.ask(image(100)).faces[0].face_id
    states = {face.face_id: face.state for face in line.ask(image(1)).faces}
    assert states.pop(before) == FaceAttributes.ENDED
    assert [*states.values()] == [FaceAttributes.TENTATIVE]


def test_boxes_past_the_border_go_through(make: Any, detector: Detector) -> None:
    detector.script = [[face(2, 3, 60)]]
    (seen,) = make().activate().ask(image(0)).faces
    assert seen.box_xyxy[0] < 0
    assert seen.box_xyxy[1] < 0
    assert seen.quality_flags & FaceAttributes.TRUNCATED


# ---- life cycle


def test_it_can_be_stopped_and_started_again(make: Any) -> None:
    line = make().activate()
    first = line.ask(image(0))
    assert line.step("deactivate")
    until(lambda: not line.publisher(wait=False).get_subscription_count())
    assert line.step("activate")
    again = line.ask(image(1), count=1)
    assert (again.sequence, again.dropped) == (1, 0)
    assert {face.face_id for face in again.faces if face.state != FaceAttributes.ENDED}.isdisjoint(
        {face.face_id for face in first.faces}
    )
    assert line.step("deactivate", "cleanup", "configure", "activate")
    assert line.ask(image(2)).sequence == 1
    assert line.step("deactivate", "cleanup", "shutdown")


def test_it_can_be_shut_down_while_active(make: Any) -> None:
    line = make().activate()
    line.ask(image(0))
    assert line.step("shutdown")


def test_ids_are_fixed_where_they_are_asked_for(make: Any) -> None:
    line = make(id_prefix="bag", cameras=["front"]).activate()
    assert line.ask(image(0), "front/image").faces[0].face_id == "bag_front_1"


def test_two_runs_do_not_share_ids(make: Any) -> None:
    prefixes = {
        make().activate().ask(image(0)).faces[0].face_id.partition("_")[0] for _ in range(2)
    }
    assert len(prefixes) == 2


@pytest.mark.parametrize(("autostart", "active"), [(True, True), (False, False)])
def test_autostart_is_a_parameter(bundle: str, autostart: bool, active: bool) -> None:
    with running(f"node{next(_names)}", bundle=bundle, autostart=autostart) as line:
        assert line.run(start, line.node)
        line.await_status(
            "no publisher" if active else "inactive: configure", DiagnosticStatus.WARN
        )


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"bundle": "nanoo"}, ["unknown bundle 'nanoo'"]),
        ({"bundle": "/no/such/folder"}, ["/no/such/folder"]),
        ({"tasks": ["gendre"]}, ["'gendre'", "Did you mean 'gender'"]),
        ({"engine__device": "cpu", "engine__precision": "fp16"}, ["fp16", "use fp32"]),
        ({"converter": "cv_bridge"}, ["cv_bridge", "numpy"]),
    ],
    ids=str,
)
def test_the_node_reports_why_it_cannot_be_configured(
    make: Any, values: dict[str, Any], texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    line = make(**values)
    assert not line.step("configure")
    for text in texts:
        assert text in line.node.failure
    line.await_status(texts[0], DiagnosticStatus.ERROR)


def test_a_tampered_bundle_is_refused(make: Any, tmp_path: Path) -> None:
    folder = random_bundle(tmp_path / "mine").folder
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    line = make(bundle=str(folder))
    assert not line.step("configure")
    assert "weights.safetensors" in line.node.failure
    assert "sha256" in line.node.failure


def test_a_bundle_with_another_digest_is_refused(make: Any, bundle: str) -> None:
    line = make(bundle_digest="sha256:" + 64 * "0")
    assert not line.step("configure")
    assert "expected is sha256:000" in line.node.failure
    assert make(bundle_digest=f"sha256:{load_bundle(bundle).digest}").step("configure")


@pytest.mark.parametrize(
    ("values", "error", "text"),
    [
        ({"trakcer__max_coast": 1.0}, UnknownNameError, "tracker.max_coast"),
        ({"tracker__max_coast": 31.0}, OptionError, "31.0"),
        ({"cameras": ["my cam"]}, OptionError, "my cam"),
        ({"cameras": ["front", "front"]}, OptionError, "front"),
        ({"id_prefix": "Robot 1"}, OptionError, "Robot 1"),
    ],
    ids=str,
)
def test_a_wrong_parameter_is_named(
    values: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text), running(f"node{next(_names)}", **values):
        pass


# ---- services and live parameters


def test_it_can_be_disabled_and_enabled(make: Any) -> None:
    line = make().activate()
    line.ask(image(0))
    assert line.call("enable", False).success
    until(lambda: not line.publisher(wait=False).get_subscription_count())
    line.await_status("disabled", DiagnosticStatus.OK)
    assert line.call("enable", True).success
    array = line.ask(image(5))
    assert (array.sequence, array.dropped) == (2, 0)


def test_tracks_can_be_reset(make: Any) -> None:
    line = make().activate()
    before = line.ask(image(0)).faces[0].face_id
    assert line.call("reset_tracks").success
    states = {face.face_id: face.state for face in line.ask(image(1)).faces}
    assert states[before] == FaceAttributes.ENDED
    assert len(states) == 2


@pytest.mark.parametrize(("service", "data"), [("enable", True), ("reset_tracks", None)])
def test_services_answer_that_the_node_is_inactive(make: Any, service: str, data: Any) -> None:
    answer = make().call(service, data)
    assert not answer.success
    assert "inactive" in answer.message


def test_a_live_parameter_takes_effect(make: Any) -> None:
    line = make(fusion__gender__enter=0.0, fusion__gender__exit=0.0).activate()
    assert gender(line.ask(image(0))).label != AttributeEstimate.UNKNOWN
    changes = {"fusion.gender.enter": 1.0, "fusion.gender.exit": 1.0}
    result = line.node.set_parameters_atomically(
        [Parameter(name, value=value) for name, value in changes.items()]
    )
    assert result.successful, result.reason
    assert gender(line.ask(image(1))).label == AttributeEstimate.UNKNOWN


def gender(array: Any) -> Any:
    return array.faces[0].estimates[0]


def test_a_live_parameter_that_does_not_fit_the_others_is_refused(make: Any) -> None:
    line = make().activate()
    (result,) = line.node.set_parameters([Parameter("fusion.gender.exit", value=0.99)])
    assert not result.successful
    assert "enter" in result.reason
    assert line.ask(image(0)).sequence == 1


# ---- quality of service


@pytest.mark.parametrize("reliability", [RELIABLE, BEST_EFFORT])
def test_auto_receives_from_every_publisher(make: Any, reliability: Any) -> None:
    line = make(image_reliability="auto")
    line.publisher(reliability=reliability, wait=False)
    line.activate()
    until(lambda: requested(line) == [reliability])
    line.publisher(reliability=reliability).publish(image(0))
    until(lambda: line.arrays)


def requested(line: Line) -> list[Any]:
    topic = line.robot.resolve_topic_name("image")
    return [
        info.qos_profile.reliability for info in line.robot.get_subscriptions_info_by_topic(topic)
    ]


def test_auto_follows_publishers_that_come_late(make: Any) -> None:
    line = make(image_reliability="auto").activate()
    until(lambda: requested(line) == [BEST_EFFORT])
    line.publisher(wait=False)
    until(lambda: requested(line) == [RELIABLE])
    line.ask(image(0))
    line.publisher(reliability=BEST_EFFORT, wait=False)  # now not every publisher is reliable
    until(lambda: requested(line) == [BEST_EFFORT])
    line.publisher(reliability=BEST_EFFORT).publish(image(1))
    until(lambda: len(line.arrays) == 2)


def test_a_qos_mismatch_names_both_sides(make: Any, capfd: pytest.CaptureFixture[str]) -> None:
    line = make().activate()
    line.publisher(reliability=BEST_EFFORT, wait=False)
    status = line.await_status("does not match", DiagnosticStatus.ERROR)
    robot = line.robot.get_fully_qualified_name()
    for text in (f"{robot} offers best_effort", "asks for reliable", "/image", "image_reliability"):
        assert text in status.message
    assert robot in capfd.readouterr().err


# ---- diagnostics


def test_diagnostics_report_the_state_of_every_camera(make: Any) -> None:
    line = make(cameras=["front", "rear"], stale_after=0.5)
    line.await_status("inactive", DiagnosticStatus.WARN)
    line.activate()
    line.await_status("no publisher", DiagnosticStatus.WARN, "rear")
    line.publisher("rear/image")
    line.await_status("1 publisher", DiagnosticStatus.WARN, "rear")
    begun = time.monotonic()
    for number in count():
        line.ask(image(number), "front/image")
        status = line.status("front")
        waited = time.monotonic() - begun
        # Two of its turns at least; a busy machine may need more until the rate is worth an OK.
        if waited > 2.5 and (waited > 20 or (status and status.level == DiagnosticStatus.OK)):
            break
        time.sleep(0.03)
    assert status is not None
    assert status.level == DiagnosticStatus.OK
    values = {pair.key: pair.value for pair in status.values}
    assert values["bundle"].startswith("random@")
    assert values["device"].startswith("cpu")
    assert values["topic"].endswith("/front/image")
    assert int(values["answered"]) > 0
    assert int(values["received"]) - int(values["answered"]) in (0, 1)  # one may be under way
    assert values["dropped"] == "0"
    assert float(values["rate_hz"]) > 1
    assert float(values["latency_p95_ms"]) >= float(values["latency_p50_ms"]) > 0
    assert 50 < float(values["memory_mb"]) < 5000


def test_diagnostics_report_that_no_image_can_be_used(make: Any) -> None:
    line = make().activate()
    publisher = line.publisher()
    for _ in range(15):
        publisher.publish(bad(encoding="nonsense"))
        time.sleep(0.1)
    line.await_status("could not be used", DiagnosticStatus.ERROR)


# ---- privacy


def test_only_these_topics_leave_the_node(make: Any) -> None:
    line = make().activate()
    line.ask(image(0))
    own = line.node.get_namespace() + "/face_attributes"
    published = {
        topic.replace(own, "~"): kinds
        for topic, kinds in line.robot.get_publisher_names_and_types_by_node(
            "face_attributes", line.node.get_namespace()
        )
    }
    assert published == {
        "/diagnostics": ["diagnostic_msgs/msg/DiagnosticArray"],
        "/parameter_events": ["rcl_interfaces/msg/ParameterEvent"],
        "/rosout": ["rcl_interfaces/msg/Log"],
        "~/bundle_info": ["fsb_perception/msg/BundleInfo"],
        "~/faces": ["fsb_perception/msg/FaceAttributesArray"],
        "~/transition_event": ["lifecycle_msgs/msg/TransitionEvent"],
    }


@pytest.mark.parametrize("reliability", [RELIABLE, BEST_EFFORT])
def test_a_debug_image_is_made_when_it_is_subscribed_to(make: Any, reliability: Any) -> None:
    line = make(debug_image=True, debug_width=64).activate()
    line.ask(image(0))
    received: list[CompressedImage] = []
    qos = QoSProfile(depth=50, reliability=reliability)
    subscription = line.subscribe(
        CompressedImage, "face_attributes/debug_image/compressed", received, qos
    )
    until(lambda: line.node.count_subscribers(subscription.topic_name))
    for number in range(1, 20):
        line.ask(image(number))
        time.sleep(0.05)
        if received:
            break
    assert received, "no debug image"
    picture = cv2.imdecode(np.frombuffer(received[0].data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (48, 64, 3)
    assert stamp_of(received[0]) == stamp_of(line.arrays[-1])


def test_nothing_is_written_to_disk(
    make: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make()  # ROS opens its log with the first node of a process, wherever home is then
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    line = make().activate()
    for number in range(3):
        line.ask(image(number))
    assert [*tmp_path.rglob("*")] == []


def test_an_image_is_not_kept_after_its_answer(make: Any) -> None:
    """Neither the message nor the picture is referred to once it has been answered."""
    line = make().activate()
    for number in range(5):
        line.ask(bgr_to_image(grey(90, 321, 123), image(number).header))
    time.sleep(0.3)
    gc.collect()
    kept = [o for o in gc.get_objects() if isinstance(o, Image) and o.width == 321]
    assert kept == []

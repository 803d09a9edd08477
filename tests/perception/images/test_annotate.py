from __future__ import annotations

import numpy as np
import pytest

from fsb_perception.images.annotate import annotate, caption
from fsb_perception.types import UNKNOWN, AttributeEstimate, TrackState
from tests.builders import attributes, estimate, face, frame


@pytest.mark.parametrize(("width", "height"), [(640, 480), (3840, 2160), (160, 120), (20, 15)])
def test_it_draws_on_a_copy_at_every_size(width: int, height: int) -> None:
    image = frame(width, height, level=90)
    seen = face(width / 2, height / 2, size=height / 4)
    drawn = annotate(image, [attributes(seen=seen)])
    assert drawn.shape == image.shape
    assert drawn.dtype == np.uint8
    assert (image == 90).all()
    assert (drawn != 90).any()


def changed(width: int, height: int) -> float:
    image = frame(width, height, level=90)
    seen = face(width / 2, height / 2, size=height / 4)
    return float((annotate(image, [attributes(seen=seen)]) != 90).mean())


def test_the_text_grows_with_the_picture() -> None:
    assert changed(3840, 2880) == pytest.approx(changed(640, 480), rel=0.3)


def test_each_state_has_a_colour_and_an_ended_face_none() -> None:
    images = {
        state: annotate(frame(level=90), [attributes(state=state)]).tobytes()
        for state in TrackState
    }
    assert len(set(images.values())) == 4
    assert images[TrackState.ENDED] == frame(level=90).tobytes()


@pytest.mark.parametrize(
    "seen", [face(x=-20), face(x=650, y=490), face(x=-900), face(size=3000), face(size=0.5)]
)
def test_boxes_past_the_border_do_no_harm(seen: object) -> None:
    annotate(frame(level=90), [attributes(seen=seen)])  # type: ignore[arg-type]


def test_views_are_pictures_too() -> None:
    view = frame()[::2, ::-1]
    assert annotate(view, [attributes()]).shape == view.shape
    np.testing.assert_array_equal(annotate(view, []), view)


def test_only_a_picture_is_annotated() -> None:
    with pytest.raises(ValueError, match="uint8"):
        annotate(np.zeros((4, 4, 3)), [attributes()])  # type: ignore[arg-type]


def test_the_caption_has_a_line_for_each_task() -> None:
    unknown = AttributeEstimate("age_group", ("0-2", "3-9"), UNKNOWN, 0.4)
    text = caption(attributes("kx7_12", estimates=[estimate("gender", 1, 0.934), unknown]))
    assert text == "kx7_12\nfemale 93%\nage group ?"

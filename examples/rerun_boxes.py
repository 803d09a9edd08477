#!/usr/bin/env python3
"""Show the bag of ``fsb replay run --mcap`` in Rerun, which does not draw its annotations itself.

pip install rerun-sdk==0.41.0 rosbags==0.11.9
python rerun_boxes.py replay/bag/annotated faces.rrd
rerun faces.rrd

Foxglove and Lichtblick draw ``foxglove_msgs/ImageAnnotations`` and do not need this program.
"""

import sys
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from rosbags.highlevel import AnyReader


def main(bag: Path, out: str) -> None:
    """Write the images and boxes of a bag as a recording of Rerun."""
    rr.init("fsb_replay")
    rr.save(out)
    rr.log_file_from_path(next(bag.glob("*.mcap")))
    with AnyReader([bag]) as reader:
        topics = [c.topic for c in reader.connections if c.msgtype.endswith("Image")]
        views = [rrb.Spatial2DView(origin=topic, name=topic) for topic in topics]
        rr.send_blueprint(rrb.Blueprint(rrb.Grid(*views), collapse_panels=True))
        places = {}  # topic of images and plane in which Rerun shows them, by camera
        for connection, received, data in reader.messages():
            camera = connection.topic.partition("/annotations")[0]
            if connection.msgtype.endswith("Image"):
                camera = next(part for part in connection.topic.split("/image") if part)
                header = reader.deserialize(data, connection.msgtype).header
                places[camera] = connection.topic, f"{header.frame_id}_image_plane"
            elif connection.topic.endswith("/annotations"):
                annotations = reader.deserialize(data, connection.msgtype)
                show(*places[camera], received, annotations)


def show(topic: str, plane: str, received: int, annotations) -> None:
    """Log the boxes and texts of one image."""
    entity = f"{topic}/faces"
    boxes = [[(p.x, p.y) for p in box.points] for box in annotations.points]
    corners = np.array(boxes).reshape(-1, 4, 2)
    rr.set_time("message_log_time", timestamp=np.datetime64(received, "ns"))
    rr.log(entity, rr.CoordinateFrame(plane), static=True)
    rr.log(
        entity,
        rr.Boxes2D(
            mins=corners[:, 0],
            sizes=corners[:, 2] - corners[:, 0],
            labels=[text.text for text in annotations.texts],
            colors=[rgba(box.outline_color) for box in annotations.points],
            show_labels=True,
        ),
    )


def rgba(colour) -> list[int]:
    """Return red, green, blue and opacity from 0 to 255."""
    return [round(255 * part) for part in (colour.r, colour.g, colour.b, colour.a)]


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""The executable ``viewer``: a window with the image and the node's results for its faces.

It is its own process because a window toolkit without a display ends the whole process.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import Image

from fsb_perception.errors import FsbError
from fsb_perception.images.annotate import annotate
from fsb_perception.images.messages import image_to_bgr
from fsb_perception.msg import FaceAttributesArray
from fsb_perception.ros.messages import faces_of
from fsb_perception.ros.pairing import Pairing
from fsb_perception.ros.program import run_program
from fsb_perception.ros.qos import FACES_QOS, IMAGE_QOS
from fsb_perception.ros.window import display_shortage
from fsb_perception.types import Image as Picture

TITLE = "FSB"
_END_KEYS = {ord("q"), 27}  # and the Escape key
# OpenCV's Qt looks for fonts in its own wheel, which has none.
_FONTS = Path("/usr/share/fonts/truetype/dejavu")


class Viewer(Node):
    """A node that keeps the newest image with its results."""

    def __init__(self) -> None:
        super().__init__("viewer")
        self._pairing = Pairing()
        self._newest: tuple[Image, FaceAttributesArray] | None = None
        self.create_subscription(Image, "image", self._on_image, IMAGE_QOS)
        self.create_subscription(FaceAttributesArray, "faces", self._on_faces, FACES_QOS)

    def _on_image(self, message: Image) -> None:
        self._newest = self._pairing.add_image(message) or self._newest

    def _on_faces(self, message: FaceAttributesArray) -> None:
        self._newest = self._pairing.add_answer(message) or self._newest

    def take(self) -> Picture | None:
        """Return the newest picture, annotated; None if there is none since the last call."""
        newest, self._newest = self._newest, None
        return newest and annotate(image_to_bgr(newest[0]), faces_of(newest[1]))


def _show(viewer: Viewer) -> None:
    import cv2

    shown = False
    while rclpy.ok():
        rclpy.spin_once(viewer, timeout_sec=0.02)
        picture = viewer.take()
        if picture is not None:
            if not shown:
                cv2.namedWindow(TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_GUI_NORMAL)
                cv2.resizeWindow(TITLE, picture.shape[1], picture.shape[0])
            shown = True
            cv2.imshow(TITLE, picture)
        if shown and _closed():
            return


def _closed() -> bool:
    import cv2

    return cv2.pollKey() & 0xFF in _END_KEYS or not cv2.getWindowProperty(
        TITLE, cv2.WND_PROP_VISIBLE
    )


def main(args: list[str] | None = None) -> int:
    """Show pictures until the window is closed; return 1 if no window can be opened."""
    if _FONTS.is_dir():
        os.environ.setdefault("QT_QPA_FONTDIR", str(_FONTS))
    return run_program("viewer", _run, args)


def _run(cleanup: ExitStack) -> int:
    if shortage := display_shortage():
        raise FsbError(f"{shortage}: start with view:=false")
    viewer = Viewer()
    cleanup.callback(viewer.destroy_node)
    _show(viewer)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

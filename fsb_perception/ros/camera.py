"""The executable ``camera``: it publishes a webcam, a file, a folder or the sample as images.

It publishes no ``camera_info``: a driver that knows the calibration does.
"""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack

import rclpy
from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from fsb_perception.errors import FsbError, error_line
from fsb_perception.images.sources import Source, SourceError, open_source
from fsb_perception.options import Options, option
from fsb_perception.ros import shared_memory
from fsb_perception.ros.conversions import bgr_to_image, bgr_to_jpeg
from fsb_perception.ros.parameters import declare_options
from fsb_perception.ros.program import run_program
from fsb_perception.ros.qos import IMAGE_QOS
from fsb_perception.types import Image as Picture

_LOG_EVERY = 10.0  # s
_JPEG_QUALITY = 90


class CameraConfig(Options):
    """Options of the camera node."""

    source: str = option(
        "sample",
        "sample, sample:steady, webcam, the number of a webcam, a device, a video file, a folder "
        "of pictures, or a picture",
    )
    fps: float = option(
        0.0, "frames a second; 0 for the source's own", unit="1/s", ge=0.0, le=240.0
    )
    width: int = option(0, "width of the images; 0 for the source's own", unit="px", ge=0, le=8192)
    height: int = option(
        0, "height of the images; 0 for the source's own", unit="px", ge=0, le=8192
    )
    loop: bool = option(True, "begin again at the end of a file; else the program ends there")
    frame_id: str = option("camera", "frame in the header of the images")
    compressed: bool = option(False, "publish image/compressed (JPEG) too, if it has subscribers")


class Camera(Node):
    """A node that publishes ``image`` from its own thread, at the pace of the source.

    Attributes:
        failure: the reason of an early stop; empty without one.
        finished: set when there are no more pictures, for any reason.
    """

    def __init__(self) -> None:
        super().__init__("camera", automatically_declare_parameters_from_overrides=True)
        shared_memory.protect()
        self._config = declare_options(self, CameraConfig)
        config = self._config
        self._source = open_source(
            config.source,
            width=config.width,
            height=config.height,
            fps=config.fps,
            loop=config.loop,
        )
        self.failure = ""
        self.finished = threading.Event()
        self._stopping = threading.Event()
        self._published, self._stamp = 0, 0
        self._images = self.create_publisher(Image, "image", IMAGE_QOS)
        self._jpegs = (
            self.create_publisher(CompressedImage, "image/compressed", IMAGE_QOS)
            if config.compressed
            else None
        )
        self._worker = threading.Thread(target=self._work, name="camera", daemon=True)

    def start(self) -> None:
        """Start to publish."""
        source = self._source
        self.get_logger().info(
            f"publishing {source.title} on {self._images.topic_name} at {source.fps:g} frames/s"
        )
        self._worker.start()

    def stop(self) -> None:
        """End the thread, which waits for one picture at most."""
        self._stopping.set()
        if self._worker.is_alive():
            self._worker.join(timeout=2.0)

    def _work(self) -> None:
        try:
            self._publish_all(self._source)
        except (FsbError, OSError) as error:
            self.failure = error_line(error)
        except Exception as error:
            if not self._stopping.is_set() and rclpy.ok():
                self.failure = f"the camera failed: {type(error).__name__}: {error}"
        finally:
            self.finished.set()

    def _publish_all(self, source: Source) -> None:
        period = 0.0 if source.live else 1.0 / source.fps
        due = logged = time.monotonic()
        counted = 0
        for picture in source.pictures:
            # After a sleep that overran there is no burst: the next frame is due from now on.
            due = max(due + period, time.monotonic())
            if self._stopping.wait(due - time.monotonic()):
                return
            self._publish(picture)
            if due - logged >= _LOG_EVERY:
                rate = (self._published - counted) / (due - logged)
                self.get_logger().info(f"{self._published} frames published, {rate:.1f} a second")
                logged, counted = due, self._published
        if source.live:
            raise SourceError(f"{source.title} gives no more pictures: was it unplugged?")
        self.get_logger().info(f"{source.title} has ended after {self._published} frames")

    def _publish(self, picture: Picture) -> None:
        header = Header(stamp=self._next_stamp(), frame_id=self._config.frame_id)
        self._images.publish(bgr_to_image(picture, header))
        if self._jpegs is not None and self._jpegs.get_subscription_count():
            self._jpegs.publish(bgr_to_jpeg(picture, header, _JPEG_QUALITY))
        self._published += 1

    def _next_stamp(self) -> rclpy.time.Time:
        now = self.get_clock().now().nanoseconds
        # The system's clock may be set back; the stamps of one stream must not.
        self._stamp = max(now, self._stamp + 1)
        return rclpy.time.Time(nanoseconds=self._stamp).to_msg()


def main(args: list[str] | None = None) -> int:
    """Run the camera until its source ends or a signal comes; return 1 if it failed."""
    return run_program("camera", _run, args)


def _run(cleanup: ExitStack) -> int:
    camera = Camera()
    cleanup.callback(camera.destroy_node)
    cleanup.callback(camera.stop)
    camera.start()
    while rclpy.ok() and not camera.finished.is_set():
        rclpy.spin_once(camera, timeout_sec=0.2)
    if camera.failure:
        raise SourceError(camera.failure)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""Everything that lives while the node is active: subscriptions, mailboxes, worker.

image ---> CameraInput ---> Mailboxes ---> Worker ---> Decoders ---> Worker ---> Outputs
           (executor)       (newest wins)  (thread)    (a thread     (thread)
                                                        a camera)
"""

from __future__ import annotations

from typing import Any

from rclpy.node import Node

from fsb_perception.node_config import NodeConfig
from fsb_perception.ros.camera_input import CameraInput
from fsb_perception.ros.diagnostics import PERIOD, Health
from fsb_perception.ros.mailbox import Mailboxes
from fsb_perception.ros.parts import NodeParts
from fsb_perception.ros.worker import Worker


class ActiveNode:
    """The work of a node from its activation to its deactivation; it begins with `start`.

    Args:
        node: that subscribes, publishes and logs.
        config: its options.
        parts: pipelines and publishers. Deactivation ends all tracks of the pipelines.
    """

    def __init__(self, node: Node, config: NodeConfig, parts: NodeParts) -> None:
        self._pipelines = parts.pipelines
        self._mailboxes: Mailboxes[Any] = Mailboxes(parts.pipelines)
        self._inputs = {
            camera: CameraInput(node, camera, config, self._mailboxes) for camera in parts.pipelines
        }
        self._worker = Worker(
            node,
            parts.pipelines,
            self._mailboxes,
            parts.convert,
            parts.outputs.publish,
            config.max_answer_age,
        )
        # Frames of each camera at the last report: answered, and answered with an error.
        self._reported = dict.fromkeys(parts.pipelines, (0, 0))

    def start(self) -> None:
        """Start the worker and subscribe."""
        for pipeline in self._pipelines.values():
            pipeline.reset()  # a worker that was late has perhaps left tracks
        self._worker.start()
        self.enable()

    def close(self) -> None:
        """Unsubscribe, stop the worker and end all tracks."""
        for camera in self._inputs.values():
            camera.close()
        self._worker.stop()
        self._mailboxes.empty()  # the last image is not kept
        if self.is_working:
            return  # it uses the pipelines; the next activation resets them
        for pipeline in self._pipelines.values():
            pipeline.reset()

    @property
    def is_working(self) -> bool:
        """True while the worker runs, which may outlast `close` by the rest of its frame."""
        return self._worker.is_alive

    @property
    def topics(self) -> list[str]:
        """Full names of the topics of images."""
        return [camera.topic for camera in self._inputs.values()]

    def enable(self) -> None:
        """Subscribe to every camera, where that is not done yet."""
        for camera in self._inputs.values():
            camera.open()

    def disable(self) -> None:
        """Unsubscribe from every camera and end all tracks; the worker waits."""
        for camera in self._inputs.values():
            camera.close()
        self._mailboxes.empty()
        self._worker.reset_tracks()

    def reset_tracks(self) -> None:
        """End all tracks before the next image."""
        self._worker.reset_tracks()

    def dropped(self, camera: str = "") -> int:
        """Return the number of images of a camera that were not answered."""
        return self._worker.dropped(camera)

    def follow_publishers(self) -> None:
        """Subscribe again where publishers have changed their reliability; call it regularly."""
        for camera in self._inputs.values():
            camera.follow_publishers()

    def health(self) -> dict[str, Health]:
        """Return the state of each camera by name; call this once in `diagnostics.PERIOD`."""
        return {camera: self._health(camera) for camera in self._inputs}

    def _health(self, camera: str) -> Health:
        source, counts = self._inputs[camera], self._worker.counts[camera]
        answered, bad = counts.answered, counts.undecodable + counts.failed + counts.late
        answered_before, bad_before = self._reported[camera]
        self._reported[camera] = answered, bad
        if bad == bad_before:
            counts.fault = ""  # it has passed
        rate = (answered - answered_before) / PERIOD
        return Health(source, counts, self._worker.dropped(camera), rate, bad - bad_before)

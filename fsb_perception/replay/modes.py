"""The modes of a replay: in this process, or through the running node."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass

from fsb_perception.config import PerceptionConfig
from fsb_perception.registry import Registry
from fsb_perception.replay.answering import Answering


@dataclass(frozen=True)
class Mode:
    """A way to have images answered.

    Attributes:
        where: ``module:class`` of its `Answering`, imported when it is used.
        meaning: the rest of a sentence that begins with the mode's name.
        needs_ros: ROS's environment must be prepared before the class is imported.
        has_rate: recordings are played at a rate; several at once would slow each other down.
        on_cluster: machines of a cluster can do it.
    """

    where: str
    meaning: str
    needs_ros: bool = False
    has_rate: bool = False
    on_cluster: bool = False

    def build(self, config: PerceptionConfig, rate: str = "") -> Answering:
        """Build what answers the images.

        Args:
            config: options of the pipeline, or parameters of the node.
            rate: multiple of the recorded speed, or "search"; 1 if empty.

        Raises:
            BundleError, DetectorError, OptionError, UnknownNameError: a part cannot be built.
        """
        make = pkgutil.resolve_name(self.where)
        answering: Answering = make(config, rate or "1") if self.has_rate else make(config)
        return answering


MODES = Registry(
    "mode",
    {
        "offline": Mode(
            "fsb_perception.replay.running.offline:Offline",
            "every image by its recorded stamp, as fast as possible, without a running node",
            on_cluster=True,
        ),
        "lockstep": Mode(
            "fsb_perception.ros.playing.lockstep:Lockstep",
            "through the running node, one image at a time: each waits for the answer to the "
            "image before",
            needs_ros=True,
        ),
        "realtime": Mode(
            "fsb_perception.ros.playing.realtime:Realtime",
            "through the running node, which nothing waits for, as on a robot",
            needs_ros=True,
            has_rate=True,
        ),
    },
)

"""A node process that a replay starts to play recordings to."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.config import PerceptionConfig
from fsb_perception.node_config import parameter_value
from fsb_perception.options import walk
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.topics import COMPRESSED, ImageTopic
from fsb_perception.replay.running.offline import reported_tasks
from fsb_perception.replay.summary import Play
from fsb_perception.ros import environment
from fsb_perception.ros.launching.graph import NodeSpec
from fsb_perception.ros.launching.processes import NodeProcess, NodeProcesses

if TYPE_CHECKING:
    from fsb_perception.ros.playing.player import Player

_START_LIMIT = 180.0  # s until the node subscribes; a slow disk takes long to load torch
_CONNECTION_PERIOD = 0.05  # s between two looks whether it does
_LOG_LINES = 12  # of a node that failed
_NODE = "face_attributes"


class ThroughNode:
    """The common part of the ways in which a running node answers images.

    Args:
        config: parameters of the node.

    Attributes:
        bundle_id, tasks, play, pid: see `fsb_perception.replay.answering.Answering`.

    Raises:
        BundleError: the bundle cannot be read.
    """

    def __init__(self, config: PerceptionConfig) -> None:
        bundle = load_bundle(config.bundle, digest=config.bundle_digest)
        self._config = config
        self.bundle_id = bundle.bundle_id
        self.tasks: Sequence[str] = reported_tasks(bundle, config)
        self.play: Play | None = None
        self.pid: int | None = None

    @contextmanager
    def _started(
        self, topics: Sequence[ImageTopic], *, threads: int | None = None, sim_time: bool = False
    ) -> Iterator[tuple[Player, NodeProcess]]:
        with started_node(self._config, topics, threads=threads, sim_time=sim_time) as (
            player,
            node,
        ):
            self.pid = node.pid
            try:
                yield player, node
            finally:
                self.pid = None


@contextmanager
def started_node(
    config: PerceptionConfig,
    topics: Sequence[ImageTopic],
    *,
    threads: int | None = None,
    sim_time: bool = False,
) -> Iterator[tuple[Player, NodeProcess]]:
    """Start a node and its player, and wait until they are connected; both end with the block.

    Args:
        config: parameters of the node.
        topics: of a recording, one a camera.
        threads: CPU threads of the node; None for its own choice.
        sim_time: the node's clock is that of the recording, on ``/clock``.

    Raises:
        BagError: the node cannot take these topics, or does not start.
    """
    namespace = f"fsb_replay_{os.getpid()}"
    variables, _ = environment.children(os.environ, processes=2)
    if threads is not None:
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), str(threads))
    os.environ.update(variables)
    parameters = {**node_parameters(config, topics), **({"use_sim_time": True} if sim_time else {})}
    spec = NodeSpec(_NODE, "fsb_perception.ros.node", namespace, parameters=parameters)
    # Imported only now: ROS reads the variables while it is loaded.
    from fsb_perception.ros.playing.player import playing

    with NodeProcesses([spec], variables) as processes:
        node = processes[_NODE]
        with playing(namespace, topics, clock=sim_time) as player:
            _wait_for_connection(player, node)
            yield player, node


def node_parameters(config: PerceptionConfig, topics: Sequence[ImageTopic]) -> Mapping[str, Any]:
    """Return the parameters with which a node answers topics of a recording, without defaults.

    Raises:
        BagError: one node cannot subscribe to all of these topics.
    """
    cameras = [topic.camera for topic in topics]
    if len(cameras) > 1 and "" in cameras:
        raise BagError(
            "a topic without a camera's name, such as /image, cannot be one of several: "
            "choose with --topic"
        )
    types = {topic.type for topic in topics}
    if len(types) > 1:
        raise BagError(
            "raw and compressed topics cannot be mixed for one node: choose with --topic"
        )
    changed = {
        option.name: parameter_value(value)
        for option in walk(PerceptionConfig)
        if (value := _value(config, option.name)) != option.default
    }
    return changed | {
        **({"cameras": cameras} if any(cameras) else {}),
        "image_transport": "compressed" if types == {COMPRESSED} else "raw",
        "image_reliability": "reliable",
        "id_prefix": "face",
    }


def _value(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def _wait_for_connection(player: Player, node: NodeProcess) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while not player.is_connected():
        if node.status is not None:
            raise BagError(end_of(node))
        if time.monotonic() > deadline:
            raise BagError(f"the node does not subscribe within {_START_LIMIT:g} s")
        time.sleep(_CONNECTION_PERIOD)


def end_of(node: NodeProcess) -> str:
    """Return the text of an error about a node that has ended: its status and last log lines."""
    lines = "\n  ".join(node.last_lines(_LOG_LINES))
    return f"the node ended with status {node.status}; its last log lines:\n  {lines}"

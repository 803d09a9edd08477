"""A node of one's own to play recordings to: a process that ends with the block it is made for."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.config import PerceptionConfig
from fsb_perception.options import walk
from fsb_perception.replay.bags.errors import BagError
from fsb_perception.replay.bags.topics import COMPRESSED, ImageTopic
from fsb_perception.replay.running.offline import reported_tasks
from fsb_perception.ros import environment
from fsb_perception.ros.launching.graph import NodeSpec
from fsb_perception.ros.launching.processes import NodeProcess, NodeProcesses

if TYPE_CHECKING:
    from fsb_perception.ros.playing.player import Player

_START_LIMIT = 180.0  # s until the node listens; loading torch from a slow disc takes its time
_LOG_LINES = 12  # of a node that failed
_NODE = "face_attributes"


class ThroughNode:
    """What ways to have images answered by the node itself have in common.

    Args:
        config: the node's parameters.

    Attributes:
        bundle_id, tasks, facts, pid: see `fsb_perception.replay.running.offline.Answering`.

    Raises:
        BundleError: the bundle cannot be read.
    """

    def __init__(self, config: PerceptionConfig) -> None:
        bundle = load_bundle(config.bundle)
        self._config = config
        self.bundle_id = bundle.bundle_id
        self.tasks: Sequence[str] = reported_tasks(bundle, config)
        self.facts: dict[str, Any] = {}
        self.pid: int | None = None

    @contextmanager
    def _played(
        self, topics: Sequence[ImageTopic], **how: Any
    ) -> Iterator[tuple[Player, NodeProcess]]:
        with played_node(self._config, topics, **how) as (player, node):
            self.pid = node.pid
            try:
                yield player, node
            finally:
                self.pid = None


@contextmanager
def played_node(
    config: PerceptionConfig,
    topics: Sequence[ImageTopic],
    *,
    threads: int | None = None,
    sim_time: bool = False,
) -> Iterator[tuple[Player, NodeProcess]]:
    """A node that listens, and what publishes to it; both end with the block.

    Args:
        config: the node's parameters.
        topics: of a recording, one of each camera.
        threads: that the node computes with; as many as it likes if not said.
        sim_time: the node's clock is that of the recording, on ``/clock``.

    Raises:
        BagError: the node cannot be played these topics, or does not start.
    """
    namespace = f"fsb_replay_{os.getpid()}"
    variables, _ = environment.children(os.environ, processes=2)
    if threads is not None:
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"), str(threads))
    os.environ.update(variables)
    parameters = {**node_parameters(config, topics), **({"use_sim_time": True} if sim_time else {})}
    spec = NodeSpec(_NODE, "fsb_perception.ros.node", namespace, parameters=parameters)
    # Loaded only now: the transport reads its variables when it is loaded.
    from fsb_perception.ros.playing.player import playing

    with NodeProcesses([spec], variables) as processes:
        node = processes[_NODE]
        with playing(namespace, topics, clock=sim_time) as player:
            _wait_until_heard(player, node)
            yield player, node


def node_parameters(config: PerceptionConfig, topics: Sequence[ImageTopic]) -> Mapping[str, Any]:
    """What the node must be told to answer topics of a recording; defaults are left out."""
    cameras = [topic.camera for topic in topics]
    if len(cameras) > 1 and "" in cameras:
        raise BagError(
            "a topic without a camera's name, such as /image, cannot be one of several: "
            "choose with --topic"
        )
    kinds = {topic.type for topic in topics}
    if len(kinds) > 1:
        raise BagError(
            "raw and compressed topics cannot be mixed for one node: choose with --topic"
        )
    changed = {
        option.name: list(value) if isinstance(value, tuple) else value
        for option in walk(PerceptionConfig)
        if (value := _value(config, option.name)) != option.default
    }
    return changed | {
        **({"cameras": cameras} if any(cameras) else {}),
        "image_transport": "compressed" if kinds == {COMPRESSED} else "raw",
        "image_reliability": "reliable",
        "id_prefix": "face",
    }


def _value(config: Any, name: str) -> Any:
    for part in name.split("."):
        config = getattr(config, part)
    return config


def _wait_until_heard(player: Player, node: NodeProcess) -> None:
    deadline = time.monotonic() + _START_LIMIT
    while not player.is_heard():
        if node.status is not None:
            raise BagError(ended(node))
        if time.monotonic() > deadline:
            raise BagError(f"the node does not listen after {_START_LIMIT:g} s")
        time.sleep(0.05)


def ended(node: NodeProcess) -> str:
    """What to say of a node that is no more."""
    lines = "\n  ".join(node.last_lines(_LOG_LINES))
    return f"the node ended with status {node.status}; its last words:\n  {lines}"

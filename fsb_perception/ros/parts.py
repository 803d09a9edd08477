"""The parts of a configured node: engine, one pipeline a camera, publishers."""

from __future__ import annotations

import secrets
from functools import partial

from rclpy.node import Node

from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import Detector
from fsb_perception.images.messages import compressed_to_bgr
from fsb_perception.inference.engine import Engine
from fsb_perception.node_config import NodeConfig
from fsb_perception.options import options_at_cap
from fsb_perception.pipeline import FacePipeline
from fsb_perception.ros.conversions import make_converter
from fsb_perception.ros.outputs import Outputs
from fsb_perception.tracking import face_id_part


class NodeParts:
    """Everything that lives from the configuration of the node to its cleanup.

    All cameras share one engine and one detector. The tracker and the fusion of a pipeline remember
    faces, so each camera has its own pipeline.

    Args:
        node: that publishes and logs.
        config: its options.
        detector: takes the place of the one that the options name.

    Attributes:
        convert: turns an image message into a BGR picture.
        pipelines: one a camera, by its name; "" is the name of a single camera.
        outputs: publishers.

    Raises:
        FsbError: a part cannot be built; the message says why.
    """

    def __init__(self, node: Node, config: NodeConfig, detector: Detector | None = None) -> None:
        logger = node.get_logger()
        raw_to_bgr = make_converter(config.converter)
        compressed = partial(compressed_to_bgr, config=config.decoding)
        self.convert = compressed if config.image_transport == "compressed" else raw_to_bgr
        logger.info(f"loading bundle {config.bundle}")
        bundle = load_bundle(config.bundle, digest=config.bundle_digest)
        self._engine = Engine(bundle, config.engine)
        detector = detector or build_detector(config.detector)
        self.pipelines = {
            camera: FacePipeline(config, self._engine, detector, _id_prefix(config, camera))
            for camera in config.cameras or ("",)
        }
        logger.info(f"warming up {bundle.bundle_id} on {self._engine.runtime.device}")
        self._engine.warm_up()
        self._engine.share_cores()
        self.outputs = Outputs(node, config, bundle)
        for name in options_at_cap(config):
            logger.info(f"{name} is at the largest value that it takes")

    @property
    def facts(self) -> dict[str, str]:
        """Values of the diagnostics that are the same for all cameras."""
        engine = self._engine
        runtime = engine.runtime
        return {
            "bundle": engine.bundle.bundle_id,
            "device": f"{runtime.device}, {runtime.precision}",
        }

    def configure(self, config: NodeConfig) -> None:
        """Apply the live options; the others stay as the parts were built with them."""
        self.outputs.debug_width = config.debug_width
        for pipeline in self.pipelines.values():
            pipeline.configure(config)

    def close(self) -> None:
        """Destroy the publishers; the rest is freed with this object."""
        self.outputs.close()


def _id_prefix(config: NodeConfig, camera: str) -> str:
    # It is random, so that ids of two runs differ.
    prefix = config.id_prefix or f"f{secrets.token_hex(3)}"
    return f"{prefix}_{face_id_part(camera)}" if camera else prefix

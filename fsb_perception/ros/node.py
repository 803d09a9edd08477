"""The lifecycle node ``face_attributes``: images in, one `FaceAttributesArray` a frame out.

image ---> CameraInput ---> Mailboxes ---> Worker ---> ~/faces
           (executor)       (newest wins)  (thread)    ~/debug_image/compressed, if listened to
"""

from __future__ import annotations

import logging
import os
import secrets
import signal
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage
from std_srvs.srv import SetBool, Trigger

from fsb_perception.bundles.bundle import load_bundle
from fsb_perception.bundles.manifest import BundleError
from fsb_perception.detection import build_detector
from fsb_perception.detection.base import DetectorError
from fsb_perception.images.messages import compressed_to_bgr
from fsb_perception.inference.engine import Engine, EngineMemoryError
from fsb_perception.msg import BundleInfo, FaceAttributesArray
from fsb_perception.node_config import NodeConfig, is_ros_parameter
from fsb_perception.options import OptionError
from fsb_perception.pipeline import FacePipeline
from fsb_perception.registry import UnknownNameError
from fsb_perception.ros import diagnostics, environment
from fsb_perception.ros.camera_input import CameraInput
from fsb_perception.ros.conversions import make_converter
from fsb_perception.ros.debug_image import debug_image
from fsb_perception.ros.logs import forward_logs
from fsb_perception.ros.mailbox import Mailboxes
from fsb_perception.ros.messages import array_to_msg, bundle_to_msg
from fsb_perception.ros.parameters import changed_options, declare_options
from fsb_perception.ros.qos import BUNDLE_INFO_QOS, DIAGNOSTICS_QOS, FACES_QOS, IMAGE_QOS
from fsb_perception.ros.worker import Answer, Worker
from fsb_perception.tracking import face_id_part

# What a user can cause and mend: said in one line, without a traceback.
_USER_ERRORS = (BundleError, DetectorError, EngineMemoryError, OptionError, UnknownNameError)


Step = Callable[[Any, State], TransitionCallbackReturn]


def _tells_errors(step: Step) -> Step:
    """Log what a lifecycle step raises: rclpy turns it into a state without a word."""

    @wraps(step)
    def told(self: Any, state: State) -> TransitionCallbackReturn:
        try:
            return step(self, state)
        except Exception:
            if self.context.ok():  # otherwise it was told to end meanwhile, and cannot go on
                self.get_logger().error(f"{step.__name__} failed:\n{traceback.format_exc()}")
            raise

    return told


class FaceAttributesNode(LifecycleNode):
    """See the top of this file. Parameters: config/perception.yaml.

    Attributes:
        failure: why configuring failed; empty when it did not.
    """

    def __init__(self, **options: Any) -> None:
        # Before anything can raise: rclpy also destroys a node that was half made.
        self.failure = ""
        self._worker: Worker | None = None
        self._inputs: dict[str, CameraInput] = {}
        self._pipelines: dict[str, FacePipeline] = {}
        self._made: list[Publisher] = []
        self._last: dict[str, tuple[int, int]] = {}
        try:
            super().__init__(
                "face_attributes", automatically_declare_parameters_from_overrides=True, **options
            )
        except ValueError as error:
            raise OptionError(
                "a parameter is an empty list, whose type ROS cannot tell: "
                f"leave it out or write [''] ({error})"
            ) from error
        self._config = declare_options(self, NodeConfig)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", DIAGNOSTICS_QOS)
        # On the steady clock: with use_sim_time and a paused bag the node must still be heard.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(diagnostics.PERIOD, self._tick, clock=steady)
        self.create_service(SetBool, "~/enable", self._on_enable)
        self.create_service(Trigger, "~/reset_tracks", self._on_reset)

    @property
    def autostart(self) -> bool:
        """Whether the node shall configure and activate by itself."""
        return self._config.autostart

    @_tells_errors
    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Load the bundle, build every part and warm up."""
        self.failure = ""
        try:
            self._build()
        except _USER_ERRORS as error:
            self.failure = str(error)
            self.get_logger().error(f"cannot configure: {error}")
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    def _build(self) -> None:
        config, logger = self._config, self.get_logger()
        raw_to_bgr = make_converter(config.converter)
        self._convert = compressed_to_bgr if config.image_transport == "compressed" else raw_to_bgr
        logger.info(f"loading bundle {config.bundle}")
        bundle = load_bundle(config.bundle)
        self._engine = Engine(bundle, config.engine)
        detector = build_detector(config.detector)
        self._pipelines = {
            camera: FacePipeline(config, self._engine, detector, self._id_prefix(camera))
            for camera in config.cameras or ("",)
        }
        logger.info(f"warming up {bundle.bundle_id} on {self._engine.device}")
        self._engine.warm_up()
        self._engine.share_cores()
        self._mailboxes: Mailboxes[Any] = Mailboxes(self._pipelines)
        self._inputs = {
            camera: CameraInput(self, camera, config, self._mailboxes) for camera in self._pipelines
        }
        self._faces = self._make(FaceAttributesArray, "~/faces", FACES_QOS)
        self._debug_images = {
            camera: self._make(
                CompressedImage,
                _under(camera, "debug_image/compressed"),
                IMAGE_QOS,
            )
            for camera in self._pipelines
            if config.debug_image
        }
        bundle_info = self._make(BundleInfo, "~/bundle_info", BUNDLE_INFO_QOS)
        now = self.get_clock().now().nanoseconds
        bundle_info.publish(bundle_to_msg(bundle, now, config.tasks))

    def _make(self, kind: type[Any], topic: str, qos: QoSProfile) -> Publisher:
        self._made.append(self.create_publisher(kind, topic, qos))
        return self._made[-1]

    def _id_prefix(self, camera: str) -> str:
        # Random, so that an id of one run is not taken for that of another.
        prefix = self._config.id_prefix or f"f{secrets.token_hex(3)}"
        return f"{prefix}_{face_id_part(camera)}" if camera else prefix

    @_tells_errors
    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe and start to answer."""
        self._mailboxes.clear()
        self._last = dict.fromkeys(self._pipelines, (0, 0))
        self._worker = Worker(
            self._pipelines,
            self._mailboxes,
            self._convert,
            self._publish,
            self.context.ok,
            lambda: self.get_clock().now().nanoseconds,
            self.get_logger(),
        )
        self._worker.start()
        for source in self._inputs.values():
            source.received = 0
        self._open_inputs()
        topics = ", ".join(source.topic for source in self._inputs.values())
        self.get_logger().info(f"active: {topics} -> {self._faces.topic_name}")
        return super().on_activate(state)

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Stop answering; faces that return afterwards get new ids."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Free the bundle and everything built from it."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Stop and free, from whatever state."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: State) -> TransitionCallbackReturn:
        """Stop and free what a failed step has left; the node can then be configured again."""
        self._stop()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop the worker before its publishers go."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        for source in self._inputs.values():
            source.close()
        if self._worker is not None:
            self._worker.stop()
            self._worker = None
            self._mailboxes.clear()  # the last image is not kept
            for pipeline in self._pipelines.values():
                pipeline.reset()

    def _free(self) -> None:
        while self._made:
            self.destroy_publisher(self._made.pop())
        self._inputs, self._pipelines = {}, {}
        self.__dict__.pop("_engine", None)

    def _open_inputs(self) -> None:
        for source in self._inputs.values():
            source.open()

    def _publish(self, answer: Answer) -> None:
        message = array_to_msg(
            answer.faces,
            answer.header,
            camera=answer.camera,
            width=answer.image.shape[1],
            height=answer.image.shape[0],
            sequence=answer.sequence,
            dropped=answer.dropped,
            wait_time=answer.wait_time,
            process_time=answer.process_time,
            bundle_id=self._engine.bundle.bundle_id,
        )
        self._faces.publish(message)
        publisher = self._debug_images.get(answer.camera)
        if publisher is not None and publisher.get_subscription_count():
            width = self._config.debug_width
            publisher.publish(debug_image(answer.image, answer.faces, answer.header, width))

    def _tick(self) -> None:
        stamp, name = self.get_clock().now().to_msg(), self.get_fully_qualified_name()
        if self._worker is None:
            self._diagnostics.publish(diagnostics.inactive(name, stamp, self.failure))
            return
        facts = {
            "bundle": self._engine.bundle.bundle_id,
            "device": f"{self._engine.device}, {self._engine.dtype}".replace("torch.", ""),
        }
        health = {camera: self._health(camera, self._worker) for camera in self._inputs}
        stale = self._config.stale_after
        self._diagnostics.publish(diagnostics.report(name, stamp, health, facts, stale))

    def _health(self, camera: str, worker: Worker) -> diagnostics.Health:
        source, counts = self._inputs[camera], worker.counts[camera]
        source.follow_publishers()
        answered, bad = counts.answered, counts.undecodable + counts.failed
        before, bad_before = self._last[camera]
        self._last[camera] = answered, bad
        rate = (answered - before) / diagnostics.PERIOD
        return diagnostics.Health(source, counts, worker.dropped(camera), rate, bad - bad_before)

    def _on_parameters(self, parameters: list[Parameter]) -> SetParametersResult:
        changed = {p.name: p.value for p in parameters if not is_ros_parameter(p.name)}
        try:
            config = changed_options(self, NodeConfig, changed)
        except (OptionError, UnknownNameError) as error:
            return SetParametersResult(successful=False, reason=str(error))
        self._config = config
        for pipeline in self._pipelines.values():
            pipeline.configure(config)
        return SetParametersResult(successful=True)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        response.success = self._worker is not None
        if self._worker is None:
            response.message = "the node is inactive"
        elif request.data:
            self._open_inputs()
            response.message = "images are processed"
        else:
            for source in self._inputs.values():
                source.close()
            self._mailboxes.empty()
            self._worker.reset_tracks()
            response.message = "images are no longer subscribed to"
        return response

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        response.success = self._worker is not None
        response.message = "all tracks end" if self._worker else "the node is inactive"
        if self._worker is not None:
            self._worker.reset_tracks()
        return response


def _under(camera: str, name: str) -> str:
    return f"~/{camera.strip('/')}/{name}" if camera else f"~/{name}"


def start(node: FaceAttributesNode) -> bool:
    """Configure and activate the node, if it shall do so by itself; False if that failed."""
    if not node.autostart:
        node.get_logger().info("autostart is off: waiting to be configured and activated")
        return True
    steps: tuple[Callable[[], TransitionCallbackReturn], ...] = (
        node.trigger_configure,
        node.trigger_activate,
    )
    return all(step() == TransitionCallbackReturn.SUCCESS for step in steps)


def main(args: list[str] | None = None) -> int:
    """Run the node until it is asked to stop; 1 if it could not start."""
    environment.prepare()
    variables, note = environment.transport(os.environ, processes=2)
    os.environ.update(variables)
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # a parameter file or an argument that cannot be read
        rclpy.logging.get_logger("face_attributes").fatal(str(error))
        return 1
    node: FaceAttributesNode | None = None
    code = 0
    try:
        node = FaceAttributesNode()
        if note:
            node.get_logger().warning(note)
        with forward_logs(logging.getLogger("fsb_perception"), node.get_logger()):
            started = start(node)
            code = 1 if rclpy.ok() and not started else 0
            if started:
                rclpy.spin(node)
    except _USER_ERRORS as error:
        rclpy.logging.get_logger("face_attributes").fatal(str(error))
        code = 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        if rclpy.ok():  # otherwise a signal took the context from what was under way
            raise
    finally:
        # Under launch the interrupt comes twice; the second must not disturb the end.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
    return code


if __name__ == "__main__":
    raise SystemExit(main())

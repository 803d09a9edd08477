"""The lifecycle node ``face_attributes``: images in, one `FaceAttributesArray` a frame out.

configure    build `NodeParts`: engine, pipelines, publishers
activate     start an `ActiveNode`: subscriptions and the worker that answers
deactivate   close it
cleanup      free the parts

The diagnostics, the services and the parameters are there in every state.
"""

from __future__ import annotations

import gc
import logging
import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rcl_interfaces.msg import SetParametersResult
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, State, TransitionCallbackReturn
from rclpy.parameter import Parameter

from fsb_perception.detection.base import Detector
from fsb_perception.errors import FsbError, error_line
from fsb_perception.node_config import NodeConfig, is_ros_parameter
from fsb_perception.options import OptionError
from fsb_perception.ros import diagnostics, environment, shared_memory
from fsb_perception.ros.active import ActiveNode
from fsb_perception.ros.logs import Backoff, forward_logs, log_errors
from fsb_perception.ros.parameters import changed_options, declare_options
from fsb_perception.ros.parts import NodeParts
from fsb_perception.ros.program import run_program
from fsb_perception.ros.qos import DIAGNOSTICS_QOS
from fsb_perception.ros.rivals import Rivals
from fsb_perception.ros.services import create_services
from fsb_perception.ros.sparing import SparingExecutor


class FaceAttributesNode(LifecycleNode):
    """The node; config/perception.yaml lists its parameters.

    Args:
        detector: takes the place of the one that the parameters name.
        options: of `rclpy.lifecycle.LifecycleNode`.

    Attributes:
        failure: why the last configuration failed; empty if it did not.
        active: what runs between activation and deactivation; None in other states.

    Raises:
        OptionError: a parameter has a wrong value.
        UnknownNameError: a parameter is unknown.
    """

    def __init__(self, *, detector: Detector | None = None, **options: Any) -> None:
        # Before super(): if that raises, rclpy still calls destroy_node.
        self.failure = ""
        self.active: ActiveNode | None = None
        self._closed: ActiveNode | None = None  # whose worker may still be at its last frame
        self._parts: NodeParts | None = None
        self._detector = detector
        try:
            super().__init__(
                "face_attributes", automatically_declare_parameters_from_overrides=True, **options
            )
        except ValueError as error:
            raise OptionError(
                "a parameter is an empty list, whose type ROS cannot tell: "
                f"leave it out or write [''] ({error})"
            ) from error
        shared_memory.protect()
        self._config = declare_options(self, NodeConfig)
        self.add_on_set_parameters_callback(self._on_parameters)
        self._diagnostics = self.create_publisher(DiagnosticArray, "/diagnostics", DIAGNOSTICS_QOS)
        self._rivals, self._backoff, self._shortages = Rivals(self, "~/faces"), Backoff(), 0
        # The steady clock also runs while a bag that drives the simulated time is paused.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        self._timer = self.create_timer(diagnostics.PERIOD, self._publish_diagnostics, clock=steady)
        create_services(self, lambda: self.active)

    @property
    def autostart(self) -> bool:
        """True if the node is to be configured and activated at the start of the program."""
        return self._config.autostart

    @log_errors
    def on_configure(self, state: State) -> TransitionCallbackReturn:
        """Load the bundle, build every part and warm up."""
        self.failure = ""
        try:
            self._parts = NodeParts(self, self._config, self._detector)
        except (FsbError, OSError, UnicodeError) as error:
            self.failure = error_line(error)
            self.get_logger().error(f"cannot configure: {self.failure}")
            return TransitionCallbackReturn.FAILURE
        return super().on_configure(state)

    @log_errors
    def on_activate(self, state: State) -> TransitionCallbackReturn:
        """Subscribe to the images and answer them."""
        assert self._parts is not None
        if self._closed is not None and self._closed.is_working:
            self.get_logger().error(
                "cannot activate: the worker of the last activation is still at its last frame; "
                "activate again when it has ended"
            )
            return TransitionCallbackReturn.FAILURE
        self._closed = None
        self.active = ActiveNode(self, self._config, self._parts)
        self.active.start()
        topics = ", ".join(self.active.topics)
        self.get_logger().info(f"active: {topics} -> {self._parts.outputs.topic}")
        return super().on_activate(state)

    def on_deactivate(self, state: State) -> TransitionCallbackReturn:
        """Stop to answer; faces that return afterwards get new ids."""
        self._stop()
        return super().on_deactivate(state)

    def on_cleanup(self, state: State) -> TransitionCallbackReturn:
        """Free the bundle and every part built from it."""
        self._free()
        return super().on_cleanup(state)

    def on_shutdown(self, state: State) -> TransitionCallbackReturn:
        """Stop and free, in any state."""
        self._stop()
        self._free()
        return super().on_shutdown(state)

    def on_error(self, state: State) -> TransitionCallbackReturn:
        """Stop and free after a failed transition; the node can then be configured again."""
        self._stop()
        self._free()
        return super().on_error(state)

    def destroy_node(self) -> None:
        """Stop the worker, then destroy the publishers it uses."""
        self._stop()
        super().destroy_node()

    def _stop(self) -> None:
        if self.active is not None:
            self.active.close()
            self._closed, self.active = self.active, None
            if self._closed.is_working:
                self.get_logger().error("the worker does not end; its last answer is dropped")
            else:
                self._closed = None

    def _free(self) -> None:
        if self._parts is not None:
            self._parts.close()
            self._parts = None
            # The parts refer to each other; Python would look for such a ring only much later, and
            # 28 MB of each configuration would stay meanwhile.
            gc.collect()

    def _publish_diagnostics(self) -> None:
        stamp, name = self.get_clock().now().to_msg(), self.get_fully_qualified_name()
        rival = self._rivals.find()
        if self.active is None or self._parts is None:
            self._diagnostics.publish(diagnostics.inactive(name, stamp, self.failure, rival))
            return
        self.active.follow_publishers()
        health, stale = self.active.health(), self._config.stale_after
        facts = self._parts.facts | {"memory_shortages": str(self._shortages)}
        self._diagnostics.publish(diagnostics.report(name, stamp, health, facts, stale, rival))

    def count_shortage(self, topic: str) -> None:
        """Count a message that memory did not suffice for.

        The sequence number of the next image of its publisher shows it too, as one dropped.

        Args:
            topic: of the message; empty if only a callback is known to lack memory.
        """
        self._shortages += 1
        if self._backoff.is_due("shortage"):
            self.get_logger().error(
                f"memory does not suffice to receive a message{f' of {topic}' if topic else ''}: "
                f"it is dropped ({self._shortages} so far); end other programs"
            )

    def _on_parameters(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        changed = {p.name: p.value for p in parameters if not is_ros_parameter(p.name)}
        try:
            self._config = changed_options(self, NodeConfig, changed)
        except FsbError as error:
            return SetParametersResult(successful=False, reason=str(error))
        if self._parts is not None:
            self._parts.configure(self._config)
        return SetParametersResult(successful=True)


def start(node: FaceAttributesNode) -> bool:
    """Configure and activate the node if its parameter autostart is true; False if that failed."""
    if not node.autostart:
        node.get_logger().info("autostart is off: waiting to be configured and activated")
        return True
    transitions: tuple[Callable[[], TransitionCallbackReturn], ...] = (
        node.trigger_configure,
        node.trigger_activate,
    )
    return all(trigger() == TransitionCallbackReturn.SUCCESS for trigger in transitions)


def main(args: list[str] | None = None) -> int:
    """Run the node until a signal stops it; 1 if it could not start."""
    variables, note = environment.transport(os.environ, processes=2)
    os.environ.update(variables)  # before ROS starts: it reads them then
    return run_program("face_attributes", partial(_run, note), args)


def _run(note: str, cleanup: ExitStack) -> int:
    node = FaceAttributesNode()
    cleanup.callback(node.destroy_node)
    if note:
        node.get_logger().warning(note)
    with forward_logs(logging.getLogger("fsb_perception"), node.get_logger()):
        if not start(node):
            return 1 if rclpy.ok() else 0
        executor = SparingExecutor(node.count_shortage)
        executor.add_node(node)
        cleanup.callback(executor.shutdown)
        executor.spin()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The services of the node: ~/enable and ~/reset_tracks."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from rclpy.node import Node
from std_srvs.srv import SetBool, Trigger

from fsb_perception.ros.active import ActiveNode

GetActive: TypeAlias = Callable[[], ActiveNode | None]

_INACTIVE = "the node is inactive"


def create_services(node: Node, get_active: GetActive) -> None:
    """Create the services of a node.

    Args:
        node: that offers the services.
        get_active: returns what is active at the time of a call. If it returns None, a service
            answers that the node is inactive.
    """
    node.create_service(SetBool, "~/enable", partial(_enable, get_active))
    node.create_service(Trigger, "~/reset_tracks", partial(_reset_tracks, get_active))


def _enable(
    get_active: GetActive, request: SetBool.Request, response: SetBool.Response
) -> SetBool.Response:
    active = get_active()
    response.success = active is not None
    if active is None:
        response.message = _INACTIVE
    elif request.data:
        active.enable()
        response.message = "images are processed"
    else:
        active.disable()
        response.message = "images are no longer subscribed to"
    return response


def _reset_tracks(
    get_active: GetActive, _: Trigger.Request, response: Trigger.Response
) -> Trigger.Response:
    active = get_active()
    response.success = active is not None
    response.message = "all tracks end" if active else _INACTIVE
    if active is not None:
        active.reset_tracks()
    return response

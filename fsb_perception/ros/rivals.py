"""Other programs that take this node's name or publish on its topics."""

from __future__ import annotations

from rclpy.node import Node


class Rivals:
    """Finds a second node of the same name, and other publishers of the faces.

    Args:
        node: that looks for them, and logs each change.
        topic: of the faces, relative to the node.
    """

    def __init__(self, node: Node, topic: str) -> None:
        self._node, self._topic = node, node.resolve_topic_name(topic)
        self._last = ""

    def find(self) -> str:
        """Return one line about the rivals, and what to do; empty without any."""
        text = self._text()
        if text and text != self._last:
            self._node.get_logger().warning(text)
        self._last = text
        return text

    def _text(self) -> str:
        name, namespace = self._node.get_name(), self._node.get_namespace()
        same = self._node.get_node_names_and_namespaces().count((name, namespace))
        if same > 1:
            return (
                f"{same} nodes have the name {self._node.get_fully_qualified_name()}: their faces "
                "mix; end all but one, or start the others with -r __node:=NAME"
            )
        publishers = [
            f"{info.node_namespace.rstrip('/')}/{info.node_name}"
            for info in self._node.get_publishers_info_by_topic(self._topic)
            if (info.node_name, info.node_namespace) != (name, namespace)
        ]
        if not publishers:
            return ""
        return (
            f"{self._topic} has {len(publishers)} other publisher(s), {', '.join(publishers[:3])}: "
            "their faces mix with those of this node; end or remap them"
        )

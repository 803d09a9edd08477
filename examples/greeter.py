"""A behaviour node that greets every confirmed face once. It needs rclpy and the messages alone.

While the demo runs: python examples/greeter.py --ros-args -r faces:=/fsb_demo/face_attributes/faces
"""

import rclpy
from fsb_perception.msg import AttributeEstimate, FaceAttributes, FaceAttributesArray
from rclpy.node import Node

UNKNOWN = AttributeEstimate.UNKNOWN
CHILDREN = ("0-2", "3-9", "10-19")
MOODS = {"happiness": "You look cheerful!", "sadness": "Can I do something for you?"}


class Greeter(Node):
    """Greets faces, and remembers each greeted face until it leaves."""

    def __init__(self):
        super().__init__("greeter")
        self.greeted = set()
        self.create_subscription(FaceAttributesArray, "faces", self.on_faces, 5)

    def on_faces(self, array):
        """Greet new faces that were read; forget faces that have left."""
        for face in array.faces:
            new = face.state == FaceAttributes.CONFIRMED and face.face_id not in self.greeted
            if new and all(estimate.looks for estimate in face.estimates):
                self.greeted.add(face.face_id)
                self.get_logger().info(f"{face.face_id}: {self.greeting(face)}")
            elif face.state == FaceAttributes.ENDED:
                self.greeted.discard(face.face_id)  # an id is never used again

    @staticmethod
    def greeting(face):
        """Return the greeting of a face. An absent task counts as unknown."""
        label = {estimate.task: estimate.label for estimate in face.estimates}
        age, emotion = label.get("age_group", UNKNOWN), label.get("emotion", UNKNOWN)
        words = "Hi there!" if age in CHILDREN else "Good day."
        unknown = [task for task, value in label.items() if value == UNKNOWN]
        # A polite robot stays neutral where the node does not know.
        doubt = f" (I do not presume anything about: {', '.join(unknown)})" if unknown else ""
        return f"{words} {MOODS.get(emotion, 'Nice to see you.')}{doubt}"


def main():
    """Greet faces until Ctrl-C."""
    rclpy.init()
    try:
        rclpy.spin(Greeter())
    except (KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()

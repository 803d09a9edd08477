"""FSB: facial soft biometrics for social robots.

Camera frames in; gender, age group and emotion of the faces in them out. This package is the
ROS-free core; `fsb_perception.ros` is the thin shell around it, and `fsb_perception.msg` holds the
messages that colcon generates.
"""

from pkgutil import extend_path

# rosidl generates a package of this same name for the messages: both must be found.
__path__ = extend_path(__path__, __name__)

__version__ = "0.2.0"

"""FSB: facial soft biometrics for social robots.

From camera frames to the gender, age group and emotion of the faces in them. This package is the
core without ROS; `fsb_perception.ros` is the thin shell around it, and `fsb_perception.msg` holds
the messages that colcon generates.
"""

import os
from pkgutil import extend_path

# Libraries that report their use to their makers read these when they are imported; ONNX Runtime
# also keeps a device id and a store of events in ~/.cache. FSB reports nothing unless the user has
# set a variable otherwise.
for _switch, _value in {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
}.items():
    os.environ.setdefault(_switch, _value)

# rosidl generates a package of this same name for the messages: both must be found.
__path__ = extend_path(__path__, __name__)

__version__ = "0.2.0"

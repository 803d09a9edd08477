"""The arguments of ``replay.launch.py``, and the ``fsb replay run`` that they mean."""

from __future__ import annotations

from collections.abc import Mapping

from fsb_perception.bundles import BUNDLE_HELP
from fsb_perception.ros.launching.graph import Argument, LaunchArgumentError

ARGUMENTS = (
    Argument("bag", "", "folder of a rosbag2, or several with blanks between them"),
    Argument("mode", "lockstep", "lockstep, image by image; realtime; or offline"),
    Argument("rate", "1", "for realtime: multiple of the recorded pace, or search"),
    Argument("out", "replay", "folder to write to"),
    Argument("truth", "", "what is known of the people: .jsonl, .csv or a bag of boxes"),
    Argument("criteria", "", "YAML list of lines like gender.track_accuracy >= 0.9"),
    Argument("bundle", "", BUNDLE_HELP),
    Argument("params_file", "", "YAML file of the node's parameters"),
)


def fsb_arguments(values: Mapping[str, str]) -> list[str]:
    """Return the arguments of the program ``fsb`` for values of all `ARGUMENTS`.

    Raises:
        LaunchArgumentError: no recording is named.
    """
    bags = values["bag"].split()
    if not bags:
        raise LaunchArgumentError("bag: name the recording to play, as bag:=/data/run1")
    words = ["replay", "run", *bags, "--mode", values["mode"], "--out", values["out"]]
    if values["mode"] == "realtime":
        words += ["--rate", values["rate"]]
    options = {
        "--truth": "truth",
        "--criteria": "criteria",
        "--bundle": "bundle",
        "--config": "params_file",
    }
    for option, name in options.items():
        words += [option, values[name]] if values[name] else []
    return words

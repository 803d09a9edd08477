"""Programs that ``ros2 launch`` starts besides nodes: a table of arguments and command lines.

Needs nothing but Python itself, as `fsb_perception.ros.launching.graph` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from fsb_perception.ros.launching.graph import Argument


@dataclass(frozen=True)
class Program:
    """A program of the package that is no node itself.

    Attributes:
        executable: its name for ``ros2 run fsb_perception``.
        arguments: of the launch file.
        make: words after the executable, from the values of the arguments.
    """

    executable: str
    arguments: tuple[Argument, ...]
    make: Callable[[Mapping[str, str]], list[str]]


def _replay(values: Mapping[str, str]) -> list[str]:
    bags = values["bag"].split()
    if not bags:
        raise ValueError("bag: name the recording to play, as bag:=/data/run1")
    words = ["replay", "run", *bags, "--mode", values["mode"], "--out", values["out"]]
    if values["mode"] == "realtime":
        words += ["--rate", values["rate"]]
    for name in ("truth", "criteria", "bundle"):
        words += [f"--{name}", values[name]] if values[name] else []
    return [*words, *(["--config", values["params_file"]] if values["params_file"] else [])]


PROGRAMS: Mapping[str, Program] = {
    "replay": Program(
        "fsb",
        (
            Argument("bag", "", "folder of a rosbag2, or several with blanks between them"),
            Argument("mode", "lockstep", "lockstep, image by image; realtime; or offline"),
            Argument("rate", "1", "of realtime: times as fast as life, or search"),
            Argument("out", "replay", "folder to write to"),
            Argument("truth", "", "what is known of the people: .jsonl, .csv or a bag of boxes"),
            Argument("criteria", "", "YAML list of lines like gender.track_accuracy >= 0.9"),
            Argument("bundle", "", "weight bundle: a name, a folder, or OWNER/NAME"),
            Argument("params_file", "", "YAML file of the node's parameters"),
        ),
        _replay,
    )
}

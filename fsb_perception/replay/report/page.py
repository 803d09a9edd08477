"""From what was read to one page: the template does the rest."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from jinja2 import Environment
from markupsafe import Markup

from fsb_perception.options import flatten
from fsb_perception.pages.drawing import Picture, plain
from fsb_perception.pages.templates import environment
from fsb_perception.replay.report import faces, figures, tables, words
from fsb_perception.replay.report.collect import Replay
from fsb_perception.replay.report.lanes import second

# What no page may hold: controls, and halves of characters.
_NO_TEXT = re.compile("[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


_MOST_PEOPLE = 200  # rows
_OPTIONAL = ("criteria", "load", "metrics", "people", "play")  # of a summary


def as_html(replay: Replay) -> str:
    """One page with everything in it: style, plots, numbers."""
    tasks = tables.tasks(replay.summary)
    page = (
        _environment()
        .get_template("replay.html.j2")
        .render(
            replay=replay,
            said=dict.fromkeys(_OPTIONAL) | dict(replay.summary),
            tasks=tasks,
            options=flatten(replay.summary.get("config", {})),
            risk=_risk(tasks),
            cameras=[
                (
                    camera,
                    faces.longest(camera.tracks),
                    faces.camera_over_time(number, camera, replay),
                )
                for number, camera in enumerate(replay.cameras)
            ],
            speed=figures.speed(replay) if any(len(c.process[0]) for c in replay.cameras) else None,
            load=figures.load(replay.load) if replay.load else None,
        )
    )
    return _NO_TEXT.sub("\ufffd", page)


def _risk(tasks: dict[str, Any]) -> Picture | None:
    tables = {name: each["risk_coverage"] for name, each in tasks.items()}
    known = {name: table for name, table in tables.items() if any("accuracy" in r for r in table)}
    return figures.risk_coverage(known) if known else None


def _inline(picture: Picture) -> Markup:
    """The picture as an element that has its alternative text."""
    label = Markup('<svg role="img" aria-label="{}"').format(picture.alt)
    return Markup(picture.svg.replace("<svg", str(label), 1))  # noqa: S704  # drawn by ourselves


def _ends(seconds: Any) -> str:
    return f"{seconds[0]:,.1f} to {seconds[-1]:,.1f} s"


@cache
def _environment() -> Environment:
    made = environment("fsb_perception.replay.report")
    made.filters |= {
        "plain": plain,
        "number": tables.number,
        "inline": _inline,
        "ends": _ends,
    }
    made.globals |= {
        "words": words,
        "tables": tables,
        "most": faces.MOST,
        "most_people": _MOST_PEOPLE,
    }
    made.globals["second"] = second
    return made

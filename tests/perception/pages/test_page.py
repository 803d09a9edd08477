"""Pages: one file, well-formed whatever the text, with plots whose identifiers are their own."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from matplotlib.figure import Figure

from fsb_perception.files import FileError
from fsb_perception.pages.drawing import INK, Drawn, Picture, label_colours, picture
from fsb_perception.pages.page import render, write_page

TEMPLATE = """{% extends "base.html.j2" %}
{% from "macros.html.j2" import table, wide %}
{% block main %}
{% call table("Names") %}<tbody><tr><td>{{ name | plain }}</td></tr></tbody>{% endcall %}
{% for plot in plots %}{{ wide(plot) }}{% endfor %}
{% endblock %}
"""
SVG = "{http://www.w3.org/2000/svg}"


@dataclass(frozen=True)
class Content:
    title: str
    name: str = "age_group"
    plots: tuple[Picture, ...] = ()


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Make a package with the template above, and one that names a field that no content has."""
    folder = tmp_path / "made_pages"
    (folder / "templates").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "templates" / "page.html.j2").write_text(TEMPLATE)
    (folder / "templates" / "wrong.html.j2").write_text(TEMPLATE.replace("name", "nmae"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "made_pages", raising=False)
    return "made_pages"


@picture
def line(name: str) -> Drawn:
    figure = Figure(figsize=(2, 2))
    axes = figure.add_subplot()
    axes.plot([0, 1], marker="o")
    axes.set_title("up")
    return name, 'a line "up" & away', figure


def parsed(page: str) -> ET.Element:
    return ET.fromstring(page.removeprefix("<!DOCTYPE html>"))


@pytest.mark.parametrize("text", ["plain", '<script>"&', "\x00\x1b\ud800 名", "{{ 1 }} $\\frac"])
def test_a_page_is_well_formed_whatever_the_text(package: str, text: str) -> None:
    page = parsed(render(package, "page.html.j2", Content(text, text)))
    expected = re.sub("[\x00\x1b\ud800]", "\ufffd", text)
    assert [element.text for element in page.iter("title")] == [expected]
    assert [element.text for element in page.iter("td")] == [expected]
    assert not list(page.iter("script"))


def test_a_name_that_nothing_defines_is_refused(package: str) -> None:
    with pytest.raises(UndefinedError, match="nmae"):
        render(package, "wrong.html.j2", Content("title"))


def test_plots_are_labelled_and_their_identifiers_unique(package: str) -> None:
    page = parsed(render(package, "page.html.j2", Content("t", plots=(line("a"), line("b")))))
    plots = list(page.iter(f"{SVG}svg"))
    assert [plot.get("aria-label") for plot in plots] == ['a line "up" & away'] * 2
    identifiers = [element.get("id") for element in page.iter() if element.get("id")]
    assert len(identifiers) == len(set(identifiers))
    assert page.find(f".//{SVG}text").text


def test_a_plot_follows_the_theme_in_the_page_and_as_a_file() -> None:
    plot = line("a")
    assert "prefers-color-scheme:dark" in plot.svg
    assert INK in plot.svg
    assert INK not in plot.inline
    assert "currentColor" in plot.inline
    assert line("a") == plot  # the same bytes at every run


def test_a_page_that_cannot_be_written_is_named(package: str, tmp_path: Path) -> None:
    path = tmp_path / "absent" / "page.html"
    with pytest.raises(FileError, match=r"cannot write .*page\.html"):
        write_page(path, package, "page.html.j2", Content("title"))


@pytest.mark.parametrize("ordered", [True, False])
def test_each_label_has_its_colour(ordered: bool) -> None:
    assert len(set(label_colours(9, ordered=ordered))) == 9

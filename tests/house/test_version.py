"""One version: the package's own; what must repeat it agrees, and the changelog dates it."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from importlib import metadata

from fsb_perception import __version__
from tests.paths import ROOT


def test_the_ros_package_has_the_version_of_the_code():
    assert ElementTree.parse(ROOT / "package.xml").getroot().findtext("version") == __version__


def test_the_installed_distribution_has_the_version_of_the_code():
    assert metadata.version("facial-soft-biometrics") == __version__


def test_the_changelog_opens_with_a_dated_section_of_this_version():
    text = (ROOT / "CHANGELOG.rst").read_text(encoding="utf-8")
    sections = re.findall(r"^(\S+) \((\d{4}-\d{2}-\d{2})\)\n-+$", text, re.MULTILINE)
    assert sections[0][0] == __version__
    dates = [date for _, date in sections]
    assert dates == sorted(dates, reverse=True)

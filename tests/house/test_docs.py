"""The documentation builds without warnings, its Python page runs, and its map is the code's."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fsb_perception import samples
from tests.paths import ROOT

PHOTO = sorted(Path(samples.__file__).parent.glob("*.jpg"))[0]


def test_the_python_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shutil.copy(PHOTO, "photo.jpg")
    text = (ROOT / "docs/python.md").read_text(encoding="utf-8")
    code = "\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))
    exec(compile(code, "docs/python.md", "exec"), {"__name__": "page"})
    printed = capsys.readouterr().out
    assert re.search(r"^face_1 gender (male|female) (0\.\d+|1\.0)$", printed, re.MULTILINE)
    assert "Did you mean 'detector.max_side'?" in printed


def test_the_map_shows_the_imports_of_the_code():
    run = subprocess.run(
        [sys.executable, "scripts/draw_imports.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_every_page_is_in_the_index():
    index = (ROOT / "docs/index.md").read_text(encoding="utf-8")
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"index.md"}
    assert pages == set(re.findall(r"\]\(([\w-]+\.md)\)", index))


LINKS = [
    (page.name, link)
    for page in sorted((ROOT / "docs").glob("*.md"))
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
]


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_links_lead_somewhere(page, link):
    assert (ROOT / "docs" / link).exists()


@pytest.mark.long
def test_the_site_builds_without_warnings(tmp_path):
    run = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "python" / "index.html").is_file()

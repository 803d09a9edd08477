"""Temporary folders: private, removed at the end, and swept when their process was killed."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest

from fsb_perception.temporary import private_folder


@pytest.fixture(autouse=True)
def _temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_a_folder_is_private_and_removed(tmp_path: Path) -> None:
    with private_folder("fsb-x-") as folder:
        assert folder.parent == tmp_path
        assert folder.stat().st_mode & 0o777 == 0o700
        (folder / "picture").write_bytes(b"face")
    assert not folder.exists()


def test_those_of_killed_processes_are_swept_and_those_in_use_are_not(tmp_path: Path) -> None:
    left, other, target = tmp_path / "fsb-x-left", tmp_path / "fsb-y-left", tmp_path / "target"
    for folder in (left, other, target):
        folder.mkdir()
        (folder / ".lock").touch()
        os.utime(folder, (0, 0))
    (tmp_path / "fsb-x-link").symlink_to(target)
    with private_folder("fsb-x-") as used:
        os.utime(used, (0, 0))
        with private_folder("fsb-x-"):
            assert used.is_dir()
            assert not left.exists()
    assert other.is_dir()
    assert target.is_dir()

"""Files are written whole or not at all; devices and pipes are written directly."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fsb_perception.files import FileError, sha256_of, sha256_of_folder, write_whole


@pytest.mark.parametrize("content", ["text\n", b"text\n", lambda file: file.write(b"text\n")])
def test_a_text_bytes_or_a_function_replaces_the_file(tmp_path: Path, content: object) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    write_whole(path, content)  # type: ignore[arg-type]
    assert path.read_text() == "text\n"
    assert os.listdir(tmp_path) == ["file"]
    assert sha256_of(path).startswith("b9e68e1bea3e")


def test_the_hash_of_a_folder_is_of_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("1")
    (tmp_path / "b.py").write_text("2")
    whole, part = sha256_of_folder(tmp_path), sha256_of_folder(tmp_path, "*.py")
    assert whole != part
    (tmp_path / "a").rename(tmp_path / "c")
    assert sha256_of_folder(tmp_path) != whole
    assert sha256_of_folder(tmp_path, "*.py") == part


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("file")
    write_whole(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_text() == "new"


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail(file: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match=r"cannot write .*file: No space left .* make room"):
        write_whole(path, fail)
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "\udce9")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_a_device_is_written_and_stays() -> None:
    write_whole(Path("/dev/null"), "text")
    with pytest.raises(FileError, match=r"cannot write /dev/full: No space left"):
        write_whole(Path("/dev/full"), "text")
    assert Path("/dev/null").is_char_device()
    assert Path("/dev/full").is_char_device()

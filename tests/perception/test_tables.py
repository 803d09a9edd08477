"""CSV files of every spreadsheet: read alike, or refused by file and line."""

from __future__ import annotations

import codecs
from pathlib import Path

import pytest

from fsb_perception.tables import TableError, read_rows, read_table

ROWS = [{"file": "a.jpg", "gender": "male"}, {"file": "b.jpg", "gender": ""}]


@pytest.mark.parametrize(
    "text",
    [
        "file,gender\na.jpg,male\nb.jpg,\n",
        " file , gender \n a.jpg , male \n\n b.jpg,\n",
        "file,gender,,\na.jpg,male,,\nb.jpg,,,\n,,,\n",
        "file,gender\r\na.jpg,male,,\r\nb.jpg,",
        'file,gender\n"a.jpg",male\n"b.jpg",\n',
    ],
    ids=["plain", "spaces", "empty columns", "Windows", "quotes"],
)
@pytest.mark.parametrize("mark", [b"", codecs.BOM_UTF8], ids=["plain", "BOM"])
def test_harmless_differences_are_read_alike(mark: bytes, text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(mark + text.encode())
    assert [row for _, row in read_table(tmp_path / "t.csv", ["file"])] == ROWS


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"file,gender,gender\na,b,c\n", r"t\.csv:1: more than one column is called 'gender'"),
        (b"file, gender ,gender\na,b,c\n", r"t\.csv:1: more than one column is called 'gender'"),
        (b"gender\nmale\n", r"t\.csv:1: header 'gender' lacks file"),
        (b"", r"t\.csv:1: header '' lacks file"),
        (b"file,gender\na,b,c\n", r"t\.csv:2: 3 fields, but the header has 2"),
        (b"file,gender\na\n", r"t\.csv:2: 1 fields, but the header has 2"),
        (b"file,,gender\na,b,c\n", r"t\.csv:2: 'b' stands in a column without a name"),
        (b"file\n\xff\n", "no CSV file in UTF-8"),
    ],
)
def test_a_table_that_may_be_wrong_is_refused(content: bytes, why: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(TableError, match=why):
        list(read_table(tmp_path / "t.csv", ["file"]))


def test_rows_without_a_header(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(codecs.BOM_UTF8 + b"a, b\n\nc,d\n")
    assert [fields for _, fields in read_rows(tmp_path / "t.csv")] == [["a", "b"], ["c", "d"]]

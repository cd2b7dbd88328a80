"""What is told of an input that can be sent: what was passed over, and what may be meant otherwise."""

from pathlib import Path

import pytest

from bulksync.reader.escapes import unescaped
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate

W = "1111abcd-2222-3333-4444-555555555555"
E = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
START = f"{W}\t{E}\tRUNNING\t"


def notes_on(path: Path, data: bytes, encoding: str | None = None) -> list[str]:
    """Return what is told of a file once it has been read."""
    path.write_bytes(data)
    with open_input(locate(path, encoding=encoding)) as opened:
        list(opened.rows())
        return list(opened.notes)


@pytest.mark.parametrize(
    ("cell", "told"),
    [
        ("a\\tb", "--tsv-escapes"),
        ("\\N", "--tsv-escapes"),
        ("C:\\\\x", "--tsv-escapes"),
        ('"Ana"', "--tsv-escapes"),
        ("Ana", ""),
        ('"a\tb"', ""),
        ('"say ""x"" \\n"', ""),
        ("C:\\x", ""),
    ],
)
def test_escapes(tmp_path: Path, cell: str, told: str) -> None:
    """A TSV that mysql or psql may have written is told of, one that is quoted as CSV is not."""
    data = f"workflowId\texecutionId\tstatus\tmetadata.a\n{START}{cell}\n"
    assert told in "".join(notes_on(tmp_path / "rows.tsv", data.encode()))
    assert bool(told) == bool([note for note in notes_on(tmp_path / "rows.tsv", data.encode()) if "escapes" in note])


@pytest.mark.parametrize(
    ("cell", "meaning"),
    [
        ("\\N", ""),
        ("a\\tb\\nc", "a\tb\nc"),
        ("\\\\N", "\\N"),
        ("\\\\\\n", "\\\n"),
        ('"x"', '"x"'),
        ("\\q", "q"),
        ("a\\", "a\\"),
    ],
)
def test_unescaped(cell: str, meaning: str) -> None:
    """A backslash and what follows mean one character; with a capital N alone it is no value."""
    assert unescaped(cell) == meaning


@pytest.mark.parametrize(
    ("text", "stored", "asked", "told"),
    [("é", "utf-8", "cp1252", 1), ("é", "cp1252", "cp1252", 0), ("e", "utf-8", "cp1252", 0), ("é", "utf-8", None, 0)],
)
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl"])
def test_readings(tmp_path: Path, name: str, text: str, stored: str, asked: str | None, told: int) -> None:
    """UTF-8 that is read as something else is told of, with both readings."""
    data = f"workflowId,executionId,status,metadata.a\n{W},{E},RUNNING,{text}\n"
    if name.endswith("jsonl"):
        data = f'{{"workflowId":"{W}","executionId":"{E}","metadata":{{"a":"{text}"}}}}\n'
    notes = notes_on(tmp_path / name, data.encode(stored), asked)
    assert [("'Ã©' as cp1252, 'é' as UTF-8" in note) for note in notes] == [True] * told


def test_words_and_blank_lines(tmp_path: Path) -> None:
    """Words for no value are sent as text, and that is told; lines of delimiters are counted."""
    data = f"workflowId,executionId,status,metadata.a\n{W},{E},RUNNING,NULL\n,,,\n{W},{E},RUNNING, x\n , ,,\n\n"
    assert notes_on(tmp_path / "rows.csv", data.encode()) == [
        "skipped as blank: 2 lines of nothing but delimiters (first: line 3)",
        "sent as the text 'NULL': 1 cell of 'metadata.a'; empty cells are omitted",
        "sent with the blanks before the text: 1 cell of 'metadata.a'",
    ]

"""Tests of `bulksync.reader` on files that are something else: each is named, with the one way on."""

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bulksync.errors import BulksyncError
from bulksync.model import InvalidRow, Row
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate

W = "1111abcd-2222-3333-4444-555555555555"
E = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
CSV = f"workflowId,executionId,status\n{W},{E},RUNNING\n"
ROW = f'{{"workflowId":"{W}","executionId":"{E}","status":"RUNNING"}}'

Said = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Said:
    """Says why a file that holds *data* is refused, and the way on."""
    monkeypatch.chdir(tmp_path)

    def refused(data: str | bytes, name: str = "rows.csv") -> str:
        path = Path(name)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        with pytest.raises(BulksyncError) as error, open_input(locate(path)) as opened:
            list(opened.rows())
        return f"{error.value.what}: {error.value.next_step}"

    return refused


def zipped(*names: str) -> bytes:
    """Return a zip archive of small files."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        for name in names:
            archive.writestr(name, CSV)
    return data.getvalue()


def tarred() -> bytes:
    """Return a tar archive of one file."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        member = tarfile.TarInfo("rows.csv")
        member.size = len(CSV)
        archive.addfile(member, io.BytesIO(CSV.encode()))
    return data.getvalue()


def database(folder: Path) -> bytes:
    """Return an SQLite database with one table."""
    with sqlite3.connect(folder / "db") as connection:
        connection.execute("CREATE TABLE rows (workflowId)")
    return (folder / "db").read_bytes()


BINARY = {
    "bzip2": (bz2.compress(CSV.encode()), "bzip2 -dc < rows.csv > rows2.csv"),
    "xz": (lzma.compress(CSV.encode()), "xz -dc < rows.csv > rows2.csv"),
    "gzip": (gzip.compress(CSV.encode()), "gzip -dc < rows.csv > rows2.csv"),
    "zstd": (b"\x28\xb5\x2f\xfd\x04\x00\x01\x00", "zstd -dc < rows.csv > rows2.csv"),
    "7-Zip": (b"7z\xbc\xaf\x27\x1c\x00\x04", "7z x -so rows.csv > rows2.csv"),
    "zip archive": (zipped("rows.csv"), "unzip -p rows.csv > rows2.csv"),
    "(.xlsx)": (zipped("[Content_Types].xml", "xl/workbook.xml"), "bulksync[xlsx]"),
    "(.ods)": (zipped("mimetype/application/vnd.oasis.opendocument.spreadsheet"), "CSV UTF-8"),
    "tar archive": (tarred(), "tar -xOf rows.csv > rows2.csv"),
    "Parquet": (b"PAR1\x15\x04\x15\x30", "pandas"),
    "PDF": (b"%PDF-1.7\n%\xe2\xe3\n", "export the table as CSV"),
    "RTF": (b"{\\rtf1\\ansi workflowId}", "plain text"),
    "pickle": (b"\x80\x04\x95\x10\x00\x00", "to_csv"),
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
    "(.xls)": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\x00\x00", "CSV UTF-8"),
}


@pytest.mark.parametrize("kind", BINARY)
@pytest.mark.parametrize("name", ["rows.csv", "rows.jsonl", "rows.tsv"])
def test_first_bytes(refused: Said, kind: str, name: str) -> None:
    """A file is known by its first bytes whatever its name says."""
    data, way = BINARY[kind]
    said = refused(data, name)
    assert kind in said
    assert way.replace("rows.csv", name).replace("rows2.csv", name.replace("rows", "rows2")) in said


def test_a_database(refused: Said, tmp_path: Path) -> None:
    """A database is known also by a name that tells nothing."""
    assert "rows.db is an SQLite database: export its table: sqlite3 -header -csv rows.db" in refused(
        database(tmp_path), "rows.db"
    )


@pytest.mark.parametrize("header", ["ORCID", "PAR1", "BZh", "LZIP", "FEA1", "PK"])
def test_letters_that_are_no_signature(tmp_path: Path, header: str) -> None:
    """A text that begins with the letters of a signature is a text."""
    path = tmp_path / "rows.csv"
    path.write_text(f"{header},{CSV}".replace(f"\n{W}", f"\nx,{W}"))
    with open_input(locate(path)) as opened:
        assert [type(row) for row in opened.rows()] == [Row]


TEXTS = {
    "is a JSON array, not one object per line": [
        f"[{ROW},{ROW}]",
        f"[\n {ROW},\n {ROW}\n]\n",
        f"\ufeff[\n{{\n{ROW[1:]}]",
    ],
    "is a JSON array of arrays": [f'[["workflowId"],["{W}"]]', f'[\n["workflowId"],\n["{W}"]]'],
    "has an array on each line": [f'["workflowId","executionId"]\n["{W}","{E}"]\n'],
    "has JSON objects over several lines": [ROW.replace(",", ",\n  "), "{\n" + ROW[1:], ROW.replace(",", ",\n") * 2],
    "is one JSON object, with the rows in 'data'": [f'{{"total": 1,\n"data": [\n{ROW}]}}'],
    "has several JSON objects on one line": [ROW + ROW, f"{ROW} {ROW}\n"],
    "has a comma behind each object": [f"{ROW},\n{ROW}\n", f"{ROW} , \r\n{ROW},\r\n"],
    "begins with a comment": [f"// rows\n{ROW}\n", f"# rows\n{ROW}\n", f"/* rows */\n{ROW}\n"],
    "is a JSON text sequence": [f"\x1e{ROW}\n\x1e{ROW}\n"],
    "lines end in a bare carriage return": [f"{ROW}\r{ROW}\r"],
    "is CSV, not JSON lines": [CSV, CSV.replace(",", ";"), CSV.replace("workflowId", '"Workflow ID"')],
    "is YAML": [f"- workflowId: {W}\n  status: RUNNING\n", f"---\n- workflowId: {W}\n"],
    "is an HTML page": ["<!DOCTYPE html>\n<html></html>", "\n<html><body>Sign in</body></html>"],
    "is XML": ["<?xml version='1.0'?><rows/>"],
    "is SQL": ["INSERT INTO rows VALUES (1);", "-- MySQL dump 10\n\nDROP TABLE x;\nCREATE TABLE x (a int);"],
}


@pytest.mark.parametrize(("what", "data"), [(what, data) for what, texts in TEXTS.items() for data in texts])
def test_not_json_lines(refused: Said, what: str, data: str) -> None:
    """A text that is no JSON lines is named by its shape."""
    assert what in refused(data, "rows.jsonl")


TABLES = {
    "is JSON lines, not CSV": [ROW + "\n" + ROW, f"\n{ROW}\n"],
    "is a JSON array, not one object per line": [f"[{ROW},\n{ROW}]", f"[{','.join([ROW] * 20_000)}]"],
    "is a Markdown table": [f"| workflowId | executionId | status |\n| --- | :-: | --- |\n| {W} | {E} | RUNNING |\n"],
    "as mysql shows it": [
        f"+-----+-----+-----+\n| workflowId | executionId | status |\n+----+---+---+\n| {W} | {E} | X |\n"
    ],
    "as psql shows it": [f" workflowId | executionId | status \n------------+-----+--------\n {W} | {E} | RUNNING\n"],
    "begins with PowerShell's #TYPE line": [f"#TYPE System.Object\r\n{CSV}"],
    "begins with a comment; its header is on line 3": [f"# a\n# b\n{CSV}"],
    "begins with other text; its header is on line 4": [f"Leads of May\n\n\n{CSV}", f"Report,,\n,,\n,,\n{CSV}"],
    "has each line in quotes as a whole": ["".join(f'"{line}"\r\n' for line in CSV.splitlines())],
    "lines end in a bare carriage return": [CSV.replace("\n", "\r"), CSV + f"{W},{E},RUNNING\r" * 3],
    "every other byte is NUL, as in UTF-16-LE": [CSV.encode("utf-16-le").decode()],
    "every other byte is NUL, as in UTF-16-BE": [CSV.encode("utf-16-be").decode()],
    "is SQL": ["INSERT INTO rows (workflowId, executionId, status) VALUES (1,2,3);", "COPY rows (a, b) FROM stdin;\n"],
    "is empty (0 bytes)": [""],
    "has no header": ["\n", "\r\n \r\n"],
    "looks like data: the header line is missing": [f"{W},{E},RUNNING\n"],
    "has U+200B (zero width space) as its character 9": [CSV.replace("workflowId", "workflow\u200bId")],
    "a quote in the header swallowed the rows": [f'workflowId,executionId,status,"note\n{W},{E},RUNNING,"\n'],
}


@pytest.mark.parametrize(("what", "data"), [(what, data) for what, texts in TABLES.items() for data in texts])
def test_not_csv(refused: Said, what: str, data: str) -> None:
    """A text that is no CSV is named by its shape."""
    assert what in refused(data)


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("swallowed", [f"\n{W},{E},RUNNING,", f"\n{W},{E},\n{W},{E},RUNNING,x\n", "\na,b,c,d"])
def test_a_swallowed_row(tmp_path: Path, delimiter: str, swallowed: str) -> None:
    """A cell that holds what looks like another row ends the reading: nothing is lost without a word."""
    path = tmp_path / "rows.csv"
    text = f'workflowId,executionId,status,note\n{W},{E},RUNNING,"{swallowed}"\n{W},{E},RUNNING,\n'
    path.write_text(text.replace(",", delimiter))
    with open_input(locate(path)) as opened:
        [row] = opened.rows()
    assert isinstance(row, InvalidRow)
    assert (row.error, row.fatal) == ("csv_malformed", True)
    assert "swallowed the rows behind it" in row.detail


@pytest.mark.parametrize(
    "cell",
    [
        "Hello,\nI spoke to Ana, Bo, and Cy",
        "see\nexecution 918c40bf-0000-4000-8000-000000000000 of May",
        "1\n\n2\r\n3",
        "\n",
    ],
)
def test_a_cell_of_several_lines(tmp_path: Path, cell: str) -> None:
    """Prose of several lines swallowed nothing, nor did metadata that is valid JSON."""
    path = tmp_path / "rows.csv"
    metadata = f'{{\n""leadId"": ""{E}"",\n""a"":1,""b"":2,""c"":3,""d"":4}}'
    path.write_text(f'workflowId,executionId,status,metadata,note\n{W},{E},RUNNING,"{metadata}","{cell}"\n')
    with open_input(locate(path)) as opened:
        assert [type(row) for row in opened.rows()] == [Row]


@pytest.mark.parametrize("separator", [", ", ",  ", "; ", "| "])
def test_a_blank_before_a_quote(tmp_path: Path, separator: str) -> None:
    """A blank before a quote makes it no quote, which is told, in whatever column it stands."""
    path = tmp_path / "rows.csv"
    for cells in (
        [W, E, "RUNNING", '"Ana"'],
        [W, E, "RUNNING", '""'],
        [W, E, '"RUNNING"', "x"],
        [W, f'"{E}"', "X", ""],
    ):
        path.write_text(separator.join(["workflowId", "executionId", "status", "note"]) + "\n" + separator.join(cells))
        with open_input(locate(path)) as opened:
            [row] = opened.rows()
        assert isinstance(row, InvalidRow)
        assert (row.error, "a blank stands before the quote of column" in row.detail) == ("csv_malformed", True)


def test_names_that_are_only_echoed_may_meet(tmp_path: Path) -> None:
    """Columns that are not sent may share a name, each is echoed; those that are sent may not."""
    path = tmp_path / "rows.csv"
    path.write_text(f"workflowId,executionId,status,lead,Lead,le_ad,lead\n{W},{E},RUNNING,1,2,3,4\n")
    with open_input(locate(path)) as opened:
        assert opened.echoed == ("lead", "Lead", "le_ad", "lead (2)")
        assert [record.cells for record in opened.records(opened.echoed)] == [["1", "2", "3", "4"]]


def test_a_new_name_destroys_nothing(refused: Said) -> None:
    """The file that a command is to write does not exist yet."""
    Path("rows2.jsonl").touch()
    assert refused("[]", "rows.jsonl").endswith("jq -c '.[]' rows.jsonl > rows3.jsonl")
    assert refused("[]", "a b.json").endswith("jq -c '.[]' 'a b.json' > 'a b.jsonl'")
    assert refused(gzip.compress(b"[]"), "x.jsonl.gz").endswith("gzip -dc < x.jsonl.gz | jq -c '.[]' > x.jsonl")

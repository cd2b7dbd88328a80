"""Sheets of a workbook: cells as the text that a person sees, rows and lines as the sheet numbers them."""

import sys
from datetime import date, datetime
from pathlib import Path

import pytest

from bulksync.errors import InputError, UsageError
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.source import fingerprint
from tests.support.program import WORKFLOW, bulksync, execution, rows_of
from tests.support.workbooks import Value, write_workbook

HEADER: list[Value] = ["workflowId", "executionId", "status", "metadata.x", "note"]


def book(folder: Path, *cells: Value) -> Path:
    """Write a workbook: an empty row, a header, and a row for each cell, with an empty row between the first two."""
    rows: list[list[Value]] = [[WORKFLOW, execution(at), "COMPLETED", cell] for at, cell in enumerate(cells, 1)]
    return write_workbook(folder / "rows.xlsx", {"Rows": [[], HEADER, *rows[:1], [None], *rows[1:]], "Other": [["x"]]})


CELLS: list[tuple[Value, str]] = [
    ("Ana\nBo", '"Ana\\nBo"'),
    ('a,"b"\r', '"a,\\"b\\"\\r"'),
    (" 007", '" 007"'),
    (7, '"7"'),
    (1.5, '"1.5"'),
    (1e15, '"1000000000000000"'),
    (-0.25, '"-0.25"'),
    (1e22, '"1e+22"'),
    (True, '"true"'),
    (False, '"false"'),
    (date(2026, 2, 28), '"2026-02-28"'),
    (datetime(2026, 2, 28, 10, 30), '"2026-02-28T10:30:00"'),
]


def test_cells_are_text(tmp_path: Path) -> None:
    """Numbers have no needless fraction, times are ISO 8601, booleans as JSON has them; nothing is no entry."""
    path = book(tmp_path, *[cell for cell, _ in CELLS], None)
    with open_input(locate(path)) as content:
        rows = list(content.rows())
        digest = content.digest
    texts = [*(f'{{"status":"COMPLETED","metadata":{{"x":{text}}}}}' for _, text in CELLS), '{"status":"COMPLETED"}']
    assert [row.body.decode() for row in rows] == texts  # type: ignore[union-attr]  # all are valid
    assert [(row.row, row.line) for row in rows] == [(1, 3), *((n, n + 3) for n in range(2, len(CELLS) + 2))]
    assert digest == fingerprint(path)


@pytest.mark.parametrize(("sheet", "rows"), [("Rows", 1), ("1", 1), (None, 1)])
def test_a_sheet_is_named_or_numbered(sheet: str | None, rows: int, tmp_path: Path) -> None:
    """A sheet is found by name or number; without either it is the first, which is said where there are more."""
    with open_input(locate(book(tmp_path, 7), sheet=sheet)) as content:
        assert len(list(content.rows())) == rows
        said = [] if sheet else ["only the sheet 'Rows' is read, not 'Other'; --sheet names one"]
        assert content.notes == said


def test_a_sheet_that_is_not_there(tmp_path: Path) -> None:
    """The sheets that there are are named; one without a header may be the wrong one."""
    path = book(tmp_path, 7)
    with pytest.raises(InputError) as missing:
        open_input(locate(path, name="b.xlsx", sheet="3"))
    assert (missing.value.what, missing.value.next_step) == (
        "b.xlsx has no sheet '3'",
        "its sheets are 'Rows', 'Other': add --sheet Rows",
    )
    with pytest.raises(InputError) as other:
        open_input(locate(path, name="b.xlsx", sheet="Other"))
    assert other.value.what.startswith("b.xlsx, sheet 'Other', line 1: the header has no workflowId, executionId")
    assert other.value.next_step.endswith("; or name another sheet: --sheet Rows")


def test_what_is_no_workbook(tmp_path: Path) -> None:
    """A file that only has the name of one is an input that cannot be read."""
    (tmp_path / "rows.xlsx").write_bytes((Path(__file__).parent.parent / "cases/xlsx-name--rows.xlsx").read_bytes())
    done = bulksync("check", "rows.xlsx", folder=tmp_path)
    assert (done.code, done.stderr.splitlines()[0]) == (
        7,
        "bulksync: rows.xlsx cannot be read as a workbook: Cannot detect file format",
    )


def test_without_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the library is missing, the command that installs it is said."""
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(UsageError) as missing:
        locate(book(tmp_path, 7), name="rows.xlsx")
    assert (missing.value.what, "pip install 'bulksync[xlsx]'" in missing.value.next_step) == (
        "rows.xlsx is a workbook, and python-calamine, which reads those, is not installed",
        True,
    )


def test_a_run_of_a_sheet(tmp_path: Path) -> None:
    """Report, retry file and rejected file of a workbook are CSV; they are run and audited as any other."""
    path = book(tmp_path, "Ana\nBo", "x", "y")
    rows: list[list[Value]] = [[], HEADER, [WORKFLOW, execution(1), "COMPLETED", "Ana\nBo", 7], [WORKFLOW, "bad", "A"]]
    write_workbook(path, {"First": [["x"]], "Rows": [*rows, [WORKFLOW, execution(2), "A"]]})
    options = ("--sandbox", "--rate", "unlimited", "--on-invalid", "skip")
    files = ("--limit", "1", "--retry-file", "left.csv", "--rejected-file", "fix.csv")
    stopped = bulksync("run", "rows.xlsx", "--sheet", "Rows", *options, *files, folder=tmp_path)
    assert stopped.code == 10, stopped.stderr
    header = "workflowId,executionId,status,metadata.x,note"
    assert (tmp_path / "left.csv").read_text() == f"{header}\n{WORKFLOW},{execution(2)},A,,\n"
    wrong = "id_invalid,executionId 'bad' is not a valid ID (8-4-4-4-12 hex digits)"
    assert (tmp_path / "fix.csv").read_text() == f"{header},error,detail\n{WORKFLOW},bad,A,,,{wrong}\n"
    ended = bulksync("run", "rows.xlsx", "--sheet", "2", *options, folder=tmp_path)
    assert (ended.code, ended.stderr.splitlines()[-1].rpartition("; ")[2]) == (
        3,
        (
            "fix the rows in rows.rejected.csv, then run them: bulksync run rows.rejected.csv --sandbox --rate"
            " unlimited --on-invalid skip --rejected-file rows.rejected-2.csv"
        ),
    )
    assert [(line["line"], line["note"]) for line in rows_of(tmp_path / "rows.xlsx.report.csv")] == [
        ("3", "7"),
        ("4", ""),
        ("5", ""),
    ]
    audit = bulksync("verify", "rows.xlsx", "rows.xlsx.report.csv", "--sheet", "Rows", folder=tmp_path)
    assert (audit.code, audit.stdout) == (0, "3 rows, 3 report lines, updated 2, invalid 1: OK, no discrepancies\n")
    again = bulksync("report", "rows.xlsx.report.csv.ledger", "--rejected-file", "again.csv", folder=tmp_path)
    assert (again.code, (tmp_path / "again.csv").read_text()) == (0, (tmp_path / "fix.csv").read_text())

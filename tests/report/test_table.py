"""The report: one line for each row in input order, whole or not at all, and what else a run leaves."""

import csv
import io
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.errors import StorageError
from bulksync.ledger.line import Line
from bulksync.ledger.store import Store
from bulksync.options.files import STDOUT
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.record import Record
from bulksync.report.atomic import written
from bulksync.report.retry_file import write_retry_file
from bulksync.report.summary import write_summary
from bulksync.report.table import COLUMNS, SEPARATOR, View, is_json, write_csv_report, write_json_report
from tests.support.pages import SUMMARY, VALUES
from tests.support.program import WORKFLOW, execution

HEADER = ",".join(COLUMNS)

STEPS = orjson.dumps(
    [
        {"id": f"s{number}", "type": "CALL", "order": number, "status": "ENDED", "disposition": word,
         "call_ended_reason": "hangup"}
        for number, word in ((1, "A"), (2, ""), (3, "B"))
    ]
).decode()  # fmt: skip

ADD_RUN = "INSERT INTO run (name, target, input, path, digest, started) VALUES ('r', 1, 'i', '/i', '', '')"
ADD_LINE = """
INSERT INTO line (row, line, workflow, execution, requested, outcome, http, attempts, returned, disposition, steps,
    started, completed, first_sent, finished, duration, doubtful, error, detail, run, due)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, 0)
"""


def line(row: int, outcome: str = "unsent", **about: object) -> Line:
    """Return a line as the ledger gives it; one of a row that was never sent where *about* does not say more."""
    values: dict[str, Any] = {
        "row": row, "line": row + 1, "workflow": WORKFLOW, "execution": execution(row), "requested": "COMPLETED",
        "outcome": outcome, "http": None, "attempts": 0, "returned": "", "disposition": "", "steps": "[]",
        "started": "", "completed": "", "first_sent": None, "finished": None, "duration": None, "doubtful": 0,
        "error": "", "detail": "",
    }  # fmt: skip
    assert about.keys() <= values.keys()
    return Line(**(values | about))


UPDATED = line(
    1, "updated", http=200, attempts=2, returned="COMPLETED", disposition="FRAUD", steps=STEPS,
    started="2026-01-01T00:00:00Z", completed="soon", first_sent="2026-01-02T00:00:00.000Z",
    finished="2026-01-02T00:00:01.250Z", duration=250, doubtful=1,
)  # fmt: skip
UNSENT = line(2, "unsent", error="interrupted", detail="stopped by SIGINT")
INVALID = line(3, "invalid", workflow="", execution="no-id", requested="", error="id_invalid", detail="no UUID, no")
MAYBE = line(4, "unknown", doubtful=1, error="interrupted", detail="killed")


def text_of(path: Path, lines: Iterable[Line], *, records: list[Record] | None = None, **view: Any) -> str:
    """Write a report and return it as it is in the file."""
    if is_json(path):
        write_json_report(path, lines, {1}, records, View(**view))
    else:
        write_csv_report(path, joined(lines), records, View(**view))
    return path.read_bytes().decode()


def joined(lines: Iterable[Line]) -> Iterator[str]:
    """Return the cells of lines as the ledger joins them, row 1 being at risk."""
    with closing(Store(None)) as store:
        with store.transaction() as db:
            db.execute("INSERT INTO target VALUES (1, 'https://api.example')")
            db.execute(ADD_RUN)
            db.executemany(ADD_LINE, lines)
        yield from store.joined(1, [1], SEPARATOR)


def records_of(path: Path, text: str, *echoed: str) -> list[Record]:
    """Return the rows of an input with this text, with the cells of these columns."""
    path.write_text(text, newline="")
    with open_input(locate(path)) as content:
        return list(content.records(echoed))


# The report


def test_csv_report(tmp_path: Path) -> None:
    """The contract's columns in its order; cells of rows that were never sent are empty; steps `A;;B`."""
    assert text_of(tmp_path / "r.csv", [UPDATED, UNSENT, INVALID, MAYBE]) == (
        "row,line,workflowId,executionId,requestedStatus,outcome,httpStatus,attempts,returnedStatus,disposition,"
        "stepDispositions,startedAt,completedAt,firstSentAt,finishedAt,durationMs,dispositionCertain,orderRisk,error,"
        "detail\n"
        f"1,2,{WORKFLOW},{execution(1)},COMPLETED,updated,200,2,COMPLETED,FRAUD,A;;B,2026-01-01T00:00:00Z,soon,"
        "2026-01-02T00:00:00.000Z,2026-01-02T00:00:01.250Z,250,false,true,,\n"
        f"2,3,{WORKFLOW},{execution(2)},COMPLETED,unsent,,0,,,,,,,,,,,interrupted,stopped by SIGINT\n"
        '3,4,,no-id,,invalid,,0,,,,,,,,,,,id_invalid,"no UUID, no"\n'
        f"4,5,{WORKFLOW},{execution(4)},COMPLETED,unknown,,0,,,,,,,,,false,false,interrupted,killed\n"
    )


@pytest.mark.parametrize("name", ["r.jsonl", "r.NDJSON"])
def test_json_lines_report(name: str, tmp_path: Path) -> None:
    """The same names as in CSV, step dispositions as an array and the steps themselves behind them."""
    steps = [
        {"id": f"s{n}", "type": "CALL", "order": n, "status": "ENDED", "disposition": d, "callEndedReason": "hangup"}
        for n, d in ((1, "A"), (2, ""), (3, "B"))
    ]
    sent = (
        1, 2, WORKFLOW, execution(1), "COMPLETED", "updated", 200, 2, "COMPLETED", "FRAUD", ["A", "", "B"],
        "2026-01-01T00:00:00Z", "soon", "2026-01-02T00:00:00.000Z", "2026-01-02T00:00:01.250Z", 250, False, True, "",
        "",
    )  # fmt: skip
    unsent: tuple[Any, ...] = (
        2, 3, WORKFLOW, execution(2), "COMPLETED", "unsent", None, 0, "", "", [], "", "", None, None, None, None, None,
        "interrupted", "stopped by SIGINT",
    )  # fmt: skip
    expected = [
        dict(zip(COLUMNS, sent, strict=True)) | {"steps": steps},
        dict(zip(COLUMNS, unsent, strict=True)) | {"steps": []},
    ]
    text = text_of(tmp_path / name, [UPDATED, UNSENT])
    assert text == "".join(orjson.dumps(fields).decode() + "\n" for fields in expected)


def test_an_input_without_rows_has_a_report_without_lines(tmp_path: Path) -> None:
    """Only the header is left."""
    assert text_of(tmp_path / "r.csv", []) == f"{HEADER}\n"
    assert text_of(tmp_path / "r.jsonl", []) == ""


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_a_report_looks_like_its_input(delimiter: str, tmp_path: Path) -> None:
    """It takes the input's delimiter, and its byte order mark where there was one; cells that hold it are quoted."""
    steps = '"A;;B"' if delimiter == ";" else "A;;B"
    text = text_of(tmp_path / "r.csv", [UPDATED], delimiter=delimiter, bom=True)
    header, cells = text.splitlines()
    assert header == "\ufeff" + delimiter.join(COLUMNS)
    assert cells.split(delimiter + "FRAUD" + delimiter)[1].startswith(f"{steps}{delimiter}2026-01-01")


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_words_of_the_server_are_no_formulas(start: str, tmp_path: Path) -> None:
    """In CSV every word from the server, or from an invalid row, is guarded; ours are none and stay."""
    word = f"{start}cmd"
    names = ("returned", "disposition", "started", "completed", "detail", "workflow", "execution", "requested")
    harmful = line(1, "updated", **dict.fromkeys(names, word))
    cells = text_of(tmp_path / "r.csv", [harmful]).removeprefix(HEADER + "\n")
    assert cells.count(f"'{word}") == cells.count(word) == len(names)
    report = orjson.loads(text_of(tmp_path / "r.jsonl", [harmful]))
    assert [report[name] for name in ("disposition", "detail")] == [word, word]


def test_the_first_step_disposition_is_no_formula(tmp_path: Path) -> None:
    """The joined step dispositions are one cell, which is guarded."""
    steps = STEPS.replace('"A"', '"=A"')
    assert ",'=A;;B," in text_of(tmp_path / "r.csv", [line(1, "updated", steps=steps)])


INPUT = (
    "workflowId,executionId,status,metadata,metadata.firstName,row,lead name,phone\n"
    f'{WORKFLOW},{execution(1)},COMPLETED,"{{""a"": 1}}",Ann,7,"Smith, ""J""",+1555\n'
    f"{WORKFLOW},{execution(2)},COMPLETED,,Bob,8,=Formula,\n"
)


def test_echoed_columns_stand_behind_ours(tmp_path: Path) -> None:
    """Columns that are not sent are echoed as they were; a name that the report has itself gets `input.`."""
    echoed = ("row", "lead name", "phone")
    records = records_of(tmp_path / "i.csv", INPUT, *echoed)
    lines = text_of(tmp_path / "r.csv", [UPDATED, UNSENT], records=records, echoed=echoed).splitlines()
    assert lines[0] == f"{HEADER},input.row,lead name,phone"
    assert lines[1].endswith(',false,true,,,7,"Smith, ""J""",+1555')
    assert lines[2].endswith(",interrupted,stopped by SIGINT,8,=Formula,")


@given(st.lists(st.text('a,;"\n\r \t\x1f\u2028é', max_size=4), min_size=1, max_size=4), st.sampled_from(",;\t| "))
def test_cells_are_written_as_csv_writes_them(cells: list[str], delimiter: str) -> None:
    """A cell stands in quotes where Python's csv puts them if a carriage return ends a line too."""
    with tempfile.TemporaryDirectory() as folder:
        head = next(csv.reader(text_of(Path(folder) / "r.csv", [UNSENT]).splitlines()[1:]))
        records = [Record(2, 3, "", cells)]
        view = {"echoed": tuple(map(str, range(len(cells)))), "delimiter": delimiter}
        _, _, text = text_of(Path(folder) / "r.csv", [UNSENT], records=records, **view).partition("\n")
    expected = io.StringIO()
    csv.writer(expected, delimiter=delimiter, lineterminator="\r\n").writerow([*head, *cells])
    assert text == expected.getvalue().removesuffix("\r\n") + "\n"


def test_echoed_columns_are_guarded_on_request(tmp_path: Path) -> None:
    """With --guard-formulas echoed cells are guarded too."""
    records = records_of(tmp_path / "i.csv", INPUT, "lead name", "phone")
    view = {"echoed": ("lead name", "phone"), "guard_formulas": True}
    lines = text_of(tmp_path / "r.csv", [UPDATED, UNSENT], records=records, **view).splitlines()
    assert lines[1].endswith(',"Smith, ""J""",\'+1555')
    assert lines[2].endswith(",'=Formula,")


def test_echoed_columns_of_json_lines(tmp_path: Path) -> None:
    """A JSON report echoes names too, and never takes one of ours for one of theirs."""
    records = records_of(tmp_path / "i.csv", INPUT, "row", "phone")
    text = text_of(tmp_path / "r.jsonl", [UPDATED, UNSENT], records=records, echoed=("row", "phone"))
    assert [
        {name: fields[name] for name in ("row", "input.row", "phone")}
        for fields in map(orjson.loads, text.splitlines())
    ] == [
        {"row": 1, "input.row": "7", "phone": "+1555"},
        {"row": 2, "input.row": "8", "phone": ""},
    ]


def test_lines_and_rows_must_agree(tmp_path: Path) -> None:
    """An input that has another number of rows than the ledger never makes a report."""
    records = records_of(tmp_path / "i.csv", INPUT, "phone")
    with pytest.raises(ValueError, match="argument 2 is longer"):
        text_of(tmp_path / "r.csv", [UPDATED], records=records, echoed=("phone",))
    assert [file.name for file in tmp_path.iterdir()] == ["i.csv"]


# The file


def broken() -> Iterator[Line]:
    """Give one line, then fail as a disk does."""
    yield UPDATED
    raise OSError(28, "No space left on device")


def test_a_report_is_whole_or_not_there(tmp_path: Path) -> None:
    """A failure leaves neither a part of the report nor a draft, and an older report as it was."""
    path = tmp_path / "r.csv"
    for before in (None, "the older one"):
        if before is not None:
            path.write_text(before)
        with pytest.raises(StorageError) as caught:
            text_of(path, broken())
        assert caught.value.what == f"the report {path} cannot be written: No space left on device"
        assert [file.read_text() for file in tmp_path.iterdir()] == ([] if before is None else [before])


def test_nothing_is_left_when_the_work_is_abandoned(tmp_path: Path) -> None:
    """Any other error passes on, and the draft goes."""
    with pytest.raises(KeyboardInterrupt), written(tmp_path / "r.csv", "report"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("umask", [0, 0o777])
def test_every_file_is_private_whatever_the_umask(umask: int, tmp_path: Path) -> None:
    """Report, retry file and summary are readable by their owner alone."""
    (tmp_path / "i.csv").write_text(INPUT)
    before = os.umask(umask)
    try:
        text_of(tmp_path / "r.csv", [UPDATED])
        write_summary(tmp_path / "s.json", SUMMARY)
        with open_input(locate(tmp_path / "i.csv")) as content:
            write_retry_file(tmp_path / "again.csv", [UPDATED, UNSENT], content)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in tmp_path.iterdir() if file.name != "i.csv"}
    assert modes == {"r.csv": 0o600, "s.json": 0o600, "again.csv": 0o600}


def test_a_missing_folder_is_said(tmp_path: Path) -> None:
    """A report cannot appear in a folder that is not there."""
    path = tmp_path / "gone" / "r.csv"
    with pytest.raises(StorageError) as caught:
        text_of(path, [UPDATED])
    assert caught.value.what == f"the report {path} cannot be written: No such file or directory"


WRITE_TO_STDOUT = """
from bulksync.options.files import STDOUT
from bulksync.report.table import View, write_csv_report
from tests.report.test_table import joined, line
write_csv_report(STDOUT, joined([line(2, detail="Zoë")]), None, View())
"""


def to_stdout(**streams: Any) -> subprocess.CompletedProcess[bytes]:
    """Write a report to the stdout of a process."""
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    return subprocess.run(
        [sys.executable, "-c", WRITE_TO_STDOUT],
        env=environment,
        stderr=subprocess.PIPE,
        check=False,
        timeout=30,
        **streams,
    )


def test_stdout_is_utf_8_whatever_the_locale() -> None:
    """The report at stdout is the same as in a file."""
    done = to_stdout(stdout=subprocess.PIPE)
    cells = f"2,3,{WORKFLOW},{execution(2)},COMPLETED,unsent,,0,,,,,,,,,,,,Zoë"
    assert (done.stdout.decode(), done.stderr) == (f"{HEADER}\n{cells}\n", b"")


def test_a_reader_of_stdout_who_leaves_is_no_error() -> None:
    """A closed pipe ends the writing and nothing else."""
    reading, writing = os.pipe()
    os.close(reading)
    done = to_stdout(stdout=writing)
    os.close(writing)
    assert done.returncode == 0


def test_a_full_stdout_is_an_error() -> None:
    """A report that did not get out is one that could not be written."""
    with Path("/dev/full").open("wb") as full:
        done = to_stdout(stdout=full)
    assert b"StorageError: the report - cannot be written: No space left on device" in done.stderr


def test_a_closed_stdout_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """A report for a stdout that nobody opened cannot be written."""
    monkeypatch.setattr(sys, "stdout", None)
    with pytest.raises(StorageError) as caught:
        write_csv_report(STDOUT, joined([UPDATED]), None, View())
    assert caught.value.what == "the report - cannot be written: Bad file descriptor"


# The retry file and the summary


def test_the_retry_file_has_the_rows_still_to_be_done(tmp_path: Path) -> None:
    """Failed, unknown and unsent rows as they are in the input, in its order, under its own header."""
    source = tmp_path / "i.csv"
    rows = [f'{WORKFLOW},{execution(n)},COMPLETED,"Street {n}\nCity ""{n}"""\r\n' for n in range(1, 8)]
    header = "Workflow Id,EXECUTIONID,status,address\r\n"
    source.write_text("\ufeff" + header + "".join(rows)[:-2], newline="")
    outcomes = ("updated", "failed", "rejected", "unknown", "invalid", "unchanged", "unsent")
    with open_input(locate(source)) as content:
        lines = [line(number, outcome) for number, outcome in enumerate(outcomes, 1)]
        write_retry_file(tmp_path / "again.csv", lines, content)
    text = (tmp_path / "again.csv").read_bytes().decode()
    assert text == "\ufeff" + header + rows[1] + rows[3] + rows[6]


def test_the_retry_file_of_json_lines_has_no_header(tmp_path: Path) -> None:
    """JSON lines stand as they are in the input, blank ones left out."""
    source = tmp_path / "i.jsonl"
    rows = [f'{{"workflowId":"{WORKFLOW}", "executionId":"{execution(n)}", "status":"A"}}\n' for n in (1, 2)]
    source.write_text(rows[0] + "\n" + rows[1])
    with open_input(locate(source)) as content:
        write_retry_file(tmp_path / "again.jsonl", [line(1, "updated"), line(2)], content)
    assert (tmp_path / "again.jsonl").read_text() == rows[1]


def test_the_summary_is_json(tmp_path: Path) -> None:
    """Counts as indented JSON, with a line feed at the end."""
    write_summary(tmp_path / "s.json", SUMMARY)
    text = (tmp_path / "s.json").read_text()
    assert (text.startswith('{\n  "run": "'), text.endswith("\n}\n"), orjson.loads(text)) == (True, True, VALUES)

"""The audit finds whatever is wrong between an input and its report."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Done, bulksync, execution, write_rows

REPORT = "rows.csv.report.csv"

Tamper = Callable[[list[str]], list[str]]


@pytest.fixture(params=["csv", "jsonl"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return a folder with an input of four rows and its report, as CSV or as JSON lines."""
    write_rows(tmp_path / "rows.csv", [1, 2, 3, 1])
    output = f"report.{request.param}"
    done = bulksync("run", "rows.csv", "--sandbox", "--rate", "unlimited", "-o", output, folder=tmp_path)
    assert done.code == 0
    return tmp_path


def verify(folder: Path) -> tuple[int, list[str]]:
    """Return the exit code of an audit and what it said."""
    report = next(path for path in folder.glob("report.*") if path.suffix in (".csv", ".jsonl"))
    done = bulksync("verify", "rows.csv", report, folder=folder)
    return done.code, done.stdout.splitlines()


def test_a_report_agrees_with_its_input(folder: Path) -> None:
    """What a run wrote is found right."""
    assert verify(folder) == (0, ["4 rows, 4 report lines, updated 4: OK, no discrepancies"])


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with an input of four rows, one of them invalid, and its report; nobody changes it."""
    folder = tmp_path_factory.mktemp("reported")
    write_rows(folder / "rows.csv", [1, 2, 3, 1])
    text = (folder / "rows.csv").read_text().splitlines(keepends=True)
    (folder / "rows.csv").write_text("".join([*text[:2], text[2].replace("0000", "zzzz", 1), *text[3:]]))
    options = ("--sandbox", "--rate", "unlimited", "--on-invalid", "skip", "-o", "report.csv")
    assert bulksync("run", "rows.csv", *options, folder=folder).code == 3
    return folder


@pytest.fixture
def csv_folder(reported: Path, tmp_path: Path) -> Path:
    """Return a copy of that folder, to be tampered with."""
    return Path(shutil.copytree(reported, tmp_path / "copy"))


TAMPERED: dict[str, tuple[Tamper, str]] = {
    "a line lost": (lambda lines: lines[:-1], "row 4 (line 5): the report has no line for it"),
    "a line twice": (lambda lines: [*lines, lines[-1]], "report line 5: the input has no such row"),
    "two lines swapped": (
        lambda lines: [*lines[:3], lines[4], lines[3]],
        "row 3 (line 4): row is 4 in the report and 3 in the input",
    ),
    "another id": (
        lambda lines: [line.replace("000000000003,", "000000000009,") for line in lines],
        f"row 3 (line 4): executionId is {execution(9)} in the report and {execution(3)} in the input",
    ),
    "an unknown outcome": (
        lambda lines: [*lines[:4], lines[4].replace(",updated,", ",done,")],
        "row 4 (line 5): done is no outcome",
    ),
    "updated without an answer": (
        lambda lines: [*lines[:4], lines[4].replace(",updated,200,", ",updated,,")],
        "row 4 (line 5): updated, but with HTTP status none",
    ),
    "a sent row called unchanged": (
        lambda lines: [*lines[:4], lines[4].replace(",updated,", ",unchanged,")],
        "row 4 (line 5): unchanged, but with 1 attempts and HTTP status 200",
    ),
    "a valid row called invalid": (
        lambda lines: [*lines[:4], lines[4].replace(",updated,", ",invalid,")],
        "row 4 (line 5): invalid, but the input's row is valid",
    ),
    "an invalid row called updated": (
        lambda lines: [lines[0], lines[1], lines[2].replace(",invalid,", ",updated,"), *lines[3:]],
        "row 2 (line 3): updated, but the input's row is not valid",
    ),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_wrong_is_found(name: str, csv_folder: Path) -> None:
    """A report that was tampered with, or that lost a line, exits 11 and says where."""
    tamper, message = TAMPERED[name]
    report = csv_folder / "report.csv"
    report.write_text("".join(tamper(report.read_text().splitlines(keepends=True))))
    code, said = verify(csv_folder)
    assert (code, message in said) == (11, True), said


@pytest.mark.parametrize("other", ["rows.csv", "report.csv.ledger", "other.jsonl"])
def test_what_is_no_report(other: str, csv_folder: Path) -> None:
    """A file that is no report exits 7 and says so, in no words of a parser's."""
    (csv_folder / "other.jsonl").write_text('{"row": 1,')
    done = bulksync("verify", "rows.csv", other, folder=csv_folder)
    said = f"bulksync: {other} is not a report of bulksync\nbulksync: next: name the report: the .report.csv file\n"
    assert done == Done(7, "", said)


def test_the_report_is_named_to_who_names_the_input(csv_folder: Path) -> None:
    """Where the input's own report stands beside it, it is what was meant."""
    (csv_folder / "report.csv").rename(csv_folder / "rows.csv.report.csv")
    done = bulksync("verify", "rows.csv", "rows.csv", folder=csv_folder)
    assert done.stderr.splitlines()[1] == "bulksync: next: name the report: rows.csv.report.csv"


def test_a_report_that_is_not_there(csv_folder: Path) -> None:
    """A report that cannot be opened exits 7 and says why."""
    done = bulksync("verify", "rows.csv", "nope.csv", folder=csv_folder)
    said = "bulksync: the report nope.csv cannot be read: No such file or directory"
    assert (done.code, done.stderr.splitlines()[0]) == (7, said)


def test_history(csv_folder: Path) -> None:
    """`history` shows each run of a ledger in a line, oldest first, and says beside them how large the ledger is."""
    bulksync("run", "rows.csv", "--sandbox", "--restart", "-o", "report.csv", folder=csv_folder)
    done = bulksync("history", "report.csv.ledger", folder=csv_folder)
    first, second = done.stdout.splitlines()
    assert (done.code, done.stderr) == (0, "bulksync: report.csv.ledger: 2 runs kept, 0.0 MB\n")
    assert first.endswith("exit 3  4 rows: updated 3, invalid 1  rows.csv to sandbox")
    assert second.endswith("exit 7  4 rows: unsent 3, invalid 1  rows.csv to sandbox")


def test_history_for_programs(csv_folder: Path) -> None:
    """`--json` has the same runs, with numbers as numbers and nothing beside them."""
    done = bulksync("history", "report.csv.ledger", "--json", folder=csv_folder)
    found = json.loads(done.stdout)
    (run,) = found.pop("runs")
    assert (done.code, done.stderr, list(found), found["ledger"]) == (0, "", ["ledger", "bytes"], "report.csv.ledger")
    assert run | {"run": "", "started": "", "ended": ""} == {
        "run": "",
        "started": "",
        "ended": "",
        "exitCode": 3,
        "rows": 4,
        "outcomes": {"updated": 3, "invalid": 1},
        "input": "rows.csv",
        "target": "sandbox",
    }


def test_verify_for_programs(csv_folder: Path) -> None:
    """`--json` says each discrepancy with its row and line; the exit codes are the same."""

    def verified() -> tuple[int, dict[str, Any]]:
        done = bulksync("verify", "rows.csv", "report.csv", "--json", folder=csv_folder)
        return done.code, json.loads(done.stdout)

    counts = {"input": "rows.csv", "report": "report.csv", "rows": 4}
    outcomes = {"updated": 3, "invalid": 1}
    assert verified() == (0, {**counts, "reportLines": 4, "outcomes": outcomes, "discrepancies": []})
    report = csv_folder / "report.csv"
    lines = report.read_text().splitlines(keepends=True)
    report.write_text("".join([*lines[:4], *lines[4], lines[4]]))
    assert verified() == (
        11,
        {
            **counts,
            "reportLines": 5,
            "outcomes": outcomes | {"updated": 4},
            "discrepancies": [{"row": None, "line": None, "problem": "report line 5: the input has no such row"}],
        },
    )
    report.write_text("".join(lines[:-1]))
    assert verified()[1]["discrepancies"] == [{"row": 4, "line": 5, "problem": "the report has no line for it"}]

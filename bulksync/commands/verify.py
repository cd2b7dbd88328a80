"""Verify a report against its input: every row has exactly one line, in order, consistent with the row."""

import csv
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

import orjson

from bulksync.errors import InputError
from bulksync.model import InvalidRow, Outcome, Row
from bulksync.options.files import beside_it
from bulksync.reader.input import open_input
from bulksync.reader.source import Source
from bulksync.report.table import COLUMNS, guarded, is_json
from bulksync.text import name_of

SENT = frozenset({Outcome.UPDATED, Outcome.REJECTED, Outcome.FAILED, Outcome.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """What is wrong, and with which row of the input; None if it has no such row."""

    row: int | None
    line: int | None
    problem: str

    def __str__(self) -> str:
        return self.problem if self.row is None else f"row {self.row} (line {self.line}): {self.problem}"


@dataclass(slots=True)
class Audit:
    """The result of an audit: counts by outcome, and discrepancies, each with its row."""

    rows: int = 0
    lines: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    wrong: list[Discrepancy] = field(default_factory=list)


def audit(source: Source, report: Path, *, most: int = 100) -> Audit:
    """Compare a report with its input, row by row, and stop after *most* discrepancies.

    Raises InputError if either cannot be read.
    """
    found = Audit()
    with open_input(source) as content, opened(report) as lines:
        for row, line in zip_longest(content.rows(), lines):
            found.rows += row is not None
            found.lines += line is not None
            if line is not None:
                found.outcomes[str(line.get("outcome"))] += 1
            found.wrong += discrepancies(row, line, found.lines)
            if len(found.wrong) >= most:
                break
    return found


def facts(found: Audit, source: Source, report: Path) -> dict[str, Any]:
    """Return the result of an audit, for programs."""
    return {
        "input": source.name,
        "report": name_of(report),
        "rows": found.rows,
        "reportLines": found.lines,
        "outcomes": found.outcomes,
        "discrepancies": found.wrong,
    }


def discrepancies(row: Row | InvalidRow | None, line: dict[str, Any] | None, number: int) -> list[Discrepancy]:
    """Return what is wrong with one line of the report for one row of the input; None means that one is missing."""
    if row is None:
        return [Discrepancy(None, None, f"report line {number}: the input has no such row")] if line is not None else []
    if line is None:
        return [Discrepancy(row.row, row.line, "the report has no line for it")]
    return [
        Discrepancy(row.row, row.line, problem) for problem in (*differences(row, line), *contradictions(row, line))
    ]


def differences(row: Row | InvalidRow, line: dict[str, Any]) -> Iterator[str]:
    """Yield where a line of the report does not match its row of the input."""
    wanted = {"row": row.row, "line": row.line, "workflowId": row.workflow_id, "executionId": row.execution_id}
    for name, value in wanted.items():
        said = str(line.get(name))
        if said not in (str(value), guarded(str(value))):
            yield f"{name} is {said} in the report and {value} in the input"


def contradictions(row: Row | InvalidRow, line: dict[str, Any]) -> Iterator[str]:
    """Yield where a line of the report contradicts itself or the input."""
    outcome, status, attempts = (str(line.get(name) or "") for name in ("outcome", "httpStatus", "attempts"))
    if outcome not in {*Outcome}:
        yield f"{outcome or 'nothing'} is no outcome"
    if (outcome == Outcome.INVALID) != isinstance(row, InvalidRow):
        yield f"{outcome}, but the input's row is {'not valid' if isinstance(row, InvalidRow) else 'valid'}"
    if outcome == Outcome.UPDATED and not status.startswith("2"):
        yield f"updated, but with HTTP status {status or 'none'}"
    if outcome == Outcome.UPDATED and attempts in ("", "0"):
        yield "updated, but without an attempt"
    if outcome == Outcome.UNCHANGED and (status or attempts not in ("", "0")):
        yield f"unchanged, but with {attempts or 'no'} attempts and HTTP status {status or 'none'}"
    if (outcome in (Outcome.UPDATED, Outcome.UNCHANGED)) == bool(line.get("error")):
        yield f"{outcome} with the error {line.get('error') or 'missing'}"


@contextmanager
def opened(report: Path) -> Iterator[Iterator[dict[str, Any]]]:
    """Yield the lines of a report, CSV or JSON lines. Raises InputError if it is not a report."""
    try:
        with report.open(encoding="utf-8-sig", newline="") as file:
            yield (orjson.loads(text) for text in file) if is_json(report) else csv_lines(report, file)
    except OSError as error:
        raise InputError(f"the report {report} cannot be read: {error.strerror}", "check its path") from None
    except (ValueError, csv.Error):
        raise no_report(report) from None


def csv_lines(report: Path, file: Any) -> Iterator[dict[str, Any]]:
    """Return the lines of a CSV report, its delimiter detected from the header."""
    first = file.readline()
    delimiter = first[3:4]  # the character after `row`
    cells = csv.reader(chain([first], file), delimiter=delimiter or ",", strict=True)
    names = next(cells, [])
    if tuple(names[: len(COLUMNS)]) != COLUMNS:
        raise no_report(report)
    return (dict(zip(COLUMNS, line, strict=False)) for line in cells)


def no_report(path: Path) -> InputError:
    """Return the error for a file that is not a report, or is one that has been modified."""
    beside = beside_it(path, "report.csv")
    return InputError(
        f"{path} is not a report of bulksync",
        f"name the report: {beside if beside.is_file() else 'the .report.csv file'}",
    )

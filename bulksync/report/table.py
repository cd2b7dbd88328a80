"""The report: exactly one line for each input row, in input order, with what the server answered."""

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol, TextIO

import orjson

from bulksync.report.file import written

COLUMNS = (
    "row", "line", "workflowId", "executionId", "requestedStatus", "outcome", "httpStatus", "attempts",
    "returnedStatus", "disposition", "stepDispositions", "startedAt", "completedAt", "firstSentAt", "finishedAt",
    "durationMs", "dispositionCertain", "orderRisk", "error", "detail",
)  # fmt: skip
"""The contract's columns in the contract's order; the input's other columns follow them."""

FORMULA_STARTS = frozenset("=+-@\t\r")
"""What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection")."""


class Record(Protocol):
    """What the report needs of an input row: the cells of its echoed columns."""

    @property
    def cells(self) -> list[str]:
        """Return the text of the echoed columns, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """How the report looks: the input's *delimiter* and byte order mark, and which of its columns are *echoed*."""

    delimiter: str = ","
    bom: bool = False
    echoed: tuple[str, ...] = ()
    guard_formulas: bool = False


def write_report(
    path: Path, lines: Iterable[tuple[Any, ...]], order_risks: set[int], records: Iterable[Record] | None, view: View
) -> None:
    """Write the report of a run's *lines* (in the ledger's columns), CSV, or JSON lines where *path* ends in .jsonl.

    *records* are the input's rows in the same order with their echoed cells, None where the input is gone. StorageError
    where it cannot be written, ValueError where there are fewer or more records than lines.
    """
    echoes: Iterable[list[str]] = repeat([]) if records is None else (record.cells for record in records)
    rows = zip(lines, echoes, strict=records is not None)
    with written(path, "report") as file:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            write_jsonl(file, rows, order_risks, view)
        else:
            write_csv(file, rows, order_risks, view)


def write_csv(
    file: TextIO, rows: Iterable[tuple[tuple[Any, ...], list[str]]], order_risks: set[int], view: View
) -> None:
    """Write the report as CSV; words of the server are guarded against formulas."""
    if view.bom:
        file.write("\ufeff")
    writer = csv.writer(file, delimiter=view.delimiter, lineterminator="\n")
    writer.writerow([*COLUMNS, *headings(view.echoed)])
    for line, echoed in rows:
        cells = csv_cells(line, line[0] in order_risks)
        cells += map(guarded, echoed) if view.guard_formulas else echoed
        text = view.delimiter.join(cells)
        if is_plain(text, view.delimiter, len(cells)):
            file.write(f"{text}\n")
        else:
            writer.writerow(cells)


def is_plain(text: str, delimiter: str, cells: int) -> bool:
    """Whether so many joined *cells* are CSV as they stand: none holds a delimiter, a quote or the end of a line.

    csv asks that of each character by itself, which took 4.5 µs a row, the most of all that a report does; this takes
    0.5 (measured).
    """
    return text.count(delimiter) == cells - 1 and not ('"' in text or "\n" in text or "\r" in text)


def write_jsonl(
    file: TextIO, rows: Iterable[tuple[tuple[Any, ...], list[str]]], order_risks: set[int], view: View
) -> None:
    """Write the report as JSON lines, step dispositions as an array and the steps themselves beside them."""
    names = headings(view.echoed)
    for line, echoed in rows:
        fields = json_fields(line, line[0] in order_risks)
        fields.update(zip(names, echoed, strict=True))
        file.write(orjson.dumps(fields).decode() + "\n")


def headings(echoed: Iterable[str]) -> list[str]:
    """Return the headings of echoed columns; one that the report has itself is told apart by `input.`."""
    return [f"input.{name}" if name in COLUMNS else name for name in echoed]


def csv_cells(line: tuple[Any, ...], order_risk: bool) -> list[str]:
    """Return the contract's cells of one ledger line."""
    (row, number, workflow, execution, requested, outcome, http, attempts, returned, disposition, steps, started,
     completed, first_sent, finished, duration, doubtful, error, detail) = line  # fmt: skip
    sent = bool(attempts or doubtful)
    return [
        str(row), str(number), guarded(workflow), guarded(execution), guarded(requested), outcome, number_cell(http),
        str(attempts), guarded(returned), guarded(disposition), guarded(";".join(step_dispositions(steps))),
        guarded(started), guarded(completed), first_sent or "", finished or "", number_cell(duration),
        said(sent, not doubtful), said(sent, order_risk), error, guarded(detail),
    ]  # fmt: skip


def json_fields(line: tuple[Any, ...], order_risk: bool) -> dict[str, Any]:
    """Return the contract's fields of one ledger line; null where a CSV cell is empty for want of a request."""
    (row, number, workflow, execution, requested, outcome, http, attempts, returned, disposition, steps, started,
     completed, first_sent, finished, duration, doubtful, error, detail) = line  # fmt: skip
    sent = bool(attempts or doubtful)
    certain, risk = (not doubtful, order_risk) if sent else (None, None)
    values = (
        row, number, workflow, execution, requested, outcome, http, attempts, returned, disposition,
        step_dispositions(steps), started, completed, first_sent, finished, duration, certain, risk, error, detail,
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True)) | {"steps": [shown(step) for step in orjson.loads(steps)]}


def step_dispositions(steps: str) -> list[str]:
    """Return the dispositions of the steps in their order; a step without one has an empty slot."""
    return [step["disposition"] for step in orjson.loads(steps)] if steps != "[]" else []


def shown(step: Mapping[str, Any]) -> dict[str, Any]:
    """Return a step with the API's own names."""
    names = ("id", "type", "order", "status", "disposition")
    return {name: step[name] for name in names} | {"callEndedReason": step["call_ended_reason"]}


def number_cell(number: int | None) -> str:
    """Write a number, or nothing where there is none."""
    return "" if number is None else str(number)


def said(sent: bool, value: bool) -> str:
    """Write a truth about what was sent; nothing where nothing was."""
    return ("true" if value else "false") if sent else ""


def guarded(text: str) -> str:
    """Keep a spreadsheet from taking the text for a formula."""
    return f"'{text}" if text[:1] in FORMULA_STARTS else text

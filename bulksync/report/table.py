"""The report: exactly one line for each input row, in input order, with what the server answered."""

import csv
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
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
    """What the report needs of an input row: the text of a column by its name."""

    def echo(self, name: str, /) -> str:
        """Return the text under the column *name*."""
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

    *records* are the input's rows in the same order, None where the input is gone. StorageError where it cannot be
    written, ValueError where there are fewer or more records than lines.
    """
    rows = joined(lines, records)
    with written(path, "report") as file:
        if path.suffix.lower() in (".jsonl", ".ndjson"):
            write_jsonl(file, rows, order_risks, view)
        else:
            write_csv(file, rows, order_risks, view)


def joined(
    lines: Iterable[tuple[Any, ...]], records: Iterable[Record] | None
) -> Iterator[tuple[tuple[Any, ...], Record | None]]:
    """Pair each line with its row of the input."""
    if records is None:
        return ((line, None) for line in lines)
    return zip(lines, records, strict=True)


def write_csv(
    file: TextIO, rows: Iterable[tuple[tuple[Any, ...], Record | None]], order_risks: set[int], view: View
) -> None:
    """Write the report as CSV; words of the server are guarded against formulas."""
    if view.bom:
        file.write("\ufeff")
    writer = csv.writer(file, delimiter=view.delimiter, lineterminator="\n")
    writer.writerow([*COLUMNS, *headings(view.echoed)])
    cell = guarded if view.guard_formulas else str
    writer.writerows(
        [*csv_cells(line, line[0] in order_risks), *(cell(text) for text in echoes(record, view.echoed))]
        for line, record in rows
    )


def write_jsonl(
    file: TextIO, rows: Iterable[tuple[tuple[Any, ...], Record | None]], order_risks: set[int], view: View
) -> None:
    """Write the report as JSON lines, step dispositions as an array and the steps themselves beside them."""
    names = headings(view.echoed)
    for line, record in rows:
        fields = json_fields(line, line[0] in order_risks)
        fields.update(zip(names, echoes(record, view.echoed), strict=True))
        file.write(orjson.dumps(fields).decode() + "\n")


def headings(echoed: Iterable[str]) -> list[str]:
    """Return the headings of echoed columns; one that the report has itself is told apart by `input.`."""
    return [f"input.{name}" if name in COLUMNS else name for name in echoed]


def echoes(record: Record | None, echoed: tuple[str, ...]) -> list[str]:
    """Return the echoed cells of one row."""
    return [record.echo(name) for name in echoed] if record is not None else [""] * len(echoed)


def csv_cells(line: tuple[Any, ...], order_risk: bool) -> list[Any]:
    """Return the contract's cells of one ledger line; csv writes None as an empty cell."""
    (row, number, workflow, execution, requested, outcome, http, attempts, returned, disposition, steps, started,
     completed, first_sent, finished, duration, doubtful, error, detail) = line  # fmt: skip
    sent = bool(attempts or doubtful)
    return [
        row, number, guarded(workflow), guarded(execution), guarded(requested), outcome, http, attempts,
        guarded(returned), guarded(disposition), guarded(";".join(step_dispositions(steps))), guarded(started),
        guarded(completed), first_sent, finished, duration, said(sent, not doubtful), said(sent, order_risk), error,
        guarded(detail),
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


def said(sent: bool, value: bool) -> str:
    """Write a truth about what was sent; nothing where nothing was."""
    return ("true" if value else "false") if sent else ""


def guarded(text: str) -> str:
    """Keep a spreadsheet from taking the text for a formula."""
    return f"'{text}" if text[:1] in FORMULA_STARTS else text

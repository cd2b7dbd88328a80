"""The report: exactly one line for each input row, in input order, with what the server answered."""

import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Protocol, TextIO, TypeVar

import orjson

from bulksync.ledger.line import Line, Moved
from bulksync.ledger.sql import CELLS
from bulksync.report.atomic import written
from bulksync.report.schema import ReportLine, ReportStep


def write_moves(path: Path, moved: Iterable[Moved]) -> None:
    """Write the rows whose disposition changed as CSV. Raises StorageError if that fails."""
    with written(path, "difference") as file:
        writer = csv.writer(OneLineFeed(file), lineterminator="\r\n")
        writer.writerow(["row", "line", "workflowId", "executionId", "from", "to", "previousRun"])
        writer.writerows(one._replace(old=guarded(one.old), new=guarded(one.new)) for one in moved)


COLUMNS = tuple(CELLS)
"""The specified columns in their specified order; the input's other columns follow them."""

FORMULA_STARTS = frozenset("=+-@\t\r")
"""First characters that make a spreadsheet treat a cell as a formula (OWASP, "CSV Injection")."""

SEPARATOR = "\x1f"
"""Separates the cells of a line from the ledger, whose texts never contain control characters."""

FORMULA = re.compile(f"{SEPARATOR}[{re.escape(''.join(FORMULA_STARTS))}]")
"""The start of a cell that could be a formula; the first cell of a line is the row's number."""

T = TypeVar("T")


class OneLineFeed:
    """Makes `csv` quote carriage returns too, as it does if lines end in them, and ends lines with a line feed."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, line: str) -> int:
        """Write a line of CSV."""
        return self._file.write(line.removesuffix("\r\n") + "\n")


class Record(Protocol):
    """What the report needs of an input row: the cells of its echoed columns."""

    @property
    def cells(self) -> list[str]:
        """The text of the echoed columns, in order."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """The report's format: the input's *delimiter* and byte order mark, and which of its columns are *echoed*."""

    delimiter: str = ","
    bom: bool = False
    echoed: tuple[str, ...] = ()
    guard_formulas: bool = False


def is_json(path: Path) -> bool:
    """Return whether a report at *path* is JSON lines."""
    return path.suffix.lower() in (".jsonl", ".ndjson")


def write_csv_report(path: Path, lines: Iterable[str], records: Iterable[Record] | None, view: View) -> None:
    """Write the report of a run's *lines*, each with all its cells joined by `SEPARATOR`, as CSV.

    Server text is guarded against formulas. *records* are the input's rows in the same order with their echoed
    cells, None if the input is gone. Raises StorageError if the file cannot be written, ValueError if there are
    fewer or more records than lines.
    """
    with written(path, "report") as file:
        if view.bom:
            file.write("\ufeff")
        writer = csv.writer(OneLineFeed(file), delimiter=view.delimiter, lineterminator="\r\n")
        writer.writerow([*COLUMNS, *headings(view.echoed)])
        for line, echoed in with_echoes(lines, records):
            cells = [guarded_all(line), *(map(guarded, echoed) if view.guard_formulas else echoed)]
            text = SEPARATOR.join(cells)
            if is_plain(text, view.delimiter, len(COLUMNS) + len(echoed)):
                file.write(text.replace(SEPARATOR, view.delimiter) + "\n")
            else:
                writer.writerow([*cells[0].split(SEPARATOR), *cells[1:]])


def is_plain(text: str, delimiter: str, cells: int) -> bool:
    """Return whether a line of joined *cells* is valid CSV unquoted: no cell has a delimiter, quote or line break.

    csv checks each character by itself, which took 4.5 µs per row, the largest cost of a report; this takes 0.5 µs
    (measured).
    """
    is_special = delimiter in text or '"' in text or "\n" in text or "\r" in text
    return not is_special and text.count(SEPARATOR) == cells - 1


def write_json_report(
    path: Path, lines: Iterable[Line], order_risks: set[int], records: Iterable[Record] | None, view: View
) -> None:
    """Write the report of a run's *lines* as JSON lines, including each row's steps.

    *records* and errors are those of `write_csv_report`.
    """
    names = headings(view.echoed, frozenset({*COLUMNS, "steps"}))
    with written(path, "report") as file:
        for line, echoed in with_echoes(lines, records):
            fields = json_line(line, line.row in order_risks) | dict(zip(names, echoed, strict=True))
            file.write(orjson.dumps(fields).decode() + "\n")


def with_echoes(lines: Iterable[T], records: Iterable[Record] | None) -> Iterator[tuple[T, list[str]]]:
    """Return each line with its echoed cells."""
    echoes: Iterable[list[str]] = repeat([]) if records is None else (record.cells for record in records)
    return zip(lines, echoes, strict=records is not None)


def headings(echoed: Iterable[str], own: frozenset[str] = frozenset(COLUMNS)) -> list[str]:
    """Return the headings of echoed columns; one or more `input.` prefixes avoid a clash with the report's own."""
    names = list(echoed)
    taken = {*own, *names}
    found = []
    for name in names:
        heading = name
        if name in own:
            while heading in taken:
                heading = f"input.{heading}"
            taken.add(heading)
        found.append(heading)
    return found


def json_line(line: Line, order_risk: bool) -> ReportLine:
    """Return one line of the ledger as a JSON object; null where a CSV cell is empty because nothing was sent."""
    steps = orjson.loads(line.steps)
    return ReportLine(
        row=line.row,
        line=line.line,
        workflowId=line.workflow,
        executionId=line.execution,
        requestedStatus=line.requested,
        outcome=line.outcome,
        httpStatus=line.http,
        attempts=line.attempts,
        returnedStatus=line.returned,
        disposition=line.disposition,
        stepDispositions=[step["disposition"] for step in steps],
        startedAt=line.started,
        completedAt=line.completed,
        firstSentAt=line.first_sent,
        finishedAt=line.finished,
        durationMs=line.duration,
        dispositionCertain=not line.doubtful if line.was_sent else None,
        orderRisk=order_risk if line.was_sent else None,
        error=line.error,
        detail=line.detail,
        steps=[json_step(step) for step in steps],
    )


def json_step(step: Mapping[str, Any]) -> ReportStep:
    """Return a step with the API's own names."""
    return ReportStep(
        id=step["id"],
        type=step["type"],
        order=step["order"],
        status=step["status"],
        disposition=step["disposition"],
        callEndedReason=step["call_ended_reason"],
    )


def guarded(text: str) -> str:
    """Return text that a spreadsheet will not treat as a formula."""
    return f"'{text}" if text[:1] in FORMULA_STARTS else text


def guarded_all(line: str) -> str:
    """Guard each cell of a line."""
    return SEPARATOR.join(map(guarded, line.split(SEPARATOR))) if FORMULA.search(line) else line

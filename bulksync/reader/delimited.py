"""CSV and TSV (RFC 4180): physical lines to cells to rows."""

import csv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice, zip_longest
from typing import Any

from bulksync.model import InvalidRow, Row
from bulksync.reader.annotating import annotated_cells, annotated_header
from bulksync.reader.decoding import Text
from bulksync.reader.header import Columns, read_header
from bulksync.reader.jsontext import parse
from bulksync.reader.lines import Lines, TooLarge, flawed
from bulksync.reader.record import NESTING_LIMIT, ROW_LIMIT, Column, Flaw, Layout, Record, repaired
from bulksync.reader.validation import judge, refuse
from bulksync.reader.workbook import SheetText
from bulksync.text import clean

_EMPTY = Columns((), 0, {}, {}, {}, {})
_QUOTING = 'write a literal quote as "" inside a quoted field'
_COUNTED = 1_000
"""Rows whose cells are counted at once, column by column, which takes a fifth of counting them cell by cell."""
_LOST = "where the next row starts cannot be told"

Found = tuple[int, int, str, list[str], Flaw | None]
"""Row, line, raw text, cells as far as they could be read, and what is wrong with them."""

csv.field_size_limit(max(csv.field_size_limit(), ROW_LIMIT))  # the limit is ours, by row; csv's is by field, and lower


class Delimited:
    """A CSV or TSV text whose header has been read."""

    def __init__(self, text: Text | SheetText, delimiter: str | None) -> None:
        self._lines = Lines(text.lines())
        self._encoding = text.encoding
        found = read_header(self._lines, text.name, delimiter, text.encoding, text.source.fields)
        self._columns = found.columns if found else _EMPTY
        self.header = found.raw if found else ""
        self.layout = Layout(self._columns.names, found.delimiter if found else delimiter or ",", text.bom)
        self.echoed = tuple(self._columns.echoed)
        self.metadata_columns = tuple(self._columns.metadata)
        self._carried = [0] * len(self._columns.names)
        self.row_count = 0

    @property
    def columns(self) -> list[Column]:
        """What becomes of each column, and how many of the rows so far carry it."""
        sent, width = self._columns.sent(), len(self._columns.names)
        named = [(place, name) for place, name in enumerate(self._columns.names) if name]
        own = [Column(name, sent.get(place, ""), self._carried[place]) for place, name in named]
        return own + [Column("", field, self.row_count) for place, field in sent.items() if place >= width]

    def rows(self, allowed: frozenset[str] | None) -> Iterator[Row | InvalidRow]:
        """Every row in order, valid or not."""
        workflow_at, execution_at, status_at = map(self._columns.known.get, ("workflowId", "executionId", "status"))
        width, fixed = len(self._columns.names), self._columns.fixed
        seen: list[list[str]] = []
        for row, line, _, cells, flaw in self._found():
            seen.append(cells)
            if len(seen) == _COUNTED:
                self._count(seen)
            if fixed:
                cells = [*cells[:width], *[""] * (width - len(cells)), *fixed]
            workflow, execution = _cell(cells, workflow_at), _cell(cells, execution_at)
            status = _cell(cells, status_at)
            if flaw:
                yield refuse(row, line, flaw, workflow, execution, status)
            else:
                yield judge(row, line, workflow, execution, status, self._metadata(cells), allowed)
        self._count(seen)

    def _count(self, seen: list[list[str]]) -> None:
        """Count the cells of some rows that hold something, and forget these rows."""
        for place, cells in enumerate(islice(zip_longest(*seen, fillvalue=""), len(self._carried))):
            self._carried[place] += sum(map(bool, cells))
        self.row_count += len(seen)
        seen.clear()

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Every row as it stands, numbered as in `rows`, with its cells under these *names*."""
        known = {name: place for place, name in enumerate(self._columns.names)}
        places = [(known | self._columns.echoed)[name] for name in names]
        for row, line, raw, cells, _ in self._found():
            yield Record(row, line, raw, [repaired(cells[at]) if at < len(cells) else "" for at in places])

    @property
    def annotated_header(self) -> str:
        """The header with columns for an error and its detail behind."""
        return annotated_header(self.header, self.layout.delimiter, self.layout.columns)

    def annotated(self, raw: str, error: str, detail: str) -> str:
        """A row with an error and its detail behind."""
        return annotated_cells(raw, self.layout.delimiter, self.layout.columns, error, detail)

    def _found(self) -> Iterator[Found]:
        lines, row = self._lines, 0
        reader = csv.reader(lines, delimiter=self.layout.delimiter, strict=True)
        while True:
            lines.start_row()
            before = lines.number
            cells: list[str] = []
            flaw = None
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error:
                cells, flaw = self._guessed(lines.taken), _malformed(lines)
            except TooLarge as large:
                cells, flaw = self._guessed(lines.taken), _too_large(lines, large)
            raw = lines.taken[0] if len(lines.taken) == 1 else "".join(lines.taken)
            if len(cells) < 2 and not flaw and not raw.strip(" \r\n"):
                continue
            row += 1
            line = before + 1
            yield row, line, raw, cells, flaw or flawed(raw, line, self._encoding) or self._miscounted(cells)
            if flaw and flaw.fatal:
                return

    def _guessed(self, taken: list[str]) -> list[str]:
        """The cells of a malformed row's first line, for its ids: those before the fault are right."""
        with suppress(csv.Error):
            return next(csv.reader(taken[:1], delimiter=self.layout.delimiter), [])
        return []

    def _miscounted(self, cells: list[str]) -> Flaw | None:
        names, named = self._columns.names, self._columns.named
        if len(cells) != len(names):
            hint = "; quote fields that contain the delimiter" if len(cells) > len(names) else ""
            return Flaw("field_count_mismatch", f"{len(cells)} fields where the header has {len(names)}{hint}")
        if named < len(names) and any(cells[named:]):
            return Flaw("field_count_mismatch", f"{len(cells)} fields where the header has {named} with a name")
        return None

    def _metadata(self, cells: list[str]) -> dict[str, Any] | Flaw | None:
        metadata = _metadata_cell(_cell(cells, self._columns.known.get("metadata")))
        if isinstance(metadata, Flaw):
            return metadata
        for member, at in self._columns.members.items():
            if value := cells[at]:
                metadata = {} if metadata is None else metadata
                if member in metadata:
                    spelled = clean(member, 60)
                    return Flaw("metadata_invalid", f"'{spelled}' is given both in metadata and as a column")
                metadata[member] = value
        return metadata


def _metadata_cell(text: str) -> dict[str, Any] | Flaw | None:
    if not text:
        return None
    value = parse(text, NESTING_LIMIT)
    if value is None or isinstance(value, dict):
        return value
    if not isinstance(value, Flaw):
        return Flaw("metadata_invalid", 'metadata is JSON, but not an object: {"name": "value"}')
    error = "metadata_invalid" if value.error == "json_malformed" else value.error
    return Flaw(error, f"metadata: {value.detail}")


def _cell(cells: list[str], at: int | None) -> str:
    return cells[at].strip() if at is not None and at < len(cells) else ""


def _malformed(lines: Lines) -> Flaw:
    odd = lines.taken[0].count('"') % 2 == 1
    if len(lines.taken) > 1 or (odd and not lines.ended):
        return Flaw(
            "csv_malformed", f"a quote opened here is never closed (seen on line {lines.number}): {_LOST}", True
        )
    if "\r" in lines.taken[0].rstrip("\r\n"):
        return Flaw("csv_malformed", f"a carriage return outside quotes, or text after a closing quote; {_QUOTING}")
    return Flaw("csv_malformed", f"unclosed quote, or text after a closing quote; {_QUOTING}")


def _too_large(lines: Lines, large: TooLarge) -> Flaw:
    if lines.taken:
        return Flaw("csv_malformed", f"a quote opened here is not closed within 1 MiB: {_LOST}", True)
    if large.quotes and large.quotes % 2:
        return Flaw(
            "row_too_large", f"the line is longer than 1 MiB and opens a quote that it does not close: {_LOST}", True
        )
    return Flaw("row_too_large", "the line is longer than 1 MiB")

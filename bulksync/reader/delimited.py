"""Parse CSV and TSV (RFC 4180): physical lines to cells to rows."""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from bulksync.model import InvalidRow, Row
from bulksync.reader.annotating import annotated_cells, annotated_header
from bulksync.reader.decoding import Text
from bulksync.reader.escapes import escaped_cells
from bulksync.reader.header import read_header
from bulksync.reader.jsontext import is_cut, kind_of, parse
from bulksync.reader.lines import Lines, TooLarge, flawed
from bulksync.reader.noting import NO_VALUES, Notes
from bulksync.reader.record import NESTING_LIMIT, ROW_LIMIT, STATE_NAMES, Column, Flaw, Layout, Record, repaired
from bulksync.reader.shapes import refuse_bare_returns
from bulksync.reader.swallowing import has_swallowed
from bulksync.reader.validation import judge, refuse
from bulksync.reader.workbook import SheetText
from bulksync.text import clean, counted

_QUOTING = 'write a literal quote as "" inside a quoted field'
_MOST_PATTERNS = 1_000  # that are counted before they are added up by column
_LOST = "where the next row starts cannot be told"

_ODD_STARTS = frozenset(" \xa0").union(word[0] for word in NO_VALUES)

Found = tuple[int, int, str, list[str], Flaw | None]
"""Row, line, raw text, the cells that could be read, and the flaw if there is one."""

csv.field_size_limit(max(csv.field_size_limit(), ROW_LIMIT))  # our limit is per row; csv's is per field, and lower


class Delimited:
    """A CSV or TSV text whose header has been read."""

    def __init__(self, text: Text | SheetText) -> None:
        self._text = text
        self._lines = Lines(text.lines())
        found = read_header(self._lines, text)
        self._columns = found.columns
        self.header = found.raw
        self._after_delimiter = f"{found.delimiter} "
        self.layout = Layout(self._columns.names, found.delimiter, text.bom)
        self.echoed = tuple(self._columns.echoed)
        self.metadata_columns = tuple(self._columns.metadata)
        self.notes = Notes(text.source, found.delimiter, text.encoding)
        self._absent = [0] * len(self._columns.names)
        self._patterns = Counter[tuple[bool, ...]]()
        self.row_count = 0

    @property
    def columns(self) -> list[Column]:
        """How each column is used, and how many rows so far have a value in it."""
        self._fold()
        sent, width = self._columns.sent(), len(self._columns.names)
        named = [(place, name) for place, name in enumerate(self._columns.names) if name]
        own = [Column(name, sent.get(place, ""), self.row_count - self._absent[place]) for place, name in named]
        return own + [Column("", field, self.row_count) for place, field in sent.items() if place >= width]

    def rows(self, allowed: frozenset[str] | None) -> Iterator[Row | InvalidRow]:
        """Yield every row in order, valid or not."""
        workflow_at, execution_at, status_at = map(self._columns.known.get, ("workflowId", "executionId", "status"))
        width, fixed = len(self._columns.names), self._columns.fixed
        for row, line, _, cells, flaw in self._found():
            self.row_count = row
            if "" in cells or len(cells) < width:
                self._note_absent(cells)
            if fixed:
                cells = [*cells[:width], *[""] * (width - len(cells)), *fixed]
            workflow, execution = _cell(cells, workflow_at), _cell(cells, execution_at)
            status = _cell(cells, status_at)
            if flaw:
                yield refuse(row, line, flaw, workflow, execution, status)
            else:
                yield judge(row, line, workflow, execution, status, self._metadata(cells), allowed)

    def _note_absent(self, cells: list[str]) -> None:
        """Count a row with empty cells by the pattern of empty cells: most rows share a few patterns."""
        self._patterns[tuple(map(bool, cells))] += 1
        if len(self._patterns) > _MOST_PATTERNS:
            self._fold()

    def _fold(self) -> None:
        for held, rows in self._patterns.items():
            for place in range(len(self._absent)):
                if place >= len(held) or not held[place]:
                    self._absent[place] += rows
        self._patterns.clear()

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Yield every row as it is in the input, numbered as in `rows`, with the cells of the columns *names*."""
        known = {name: place for place, name in enumerate(self._columns.names)}
        places = [(known | self._columns.echoed)[name] for name in names]
        for row, line, raw, cells, _ in self._found():
            yield Record(row, line, raw, [repaired(cells[at]) if at < len(cells) else "" for at in places])

    @property
    def annotated_header(self) -> str:
        """The header with columns for the error and its detail appended."""
        return annotated_header(self.header, self.layout.delimiter, self.layout.columns)

    def annotated(self, raw: str, error: str, detail: str) -> str:
        """Return a row with an error and its detail appended."""
        is_quoted = not self._text.source.escapes
        return annotated_cells(raw, self.layout.delimiter, self.layout.columns, error, detail, is_quoted=is_quoted)

    def _is_unread_state(self, cells: list[str]) -> bool:
        """Return whether a state-file line has nothing to restore because its execution could not be read."""
        columns = self._columns
        if not all(name in columns.echoed for name in STATE_NAMES):
            return False
        sent = (columns.known.get("status"), *columns.metadata.values())
        return not any(_cell(cells, at) for at in sent if at is not None)

    def _found(self) -> Iterator[Found]:
        lines, row, notes = self._lines, 0, self.notes
        delimiter = self.layout.delimiter
        reader = escaped_cells(lines, delimiter) if self._text.source.escapes else _strict(lines, delimiter)
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
                cells, flaw = self._guessed(lines.taken), self._malformed()
            except TooLarge as large:
                cells, flaw = self._guessed(lines.taken), self._too_large(large, is_first=row == 0)
                if self._text.source.escapes:  # which is exhausted, as is any generator that has raised
                    reader = escaped_cells(lines, delimiter)
            line = before + 1
            if not flaw and _is_blank(cells):
                notes.note_blank(line, cells)
                continue
            if not flaw and self._is_unread_state(cells):
                notes.unread += 1
                continue
            raw = lines.taken[0] if len(lines.taken) == 1 else "".join(lines.taken)
            row += 1
            flaw = flaw or flawed(raw, line, self._text.encoding) or self._flaw_in(cells, raw)
            if notes.looks_closer and not flaw:
                notes.look(row, line, raw, cells)
            yield row, line, raw, cells, flaw
            if flaw and flaw.fatal:
                return

    def _guessed(self, taken: list[str]) -> list[str]:
        """Return the cells of a malformed row's first line, for its IDs: the cells before the fault are correct."""
        with suppress(csv.Error):
            return next(csv.reader(taken[:1], delimiter=self.layout.delimiter), [])
        return []

    def _flaw_in(self, cells: list[str], raw: str) -> Flaw | None:
        if len(self._lines.taken) > 1 and (flaw := self._swallowed(cells)):
            return flaw
        if ' "' in raw and self._after_delimiter in raw and (flaw := self._blank_before_quote(cells)):
            return flaw
        names, named = self._columns.names, self._columns.named
        if len(cells) != len(names) or named < len(names):
            return self._miscounted(cells, raw)
        return None

    def _swallowed(self, cells: list[str]) -> Flaw | None:
        metadata_at = self._columns.known.get("metadata")
        for at, cell in enumerate(cells):
            if "\n" not in cell or not has_swallowed(cell, self.layout.delimiter, len(self._columns.names)):
                continue
            if at != metadata_at or isinstance(parse(cell, NESTING_LIMIT), Flaw):
                what = f"the quote that opens {self._named(at)} swallowed the rows behind it, up to line"
                return Flaw("csv_malformed", f'{what} {self._lines.number}; close it, or write it as """"', True)
        return None

    def _blank_before_quote(self, cells: list[str]) -> Flaw | None:
        if not cells[0].startswith(" ") and "\0 " not in "\0".join(cells):
            return None
        for at, cell in enumerate(cells):
            if cell.startswith("{") and is_cut(cell):
                return None  # unquoted JSON that was split at its commas
            if cell.startswith(" ") and cell.lstrip(" ").startswith('"') and not self._text.source.escapes:
                what = f"a blank stands before the quote of {self._named(at)}, so that it does not quote"
                return Flaw("csv_malformed", f"{what}; remove the blanks after the delimiter")
        return None

    def _named(self, at: int) -> str:
        names = self._columns.names
        return f"column {at + 1}" + (f" '{clean(names[at], 40)}'" if at < len(names) and names[at] else "")

    def _miscounted(self, cells: list[str], raw: str) -> Flaw | None:
        """Return the flaw in the number of cells, if any; empty cells after the last named column are ignored."""
        width, named = len(self._columns.names), self._columns.named
        if len(cells) < width:
            what = f"{counted(len(cells), 'field')} where the header has {width}"
            hint = "; if this is a title or a footer, remove it" if len(cells) == 1 else _short(raw)
            return Flaw("field_count_mismatch", what + hint)
        if not any(cells[named:]):
            return None
        has = f"{width}" if named == width else f"{named} with a name"
        hint = _unquoted_json(raw, self.layout.delimiter) or "; quote fields that contain the delimiter"
        return Flaw("field_count_mismatch", f"{len(cells)} fields where the header has {has}{hint}")

    def _malformed(self) -> Flaw:
        lines = self._lines
        first = lines.taken[0]
        odd = first.count('"') % 2 == 1
        if len(lines.taken) > 1 or (odd and not lines.ended):
            what = f"a quote opened here is never closed (seen on line {lines.number}): {_LOST}"
            return Flaw("csv_malformed", what, True)
        if "\r" in first.rstrip("\r\n"):
            refuse_bare_returns(self._text.source, first)
            return Flaw("csv_malformed", f"a carriage return outside quotes, or text after a closing quote; {_QUOTING}")
        if '\\"' in first:
            what = 'a quote is escaped with a backslash; CSV writes it twice: "" in place of \\"'
            return Flaw("csv_malformed", what)
        hint = _unquoted_json(first, self.layout.delimiter) or f"; {_QUOTING}"
        if re.search(r'(?<=[^"\s])" +(?:' + re.escape(self.layout.delimiter) + r"|\r?\n?$)", first):
            return Flaw("csv_malformed", f"a blank stands after a closing quote; remove it{hint}")
        return Flaw("csv_malformed", f"unclosed quote, or text after a closing quote{hint}")

    def _too_large(self, large: TooLarge, *, is_first: bool) -> Flaw:
        if self._lines.taken:
            return Flaw("csv_malformed", f"a quote opened here is not closed within 1 MiB: {_LOST}", True)
        if is_first:
            refuse_bare_returns(self._text.source, self._text.head)
        if large.quotes and large.quotes % 2:
            what = f"the line is longer than 1 MiB and opens a quote that it does not close: {_LOST}"
            return Flaw("row_too_large", what, True)
        return Flaw("row_too_large", "the line is longer than 1 MiB")

    def _metadata(self, cells: list[str]) -> dict[str, Any] | Flaw | None:
        metadata = _metadata_cell(_cell(cells, self._columns.known.get("metadata")), self._text.source.escapes)
        if isinstance(metadata, Flaw):
            return metadata
        for member, at in self._columns.members.items():
            if value := cells[at]:
                if value[0] in _ODD_STARTS and (value in NO_VALUES or value[0].isspace()):
                    self.notes.note_member(member, value)
                metadata = {} if metadata is None else metadata
                if member in metadata:
                    spelled = clean(member, 60)
                    return Flaw("metadata_invalid", f"'{spelled}' is given both in metadata and as a column")
                metadata[member] = value
        return metadata


def _is_blank(cells: list[str]) -> bool:
    first = cells[0] if cells else ""
    return (not first or first.isspace()) and not any(map(str.strip, cells))


def _strict(lines: Lines, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(lines, delimiter=delimiter, strict=True)


def _short(raw: str) -> str:
    if raw.endswith("\n"):
        return "; write the delimiters of empty fields too, and quote fields that contain a line break"
    return "; it is the last line and has no line end: was the file cut?"


def _unquoted_json(raw: str, delimiter: str) -> str:
    """Return a hint for a JSON cell that lacks its quotes; empty if there is none."""
    if not re.search(rf'(?:^|{re.escape(delimiter)})\s*[{{\[]\s*["\'{{\[]', raw):
        return ""
    return '; put the JSON in quotes, and double those inside: "{""name"": 1}"'


def _metadata_cell(text: str, escapes: bool) -> dict[str, Any] | Flaw | None:
    if not text or (escapes and text == "NULL"):  # NULL as mysql writes it; JSON's is lowercase
        return None
    value = parse(text, NESTING_LIMIT)
    if value is None or isinstance(value, dict):
        return value
    if isinstance(value, Flaw):
        error = "metadata_invalid" if value.error == "json_malformed" else value.error
        return Flaw(error, f"metadata: {value.detail}")
    return Flaw("metadata_invalid", f"metadata is {kind_of(value)}")


def _cell(cells: list[str], at: int | None) -> str:
    return cells[at].strip() if at is not None and at < len(cells) else ""

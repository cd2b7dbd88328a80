"""A sheet of a workbook (.xlsx) as the text of a CSV file, one line for each of its rows."""

import csv
import gzip
import io
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import TYPE_CHECKING

from bulksync.errors import InputError
from bulksync.reader.decoding import HashedFile, explained
from bulksync.reader.source import Source
from bulksync.text import clean, quoted

if TYPE_CHECKING:
    from python_calamine import CalamineSheet, CalamineWorkbook

Value = int | float | str | bool | time | date | datetime | timedelta
"""What a cell may hold."""

_BLOCK = 1 << 18
_LARGEST = 1e21
"""From here on a number is written with an exponent, as its digits are not known."""


class SheetText:
    """The text of the sheet that a source names, or of the first; rows of nothing are blank lines.

    InputError where the file is no workbook, or has no such sheet.
    """

    bom = False
    head = ""  # what no text shows: a sheet is no other shape
    encoding = "utf-8"

    def __init__(self, source: Source, file: HashedFile) -> None:
        with explained(source):
            raw = io.BufferedReader(file, _BLOCK)  # kept: it would close the file when nobody holds it any more
            self._binary = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if source.compressed else raw
            data = b"".join(iter(partial(self._binary.read, _BLOCK), b""))
        book = _opened(source.name, data)
        self._sheet = _chosen(source, book)
        self._others = [name for name in book.sheet_names if name != self._sheet.name]
        self.source = source
        self.name = f"{source.name}, sheet {_listed([self._sheet.name])}" if self._others else source.name

    @property
    def notes(self) -> list[str]:
        """What is worth saying: that other sheets are not read, where the call named none."""
        if self.source.sheet is not None or not self._others:
            return []
        return [f"only the sheet {_listed([self._sheet.name])} is read, not {_listed(self._others)}; --sheet names one"]

    def refused(self, error: InputError) -> InputError:
        """The error of a sheet without a header, which may not be the one that was meant."""
        other = f"; or name another sheet: --sheet {quoted(self._others[0])}" if self._others else ""
        return InputError(error.what, error.next_step + other)

    def lines(self) -> Iterator[str]:
        """The rows of the sheet, from the first on, a line each, whatever line breaks their cells hold."""
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\r\n")  # which has carriage returns quoted too
        for row in self._sheet.iter_rows():
            cells = [_text(value) for value in row]
            if any(cells):
                writer.writerow(cells)
            yield line.getvalue().removesuffix("\r\n") + "\n"
            line.seek(0)
            line.truncate()


def _opened(name: str, data: bytes) -> "CalamineWorkbook":
    from python_calamine import CalamineError, CalamineWorkbook  # here, as it is an extra

    try:
        return CalamineWorkbook.from_filelike(io.BytesIO(data))
    except CalamineError as error:
        raise InputError(
            f"{name} cannot be read as a workbook: {clean(str(error), 80)}",
            "open it in a spreadsheet program, and save it anew, without a password, or as CSV (UTF-8)",
        ) from None


def _chosen(source: Source, book: "CalamineWorkbook") -> "CalamineSheet":
    names = book.sheet_names
    asked = source.sheet or "1"
    if asked in names:
        return book.get_sheet_by_name(asked)
    if asked.isdecimal() and 1 <= int(asked) <= len(names):
        return book.get_sheet_by_index(int(asked) - 1)
    option = f"add --sheet {quoted(names[0])}" if names else "save it anew"
    raise InputError(f"{source.name} has no sheet '{clean(asked, 60)}'", f"its sheets are {_listed(names)}: {option}")


def _listed(names: list[str]) -> str:
    return ", ".join(f"'{clean(name, 40)}'" for name in names) or "none"


def _text(value: Value) -> str:
    """A cell as text: numbers without a needless fraction, times as ISO 8601 has them, `true` and `false`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
        return str(int(value))
    return value.isoformat() if isinstance(value, date | time) else str(value)

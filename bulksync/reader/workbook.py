"""Read a sheet of a workbook (.xlsx) as CSV text, one line per row."""

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
"""The possible types of a cell."""

_BLOCK = 1 << 18
_LARGEST = 1e21
"""Numbers from here on are written with an exponent, as not all their digits are known."""


class SheetText:
    """The text of a source's chosen sheet, or of the first one; empty rows become blank lines.

    Raises InputError if the file is not a workbook or has no such sheet.
    """

    bom = False
    head = ""  # not needed: a sheet cannot be in another text format
    encoding = "utf-8"

    def __init__(self, source: Source, file: HashedFile) -> None:
        with explained(source):
            raw = io.BufferedReader(file, _BLOCK)  # kept: it would close the file once nothing referenced it
            self._binary = io.BufferedReader(gzip.GzipFile(fileobj=raw)) if source.compressed else raw
            data = b"".join(iter(partial(self._binary.read, _BLOCK), b""))
        book = _opened(source.name, data)
        self._sheet = _chosen(source, book)
        self._others = [name for name in book.sheet_names if name != self._sheet.name]
        self.source = source
        self.name = f"{source.name}, sheet {_listed([self._sheet.name])}" if self._others else source.name

    @property
    def notes(self) -> list[str]:
        """A note that other sheets are not read, unless a sheet was chosen."""
        if self.source.sheet is not None or not self._others:
            return []
        return [f"only the sheet {_listed([self._sheet.name])} is read, not {_listed(self._others)}; --sheet names one"]

    def refused(self, error: InputError) -> InputError:
        """Return the error for a sheet without a header, suggesting another sheet that may have been meant."""
        other = f"; or name another sheet: --sheet {quoted(self._others[0])}" if self._others else ""
        return InputError(error.what, error.next_step + other)

    def lines(self) -> Iterator[str]:
        """Yield the rows of the sheet from the first on, one line each, even if their cells contain line breaks."""
        line = io.StringIO()
        writer = csv.writer(line, lineterminator="\r\n")  # which makes it quote carriage returns too
        for row in self._sheet.iter_rows():
            cells = [_text(value) for value in row]
            if any(cells):
                writer.writerow(cells)
            yield line.getvalue().removesuffix("\r\n") + "\n"
            line.seek(0)
            line.truncate()


def _opened(name: str, data: bytes) -> "CalamineWorkbook":
    from python_calamine import CalamineError, CalamineWorkbook  # here, as it is an optional dependency

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
    """Return a cell as text: numbers without a needless fraction, times in ISO 8601, `true` and `false`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _LARGEST:
        return str(int(value))
    return value.isoformat() if isinstance(value, date | time) else str(value)

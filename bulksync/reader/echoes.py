"""Provide the columns of the input that are not sent, for the results returned to a Python caller."""

from array import array
from collections.abc import Generator, Iterable, Sequence
from itertools import islice
from pathlib import Path

import orjson

from bulksync.errors import InputError
from bulksync.reader.input import open_input
from bulksync.reader.record import Record
from bulksync.reader.source import Source

Cells = dict[str, str]
"""A row's cells in the echoed columns, by name."""


class Kept:
    """The echoed cells of a stream's rows, kept from their arrival until they are requested."""

    def __init__(self) -> None:
        self._cells: dict[int, Cells] = {}

    def keep(self, row: int, cells: Cells) -> None:
        """Keep the cells of a row, if it has any."""
        if cells:
            self._cells[row] = cells

    def of(self, rows: Iterable[int]) -> list[Cells]:
        """Return the cells of the given rows, and forget them."""
        return [self._cells.pop(row, {}) for row in rows]

    def close(self) -> None:
        """Discard everything kept."""
        self._cells.clear()


def records(source: Source, names: Sequence[str]) -> Generator[Record, None, None]:
    """Yield the rows of an input; stop early if it has changed, as the run itself reports that."""
    try:
        with open_input(source) as content:
            yield from content.records(names)
    except (InputError, KeyError):
        return


class Echoes:
    """The echoed cells of a file's rows in any order, from a temporary copy that is read by offset.

    The input itself is read only once more, and only up to the rows requested; this takes 8 bytes of memory per
    row.
    """

    def __init__(self, source: Source, names: Sequence[str], path: Path) -> None:
        self._names = names
        self._places = array("Q")
        self._file = path.open("w+b")
        self._records = records(source, names)

    def of(self, rows: Sequence[int]) -> list[Cells]:
        """Return the cells of the given rows; no cells for a row that is no longer there. Blocks."""
        if not self._names:
            return [{} for _ in rows]
        self._copy(max(rows) - len(self._places))
        return [self._cells(row) for row in rows]

    def close(self) -> None:
        """Close both files."""
        self._records.close()
        self._file.close()

    def _copy(self, more: int) -> None:
        self._file.seek(0, 2)
        place = self._file.tell()
        for record in islice(self._records, max(0, more)):
            self._places.append(place)
            place += self._file.write(orjson.dumps(record.cells) + b"\n")

    def _cells(self, row: int) -> Cells:
        if row > len(self._places):
            return {}
        self._file.seek(self._places[row - 1])
        return dict(zip(self._names, orjson.loads(self._file.readline()), strict=True))

"""The columns of the input that are not sent, for the results that a program is given."""

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
"""What a row has in the columns that are only echoed, by their names."""


class Kept:
    """The echoed cells of a stream's rows, from when they came until they are asked for."""

    def __init__(self) -> None:
        self._cells: dict[int, Cells] = {}

    def keep(self, row: int, cells: Cells) -> None:
        """Keep the cells of a row, if it has any."""
        if cells:
            self._cells[row] = cells

    def of(self, rows: Iterable[int]) -> list[Cells]:
        """Return the cells of some rows, once."""
        return [self._cells.pop(row, {}) for row in rows]

    def close(self) -> None:
        """Forget all."""
        self._cells.clear()


def records(source: Source, names: Sequence[str]) -> Generator[Record, None, None]:
    """Yield the rows of an input; it ends early where the input is not what it was: the run itself says so."""
    try:
        with open_input(source) as content:
            yield from content.records(names)
    except (InputError, KeyError):
        return


class Echoes:
    """The echoed cells of a file's rows, in any order: a copy in a file of its own that is read by place.

    The input itself is read only once more, as far as rows are asked for; 8 bytes a row stay in memory.
    """

    def __init__(self, source: Source, names: Sequence[str], path: Path) -> None:
        self._names = names
        self._places = array("Q")
        self._file = path.open("w+b")
        self._records = records(source, names)

    def of(self, rows: Sequence[int]) -> list[Cells]:
        """Return the cells of some rows; none of a row that is not there any more. Blocks."""
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

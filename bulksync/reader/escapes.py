"""Parse text as mysql (`--batch`) and psql (`COPY … TO STDOUT`) write it, with backslash escapes.

Source: MySQL 8.0 reference manual, mysql client options, `--batch` and `--raw`; PostgreSQL manual, COPY, text format.
"""

import re
from collections.abc import Iterable, Iterator

_MEANT = {"t": "\t", "n": "\n", "r": "\r", "0": "\0", "b": "\b", "f": "\f", "v": "\v"}
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
NO_VALUE = "\\N"


def escaped_cells(lines: Iterable[str], delimiter: str) -> Iterator[list[str]]:
    r"""Yield the cells of each line, an empty one for `\N`; quotes have no special meaning."""
    for line in lines:
        cells = line.rstrip("\r\n").split(delimiter)
        yield [unescaped(cell) for cell in cells] if "\\" in line else cells


def unescaped(cell: str) -> str:
    """Return a cell unescaped; a backslash before any other character yields that character."""
    return "" if cell == NO_VALUE else _ESCAPE.sub(lambda found: _MEANT.get(found[1], found[1]), cell)

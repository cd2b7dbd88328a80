"""What the reader's modules hand to one another, and to the report."""

from dataclasses import dataclass

from bulksync.model import LocalError, value

ROW_LIMIT = 1 << 20
"""The most bytes that a row may have in the input, its line end included."""

NESTING_LIMIT = 32
"""How many objects and arrays metadata may hold inside one another, itself included."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a report needs to look like its input; *columns* is empty and *delimiter* a comma for JSONL."""

    columns: tuple[str, ...]
    delimiter: str
    bom: bool


@dataclass(frozen=True, slots=True)
class Column:
    """What becomes of a column: the *field* that it is sent as, or "" if it is only echoed; how many *rows* carry it.

    Without a *name* it stands for a value that the caller gives to every row.
    """

    name: str
    field: str
    rows: int


@value
class Record:
    """One row as it is in the input.

    *raw* is its physical lines, terminators included ("" for a row over the limit); undecodable bytes are there as
    `surrogateescape` has them. *cells* holds the text of the columns that were asked for, empty where the row has none;
    JSON that is not a string in compact form.
    """

    row: int
    line: int
    raw: str
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a row is not valid; after a *fatal* one nobody can tell where the next row starts."""

    error: LocalError
    detail: str
    fatal: bool = False


STATE_NAMES = ("outcome", "fetchedAt")
"""What tells a line of a state file: one that holds neither status nor metadata could not be read, and is no row."""


def repaired(text: str) -> str:
    """*text* with a question mark for everything that UTF-8 cannot hold."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

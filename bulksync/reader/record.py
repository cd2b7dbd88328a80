"""Types shared by the reader's modules and the report."""

from dataclasses import dataclass

from bulksync.model import LocalError, value

ROW_LIMIT = 1 << 20
"""Maximum size of a row in the input in bytes, including its line ending."""

NESTING_LIMIT = 32
"""Maximum nesting depth of metadata, counting the metadata object itself."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What a report needs to match its input's format; for JSONL *columns* is empty and *delimiter* a comma."""

    columns: tuple[str, ...]
    delimiter: str
    bom: bool


@dataclass(frozen=True, slots=True)
class Column:
    """How a column is used: sent as *field*, or only echoed if that is ""; *rows* counts the rows with a value in it.

    A column without a *name* is a value that the caller sets for every row.
    """

    name: str
    field: str
    rows: int


@value
class Record:
    """One row as it is in the input.

    *raw* is its physical lines, including terminators ("" for a row over the limit), with undecodable bytes as
    `surrogateescape` represents them. *cells* holds the text of the requested columns, empty where the row has
    none; JSON other than strings is in compact form.
    """

    row: int
    line: int
    raw: str
    cells: list[str]


@dataclass(frozen=True, slots=True)
class Flaw:
    """Why a row is invalid; after a *fatal* flaw the start of the next row cannot be determined."""

    error: LocalError
    detail: str
    fatal: bool = False


STATE_NAMES = ("outcome", "fetchedAt")
"""Names that identify a line of a state file; one without status and metadata could not be read, so it is not a row."""


def repaired(text: str) -> str:
    """Return *text* with a question mark for everything that UTF-8 cannot encode."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()

"""The interface of every input format: the rows to send, and the same rows as they are in the input."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from bulksync.model import InvalidRow, Row
from bulksync.reader.noting import Notes
from bulksync.reader.record import Column, Layout, Record


class Parser(Protocol):
    """A text in one format, good for one pass; a new format is another class with all of these members."""

    layout: Layout
    header: str
    notes: Notes
    row_count: int

    @property
    def columns(self) -> list[Column]:
        """How each column is used, and how many rows so far have a value in it."""
        ...

    @property
    def annotated_header(self) -> str:
        """The header with columns for the error and its detail appended."""
        ...

    def annotated(self, raw: str, error: str, detail: str) -> str:
        """Return a row with an error and its detail appended."""
        ...

    @property
    def echoed(self) -> tuple[str, ...]:
        """The columns that are not sent."""
        ...

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """How the input spells `metadata` and its entries."""
        ...

    def rows(self, allowed: frozenset[str] | None) -> Iterator[Row | InvalidRow]:
        """Yield every row in order, valid or not."""
        ...

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Yield every row as it is in the input, numbered as in `rows`, with the cells of the columns *names*."""
        ...

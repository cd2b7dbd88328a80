"""What every input format offers: its rows to be sent, and the same rows as they stand there."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from bulksync.model import InvalidRow, Row
from bulksync.reader.noting import Notes
from bulksync.reader.record import Column, Layout, Record


class Parser(Protocol):
    """A text in one format, good for one pass; a new format is one more class that has all of this."""

    layout: Layout
    header: str
    notes: Notes
    row_count: int

    @property
    def columns(self) -> list[Column]:
        """What becomes of each column, and how many of the rows so far carry it."""
        ...

    @property
    def annotated_header(self) -> str:
        """The header with columns for an error and its detail behind."""
        ...

    def annotated(self, raw: str, error: str, detail: str) -> str:
        """A row with an error and its detail behind."""
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
        """Every row in order, valid or not."""
        ...

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Every row as it stands, numbered as in `rows`, with its cells under these *names*."""
        ...

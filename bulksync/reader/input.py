"""The open input, the only owner of the file."""

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self, TypeVar

from bulksync.errors import InputError
from bulksync.model import InvalidRow, Row
from bulksync.reader.decoding import HashedFile, Text, encoded, explained
from bulksync.reader.delimited import Delimited
from bulksync.reader.jsonl import JsonLines
from bulksync.reader.parser import Parser
from bulksync.reader.record import Column, Layout, Record
from bulksync.reader.resembling import nested, unsent
from bulksync.reader.source import Source
from bulksync.reader.workbook import SheetText

T = TypeVar("T")


class Input:
    """An open input, good for one pass over `rows` or `records`, not both; close it, or use it in a `with`.

    *digest* is the SHA-256 of the file's bytes in hex, empty until the pass is complete.
    """

    def __init__(self, source: Source, file: HashedFile) -> None:
        self._file = file
        # The text is kept: its buffer would close the file once nothing referenced it.
        self._text: Text | SheetText
        self._content: Parser
        if source.format == "xlsx":
            self._text = sheet = SheetText(source, file)
            try:
                self._content = Delimited(sheet)
            except InputError as error:
                raise sheet.refused(error) from None
        else:
            self._text = text = Text(source, file)
            self._content = parser_for(source, text)
        self._is_read = False
        self.digest = ""

    @property
    def layout(self) -> Layout:
        """What a report needs to match the format of this input."""
        return self._content.layout

    @property
    def header(self) -> str:
        """The header as it is in the file, including line endings and a `sep=` line; empty for JSONL."""
        return self._content.header

    @property
    def annotated_header(self) -> str:
        """The header of `annotated` rows."""
        return self._content.annotated_header

    def annotated(self, record: Record, error: str, detail: str) -> str:
        """Return a row of the input with an error and its detail appended in the input's format."""
        where = "" if record.raw else f" (line {record.line})"
        return self._content.annotated(record.raw, error, detail + where)

    def encoded(self, text: str) -> bytes:
        """Return *text* of this input as the bytes that it was read from."""
        return encoded(text, self._text.encoding)

    @property
    def echoed(self) -> tuple[str, ...]:
        """The columns that are not sent, in header order; for JSONL the names seen so far."""
        return self._content.echoed

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """`metadata` and the `metadata.*` columns as the header spells them; for JSONL as the rows so far do."""
        return self._content.metadata_columns

    @property
    def columns(self) -> list[Column]:
        """How each column is used, and how many rows so far have a value in it."""
        return self._content.columns

    @property
    def notes(self) -> Sequence[str]:
        """Notes on the input read so far that do not prevent sending it."""
        columns, rows = self.columns, self._content.row_count
        return [*self._text.notes, *self._content.notes.lines(), *unsent(columns, rows), *nested(columns)]

    def rows(self, allowed: frozenset[str] | None = None) -> Iterator[Row | InvalidRow]:
        """Yield every row in input order, valid or not; *allowed* restricts the values of `status`.

        Raises InputError if the input as a whole cannot be used.
        """
        return self._to_the_end(self._content.rows(allowed))

    def records(self, names: Sequence[str] = ()) -> Iterator[Record]:
        """Yield every row as it is, in input order, numbered as in `rows`, with the cells of the columns *names*.

        Raises InputError.
        """
        return self._to_the_end(self._content.records(names))

    def _to_the_end(self, items: Iterator[T]) -> Iterator[T]:
        if self._is_read:
            raise RuntimeError("an input is read once; open it again")
        self._is_read = True
        yield from items
        with explained(self._text.source):
            self.digest = self._file.digest()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def parser_for(source: Source, text: Text) -> Parser:
    """Return the parser for the source's format, its header read. Raises InputError if the format does not match."""
    return JsonLines(text) if source.format == "jsonl" else Delimited(text)


def open_input(source: Source) -> Input:
    """Open *source* and read its header. Raises InputError if it is unreadable or its format does not match."""
    with explained(source):
        file = HashedFile(str(source.path))
    try:
        return Input(source, file)
    except BaseException:
        file.close()
        raise

"""JSONL: one object a line."""

from collections.abc import Iterator, Sequence
from typing import Any, cast, get_args

from bulksync.errors import InputError
from bulksync.model import InvalidRow, LocalError, Row
from bulksync.reader.decoding import Text
from bulksync.reader.header import known_name
from bulksync.reader.jsontext import dumps, kind_of, parse
from bulksync.reader.lines import Lines, TooLarge, flawed
from bulksync.reader.noting import Notes
from bulksync.reader.record import NESTING_LIMIT, Flaw, Layout, Record, repaired
from bulksync.reader.shapes import refuse_other_shape, refuse_wide_characters
from bulksync.reader.validation import judge, refuse
from bulksync.text import clean

_MOST_NAMES = 1000  # each becomes a column of the report

FLAW = "\0flaw"
"""The member `[error, detail]` by which a line is invalid: a program gave a value that JSON cannot hold."""

_ERRORS = frozenset(get_args(LocalError))

Found = tuple[int, int, str, dict[str, Any], Flaw | None]
"""Row, line, raw text, members as far as they could be read, and what is wrong with them."""


class JsonLines:
    """A text of JSON lines; *echoed* and *metadata_columns* grow with the names seen so far."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._lines = Lines(text.blocks())
        self._names: dict[str, str | None] = {}
        self.layout = Layout((), ",", text.bom)
        self.header = ""
        self.notes = Notes(text.source, ",", text.encoding)

    @property
    def echoed(self) -> tuple[str, ...]:
        """The names seen so far that are not sent."""
        return tuple(name for name, known in self._names.items() if known is None)

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """How the lines so far spell `metadata`."""
        return tuple(name for name, known in self._names.items() if known == "metadata")

    def rows(self, allowed: frozenset[str] | None) -> Iterator[Row | InvalidRow]:
        """Every row in order, valid or not."""
        for row, line, _, members, flaw in self._found():
            given = {known: value for name, value in members.items() if (known := self._names[name])}
            workflow, execution, status = map(given.get, ("workflowId", "executionId", "status"))
            if flaw:
                yield refuse(row, line, flaw, workflow, execution, status)
            else:
                yield judge(row, line, workflow, execution, status, _metadata(given.get("metadata")), allowed)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Every row as it stands, numbered as in `rows`, with its cells under these *names*."""
        for row, line, raw, members, _ in self._found():
            yield Record(row, line, raw, [_echo(members.get(name)) for name in names])

    def _found(self) -> Iterator[Found]:
        lines, row = self._lines, 0
        while True:
            lines.start_row()
            try:
                raw, flaw = next(lines), None
            except StopIteration:
                return
            except TooLarge:
                raw, flaw = "", Flaw("row_too_large", "the line is longer than 1 MiB")
            if not flaw and not raw.strip(" \t\r\n"):
                continue
            row += 1
            flaw = flaw or flawed(raw, lines.number, self._text.encoding)
            value = flaw or parse(raw, NESTING_LIMIT + 1)  # the line itself is one level more than its metadata
            if isinstance(value, dict):
                told = _told(value.pop(FLAW, None))
                if self.notes.looks_closer:
                    self.notes.look(row, lines.number, raw, [])
                yield row, lines.number, raw, value, self._note_names(value, lines.number) or told
                continue
            if row == 1:
                self._refuse_other_shapes(raw)
            other = Flaw("not_an_object", 'the line is JSON, but not an object: {"workflowId": …}')
            yield row, lines.number, raw, {}, value if isinstance(value, Flaw) else other

    def _refuse_other_shapes(self, first: str) -> None:
        refuse_wide_characters(self._text.source, first)
        refuse_other_shape(self._text.source, self._text.head)

    def _note_names(self, members: dict[str, Any], line: int) -> Flaw | None:
        flaw, seen = None, set[str]()
        for name in members:
            if name not in self._names:
                self._note(name, line)
            if (known := self._names[name]) is not None:
                if known in seen:
                    flaw = Flaw("duplicate_member", f"{known} is given twice, the second time as '{clean(name, 60)}'")
                seen.add(known)
        return flaw

    def _note(self, name: str, line: int) -> None:
        if len(self._names) == _MOST_NAMES:
            raise InputError(
                f"{self._text.name}, line {line}: more than {_MOST_NAMES:,} different names at the top of the objects",
                "put names that change from row to row into metadata, or leave them out",
            )
        self._names[name] = known_name(name)


def _told(value: object) -> Flaw | None:
    match value:
        case [str(error), str(detail)] if error in _ERRORS:
            return Flaw(cast("LocalError", error), clean(detail))
    return None


def _metadata(value: object) -> dict[str, Any] | Flaw | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, dict) else Flaw("metadata_invalid", f"metadata is {kind_of(value)}")


def _echo(value: object) -> str:
    if value is None:
        return ""
    return repaired(value if isinstance(value, str) else dumps(value).decode())

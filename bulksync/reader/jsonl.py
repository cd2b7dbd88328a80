"""Parse JSONL: one object per line."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast, get_args

from bulksync.errors import InputError
from bulksync.model import InvalidRow, LocalError, Row
from bulksync.reader.annotating import annotated_object
from bulksync.reader.decoding import Text
from bulksync.reader.fields import is_metadata, own_field
from bulksync.reader.jsontext import as_written, dumps, kind_of, parse
from bulksync.reader.lines import Lines, TooLarge, flawed
from bulksync.reader.noting import Notes
from bulksync.reader.record import NESTING_LIMIT, STATE_NAMES, Column, Flaw, Layout, Record, repaired
from bulksync.reader.shapes import refuse_other_shape, refuse_wide_characters
from bulksync.reader.validation import judge, refuse
from bulksync.text import clean

_MOST_NAMES = 1000  # each becomes a column of the report

FLAW = "\0flaw"
"""Marks an invalid line with `[error, detail]`: a program passed a value that JSON cannot hold."""

_ERRORS = frozenset(get_args(LocalError))

_MOST_SHAPES = 1000  # that are cached

_NOTHING = (None, "")
_EXACT = frozenset({str, int, bool, type(None)})


@dataclass(slots=True)
class Shape:
    """What an object's member names mean: which are sent as which field, and their flaw, if any.

    Most rows of an input have one of a few shapes; *rows* counts this shape's rows not yet counted by name.
    """

    known: dict[str, str]
    members: dict[str, str]
    flaw: Flaw | None
    rows: int = 0


_NO_SHAPE = Shape({}, {}, None)

Found = tuple[int, int, str, dict[str, Any], Shape, Flaw | None]
"""Row, line, raw text, the members that could be read, their shape, and the flaw if there is one."""


class JsonLines:
    """A text of JSON lines; *echoed*, *metadata_columns* and *columns* grow with the names seen so far."""

    def __init__(self, text: Text) -> None:
        self._text = text
        self._lines = Lines(text.lines())
        self._names: dict[str, str | None] = {}
        self._shapes: dict[tuple[str, ...], Shape] = {}
        self._carried = Counter[str]()
        self.row_count = 0
        self.layout = Layout((), ",", text.bom)
        self.header = self.annotated_header = ""
        self.notes = Notes(text.source, ",", text.encoding)

    @property
    def echoed(self) -> tuple[str, ...]:
        """The names seen so far that are neither sent nor metadata."""
        return tuple(name for name, field in self._names.items() if field is None and not is_metadata(own_field(name)))

    @property
    def metadata_columns(self) -> tuple[str, ...]:
        """The names of `metadata` and its entries seen so far."""
        return tuple(name for name, field in self._names.items() if is_metadata(field) or is_metadata(own_field(name)))

    @property
    def columns(self) -> list[Column]:
        """How each name is used, and how many rows so far have a value for it."""
        self._fold()
        own = [Column(name, field or "", self._carried[name]) for name, field in self._names.items()]
        mapped = [Column(name, field, 0) for name, field in self._text.source.fields.mapped.items()]
        unseen = [column for column in mapped if column.name not in self._names]
        return own + unseen + [Column("", field, self.row_count) for field in self._text.source.fields.given]

    def rows(self, allowed: frozenset[str] | None) -> Iterator[Row | InvalidRow]:
        """Yield every row in order, valid or not."""
        given = self._text.source.fields.given
        fixed: dict[str, Any] = {name: given[name] for name in ("workflowId", "executionId", "status") if name in given}
        whole = parse(given["metadata"], NESTING_LIMIT) if "metadata" in given else None
        entries = {member: text for name, text in given.items() if (member := name.partition(".")[2])}
        for row, line, _, members, shape, flaw in self._found():
            known = {field: members[name] for field, name in shape.known.items()}
            if fixed:
                known |= fixed
            workflow, execution, status = map(known.get, ("workflowId", "executionId", "status"))
            if flaw:
                yield refuse(row, line, flaw, workflow, execution, status)
                continue
            metadata = _metadata(known.get("metadata") if whole is None else whole)
            if entries or shape.members:
                own = {member: members[name] for member, name in shape.members.items()}
                metadata = _with_entries(metadata, own | entries)
            yield judge(row, line, workflow, execution, status, metadata, allowed)

    def records(self, names: Sequence[str]) -> Iterator[Record]:
        """Yield every row as it is in the input, numbered as in `rows`, with the cells of the columns *names*."""
        for row, line, raw, members, _, _ in self._found():
            yield Record(row, line, raw, _echoes(raw, [members.get(name) for name in names], names))

    def annotated(self, raw: str, error: str, detail: str) -> str:
        """Return a line with an error and its detail added as members."""
        return annotated_object(raw, error, detail, is_utf=self._text.encoding.startswith("utf"))

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
            flaw = flaw or flawed(raw, lines.number, self._text.encoding)
            value = flaw or parse(raw, NESTING_LIMIT + 1)  # the line itself is one level above its metadata
            if is_unread_state(value):
                self.notes.unread += 1
                continue
            self.row_count = row = row + 1
            if isinstance(value, dict):
                told = _told(value.pop(FLAW, None))
                if self.notes.looks_closer:
                    self.notes.look(row, lines.number, raw, [])
                shape = self._shape(value, lines.number)
                yield row, lines.number, raw, value, shape, shape.flaw or told
                continue
            if row == 1:
                self._refuse_other_shapes(raw)
            other = Flaw("not_an_object", 'the line is JSON, but not an object: {"workflowId": …}')
            yield row, lines.number, raw, {}, _NO_SHAPE, value if isinstance(value, Flaw) else other

    def _refuse_other_shapes(self, first: str) -> None:
        refuse_wide_characters(self._text.source, first)
        refuse_other_shape(self._text.source, self._text.head)

    def _shape(self, members: dict[str, Any], line: int) -> Shape:
        """Return the shape of an object; count it, and its empty members."""
        names = tuple(members)
        shape = self._shapes.get(names)
        if shape is None:
            shape = self._new_shape(names, line)
        shape.rows += 1
        values = members.values()
        if None in values or "" in values:
            self._carried.subtract(name for name, value in members.items() if value in _NOTHING)
        return shape

    def _new_shape(self, names: tuple[str, ...], line: int) -> Shape:
        flaw = None
        sent: dict[str, str] = {}
        for name in names:
            if name not in self._names:
                self._note(name, line)
            if (field := self._names[name]) is not None:
                if field in sent:
                    flaw = Flaw("duplicate_member", f"{field} is given twice, the second time as '{clean(name, 60)}'")
                sent[field] = name
        known = {field: name for field, name in sent.items() if "." not in field}
        members = {field.partition(".")[2]: name for field, name in sent.items() if "." in field}
        shape = Shape(known, members, flaw)
        if len(self._shapes) == _MOST_SHAPES:
            self._fold()
            self._shapes.clear()
        self._shapes[names] = shape
        return shape

    def _fold(self) -> None:
        """Add the rows counted per shape to the counts of their members."""
        for names, shape in self._shapes.items():
            self._carried.update(dict.fromkeys(names, shape.rows))
            shape.rows = 0

    def _note(self, name: str, line: int) -> None:
        if len(self._names) == _MOST_NAMES:
            raise InputError(
                f"{self._text.name}, line {line}: more than {_MOST_NAMES:,} different names at the top of the objects",
                "put names that change from row to row into metadata, or leave them out",
            )
        self._names[name] = self._text.source.fields.of(name)


def is_unread_state(value: object) -> bool:
    """Return whether a state-file line has nothing to restore because its execution could not be read."""
    if not isinstance(value, dict) or not all(name in value for name in STATE_NAMES):
        return False
    return not value.get("status") and value.get("metadata") is None


def _told(value: object) -> Flaw | None:
    match value:
        case [str(error), str(detail)] if error in _ERRORS:
            return Flaw(cast("LocalError", error), clean(detail))
    return None


def _metadata(value: object) -> dict[str, Any] | Flaw | None:
    if value is None or value == "":
        return None
    return value if isinstance(value, dict) else Flaw("metadata_invalid", f"metadata is {kind_of(value)}")


def _with_entries(metadata: dict[str, Any] | Flaw | None, entries: dict[str, Any]) -> dict[str, Any] | Flaw | None:
    """Return metadata with the non-empty entries that were given as separate members."""
    entries = {member: value for member, value in entries.items() if value not in _NOTHING}
    if isinstance(metadata, Flaw) or not entries:
        return metadata
    if twice := next((member for member in entries if member in (metadata or {})), None):
        return Flaw("metadata_invalid", f"'{clean(twice, 60)}' is given both in metadata and as a member of its own")
    return (metadata or {}) | entries


def _echoes(raw: str, values: list[Any], names: Sequence[str]) -> list[str]:
    """Return each value as text: a string as is, anything else as JSON with numbers as written in *raw*."""
    if not _EXACT.issuperset(map(type, values)):
        written = as_written(raw)
        values = [written.get(name) for name in names]
    return [_echo(value) for value in values]


def _echo(value: object) -> str:
    if value is None:
        return ""
    return repaired(value if isinstance(value, str) else dumps(value).decode())

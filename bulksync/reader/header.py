"""Parse the header line of a CSV file: detect the delimiter and identify the columns."""

import csv
import re
from collections.abc import Container
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import chain, count

from bulksync.errors import InputError
from bulksync.reader.decoding import Text
from bulksync.reader.fields import Fields, is_metadata, known_name, member_of, own_field
from bulksync.reader.lines import Lines, TooLarge, flawed
from bulksync.reader.remedy import asks_for, way_on
from bulksync.reader.resembling import meant
from bulksync.reader.shapes import DELIMITERS, refuse_other_shape, refuse_table, refuse_wide_characters
from bulksync.reader.swallowing import has_swallowed
from bulksync.reader.workbook import SheetText
from bulksync.text import character_name, clean, quoted

_DELIMITER_NAMES = {",": "commas", "\t": "tabs", ";": "semicolons", "|": "pipes"}
_SEP_LINE = re.compile(r'"?sep=([^"\r\n\0])"?[\r\n]*', re.IGNORECASE)
_UUID_LIKE = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-")
_QUOTING = 'close each quote; write a literal quote as "" inside a quoted name'
_SHOWN = 20
"""Columns listed in a message."""
_WANTED = "name the columns workflowId, executionId and status or metadata in the first line"


@dataclass(frozen=True, slots=True)
class Columns:
    """The position of every column in a row: index by name, in header order.

    *known* has the four names that are sent, *members* the `metadata.*` columns by the member that they set,
    *echoed* and *metadata* the columns under their names in the header; *named* is the count up to the last named
    column. Values that the caller fixes for every row are appended as if they had columns of their own: *fixed* has
    their cells.
    """

    names: tuple[str, ...]
    named: int
    known: dict[str, int]
    members: dict[str, int]
    echoed: dict[str, int]
    metadata: dict[str, int]
    fixed: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """Return the missing names without which no row can be sent."""
        ids = [name for name in ("workflowId", "executionId") if name not in self.known]
        is_given = "status" in self.known or "metadata" in self.known or self.members
        return ids if is_given else [*ids, "status or metadata"]

    def sent(self) -> dict[int, str]:
        """Return the field that each column is sent as, by position."""
        members = {place: f"metadata.{member}" for member, place in self.members.items()}
        return {place: name for name, place in self.known.items()} | members


@dataclass(frozen=True, slots=True)
class Header:
    """The parsed header: its *raw* lines (including a `sep=` line), its delimiter and its columns."""

    raw: str
    delimiter: str
    columns: Columns


def read_header(lines: Lines, text: Text | SheetText) -> Header:
    """Return the header of a text. Raises InputError if there is none."""
    try:
        sep, taken = _header_lines(lines)
    except TooLarge:
        refuse_other_shape(text.source, text.head)
        raise InputError(
            f"{text.name}: the header is longer than 1 MiB, or has a quote that is never closed",
            "check that this is a CSV file whose lines end in a line feed",
        ) from None
    if not taken:
        raise InputError(f"{text.name} has no header", f"it is blank; {_WANTED}")
    first = lines.number - len(taken) + 1
    where, raw = f"{text.name}, line {first}", "".join(taken)
    refuse_wide_characters(text.source, raw)
    _refuse_unreadable(raw, where, first, text)
    fields = text.source.fields
    delimiter = text.source.delimiter or (_SEP_LINE.sub(r"\1", sep) if sep else None)
    tried = {option: _columns(taken, option, fields) for option in ((delimiter,) if delimiter else DELIMITERS)}
    readable = {option: columns for option, columns in tried.items() if columns is not None}
    if not readable:
        refuse_other_shape(text.source, text.head)
        raise InputError(f"{where}: the header is not valid CSV", _QUOTING)
    chosen = min(readable, key=lambda option: len(readable[option].missing()))
    columns = readable[chosen]
    if chosen == "|":
        refuse_table(text.source, text.head)
    _refuse_unnamed(columns, where, fields)
    _refuse_absent(columns, where, fields)
    if missing := columns.missing():
        refuse_other_shape(text.source, text.head)
        _refuse_other_delimiter(text, first, taken, chosen)
        raise _no_header(text, where, columns, missing)
    _refuse_twice(columns, where, fields)
    _refuse_swallowed(columns, where, chosen)
    return Header(sep + raw, chosen, columns)


def _header_lines(lines: Lines) -> tuple[str, list[str]]:
    """Return the `sep=` line, if there is one, and the header's lines up to the one where all quotes are closed."""
    sep, is_open = "", False
    lines.start_row()
    for line in lines:
        if not is_open and not line.strip(" \r\n"):
            lines.start_row()
        elif not sep and len(lines.taken) == 1 and _SEP_LINE.fullmatch(line):
            sep = line
            lines.start_row()
        else:
            is_open ^= line.count('"') % 2 == 1
            if not is_open:
                break
    return sep, lines.taken


def _refuse_unreadable(raw: str, where: str, line: int, text: Text | SheetText) -> None:
    if flaw := flawed(raw, line, text.encoding):
        what = flaw.detail.partition(";")[0]
        raise InputError(f"{where}: {what}", "name the encoding of the file, like --encoding cp1252")


def _columns(taken: list[str], delimiter: str, fields: Fields) -> Columns | None:
    reader = csv.reader(taken, delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader)]
    except csv.Error:
        return None
    if reader.line_num != len(taken):
        return None  # a quote inside a name made the following lines look like part of the header
    return _sorted_out(names, fields)


def _sorted_out(names: list[str], fields: Fields) -> Columns:
    named = max((place for place, name in enumerate(names, 1) if name), default=0)
    columns = Columns(tuple(names), named, {}, {}, {}, {}, tuple(fields.given.values()))
    for place, name in enumerate([*names, *fields.given]):
        field = fields.of(name) if place < len(names) else name
        known, _, member = (field or "").partition(".")
        if member:
            columns.members[member] = place
        elif known:
            columns.known[known] = place
        elif name and not is_metadata(own_field(name)):
            columns.echoed[_unused(name, columns.echoed)] = place
        if place < len(names) and (is_metadata(field) or is_metadata(own_field(name))):
            columns.metadata[name] = place
    return columns


def _unused(name: str, names: Container[str]) -> str:
    """Return *name*, numbered if another column already has it, so that both can be echoed."""
    numbered = (f"{name} ({number})" for number in count(2))
    return next(one for one in chain([name], numbered) if one not in names)


def _refuse_absent(columns: Columns, where: str, fields: Fields) -> None:
    for name, field in fields.mapped.items():
        if name not in columns.names:
            near = get_close_matches(name, filter(None, columns.names), 1)
            names = ", ".join(f"'{clean(one, 40)}'" for one in near or filter(None, columns.names[:_SHOWN]))
            raise InputError(
                f"{where}: there is no column '{clean(name, 60)}', which --map gives to {clean(field, 60)}",
                f"correct --map: {'did you mean ' if near else 'the columns are '}{names}{'?' if near else ''}",
            )


def _refuse_unnamed(columns: Columns, where: str, fields: Fields) -> None:
    for name in columns.names:
        if name not in fields.mapped and member_of(name) == "":
            raise InputError(
                f"{where}: the column '{clean(name, 60)}' names no metadata key", "name the key, or remove the column"
            )


def _refuse_twice(columns: Columns, where: str, fields: Fields) -> None:
    """Raise InputError if two columns would be sent as the same field; echoed columns may share a name."""
    seen: dict[str, str] = {}
    for name in columns.names:
        meaning = fields.of(name) or ""
        if meaning and meaning in seen:
            both = " and ".join(f"'{clean(spelled, 60)}'" for spelled in (seen[meaning], name))
            raise InputError(f"{where}: two columns mean {meaning}: {both}", "rename or remove one of them")
        seen[meaning] = name


def _refuse_swallowed(columns: Columns, where: str, delimiter: str) -> None:
    for name in columns.names:
        if "\n" in name and has_swallowed(name, delimiter, len(columns.names)):
            raise InputError(f"{where}: a quote in the header swallowed the rows behind it", _QUOTING)


def _refuse_other_delimiter(text: Text | SheetText, line: int, taken: list[str], chosen: str) -> None:
    for option in DELIMITERS:
        other = _columns(taken, option, text.source.fields)
        if other and not other.missing():
            what = f", line {line}: the columns are separated by {_DELIMITER_NAMES[option]}, not by {chosen!r}"
            raise asks_for(text.source, what, "--delimiter", "tab" if option == "\t" else option)


def _no_header(text: Text | SheetText, where: str, columns: Columns, missing: list[str]) -> InputError:
    if any(_UUID_LIKE.match(name) for name in columns.names):
        return InputError(f"{where} looks like data: the header line is missing", _WANTED)
    for place, name in enumerate(columns.names, 1):
        if known_name(_visible(name)) in missing:
            return _invisible(text, where, place, name)
    what = f"{where}: the header has no {', '.join(missing)} column"
    if near := _near(columns, missing):
        asked = " and ".join(f"'{clean(name, 60)}'" for name in near.values())
        options = " ".join(f"--map {quoted(f'{field}={name}')}" for field, name in near.items())
        return InputError(f"{what}; did you mean {asked}?", f"if so, add {options}")
    return InputError(what, f"{_WANTED}; if they are there, name what separates them: --delimiter")


def _near(columns: Columns, missing: list[str]) -> dict[str, str]:
    """Return, for each *missing* field, the first column with a similar name."""
    wanted = {field for what in missing for field in what.split(" or ")}
    found: dict[str, str] = {}
    for name in columns.echoed:
        if (field := meant(name)) is not None and field in wanted:
            found.setdefault(field, name)
    return found


def _invisible(text: Text | SheetText, where: str, place: int, name: str) -> InputError:
    at, odd = next((at, odd) for at, odd in enumerate(name, 1) if not _is_visible(odd))
    what = f"{where}: column {place}, '{clean(name, 60)}', has {character_name(odd)} as its character {at}"
    if text.bom and text.encoding == "utf-8" and (place, at, odd) == (1, 1, "\ufeff"):
        way = "remove the first of two byte order marks: tail -c +4 FILE > NEW"
        return InputError(what, way_on(text.source, way))
    return InputError(what, "remove it; as it cannot be seen, type the name again")


def _visible(name: str) -> str:
    return "".join(filter(_is_visible, name))


def _is_visible(character: str) -> bool:
    return character.isprintable() or character.isspace()

"""The header line of a CSV file: which delimiter, and which column is what."""

import csv
import re
from dataclasses import dataclass
from difflib import get_close_matches

from bulksync.errors import InputError
from bulksync.reader.fields import Fields, is_metadata, member_of, normal, own_field
from bulksync.reader.lines import Lines, TooLarge, flawed
from bulksync.reader.resembling import meant
from bulksync.text import clean, quoted

_DELIMITERS = (",", "\t", ";", "|")
_SEP_LINE = re.compile(r'"?sep=([^"\r\n\0])"?[\r\n]*', re.IGNORECASE)
_UUID_LIKE = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-")
_SHOWN = 20
"""Columns that a message lists."""
_WANTED = "name the columns workflowId, executionId and status or metadata in the first line"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where everything stands in a row: index by name, in header order.

    *known* has the four names that are sent, *members* the `metadata.*` columns by the member that they set, *echoed*
    and *metadata* the columns under the names that the header gives them; *named* counts up to the last with a name.
    What the caller gives to every row stands behind the others, as if in columns of its own: *fixed* has their cells.
    """

    names: tuple[str, ...]
    named: int
    known: dict[str, int]
    members: dict[str, int]
    echoed: dict[str, int]
    metadata: dict[str, int]
    fixed: tuple[str, ...] = ()

    def missing(self) -> list[str]:
        """The names without which no row can be sent."""
        ids = [name for name in ("workflowId", "executionId") if name not in self.known]
        is_given = "status" in self.known or "metadata" in self.known or self.members
        return ids if is_given else [*ids, "status or metadata"]

    def sent(self) -> dict[int, str]:
        """The field that each column is sent as, by its place."""
        members = {place: f"metadata.{member}" for member, place in self.members.items()}
        return {place: name for name, place in self.known.items()} | members


@dataclass(frozen=True, slots=True)
class Header:
    """The header as found: its *raw* lines (a `sep=` line included), its delimiter and its columns."""

    raw: str
    delimiter: str
    columns: Columns


def read_header(lines: Lines, name: str, delimiter: str | None, encoding: str, fields: Fields) -> Header | None:
    """The header of the file called *name*, None if the file is empty; raises InputError where there is none."""
    try:
        sep, taken = _header_lines(lines)
    except TooLarge:
        raise InputError(
            f"{name}: the header is longer than 1 MiB, or has a quote that is never closed",
            "check that this is a CSV file whose lines end in a line feed",
        ) from None
    if not taken:
        return None
    first = lines.number - len(taken) + 1
    where, raw = f"{name}, line {first}", "".join(taken)
    _refuse_unreadable(raw, where, first, encoding)
    delimiter = delimiter or (_SEP_LINE.sub(r"\1", sep) if sep else None)
    tried = {option: _columns(taken, option, fields) for option in ((delimiter,) if delimiter else _DELIMITERS)}
    readable = {option: columns for option, columns in tried.items() if columns is not None}
    if not readable:
        raise InputError(f"{where}: the header is not valid CSV", _cure(raw))
    chosen = min(readable, key=lambda option: len(readable[option].missing()))
    columns = readable[chosen]
    _refuse_unnamed(columns, where, fields)
    _refuse_absent(columns, where, fields)
    if missing := columns.missing():
        raise _no_header(where, taken, chosen, columns, missing, fields)
    _refuse_twice(columns, where, fields)
    return Header(sep + raw, chosen, columns)


def _header_lines(lines: Lines) -> tuple[str, list[str]]:
    """A `sep=` line, if there is one, and the lines up to the one where as many quotes are closed as were opened."""
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


def _refuse_unreadable(raw: str, where: str, line: int, encoding: str) -> None:
    if "\0" in raw:
        guess = "utf-16-be" if raw.startswith("\0") else "utf-16-le"
        raise InputError(f"{where}: NUL bytes in the header; is this UTF-16?", f"if so, give --encoding {guess}")
    if flaw := flawed(raw, line, encoding):
        what = flaw.detail.partition(";")[0]
        raise InputError(f"{where}: {what}", "name the encoding of the file, like --encoding cp1252")


def _columns(taken: list[str], delimiter: str, fields: Fields) -> Columns | None:
    reader = csv.reader(taken, delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader)]
    except csv.Error:
        return None
    if reader.line_num != len(taken):
        return None  # a quote in the middle of a name made the lines behind it look like part of the header
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
            columns.echoed[name] = place
        if place < len(names) and (is_metadata(field) or is_metadata(own_field(name))):
            columns.metadata[name] = place
    return columns


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
            raise InputError(f"{where}: the column '{clean(name, 60)}' names no metadata key", "name or drop it")


def _refuse_twice(columns: Columns, where: str, fields: Fields) -> None:
    seen: dict[str, str] = {}
    for name in filter(None, columns.names):
        meaning = fields.of(name) or normal(name) or name
        if meaning in seen:
            both = " and ".join(f"'{clean(spelled, 60)}'" for spelled in (seen[meaning], name))
            raise InputError(f"{where}: two columns have one name: {both}", "rename or remove one of them")
        seen[meaning] = name


def _no_header(
    where: str, taken: list[str], chosen: str, columns: Columns, missing: list[str], fields: Fields
) -> InputError:
    if any(_UUID_LIKE.match(name) for name in columns.names):
        return InputError(f"{where} looks like data: the header line is missing", _WANTED)
    for option in _DELIMITERS:
        other = _columns(taken, option, fields)
        if other and not other.missing():
            spelled = "tab" if option == "\t" else f"'{option}'"
            return InputError(f"{where}: the columns are not separated by {chosen!r}", f"give --delimiter {spelled}")
    what = f"{where}: the header has no {', '.join(missing)} column"
    if near := _near(columns, missing):
        asked = " and ".join(f"'{clean(name, 60)}'" for name in near.values())
        options = " ".join(f"--map {quoted(f'{field}={name}')}" for field, name in near.items())
        return InputError(f"{what}; did you mean {asked}?", f"if so, add {options}")
    return InputError(what, f"{_WANTED}; if they are there, give --delimiter")


def _near(columns: Columns, missing: list[str]) -> dict[str, str]:
    """The columns whose names resemble those of the *missing* fields."""
    wanted = {field for what in missing for field in what.split(" or ")}
    return {field: name for name in columns.echoed if (field := meant(name)) in wanted and field is not None}


def _cure(raw: str) -> str:
    if "\r" in raw.rstrip("\r\n"):
        return "its lines end in a bare carriage return; convert them: tr '\\r' '\\n'"
    return "write a name that holds a quote in quotes, and the quote twice"

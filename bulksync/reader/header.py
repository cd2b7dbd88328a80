"""The header line of a CSV file: which delimiter, and which column is what."""

import csv
import re
from dataclasses import dataclass

from bulksync.errors import InputError
from bulksync.reader.lines import Lines, TooLarge, flawed
from bulksync.text import clean

_NAMES = {"workflowid": "workflowId", "executionid": "executionId", "status": "status", "metadata": "metadata"}
_DELIMITERS = (",", "\t", ";", "|")
_SEP_LINE = re.compile(r'"?sep=([^"\r\n\0])"?[\r\n]*', re.IGNORECASE)
_UUID_LIKE = re.compile(r"[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-")
_WANTED = "name the columns workflowId, executionId and status or metadata in the first line"


@dataclass(frozen=True, slots=True)
class Columns:
    """Where everything stands in a row: index by name, in header order.

    *known* has the four names that are sent, *members* the `metadata.*` columns by the member that they set, *echoed*
    and *metadata* the columns under the names that the header gives them; *named* counts up to the last with a name.
    """

    names: tuple[str, ...]
    named: int
    known: dict[str, int]
    members: dict[str, int]
    echoed: dict[str, int]
    metadata: dict[str, int]

    def missing(self) -> list[str]:
        """The names without which no row can be sent."""
        ids = [name for name in ("workflowId", "executionId") if name not in self.known]
        return ids if "status" in self.known or self.metadata else [*ids, "status or metadata"]


@dataclass(frozen=True, slots=True)
class Header:
    """The header as found: its *raw* lines (a `sep=` line included), its delimiter and its columns."""

    raw: str
    delimiter: str
    columns: Columns


def known_name(name: str) -> str | None:
    """Which of the four names *name* means, ignoring case, spaces, `_` and `-`."""
    return _NAMES.get(_normal(name))


def read_header(lines: Lines, name: str, delimiter: str | None, encoding: str) -> Header | None:
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
    tried = {option: _columns(taken, option) for option in ((delimiter,) if delimiter else _DELIMITERS)}
    readable = {option: columns for option, columns in tried.items() if columns is not None}
    if not readable:
        raise InputError(f"{where}: the header is not valid CSV", _cure(raw))
    chosen = min(readable, key=lambda option: len(readable[option].missing()))
    columns = readable[chosen]
    if missing := columns.missing():
        raise _no_header(where, taken, chosen, columns, missing)
    _refuse_twice(columns, where)
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


def _columns(taken: list[str], delimiter: str) -> Columns | None:
    reader = csv.reader(taken, delimiter=delimiter, strict=True)
    try:
        names = [name.strip() for name in next(reader)]
    except csv.Error:
        return None
    if reader.line_num != len(taken):
        return None  # a quote in the middle of a name made the lines behind it look like part of the header
    return _sorted_out(names)


def _sorted_out(names: list[str]) -> Columns:
    named = max((place for place, name in enumerate(names, 1) if name), default=0)
    columns = Columns(tuple(names), named, {}, {}, {}, {})
    for place, name in enumerate(names):
        known, member = known_name(name), _member(name)
        if known:
            columns.known[known] = place
        elif member is not None:
            columns.members[member] = place
        elif name:
            columns.echoed[name] = place
        if known == "metadata" or member is not None:
            columns.metadata[name] = place
    return columns


def _refuse_twice(columns: Columns, where: str) -> None:
    seen: dict[str, str] = {}
    for name in filter(None, columns.names):
        member = _member(name)
        if member == "":
            raise InputError(f"{where}: the column '{clean(name, 60)}' names no metadata key", "name or drop it")
        meaning = f"metadata.{member}" if member else _normal(name) or name
        if meaning in seen:
            both = " and ".join(f"'{clean(spelled, 60)}'" for spelled in (seen[meaning], name))
            raise InputError(f"{where}: two columns have one name: {both}", "rename or remove one of them")
        seen[meaning] = name


def _no_header(where: str, taken: list[str], chosen: str, columns: Columns, missing: list[str]) -> InputError:
    if any(_UUID_LIKE.match(name) for name in columns.names):
        return InputError(f"{where} looks like data: the header line is missing", _WANTED)
    for option in _DELIMITERS:
        other = _columns(taken, option)
        if other and not other.missing():
            spelled = "tab" if option == "\t" else f"'{option}'"
            return InputError(f"{where}: the columns are not separated by {chosen!r}", f"give --delimiter {spelled}")
    return InputError(
        f"{where}: the header has no {', '.join(missing)} column", f"{_WANTED}; if they are there, give --delimiter"
    )


def _cure(raw: str) -> str:
    if "\r" in raw.rstrip("\r\n"):
        return "its lines end in a bare carriage return; convert them: tr '\\r' '\\n'"
    return "write a name that holds a quote in quotes, and the quote twice"


def _member(name: str) -> str | None:
    """What follows the dot of a `metadata.` column, in its own spelling."""
    head, dot, member = name.partition(".")
    return member.strip() if dot and _normal(head) == "metadata" else None


def _normal(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()

"""Collect notes on an input that can be sent: what was skipped, and what could be read differently."""

import re
from collections import Counter
from dataclasses import dataclass

from bulksync.reader.source import Source
from bulksync.text import clean, counted

NO_VALUES = frozenset({"NULL", "null", "\\N", "None", "nan", "NaN", "#N/A", "undefined"})
"""Words that programs write for a missing value."""

_ESCAPE = re.compile(r"\\[tnrN0\\]")
_QUOTED_AS_CSV = re.compile(r'(?:^|\t)"(?:[^"]|"")*(?:""|[\t\n])(?:[^"]|"")*"(?=[\t\r\n]|$)')
_QUOTED_FOR_NOTHING = re.compile(r'(?:^|\t)"[^"\t\r\n, ][^"\t\r\n,]*"(?=[\t\r\n]|$)')
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
_UTF = re.compile(r"utf[_-]?(?:8|16|32)", re.IGNORECASE)


@dataclass(slots=True)
class Seen:
    """How often something was seen, and where first."""

    times: int = 0
    row: int = 0
    line: int = 0

    def again(self, row: int, line: int) -> None:
        """Count one more occurrence."""
        if not self.times:
            self.row, self.line = row, line
        self.times += 1

    def __str__(self) -> str:
        first = "" if self.times == 1 else "first "
        return f"{counted(self.times, 'row')} ({first}row {self.row}, line {self.line})"


class Notes:
    """Collects notes on an input while it is read; *looks_closer* says whether `look` should be called.

    `look` is not called for most inputs, as it takes time.
    """

    def __init__(self, source: Source, delimiter: str, encoding: str) -> None:
        self._encoding = encoding
        self._may_be_utf8 = source.encoding is not None and not _UTF.match(encoding)
        self._may_be_escaped = delimiter == "\t" and not source.escapes and source.format != "jsonl"
        self.looks_closer = self._may_be_utf8 or self._may_be_escaped
        self._blank, self._first_blank = 0, 0
        self._words = Counter[tuple[str, str]]()
        self._indented = Counter[str]()
        self._escaped, self._for_nothing, self._utf8 = Seen(), Seen(), Seen()
        self._readings = ""
        self.unread = 0
        """Lines of a state file with nothing to restore: the execution could not be read, so the line is not a row."""

    def note_blank(self, line: int, cells: list[str]) -> None:
        """Count a blank line; one without delimiters needs no note."""
        if len(cells) > 1:
            self._blank += 1
            self._first_blank = self._first_blank or line

    def note_member(self, member: str, value: str) -> None:
        """Count a cell of a metadata column that looks unintended."""
        if value in NO_VALUES:
            self._words[member, value] += 1
        else:
            self._indented[member] += 1

    def look(self, row: int, line: int, raw: str, cells: list[str]) -> None:
        """Look for text that would be read differently under another format."""
        if self._may_be_escaped and ("\\" in raw or '"' in raw):
            self._look_for_escapes(row, line, raw, cells)
        if self._may_be_utf8 and not raw.isascii():
            self._look_for_utf8(row, line, raw)

    def _look_for_escapes(self, row: int, line: int, raw: str, cells: list[str]) -> None:
        if '"' in raw and _QUOTED_AS_CSV.search(raw):  # quotes are used as in CSV: stop looking
            self._may_be_escaped, self.looks_closer = False, self._may_be_utf8
        elif _ESCAPE.search(raw):
            self._escaped.again(row, line)
        elif '"' in raw and raw.count('"') < 2 * len(cells) and _QUOTED_FOR_NOTHING.search(raw):
            self._for_nothing.again(row, line)

    def _look_for_utf8(self, row: int, line: int, raw: str) -> None:
        try:
            raw.encode(self._encoding).decode()
        except UnicodeError:
            self._may_be_utf8, self.looks_closer = False, self._may_be_escaped
            return
        self._utf8.again(row, line)
        if not self._readings and (found := _NOT_ASCII.search(raw)):
            other = found[0].encode(self._encoding).decode("utf-8", "replace")
            self._readings = f"'{clean(found[0], 20)}' as {self._encoding}, '{clean(other, 20)}' as UTF-8"

    def lines(self) -> list[str]:
        """Return the notes, one line each."""
        said = []
        if self._blank:
            rows = counted(self._blank, "line")
            said.append(f"skipped as blank: {rows} of nothing but delimiters (first: line {self._first_blank})")
        if self.unread:
            said.append(f"passed over, as the state file could not read them: {counted(self.unread, 'execution')}")
        for (member, word), times in self._words.items():
            cells = counted(times, "cell of", "cells of")
            said.append(f"sent as the text '{word}': {cells} 'metadata.{clean(member, 60)}'; empty cells are omitted")
        for member, times in self._indented.items():
            cells = counted(times, "cell of", "cells of")
            said.append(f"sent with the blanks before the text: {cells} 'metadata.{clean(member, 60)}'")
        if self._escaped.times and self._may_be_escaped:
            said.append(
                f"backslashes such as \\n or \\N are read as they stand: {self._escaped};"
                " if mysql or psql wrote this file, add --tsv-escapes"
            )
        elif self._for_nothing.times and self._may_be_escaped:
            said.append(
                f"quotes around text were taken off: {self._for_nothing};"
                " if they belong to the text, as mysql and psql write it, add --tsv-escapes"
            )
        if self._utf8.times and self._may_be_utf8:
            said.append(
                f"the input is valid UTF-8, {self._utf8} is not ASCII: {self._readings};"
                " if the second is right, leave out --encoding"
            )
        return said

"""Identify a text that is not the CSV or JSON lines it claims to be, and say how to convert it.

Called only once a text could not be read in its claimed format, so that no valid input is ever refused here.
"""

import re
from dataclasses import dataclass, replace

from bulksync.reader.jsontext import after, is_cut
from bulksync.reader.remedy import asks_for, refused
from bulksync.reader.source import Format, Source

DELIMITERS = (",", "\t", ";", "|")

_BEFORE = " \t\r\n\ufeff"
"""What may precede a text without being part of it."""

_IDS = {"workflowid", "executionid"}
_LINES_READ = 50
"""Lines that are searched for a header."""

_UNRULED = r"grep -v '^|[-:| ]*$' FILE | sed 's/^| *//; s/ *| *$//; s/ *| */|/g' > NEW"


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of text: *what* follows the file's name, and *way* is how to convert it, as `remedy` takes it."""

    what: str
    way: str
    suffix: str = ""


def _like(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern, re.IGNORECASE)


_FOREIGN = (
    (
        _like(r"<\?xml|<(?:\w+:)?workbook"),
        Shape(" is XML", "export it as CSV or JSON lines; in Excel: save it as CSV UTF-8"),
    ),
    (
        _like(r"<!doctype html|<html|<head|<body|<table|<!--|<meta|<script"),
        Shape(
            " is an HTML page, perhaps a login or an error page", "open it to see what it says; download the file again"
        ),
    ),
    (
        _like(
            r"(?:--[^\n]*\n\s*|/\*.*?\*/;?\s*|(?:begin|set|use|pragma|drop|lock|start)\b[^;]*;\s*)*"
            r"(?:insert\s+into|create\s+table|copy\s+\S+[^\n]*from\s+stdin|replace\s+into)\b"
        ),
        Shape(" is SQL", "export the table as CSV, such as: psql --csv -c 'SELECT …' > rows.csv"),
    ),
    (
        _like(r"%yaml|---[ \t\r]*\n|-\s+[\"']?[\w.-]+[\"']?\s*:(?:\s|$)"),
        Shape(" is YAML", "convert it: yq -o=json -I=0 '.[]' FILE > NEW", ".jsonl"),
    ),
    (
        _like(r"\|[^\n]*\|[ \t\r]*\n\|[-:| \t]+\|"),
        Shape(" is a Markdown table", f"convert it: {_UNRULED}", ".csv"),
    ),
    (
        _like(r"\+[-+]{3,}\+[ \t\r]*\n\|"),
        Shape(
            " is a table drawn with lines, as mysql shows it",
            "export it again: mysql --batch -e 'SELECT …' > rows.tsv, and read that with --tsv-escapes",
        ),
    ),
    (
        _like(r"[^\n|]+(?:\|[^\n|]+)+\n-+(?:\+-+)+"),
        Shape(" is a table drawn with lines, as psql shows it", "export it again: psql --csv -c 'SELECT …' > rows.csv"),
    ),
)

_JSON = (
    (
        _like(r"\x1e"),
        Shape(
            " is a JSON text sequence (RFC 7464): each object follows U+001E (record separator)",
            r"convert it: tr -d '\036' < FILE > NEW",
        ),
    ),
    (
        _like(r"\[\s*\["),
        Shape(
            " is a JSON array of arrays, not one object per line", "convert it: jq -r '.[] | @csv' FILE > NEW", ".csv"
        ),
    ),
    (
        _like(r"\[\s*(?:[\"\d]|null|true|false)[^\n]*\][ \t\r]*(?:\n|$)"),
        Shape(" has an array on each line, not an object", "convert it: jq -r @csv FILE > NEW", ".csv"),
    ),
    (_like(r"\["), Shape(" is a JSON array, not one object per line", "convert it: jq -c '.[]' FILE > NEW", ".jsonl")),
    (
        _like(r"//|/\*|#"),
        Shape(
            " begins with a comment, which JSON does not have",
            "remove the comments: grep -Ev '^[[:space:]]*(//|#)' FILE > NEW",
            ".jsonl",
        ),
    ),
)

_SPREAD = Shape(" has JSON objects over several lines, not one per line", "convert it: jq -c . FILE > NEW", ".jsonl")
_SEVERAL = Shape(" has several JSON objects on one line", "convert it: jq -c . FILE > NEW", ".jsonl")
_COMMAS = Shape(
    " has a comma behind each object, as between the members of an array",
    "remove the commas: sed 's/,[[:space:]]*$//' FILE > NEW",
    ".jsonl",
)
_QUOTED_LINES = Shape(
    " has each line in quotes as a whole",
    'remove the outer quotes: sed \'s/^"//; s/"[[:space:]]*$//; s/""/"/g\' FILE > NEW',
)
_BARE_RETURNS = Shape(": lines end in a bare carriage return", r"convert them: tr '\r' '\n' < FILE > NEW")

_ROW_BEHIND_RETURN = re.compile(r"\r[^\r\n]{0,1000}?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_WRAPPED = re.compile(r'"(\w+)"\s*:\s*\[\s*\{')
_ROW_NAME = re.compile(r'"workflow[ _-]?id"', re.IGNORECASE)


def refuse_other_shape(source: Source, head: str) -> None:
    """Raise InputError if the text beginning with *head* is of a known other kind."""
    refuse_table(source, head)
    start = head.lstrip(_BEFORE)
    shape = _json_shape(source, start) if source.format == "jsonl" else _csv_shape(source, head, start)
    if shape is None and "\r" in _first_line(start):
        shape = _BARE_RETURNS
    if shape is not None:
        raise refused(source, shape.what, shape.way, suffix=shape.suffix)


def refuse_table(source: Source, head: str) -> None:
    """Raise InputError if a text is markup, code, or a table drawn for display, which might parse as a header."""
    start = head.lstrip(_BEFORE)
    if shape := next((shape for pattern, shape in _FOREIGN if pattern.match(start)), None):
        raise refused(source, shape.what, shape.way, suffix=shape.suffix)


def refuse_wide_characters(source: Source, text: str) -> None:
    """Raise InputError if NUL characters show that UTF-16 or UTF-32 was decoded with another encoding."""
    nuls = text.count("\0")
    if nuls * 3 > len(text):
        width = "32" if nuls * 3 > len(text) * 2 else "16"
        guess = f"utf-{width}-{'be' if text.startswith(chr(0)) else 'le'}"
        what = f": every other byte is NUL, as in {guess.upper()} without a byte order mark"
        raise asks_for(source, what, "--encoding", guess)


def refuse_bare_returns(source: Source, text: str) -> None:
    """Raise InputError if rows are separated by bare carriage returns."""
    if _ROW_BEHIND_RETURN.search(text):
        raise refused(source, _BARE_RETURNS.what, _BARE_RETURNS.way)


def meant_format(source: Source, head: str) -> Format | None:
    """Return the format of a text, as far as its start shows. Raises InputError if it is of another known kind."""
    start = head.lstrip(_BEFORE)
    if start.startswith("{") and not is_cut(_first_line(start)) and not after(_first_line(start)):
        return "jsonl"
    if _is_header(_first_line(start)):
        return "csv"
    refuse_other_shape(replace(source, format="jsonl" if start[:1] in ("[", "{", "\x1e") else "csv"), head)
    return None


def _json_shape(source: Source, start: str) -> Shape | None:
    first = _first_line(start)
    if not start.startswith("{"):
        if _is_header(first):
            raise asks_for(source, " is CSV, not JSON lines", "--format", "csv")
        return next((shape for pattern, shape in _JSON if pattern.match(start)), None)
    if is_cut(first) and "\n" in start:
        wrapped, row = _WRAPPED.search(start), _ROW_NAME.search(start)
        if wrapped and (row is None or wrapped.start() < row.start()):
            what = f" is one JSON object, with the rows in '{wrapped[1]}'"
            return Shape(what, f"convert it: jq -c '.{wrapped[1]}[]' FILE > NEW", ".jsonl")
        return _SPREAD
    if "\r" in first:
        return _BARE_RETURNS
    behind = after(first)
    return _COMMAS if behind == "," else _SEVERAL if behind.startswith("{") else None


def _csv_shape(source: Source, head: str, start: str) -> Shape | None:
    if re.match(r"\{\s*\"|\[\s*[\[{]|\{\s*\n|\x1e", start):
        if shape := _json_shape(replace(source, format="jsonl"), start):
            return shape
        raise asks_for(source, " is JSON lines, not CSV", "--format", "jsonl")
    first = _first_line(start)
    if (
        first.startswith('"')
        and first.endswith('"')
        and _is_header(inside := first[1:-1].replace('""', ""))
        and '"' not in inside
    ):
        return _QUOTED_LINES
    if _is_header(first):
        return None
    lines = enumerate(head.split("\n")[:_LINES_READ], 1)
    number = next((number for number, text in lines if _is_header(text)), 0)
    what, way = f"{_preface(first)}; its header is on line {number}", f"remove the lines before: tail -n +{number}"
    return Shape(what, f"{way} FILE > NEW") if number else None


def _preface(first: str) -> str:
    if first.startswith("#TYPE"):
        return " begins with PowerShell's #TYPE line (Export-Csv without -NoTypeInformation)"
    return " begins with a comment" if first.startswith("#") else " begins with other text"


def _first_line(text: str) -> str:
    return text.lstrip("\r\n").split("\n", 1)[0].strip()


def _is_header(line: str) -> bool:
    """Return whether a line names the two IDs, with any delimiter."""
    return any(
        {re.sub(r"[\s_\-\"'\ufeff]", "", cell).lower() for cell in line.split(delimiter)} >= _IDS
        for delimiter in DELIMITERS
    )

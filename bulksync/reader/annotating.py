"""Append an error and its detail to rows of the input, so that they can be fixed and run again.

Apart from columns added by an earlier run, the row itself is left unchanged. A row that nothing can be appended to is
kept as is.
"""

import json
import re
from collections.abc import Sequence

from bulksync.reader.jsontext import parse
from bulksync.reader.record import NESTING_LIMIT, Flaw

_NAMES = ("error", "detail")
_TEXT = r'"(?:[^"\\]|\\.)*"'
_OURS = re.compile(rf',?"(?:bulksync\.)?error":{_TEXT},"(?:bulksync\.)?detail":{_TEXT}}}\Z')


def free_names(taken: Sequence[str]) -> list[str]:
    """Return the names of the two columns, prefixed with `bulksync.` where the input already has such a name."""
    return [f"bulksync.{name}" if name in taken else name for name in _NAMES]


def annotated_header(raw: str, delimiter: str, names: Sequence[str]) -> str:
    """Return a CSV header with the two columns appended; unchanged if an earlier run already added them."""
    if has_ours(names):
        return raw
    body, end = _ended(raw)
    return delimiter.join([body, *free_names(names)]) + end


def has_ours(names: Sequence[str]) -> bool:
    """Return whether the last two columns were added by an earlier run."""
    return list(names[-2:]) == free_names(names[:-2])


def annotated_cells(
    raw: str, delimiter: str, names: Sequence[str], error: str, detail: str, *, is_quoted: bool = True
) -> str:
    """Return a CSV row with the two cells appended; *names* are the columns in the input's header.

    Unless *is_quoted*, cells are escaped with backslashes.
    """
    if is_quoted and raw.count('"') % 2:
        return raw  # they would end up inside a quoted field
    body, end = _ended(raw)
    found = re.finditer(rf'"[^"]*"|{re.escape(delimiter)}' if is_quoted else re.escape(delimiter), body)
    ends = [match.start() for match in found if match[0] == delimiter]
    cells, width = len(ends) + 1, len(names)
    if has_ours(names):
        if cells < width:
            return raw  # its last two cells may not be ours
        cells, width, body = cells - 2, width - 2, body[: ends[cells - 3]]
    if cells > width and not body[ends[width - 1] :].strip(f"{delimiter} "):
        body = body[: ends[width - 1]]  # empty cells after the last column
    written = _quoted if is_quoted else _escaped
    added = [written(error, delimiter), written(detail, delimiter)]
    return delimiter.join([body or delimiter * (width - 1), *added]) + end


def annotated_object(raw: str, error: str, detail: str, *, is_utf: bool) -> str:
    """Return a JSON line with the error and detail appended as members."""
    text, end = _ended(raw or "{}")
    text = _OURS.sub("}", text.rstrip(" \t"))
    value = parse(text, NESTING_LIMIT + 1)
    if not isinstance(value, dict) and not (isinstance(value, Flaw) and value.error == "duplicate_member"):
        return raw
    taken = value if isinstance(value, dict) else [name for name in _NAMES if f'"{name}"' in text]
    members = dict(zip(free_names(list(taken)), (error, detail), strict=True))
    added = json.dumps(members, ensure_ascii=not is_utf, separators=(",", ":"))
    body = text.removesuffix("}").rstrip(" \t")
    return body + ("" if body.strip() == "{" else ",") + added.removeprefix("{") + end


def _ended(raw: str) -> tuple[str, str]:
    """Split a row into its text and its line ending, which may be empty."""
    body = raw.rstrip("\r\n")
    return body, raw[len(body) :]


def _quoted(text: str, delimiter: str) -> str:
    is_special = delimiter in text or '"' in text or "\n" in text or "\r" in text
    return '"' + text.replace('"', '""') + '"' if is_special else text


def _escaped(text: str, delimiter: str) -> str:
    return text.replace("\\", "\\\\").replace(delimiter, " ")

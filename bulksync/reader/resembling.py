"""Find echoed columns whose names suggest that they were meant to be sent."""

import re
from collections.abc import Iterator, Sequence
from difflib import get_close_matches

from bulksync.reader.fields import known_name, own_field
from bulksync.reader.record import Column
from bulksync.text import clean, counted, quoted

_LIKENESS = 0.8
"""Minimum similarity of a misspelled name to the right one: `stauts` has 0.83, `state` 0.73."""

_OTHER_WORDS = {
    "exec": "executionId", "execid": "executionId", "execuuid": "executionId", "execution": "executionId",
    "executionuuid": "executionId", "wf": "workflowId", "wfid": "workflowId", "flowid": "workflowId",
    "workflow": "workflowId", "workflowuuid": "workflowId", "executionstatus": "status", "newstatus": "status",
    "meta": "metadata",
}  # fmt: skip
"""Synonyms of the four names, without spaces and marks; not `state`, which may be the US state of a lead."""

_IN_BRACKETS = re.compile(r"\(.*?\)|\[.*?\]|\{.*?\}")
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_MARKS = " \t\r\n_.:/\\-[](){}<>'\""
_THE_WHOLE = frozenset({"json", "object", "obj", "raw", "text", "string", "column", "field"})
"""Suffixes of `metadata` in names that mean all of it."""


def meant(name: str) -> str | None:
    """Return the field that an echoed column may have been meant for, judging by its name."""
    if own_field(name):
        return None  # it is echoed because the caller asked for that
    return _closest(name) or _entry(name) or _closest(_IN_BRACKETS.sub("", name))


def unsent(columns: Sequence[Column], rows: int) -> Iterator[str]:
    """Yield a sentence for each echoed column whose name resembles a field that some rows lack."""
    carried = {column.field: column.rows for column in columns if column.field}
    for column in columns:
        if column.field or (field := meant(column.name)) is None or carried.get(field, 0) >= rows > 0:
            continue
        way = "rename it" if field in carried else f"add --map {quoted(f'{field}={column.name}')}"
        name = f"'{clean(column.name, 60)}' ({counted(column.rows, 'row')})"
        yield f"the column {name} is only echoed; did you mean {clean(field, 60)}? To send it, {way}"


def nested(columns: Sequence[Column]) -> Iterator[str]:
    """Yield a sentence if names of entries look as if they were meant as nested objects."""
    entries = [column.field.partition(".")[2] for column in columns]
    if names := [f"'{clean(entry, 40)}'" for entry in entries if "." in entry or "[" in entry]:
        said = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
        yield f"sent as one entry of metadata each: {said}; for objects inside objects, use a metadata column with JSON"


def _closest(name: str) -> str | None:
    letters = "".join(filter(str.isalnum, name)).lower()
    near = get_close_matches(letters, ("workflowid", "executionid", "status", "metadata"), 1, _LIKENESS)
    return _OTHER_WORDS.get(letters) or known_name(near[0] if near else "")


def _entry(name: str) -> str | None:
    """Return `metadata.firstName` for `metadata_firstName`, `metadataFirstName`, `meta[firstName]` and the like."""
    words = list(_WORD.finditer(name))
    for word in words[:2]:
        rest = name[word.end() :]
        member = rest.strip(_MARKS)
        if member and _closest(name[: word.end()]) == "metadata":
            if member.lower() in _THE_WHOLE:
                return "metadata"
            return f"metadata.{member if rest[0] in _MARKS else member[0].lower() + member[1:]}"
    return None

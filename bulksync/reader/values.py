"""Turn Python values into JSON lines for the reader: values from frames, databases and Python itself.

Missing values (NaN, NaT, `pd.NA`) are omitted, like an empty CSV cell. Dates and times become ISO 8601 text; numbers
keep every digit. A row with a value that JSON cannot hold becomes a line that says so, which the reader reports as
invalid like a bad row of a file.
"""

import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from bulksync.model import LocalError
from bulksync.reader.fields import known_name
from bulksync.reader.jsonl import FLAW
from bulksync.reader.jsontext import Number, dumps, parse
from bulksync.reader.record import NESTING_LIMIT, Flaw
from bulksync.text import clean

ERRORS: dict[str | None, LocalError] = {
    "workflowId": "id_invalid",
    "executionId": "id_invalid",
    "status": "status_invalid",
    "metadata": "metadata_invalid",
    None: "json_malformed",
}
"""A row's error by the field whose value JSON cannot hold; None is a column that is only echoed."""

MISSING = object()
"""Marks a value to omit."""

TYPES_OF_MISSING = frozenset({"NaTType", "NAType"})
"""pandas' NaT and NA, by name: pandas is not imported."""


class _Unwritable(Exception):  # noqa: N818  it never leaves this module
    """Raised from any depth for a value that JSON cannot hold."""

    def __init__(self, where: str, what: str) -> None:
        super().__init__(f"{clean(where, 60)} {what}")


def json_line(row: object) -> bytes:
    """Return a row as a line of JSON."""
    if not isinstance(row, Mapping):
        return dumps({FLAW: ["not_an_object", f"the row is {article(row)}, not a dict"]}) + b"\n"
    cells, flaws = cells_of(row)
    members, flaw = folded(cells)
    if flaw := next(iter(flaws), flaw):
        members[FLAW] = [flaw.error, flaw.detail]
    return dumps(members) + b"\n"


def cells_of(row: Mapping[object, object]) -> tuple[dict[str, Any], list[Flaw]]:
    """Return the cells that JSON can hold, and the flaws of the others."""
    cells: dict[str, Any] = {}
    flaws = []
    for name, value in row.items():
        key = ""
        try:
            key = key_of(name, "a column")
            cells[key] = None if (given := plain(value, key)) is MISSING else given
        except _Unwritable as error:
            field = known_name(key.partition(".")[0] if member_of(key) is not None else key)
            flaws.append(Flaw(ERRORS[field], str(error)))
    if len(cells) + len(flaws) < len(row):
        flaws.append(Flaw("duplicate_member", "two columns have the same name once they are written as text"))
    return cells, flaws


def folded(cells: dict[str, Any]) -> tuple[dict[str, Any], Flaw | None]:
    """Return a row with its metadata merged into an object, from JSON text and from `metadata.x` columns, as in CSV."""
    given = {key: value for key, value in cells.items() if member_of(key) is not None}
    others = {key: value for key, value in cells.items() if key not in given}
    name = next((key for key in others if known_name(key) == "metadata"), "metadata")
    metadata = unfolded(others.get(name))
    if isinstance(metadata, Flaw):
        return others, metadata
    if not given:
        return (others | {name: metadata} if name in others else others), None
    whole = {} if metadata is None else metadata
    if not isinstance(whole, dict):
        return others, None  # which the reader rejects
    added = {str(member_of(key)): value for key, value in given.items() if value not in (None, "")}
    if twice := next((member for member in added if member in whole), None):
        return others, Flaw("metadata_invalid", f"'{clean(twice, 60)}' is given both in metadata and as a column")
    is_given = bool(added) or metadata is not None
    return others | {name: whole | added if is_given else None}, None


def unfolded(metadata: object) -> Any:
    """Return metadata parsed if it was given as JSON text, or the flaw that prevents it."""
    if metadata == "":
        return None
    if not isinstance(metadata, str):
        return metadata
    found = parse(metadata, NESTING_LIMIT)
    return Flaw("metadata_invalid", f"metadata: {found.detail}") if isinstance(found, Flaw) else found


def member_of(key: str) -> str | None:
    """Return what follows the dot in a `metadata.x` column; None for any other column."""
    head, dot, member = key.partition(".")
    return member.strip() if dot and member.strip() and known_name(head) == "metadata" else None


def plain(value: object, where: str, depth: int = 0) -> Any:
    """Return a value as JSON types, or MISSING. Raises _Unwritable, naming *where*, if JSON has no type for it."""
    match value:
        case None | bool():
            return value
        case Enum():
            return plain(value.value, where, depth)
        case str():
            return text(value, where)
        case _ if is_missing(value):
            return MISSING
        case int() | float() | Decimal():
            return number(value, where)
        case date() | time():  # a datetime is a date, and so is a pandas Timestamp
            return value.isoformat()
        case UUID():
            return str(value)
    if depth > NESTING_LIMIT:
        raise _Unwritable(where, f"is nested more than {NESTING_LIMIT} deep")
    if isinstance(value, Mapping):
        return members(value, where, depth + 1)
    if isinstance(value, list | tuple):
        return elements(value, where, depth + 1)
    return plain(of_numpy(value, where), where, depth + 1)


def is_missing(value: object) -> bool:
    """Return whether a value means "missing": NaN, NaT or `pd.NA`."""
    if isinstance(value, Decimal):
        return value.is_nan()
    return type(value).__name__ in TYPES_OF_MISSING or (isinstance(value, float) and math.isnan(value))


def text(value: str, where: str) -> str:
    """Return text that UTF-8 can encode."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Unwritable(where, "holds half a character (a lone surrogate)") from None
    return str(value)


def number(value: float | Decimal, where: str) -> int | float | Number:
    """Return a finite number with all its digits."""
    try:
        if math.isinf(value):
            raise _Unwritable(where, "is infinite, or too large a number for JSON")
        if isinstance(value, Decimal):
            return Number(str(value))
        if isinstance(value, int):
            return int(value) if abs(value) < 2**63 else Number(str(int(value)))
        return float(value)
    except (OverflowError, ValueError):  # beyond a double, or beyond Python's limit of 4,300 digits
        raise _Unwritable(where, "is too large a number for JSON") from None


def members(value: Mapping[object, object], where: str, depth: int) -> dict[str, Any]:
    """Return the members of a dict, without missing values."""
    found = [(key := key_of(name, where), plain(member, f"{where}.{key}", depth)) for name, member in value.items()]
    unique = dict(found)
    if len(unique) < len(found):
        raise _Unwritable(where, "has two keys that are the same once they are written as text")
    return {key: member for key, member in unique.items() if member is not MISSING}


def elements(value: Iterable[object], where: str, depth: int) -> list[Any]:
    """Return the elements of a list, with null for missing values, so that the others keep their positions."""
    found = [plain(element, f"{where}[{place}]", depth) for place, element in enumerate(value)]
    return [None if element is MISSING else element for element in found]


def key_of(name: object, where: str) -> str:
    """Return a key as text."""
    if isinstance(name, str):
        return text(name, where)
    if isinstance(name, int | UUID | date):
        return str(name).lower() if isinstance(name, bool) else str(name)
    raise _Unwritable(where, f"has a key that is {article(name)}: {clean(repr(name), 60)}")


def of_numpy(value: Any, where: str) -> object:
    """Return a numpy scalar or array, or a series, as Python's own types."""
    kind = getattr(getattr(value, "dtype", None), "kind", "")
    if kind == "M":
        return dates(value.astype("U").tolist())
    found = value.tolist() if kind and kind not in "mcV" else value
    if type(found) is type(value):
        raise _Unwritable(where, f"is {article(value)}, which JSON cannot hold")
    return found


def dates(texts: Any) -> Any:
    """Return numpy's dates, already converted to ISO 8601 text by `astype`, with NaN for missing ones."""
    if isinstance(texts, list):
        return [dates(one) for one in texts]
    return math.nan if texts == "NaT" else texts


def article(value: object) -> str:
    """Return a value's type name with its article."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"

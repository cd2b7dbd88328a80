"""Turn fields into a row: check locally what the API can accept."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from bulksync.model import InvalidRow, Row
from bulksync.reader.fields import known_name
from bulksync.reader.jsontext import dumps
from bulksync.reader.noting import NO_VALUES
from bulksync.reader.record import Flaw
from bulksync.text import character_name, clean

KNOWN_STATUSES = frozenset({"CREATED", "RUNNING", "COMPLETED", "FAILED", "CANCELLED", "PAUSED"})
"""The filter values of the API page "List workflow executions"."""

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
_UUID_INSIDE = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![0-9A-Za-z])")
_STATUS = re.compile(r"[A-Z][A-Z0-9_]{0,63}")
_ROUNDED = re.compile(r"[0-9]+(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?")


def judge(
    row: int,
    line: int,
    workflow: object,
    execution: object,
    status: object,
    metadata: dict[str, Any] | Flaw | None,
    allowed: frozenset[str] | None,
) -> Row | InvalidRow:
    """Return the row to send, or an invalid row for the first flaw; None and "" mean that a field is not given."""
    flaw = (
        _id_flaw("workflowId", workflow, line)
        or _id_flaw("executionId", execution, line)
        or _status_flaw(status, allowed)
    )
    if flaw is None and isinstance(metadata, Flaw):
        flaw = metadata
    if flaw is None and not status and metadata is None:
        flaw = Flaw("field_missing", "neither status nor metadata is given: there is nothing to send")
    if flaw is not None:
        return refuse(row, line, flaw, workflow, execution, status)
    body: dict[str, object] = {}
    if status:
        body["status"] = status
    if metadata is not None:
        body["metadata"] = metadata
    return Row(row, line, str(workflow).lower(), str(execution).lower(), str(status) if status else None, dumps(body))


def refuse(
    row: int, line: int, flaw: Flaw, workflow: object = "", execution: object = "", status: object = ""
) -> InvalidRow:
    """Return the invalid row for *flaw*, with its IDs and status as far as they are text, made safe to print."""
    return InvalidRow(
        row, line, flaw.error, flaw.detail, _shown(workflow), _shown(execution), _shown(status), flaw.fatal
    )


def _shown(value: object) -> str:
    return clean(value) if isinstance(value, str) else ""


def _id_flaw(name: str, value: object, line: int) -> Flaw | None:
    if value is None or value == "":
        return Flaw("field_missing", f"{name} is empty or missing")
    if not isinstance(value, str):
        return Flaw("id_invalid", f"{name} is not text")
    if _UUID.fullmatch(value):
        return None
    if known_name(value.replace("\ufeff", "")):
        return Flaw(
            "id_invalid", f"the header line is repeated here, as where files were put together; remove line {line}"
        )
    what = f"{name} '{clean(value, 50)}' is not a valid ID (8-4-4-4-12 hex digits)"
    return Flaw("id_invalid", what + _id_hint(value))


def _id_hint(value: str) -> str:
    """Return a hint on how to fix something that is almost an ID."""
    if odd := _odd_character(value):
        return odd
    if _UUID.fullmatch(value.strip()):
        return "; remove the blanks around it"
    if _ROUNDED.fullmatch(value):
        return "; a spreadsheet turned it into a number; format the column as text and export again"
    if value in NO_VALUES:
        return "; leave the cell empty where there is none"
    if re.fullmatch(r"[0-9A-Fa-f]{32}", value):
        return "; its hyphens are missing"
    if (inner := _UUID_INSIDE.search(value)) and len(_UUID_INSIDE.findall(value)) == 1:
        around = [part for part in (value[: inner.start()], value[inner.end() :]) if part]
        return f"; remove {' and '.join(clean(part, 20) for part in around)}"
    return ""


def _status_flaw(value: object, allowed: frozenset[str] | None) -> Flaw | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return Flaw("status_invalid", "status is not text")
    if not _STATUS.fullmatch(value):
        what = f"status '{clean(value, 60)}' is not valid (at most 64 of A-Z, 0-9 and _)"
        return Flaw(
            "status_invalid", what + _asked(meant_status(value, allowed or KNOWN_STATUSES)) + _odd_character(value)
        )
    if allowed is not None and value not in allowed:
        what = f"status {value} is not one of {clean(', '.join(sorted(allowed)), 100)}"
        return Flaw("status_invalid", what + _asked(meant_status(value, allowed)))
    return None


def _odd_character(value: str) -> str:
    """Name the first character that is unlikely to be typed into an ID or a status, as it is easily overlooked."""
    place = next((place for place, one in enumerate(value, 1) if not " " <= one <= "~"), 0)
    if not place:
        return ""
    joined = "; were files put together? remove it" if value[place - 1] == "\ufeff" else ""
    return f"; its character {place} is {character_name(value[place - 1])}{joined}"


def meant_status(value: str, statuses: Iterable[str]) -> str:
    """Return the status that was probably meant; empty if none is similar."""
    spelled = "_".join(re.findall(r"\w+", value.upper()))
    return next(iter(get_close_matches(spelled, sorted(statuses), 1, 0.8)), "")


def _asked(meant: str) -> str:
    return f"; did you mean {meant}?" if meant else ""

"""Fields to a row: what the API can take, decided without asking it."""

import re
from typing import Any

from bulksync.model import InvalidRow, Row
from bulksync.reader.jsontext import dumps
from bulksync.reader.record import Flaw
from bulksync.text import clean

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}")
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
    """The row to send, or the first reason why it is none; None and "" mean that a field is not given."""
    flaw = _id_flaw("workflowId", workflow) or _id_flaw("executionId", execution) or _status_flaw(status, allowed)
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
    """The invalid row for *flaw*, with as much of its ids and its status as is text, made safe to print."""
    return InvalidRow(
        row, line, flaw.error, flaw.detail, _shown(workflow), _shown(execution), _shown(status), flaw.fatal
    )


def _shown(value: object) -> str:
    return clean(value) if isinstance(value, str) else ""


def _id_flaw(name: str, value: object) -> Flaw | None:
    if value is None or value == "":
        return Flaw("field_missing", f"{name} is empty or missing")
    if not isinstance(value, str):
        return Flaw("id_invalid", f"{name} is not text")
    if _UUID.fullmatch(value):
        return None
    hint = "; a spreadsheet made a number of it, export the column as text" if _ROUNDED.fullmatch(value) else ""
    return Flaw("id_invalid", f"{name} '{clean(value, 60)}' is not a valid ID (8-4-4-4-12 hex digits){hint}")


def _status_flaw(value: object, allowed: frozenset[str] | None) -> Flaw | None:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        return Flaw("status_invalid", "status is not text")
    if not _STATUS.fullmatch(value):
        return Flaw(
            "status_invalid", f"status '{clean(value, 60)}' is not made of at most 64 capitals, digits and underscores"
        )
    if allowed is not None and value not in allowed:
        return Flaw("status_invalid", f"status {value} is not one of {clean(', '.join(sorted(allowed)), 100)}")
    return None

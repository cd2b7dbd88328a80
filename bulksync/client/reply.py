"""What an answer means as it stands: acknowledged, or why not, and how long the server asks to wait."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from aiohttp import hdrs
from pydantic import ValidationError
from pydantic_core import from_json

from bulksync.client.page import BODY, WorkflowExecution
from bulksync.model import Execution, Reply, Row, Step
from bulksync.text import clean

MAX_DETAIL = 200
"""Characters of the detail column; the contract's number."""

MAX_ORDER = 2**53
"""From here on a step's order is no number that every reader of JSON reads alike (RFC 8259 §6)."""


def read_reply(status: int, headers: Mapping[str, str], body: bytes, row: Row) -> Reply:
    """Say what an answer means: acknowledged is only a 2xx with a JSON object that names this execution."""
    if 300 <= status < 400:
        return Reply(status, "redirect_refused", f"answered {status}, to {origin_of(headers.get(hdrs.LOCATION, ''))}")
    if not 200 <= status < 300:
        said = json_object(body)
        wait = retry_after(headers, said or {}) if status in (429, 503) else None
        return Reply(status, f"http_{status}", message_of(said, body), retry_after=wait, stranger=said is None)
    try:
        page = BODY.validate_json(body)
    except ValidationError as error:
        return Reply(status, "response_invalid", not_acknowledged(error, headers))
    if (page["workflow_id"].lower(), page["id"].lower()) != row.key:
        return Reply(status, "response_mismatch", clean(f"the answer names execution {page['id']}", MAX_DETAIL))
    return Reply(status, "", execution=execution_of(page))


def not_acknowledged(error: ValidationError, headers: Mapping[str, str]) -> str:
    """Describe why a 2xx is no acknowledgement, without a word of its body."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return clean(f"not JSON but {headers.get(hdrs.CONTENT_TYPE, 'nothing')}", MAX_DETAIL)
    where = ".".join(str(part) for part in first["loc"])
    return clean(f"{where or 'the answer'}: {first['msg']}", MAX_DETAIL)


def execution_of(page: WorkflowExecution) -> Execution:
    """Take what the report shows out of the 200 body, steps by their order."""
    found = page.get("step_executions")
    steps = [step_of(step) for step in found] if isinstance(found, list) else []
    if len(steps) > 1:
        steps.sort(key=lambda step: step.order if step.order is not None else float("inf"))
    times = word(page.get("started_at")), word(page.get("completed_at"))
    return Execution(word(page["status"]), word(page.get("disposition")), *times, steps)


def step_of(step: Any) -> Step:
    """Take what the report shows out of one step execution."""
    if not isinstance(step, dict):
        return Step("", "", None, "", "", "")
    said, call = step.get, step.get("agent_call")
    reason = call.get("call_ended_reason") if isinstance(call, dict) else None
    head = word(said("id")), word(said("type")), order_of(said("order"))
    return Step(*head, word(said("status")), word(said("disposition")), word(reason))


def order_of(value: Any) -> float | None:
    """Return the number that steps stand in order by; None for whatever else is said instead."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < MAX_ORDER else None


def word(value: Any) -> str:
    """Return the server's word verbatim but for control characters; what is no string as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else as_json(value)
    return text if len(text) <= MAX_DETAIL and text.isprintable() else clean(text, MAX_DETAIL)


def as_json(value: Any) -> str:
    """Write what the server said, in one line, as JSON again; numbers of any size."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_object(body: bytes) -> dict[str, Any] | None:
    """Read a body that should be a JSON object; None where it is none."""
    try:
        page = from_json(body)
    except ValueError:
        return None
    return page if isinstance(page, dict) else None


def message_of(page: dict[str, Any] | None, body: bytes) -> str:
    """Find the message in an error body: in any of the API's known shapes, or else its text."""
    text = body[: MAX_DETAIL * 20].decode("utf-8", "replace")
    if page is not None:
        code = page.get("code") or page.get("error")
        message = page.get("message") or page.get("detail") or code or text
        text = message if isinstance(message, str) else as_json(message)
        text = f"{code}: {text}" if code and isinstance(code, str) and code != text else text
    return clean(text, MAX_DETAIL)


RESETS = ("X-RateLimit-Reset", "X-Rate-Limit-Reset", "RateLimit-Reset")
"""When a quota begins anew, as servers say it without a standard: in so many seconds, or at a Unix time."""

EPOCH = 5e8
"""From here on the number of seconds is a Unix time, and a thousand times as much is one in milliseconds."""


def retry_after(headers: Mapping[str, str], page: Mapping[str, Any]) -> float | None:
    """Return for how many seconds the server asks to wait; None where nothing usable is said.

    Its Retry-After (RFC 9110 §10.2.3), fractions too; else when its quota begins anew (draft-ietf-httpapi-ratelimit
    §3, or one of `RESETS`); else the body's word. What is a date is read against the server's own Date, so that our
    clock does not matter.
    """
    value = headers.get(hdrs.RETRY_AFTER, "").strip()
    now = http_date(headers.get(hdrs.DATE, "")) or datetime.now(UTC)
    if (seconds := number_of(value, digits=9)) is not None:
        return seconds
    if (until := http_date(value)) is not None:
        return max(0.0, (until - now).total_seconds())
    if match := re.search(r"(?:^|;)\s*t=([0-9]{1,9})\s*(?:;|,|$)", headers.get("RateLimit", "")):
        return float(match[1])
    resets = (number_of(headers.get(name, "").strip(), digits=13) for name in RESETS)
    if (reset := next((number for number in resets if number is not None), None)) is not None:
        return until_reset(reset, now.timestamp())
    return body_retry_after(page)


def number_of(text: str, digits: int) -> float | None:
    """Read a number of seconds, of so many *digits* at most and perhaps a fraction; None where it is none."""
    return float(text) if re.fullmatch(rf"[0-9]{{1,{digits}}}(\.[0-9]{{1,9}})?", text) else None


def until_reset(reset: float, now: float) -> float:
    """Return in how many seconds a quota begins anew, which may be said as a Unix time."""
    if reset < EPOCH:
        return reset
    return max(0.0, (reset if reset < EPOCH * 100 else reset / 1000) - now)


def http_date(value: str) -> datetime | None:
    """Read an HTTP-date (RFC 9110 §5.6.7); None where it is none."""
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None
    return date if date.tzinfo else date.replace(tzinfo=UTC)


def body_retry_after(page: Mapping[str, Any]) -> float | None:
    """Return `retry_after` of an error body, in seconds; None where there is none."""
    value = page.get("retry_after")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        return None
    return float(value)


def origin_of(location: str) -> str:
    """Return scheme and host of a Location; its path and query could hold what is not ours to show."""
    match = re.match(r"https?://[^/?#@\s]+(?=[/?#]|$)", location)
    return clean(match[0], MAX_DETAIL) if match else "another path of the same server"

"""What an answer means as it stands: acknowledged, or why not, and how long the server asks to wait."""

import codecs
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from aiohttp import hdrs
from pydantic import ValidationError
from pydantic_core import from_json

from bulksync.client.compression import NotUnpackedError, unpacked
from bulksync.client.http1 import Answer
from bulksync.client.retry_after import asked_wait
from bulksync.client.schema import BODY, WorkflowExecution
from bulksync.client.tls import CERTIFICATE_WANTED
from bulksync.model import AnswerError, Execution, Reply, Row, Step
from bulksync.text import clean, member_in

MAX_DETAIL = 200
"""Characters of the detail column; the contract's number."""

NGINX_WANTS = b"No required SSL certificate was sent"
"""What nginx answers over HTTP, with status 400, where others end the handshake."""

BREAK = re.compile(r"[\r\n\t]+")
"""What in JSON stands only between values."""

MAX_ORDER = 2**53
"""From here on a step's order is no number that every reader of JSON reads alike (RFC 8259 §6)."""


def read_answer(answer: Answer, row: Row, limit: int, *, with_metadata: bool = False) -> tuple[bytes, Reply]:
    """Say what an answer means, and return its body unpacked; *limit* is the largest that is read, in bytes.

    Only *with_metadata* the reply has the execution's own: looking for it takes longer than all else.
    """
    try:
        body = unpacked(answer.body, answer.headers.get(hdrs.CONTENT_ENCODING, ""), limit)
    except NotUnpackedError as error:
        body, flaw = b"", str(error)
    else:
        flaw = ""
    is_cut, body = len(body) > limit, body[:limit].removeprefix(codecs.BOM_UTF8)
    status = answer.status
    if not 200 <= status < 300:
        return body, read_refusal(status, answer.headers, body, is_cut=is_cut)
    if is_cut:
        return body, strange(status, "response_too_large", f"the answer is over {limit:,} bytes, see --max-answer")
    if flaw or answer.is_early:
        return body, strange(status, "response_invalid", flaw or "the answer came before the whole request had left")
    reply = read_acknowledgement(status, answer.headers, body, row)
    if with_metadata and reply.execution is not None:
        metadata = metadata_of(body)
        return body, replace(reply, execution=replace(reply.execution, metadata=metadata))
    return body, reply


def strange(status: int, error: AnswerError, detail: str) -> Reply:
    """Return the reply to a 2xx that says nothing of this API."""
    return Reply(status, error, clean(detail, MAX_DETAIL), stranger=True)


def read_acknowledgement(status: int, headers: Mapping[str, str], body: bytes, row: Row) -> Reply:
    """Say what a 2xx means: acknowledged is only a JSON object that names this execution."""
    try:
        page = BODY.validate_json(body)
    except ValidationError as error:
        return strange(status, "response_invalid", not_acknowledged(error, headers))
    if (page["workflow_id"].lower(), page["id"].lower()) != row.key:
        return Reply(status, "response_mismatch", clean(f"the answer names execution {page['id']}", MAX_DETAIL))
    return Reply(status, "", execution=execution_of(page))


def metadata_of(body: bytes) -> str:
    """Return the object that an answer has as its metadata, verbatim but on one line; empty where it has none."""
    text = member_in(body.decode("utf-8", "replace"), "metadata")
    return BREAK.sub(" ", text) if text.startswith("{") else ""


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, *, is_cut: bool = False) -> Reply:
    """Say what any other answer means; only a JSON object shows that it is this API's."""
    page = object_in(body, is_cut=is_cut)
    if 300 <= status < 400:
        detail = f"answered {status}, to {origin_of(headers.get(hdrs.LOCATION, ''))}"
        return Reply(status, "redirect_refused", detail, stranger=page is None)
    wait = asked_wait(headers, page) if status in (429, 503) else None
    return Reply(status, f"http_{status}", message_of(body, page), retry_after=wait, stranger=page is None)


def object_in(body: bytes, *, is_cut: bool = False) -> dict[str, Any] | None:
    """Return the JSON object that a body is, or as far as it goes where it *is_cut*; None where it is none."""
    try:
        page = from_json(body, allow_partial=is_cut)
    except ValueError:
        return None
    return page if isinstance(page, dict) else None


def not_acknowledged(error: ValidationError, headers: Mapping[str, str]) -> str:
    """Describe why a 2xx is no acknowledgement, without a word of its body."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return f"not JSON but {headers.get(hdrs.CONTENT_TYPE, 'nothing')}"
    where = ".".join(str(part) for part in first["loc"])
    return f"{where or 'the answer'}: {first['msg']}"


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


def message_of(body: bytes, page: dict[str, Any] | None) -> str:
    """Find the message in an error body: in any of the API's known shapes (*page*), or else its text."""
    text = body[: MAX_DETAIL * 80].decode("utf-8", "replace")
    if page is None:
        return CERTIFICATE_WANTED if NGINX_WANTS in body else clean(text, MAX_DETAIL)
    code = page.get("code") or page.get("error")
    message = page.get("message") or page.get("detail") or code or text
    text = message if isinstance(message, str) else as_json(message)
    text = f"{code}: {text}" if code and isinstance(code, str) and code != text else text
    return clean(text, MAX_DETAIL)


def origin_of(location: str) -> str:
    """Return scheme and host of a Location; its path and query could hold what is not ours to show."""
    match = re.match(r"https?://[^/?#@\s]+(?=[/?#]|$)", location)
    return clean(match[0], MAX_DETAIL) if match else "another path of the same server"

"""What an answer means on its own: acknowledged, or why not, and how long the server asks us to wait."""

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
"""Maximum characters of the detail column, as set by the report format."""

NGINX_WANTS = b"No required SSL certificate was sent"
"""nginx's answer over HTTP, with status 400, where others abort the handshake."""

BREAK = re.compile(r"[\r\n\t]+")
"""Whitespace that occurs in JSON only between values."""

MAX_ORDER = 2**53
"""From here on a step's order is not a number that all JSON parsers read alike (RFC 8259 §6)."""


def read_answer(answer: Answer, row: Row, limit: int, *, with_metadata: bool = False) -> tuple[bytes, Reply]:
    """Return an answer's decompressed body and its meaning as a reply; bodies over *limit* bytes are not read.

    The reply includes the execution's metadata only *with_metadata*: extracting it takes longer than everything else.
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
    """Return the reply for a 2xx that is not from this API."""
    return Reply(status, error, clean(detail, MAX_DETAIL), stranger=True)


def read_acknowledgement(status: int, headers: Mapping[str, str], body: bytes, row: Row) -> Reply:
    """Return the reply for a 2xx: acknowledged only if a JSON object names this execution."""
    try:
        page = BODY.validate_json(body)
    except ValidationError as error:
        return strange(status, "response_invalid", not_acknowledged(error, headers))
    if (page["workflow_id"].lower(), page["id"].lower()) != row.key:
        return Reply(status, "response_mismatch", clean(f"the answer names execution {page['id']}", MAX_DETAIL))
    return Reply(status, "", execution=execution_of(page))


def metadata_of(body: bytes) -> str:
    """Return the metadata object of an answer, verbatim but on one line; empty if there is none."""
    text = member_in(body.decode("utf-8", "replace"), "metadata")
    return BREAK.sub(" ", text) if text.startswith("{") else ""


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, *, is_cut: bool = False) -> Reply:
    """Return the reply for any other answer; only a JSON object shows that it comes from this API."""
    page = object_in(body, is_cut=is_cut)
    if 300 <= status < 400:
        detail = f"answered {status}, to {origin_of(headers.get(hdrs.LOCATION, ''))}"
        return Reply(status, "redirect_refused", detail, stranger=page is None)
    wait = asked_wait(headers, page) if status in (429, 503) else None
    return Reply(status, f"http_{status}", message_of(body, page), retry_after=wait, stranger=page is None)


def object_in(body: bytes, *, is_cut: bool = False) -> dict[str, Any] | None:
    """Return the JSON object of a body, or the part before the cut if it *is_cut*; None if it is not an object."""
    try:
        page = from_json(body, allow_partial=is_cut)
    except ValueError:
        return None
    return page if isinstance(page, dict) else None


def not_acknowledged(error: ValidationError, headers: Mapping[str, str]) -> str:
    """Describe why a 2xx is not an acknowledgement, without quoting its body."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "json_invalid":
        return f"not JSON but {headers.get(hdrs.CONTENT_TYPE, 'nothing')}"
    where = ".".join(str(part) for part in first["loc"])
    return f"{where or 'the answer'}: {first['msg']}"


def execution_of(page: WorkflowExecution) -> Execution:
    """Extract the reported fields from the 200 body, with steps sorted by their order."""
    found = page.get("step_executions")
    steps = [step_of(step) for step in found] if isinstance(found, list) else []
    if len(steps) > 1:
        steps.sort(key=lambda step: step.order if step.order is not None else float("inf"))
    times = word(page.get("started_at")), word(page.get("completed_at"))
    return Execution(word(page["status"]), word(page.get("disposition")), *times, steps)


def step_of(step: Any) -> Step:
    """Extract the reported fields of one step execution."""
    if not isinstance(step, dict):
        return Step("", "", None, "", "", "")
    said, call = step.get, step.get("agent_call")
    reason = call.get("call_ended_reason") if isinstance(call, dict) else None
    head = word(said("id")), word(said("type")), order_of(said("order"))
    return Step(*head, word(said("status")), word(said("disposition")), word(reason))


def order_of(value: Any) -> float | None:
    """Return the number that steps are sorted by; None for any other value."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) < MAX_ORDER else None


def word(value: Any) -> str:
    """Return the server's string verbatim except for control characters; any other value as JSON."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else as_json(value)
    return text if len(text) <= MAX_DETAIL and text.isprintable() else clean(text, MAX_DETAIL)


def as_json(value: Any) -> str:
    """Serialize a server's value as one line of JSON; numbers may have any size."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def message_of(body: bytes, page: dict[str, Any] | None) -> str:
    """Return the message in an error body: from any of the API's known shapes (*page*), else the body's text."""
    text = body[: MAX_DETAIL * 80].decode("utf-8", "replace")
    if page is None:
        return CERTIFICATE_WANTED if NGINX_WANTS in body else clean(text, MAX_DETAIL)
    code = page.get("code") or page.get("error")
    message = page.get("message") or page.get("detail") or code or text
    text = message if isinstance(message, str) else as_json(message)
    text = f"{code}: {text}" if code and isinstance(code, str) and code != text else text
    return clean(text, MAX_DETAIL)


def origin_of(location: str) -> str:
    """Return scheme and host of a Location; its path and query could contain confidential data."""
    match = re.match(r"https?://[^/?#@\s]+(?=[/?#]|$)", location)
    return clean(match[0], MAX_DETAIL) if match else "another path of the same server"

"""The requests that the sandbox refuses, decided by pure functions."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

PATH = re.compile("/api/v1/workflow/([^/]*)/execution/([^/]*)")
ID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
METHODS = ("GET", "PUT")
STATUS = re.compile("[A-Z][A-Z0-9_]{0,63}")

FORGIVEN = 0.010  # seconds by which a rate window is measured short


@dataclass(frozen=True, slots=True)
class Refusal:
    """A non-200 answer, as an HTTP status and a message; *retry_after* is in whole seconds."""

    status: int
    message: str
    retry_after: int | None = None


def until_free(taken: Sequence[float], now: float, rate: int, window: float) -> float:
    """Return the seconds until a request would be accepted, 0 for now; *taken* holds the accepted times, oldest first.

    No *window* seconds, measured 10 ms short, contain more than *rate* requests.
    """
    if len(taken) < rate:
        return 0.0
    return max(0.0, taken[-rate] + window - FORGIVEN - now)


def refuse_key(given: str | None, key: str | None) -> Refusal | None:
    """Return the answer to a missing or wrong API key; if *key* is None, any non-empty one is accepted."""
    if not given:
        return Refusal(401, "missing API key")
    if key is not None and given != key:
        return Refusal(401, "invalid API key")
    return None


def refuse_target(path: str, method: str) -> Refusal | None:
    """Return the answer to an unknown path or method, or to IDs that are not 8-4-4-4-12 hex."""
    found = PATH.fullmatch(path)
    if found is None:
        return Refusal(404, "no such path")
    if method not in METHODS:
        return Refusal(405, f"use {' or '.join(METHODS)}")
    for name, value in zip(("workflowId", "executionId"), found.groups(), strict=True):
        if not ID.fullmatch(value):
            return Refusal(422, f"{name} must be a UUID")
    return None


def refuse_update(content_type: str, body: Any) -> Refusal | None:
    """Return the answer to a body that is not a JSON object with only `status`, `metadata` or both."""
    if content_type != "application/json":
        return Refusal(415, "Content-Type must be application/json")
    if not isinstance(body, dict):
        return Refusal(400, "body must be a JSON object")
    if not body or not body.keys() <= {"status", "metadata"}:
        return Refusal(422, "body must hold status, metadata or both, and nothing else")
    if "status" in body and not (isinstance(body["status"], str) and STATUS.fullmatch(body["status"])):
        return Refusal(422, "status must be a word such as COMPLETED")
    if "metadata" in body and not isinstance(body["metadata"], dict):
        return Refusal(422, "metadata must be an object")
    return None

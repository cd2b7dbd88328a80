"""Redacts the API key everywhere, even if a server echoes it."""

from dataclasses import fields
from typing import Any

from bulksync.model import Execution, Reply, Step

SHORTEST_KEY = 8
"""Minimum length at which a key is distinguishable from an ordinary word."""

SHORTEST_CUT = 4
"""Minimum number of a key's characters before an ellipsis that count as a truncated key."""


def may_repeat(body: bytes, key: str) -> bool:
    """Whether a body could contain the key: verbatim, escaped, or with non-printing characters in it."""
    return key.encode() in body or b"\\" in body or not body.isascii()


def redacted(reply: Reply, key: str) -> Reply:
    """Return a reply with *** in place of the key, even if it was truncated."""
    if len(key) < SHORTEST_KEY:
        return reply
    blanked: Reply = redact(reply, key)
    return blanked


def redact(said: Any, key: str) -> Any:
    """Return the same value with the key redacted from every string in it."""
    match said:
        case str():
            return blank(said, key)
        case list() | tuple():
            return [redact(one, key) for one in said]
        case Reply() | Execution() | Step():
            return type(said)(*(redact(getattr(said, field.name), key) for field in fields(said)))
        case _:
            return said


def blank(text: str, key: str) -> str:
    """Return a text with *** in place of the key."""
    text = text.replace(key, "***")
    if not text.endswith("…"):
        return text
    cut = next((n for n in range(len(key) - 1, SHORTEST_CUT - 1, -1) if text.endswith(f"{key[:n]}…")), 0)
    return f"{text[: -cut - 1]}***…" if cut else text

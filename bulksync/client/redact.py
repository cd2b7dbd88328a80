"""The API key is never shown: not even where a server repeats it."""

from dataclasses import fields
from typing import Any

from bulksync.model import Execution, Reply, Step

SHORTEST_KEY = 8
"""Characters from which on a key is told from an ordinary word."""

SHORTEST_CUT = 4
"""Characters of a key, before an ellipsis, that are taken for its beginning."""


def may_repeat(body: bytes, key: str) -> bool:
    """Whether a body could hold the key: as it is, escaped, or with characters in it that are not shown."""
    return key.encode() in body or b"\\" in body or not body.isascii()


def redacted(reply: Reply, key: str) -> Reply:
    """Return a reply that says *** where it repeats the key, even where it was cut off."""
    if len(key) < SHORTEST_KEY:
        return reply
    blanked: Reply = redact(reply, key)
    return blanked


def redact(said: Any, key: str) -> Any:
    """Return the same, every text in it without the key."""
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
    """Return a text with *** for the key."""
    text = text.replace(key, "***")
    if not text.endswith("…"):
        return text
    cut = next((n for n in range(len(key) - 1, SHORTEST_CUT - 1, -1) if text.endswith(f"{key[:n]}…")), 0)
    return f"{text[: -cut - 1]}***…" if cut else text

"""Group similar errors: what people look at first when thousands of rows failed."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from bulksync.ledger.line import Problem

MOST = 1_000
"""Maximum number of groups; any further messages are counted under `…`, so that memory stays small."""

MASK = "…"

_VARYING = re.compile(
    r"\b(?:[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"  # IDs
    r"|\w*\d\w*(?:[.,:+-]\w*\d\w*)*)\b",  # numbers, times, and words with a digit in them, such as a request ID
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows with the same *error* and a similar message: how many, and where the first one is."""

    error: str
    message: str
    count: int
    row: int
    line: int


def grouped(rows: Iterable[Problem]) -> list[Group]:
    """Group rows by error and masked detail, most frequent first, then by first row.

    The message is the exact detail if all rows of a group share it, else the masked one.
    """
    found: dict[tuple[str, str], Group] = {}
    for row, line, error, detail in rows:
        message = masked(detail)
        key = (error, message)
        if key not in found and len(found) >= MOST:
            key = (error, MASK)
        first = found.get(key)
        if first is None:
            found[key] = Group(error, detail if key[1] == message else MASK, 1, row, line)
        else:
            said = first.message if first.message == detail else key[1]
            found[key] = Group(error, said, first.count + 1, first.row, first.line)
    return sorted(found.values(), key=lambda group: (-group.count, group.row))


@lru_cache(maxsize=1_000)  # the many rows left by a stop have the same message
def masked(detail: str) -> str:
    """Return a detail with its IDs and numbers masked."""
    return _VARYING.sub(MASK, detail)

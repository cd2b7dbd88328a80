"""Split the input into chunks of rows, each with a digest to detect changes."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

from bulksync.model import InvalidRow, Row

CHUNK = 1_000
"""Rows read and validated at a time: few enough to hold in memory, enough to make the thread hand-over negligible."""

T = TypeVar("T")


def allowed_set(allowed: Iterable[str] | None) -> frozenset[str] | None:
    """Return the allowed statuses; None allows any."""
    return None if allowed is None else frozenset(allowed)


def chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Split rows into lists of `CHUNK`."""
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def chunk_digest(chunk: Iterable[Row | InvalidRow]) -> bytes:
    """Return a digest of everything in the chunk that would be sent."""
    digest = blake2b(digest_size=16)
    for row in chunk:
        text = f"{row.row} {row.workflow_id} {row.execution_id} "
        digest.update(text.encode("utf-8", "replace") + (row.body if isinstance(row, Row) else row.error.encode()))
    return digest.digest()

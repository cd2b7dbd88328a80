"""The input in chunks of rows, each with a digest that tells whether it has changed."""

from collections.abc import Iterable, Iterator
from hashlib import blake2b
from itertools import islice
from typing import TypeVar

from bulksync.model import InvalidRow, Row

CHUNK = 1_000
"""Rows that are read and checked at once: few enough to keep, many enough that the threads' hand-over costs nothing."""

T = TypeVar("T")


def allowed_set(allowed: Iterable[str] | None) -> frozenset[str] | None:
    """Return the statuses that rows may have; None for any."""
    return None if allowed is None else frozenset(allowed)


def chunks(rows: Iterable[T]) -> Iterator[list[T]]:
    """Split rows into lists of `CHUNK`."""
    rows = iter(rows)
    while chunk := list(islice(rows, CHUNK)):
        yield chunk


def chunk_digest(chunk: Iterable[Row | InvalidRow]) -> bytes:
    """Return what tells a chunk from one that was changed in anything that would be sent."""
    digest = blake2b(digest_size=16)
    for row in chunk:
        text = f"{row.row} {row.workflow_id} {row.execution_id} "
        digest.update(text.encode("utf-8", "replace") + (row.body if isinstance(row, Row) else row.error.encode()))
    return digest.digest()

"""Rows that a program gives as values, written down as the JSON lines that the reader validates like any others."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any
from uuid import UUID

from bulksync.errors import InputError, StorageError

BREATH = 1_000
"""Rows after which the caller's event loop gets to do something else."""


async def write_rows(rows: Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]], path: Path) -> None:
    """Write rows as JSON lines; InputError where one cannot be, StorageError where the disk is full."""
    number = 0
    with path.open("wb", buffering=1 << 20) as file:
        async with aclosing(each(rows)) as every:
            async for row in every:
                number += 1
                line = json_line(row, number)
                try:
                    file.write(line)
                except OSError as error:
                    raise StorageError(
                        f"the rows cannot be written to {path}: {error.strerror}", "free space there, or set TMPDIR"
                    ) from None


async def each(rows: Iterable[Any] | AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    """Yield what either kind of iterable gives."""
    if isinstance(rows, AsyncIterable):
        async for row in rows:
            yield row
        return
    for number, row in enumerate(rows, 1):
        yield row
        if number % BREATH == 0:
            await asyncio.sleep(0)


def json_line(row: object, number: int) -> bytes:
    """Return a row as a line of JSON; InputError where it holds what JSON has not."""
    try:
        return json.dumps(row, default=as_json).encode() + b"\n"
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"row {number} cannot be written as JSON: {error}", "give text, numbers, booleans, None, lists and dicts"
        ) from None


def as_json(value: object) -> object:
    """Return what stands for a value that the json module does not know; TypeError where nothing does."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"it holds a {type(value).__name__}")

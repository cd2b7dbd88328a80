"""Write rows given as Python values to JSON lines, which the reader validates like any others."""

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bulksync.errors import StorageError
from bulksync.reader.tables import dicts
from bulksync.reader.values import json_line

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""Errors of the disk; others may be the caller's own, raised while iterating over the rows."""


def write_rows(rows: Any, path: Path, stopping: Callable[[], bool]) -> None:
    """Write the rows of a frame or a collection as JSON lines. Blocks; *stopping* is polled to stop between rows.

    Raises StorageError if the disk is full, TypeError if these are not rows, InterruptedError if stopped.
    """
    with stored(path), path.open("wb", buffering=1 << 20) as file:
        for line in map(json_line, dicts(rows)):
            file.write(line)
            if stopping():
                raise InterruptedError
        if not file.tell():
            file.write(b"\n")  # no rows; a file of 0 bytes would look truncated


@contextmanager
def stored(path: Path) -> Iterator[None]:
    """Convert a full-disk error into a StorageError that says what to do next."""
    try:
        yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise StorageError(
            f"the rows cannot be written to {path}: {error.strerror}", "free space there, or set TMPDIR"
        ) from None

"""States read from the server: one JSON line per execution, on disk before the caller continues.

A line is appended by a single write, so a kill leaves only whole lines; a line torn by a power failure is cut off at
the next start. The ledger never contains metadata; these files do, and are private.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anyio
import orjson
from anyio import to_thread

from bulksync.errors import StorageError
from bulksync.model import Execution, Key, Outcome, Row
from bulksync.text import member_in

COLUMNS = (
    "workflowId", "executionId", "status", "metadata", "outcome", "httpStatus", "disposition", "stepDispositions",
    "startedAt", "completedAt", "fetchedAt", "error", "detail",
)  # fmt: skip
"""The contract's columns, in the contract's order."""

PRIVATE = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


def state_line(row: Row, execution: Execution, *, status: int | None, at: str | None) -> bytes:
    """Return the state of a row's execution as one line of JSON, with its metadata exactly as the server holds it."""
    metadata = orjson.Fragment(execution.metadata) if execution.metadata else None
    dispositions = [step.disposition for step in execution.steps]
    words = execution.disposition, dispositions, execution.started_at, execution.completed_at
    values = (*row.key, execution.status, metadata, Outcome.FETCHED, status, *words, at, "", "")
    return orjson.dumps(dict(zip(COLUMNS, values, strict=True)))


def key_of(state: dict[str, Any]) -> Key:
    """Return the execution that a state belongs to."""
    return state["workflowId"], state["executionId"]


class States:
    """The states saved at *path*: for each execution, the offset of its line."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with explained(path):
            self._file = os.open(path, PRIVATE, 0o600)
            try:
                os.fchmod(self._file, 0o600)
                self._places = dict(self._whole_lines())
            except BaseException:
                os.close(self._file)
                raise
        self._pending: list[tuple[Key, bytes]] = []
        self._writing = anyio.Lock()

    def __contains__(self, key: Key) -> bool:
        return key in self._places

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def clear(self) -> None:
        """Delete all states."""
        with explained(self.path):
            os.ftruncate(self._file, 0)
        self._places.clear()

    def line(self, key: Key) -> str | None:
        """Return the line of an execution; None if there is none."""
        if (place := self._places.get(key)) is None:
            return None
        start, size = place
        with explained(self.path):
            return os.pread(self._file, size, start).decode()

    async def save(self, key: Key, line: bytes) -> None:
        """Append a line and wait until it is on disk, together with concurrent ones; raises StorageError on failure."""
        entry = (key, line + b"\n")
        self._pending.append(entry)
        async with self._writing:
            if entry not in self._pending:
                return
            batch, self._pending = self._pending, []
            await to_thread.run_sync(self._append, batch)

    def _append(self, batch: list[tuple[Key, bytes]]) -> None:
        with explained(self.path):
            at = os.fstat(self._file).st_size
            data = b"".join(line for _, line in batch)
            while data:
                data = data[os.write(self._file, data) :]
            os.fsync(self._file)
        for key, line in batch:
            self._places.setdefault(key, (at, len(line)))
            at += len(line)

    def _whole_lines(self) -> Iterator[tuple[Key, tuple[int, int]]]:
        """Yield the position of each execution's first line, and cut off a torn one."""
        at, seen = 0, set[Key]()
        with open(os.dup(self._file), "rb") as file:
            for line in file:
                if not line.endswith(b"\n"):
                    os.ftruncate(self._file, at)
                    return
                if (key := key_of(orjson.loads(line))) not in seen:
                    seen.add(key)
                    yield key, (at, len(line))
                at += len(line)


def cells_of(line: str) -> dict[str, Any]:
    """Return the fields of a line, with its metadata as verbatim text."""
    return {**orjson.loads(line), "metadata": member_in(line, "metadata")}


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Convert the system's errors, and those of a foreign file, to StorageError."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"the states {path} cannot be read or written: {error.strerror}", "free space", again=True
        ) from None
    except (ValueError, KeyError, TypeError):
        raise StorageError(
            f"{path} is not a file of states; it was left as it is", "move it away, or name another"
        ) from None

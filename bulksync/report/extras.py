"""What else a run leaves: the rows still to be done, ready to run, and its counts as JSON."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

import orjson

from bulksync.report.file import written
from bulksync.report.table import guarded

TO_BE_DONE = frozenset({"failed", "unknown", "unsent"})


class Raw(Protocol):
    """What the retry file needs of an input row: its text as it stands in the file."""

    @property
    def raw(self) -> str:
        """Return the row's physical lines with their ends."""
        ...


def write_retry_file(
    path: Path, lines: Iterable[tuple[Any, ...]], records: Iterable[Raw], header: str, *, bom: bool
) -> None:
    """Write the rows still to be done as they stand in the input, under its own header.

    *lines* are the ledger's, *records* the input's rows in the same order. StorageError where it cannot be written.
    """
    with written(path, "retry file") as file:
        if bom:
            file.write("\ufeff")
        file.write(header)
        for line, record in zip(lines, records, strict=True):
            if line[5] in TO_BE_DONE:
                file.write(record.raw if record.raw.endswith(("\n", "\r")) else record.raw + "\n")


def write_moves(path: Path, moved: Iterable[tuple[Any, ...]]) -> None:
    """Write the rows whose disposition moved as CSV; StorageError where that fails."""
    with written(path, "difference") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["row", "line", "workflowId", "executionId", "from", "to", "previousRun"])
        writer.writerows((*head, guarded(old), guarded(new), name) for *head, old, new, name in moved)


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write a run's counts as JSON; StorageError where that fails."""
    with written(path, "summary") as file:
        file.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode() + "\n")

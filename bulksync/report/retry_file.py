"""The rows still to be done, as they are in the input, ready to run."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Protocol

from bulksync.report.atomic import written

TO_BE_DONE = frozenset({"failed", "unknown", "unsent"})


class Raw(Protocol):
    """What the retry file needs of an input row: its text as it is in the file."""

    @property
    def raw(self) -> str:
        """Return the row's physical lines with their ends."""
        ...


def write_retry_file(
    path: Path, lines: Iterable[tuple[Any, ...]], records: Iterable[Raw], header: str, *, bom: bool
) -> None:
    """Write the rows still to be done as they are in the input, under its own header.

    *lines* are the ledger's, *records* the input's rows in the same order. StorageError where it cannot be written.
    """
    with written(path, "retry file") as file:
        if bom:
            file.write("\ufeff")
        file.write(header)
        for line, record in zip(lines, records, strict=True):
            if line[5] in TO_BE_DONE:
                file.write(record.raw if record.raw.endswith(("\n", "\r")) else record.raw + "\n")

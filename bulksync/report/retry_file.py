"""Write rows for another run as they are in the input: those still to be done, and those to be fixed."""

from collections.abc import Iterable, Iterator
from gzip import GzipFile
from pathlib import Path

from bulksync.ledger.line import Line
from bulksync.reader.input import Input
from bulksync.report.atomic import written_bytes
from bulksync.report.table import guarded

TO_BE_DONE = frozenset({"failed", "unknown", "unsent"})
TO_BE_FIXED = frozenset({"rejected", "invalid"})


def write_retry_file(path: Path, lines: Iterable[Line], content: Input) -> None:
    """Write the rows still to be done, under the input's own header.

    *lines* are the ledger's, in the order of the input's rows. Raises StorageError if the file cannot be written.
    """
    records = zip(lines, content.records(), strict=True)
    rows = (record.raw for line, record in records if line.outcome in TO_BE_DONE)
    write_rows(path, "retry file", content, content.header, rows)


def write_rejected_file(path: Path, lines: Iterable[Line], content: Input) -> None:
    """Write the rejected and invalid rows with error and detail appended; otherwise like `write_retry_file`."""
    records = zip(lines, content.records(), strict=True)
    rows = (
        content.annotated(record, line.error, guarded(line.detail))
        for line, record in records
        if line.outcome in TO_BE_FIXED
    )
    write_rows(path, "rejected file", content, content.annotated_header, rows)


def write_rows(path: Path, what: str, content: Input, header: str, rows: Iterable[str]) -> None:
    """Write rows in the input's encoding, compressed if the name ends in .gz. Raises StorageError if that fails."""
    mark = "\ufeff" if content.layout.bom else ""
    texts = (content.encoded(text) for text in each_ended(mark + header, rows))
    with written_bytes(path, what) as file:
        if path.suffix.lower() != ".gz":
            file.writelines(texts)
            return
        with GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
            packed.writelines(texts)


def each_ended(header: str, rows: Iterable[str]) -> Iterator[str]:
    """Yield a header and its rows, giving a row without a line ending, as at the end of a file, the header's."""
    yield header
    end = "\r\n" if header.endswith("\r\n") else "\n"
    for row in rows:
        yield row if row.endswith(("\n", "\r")) else row + end

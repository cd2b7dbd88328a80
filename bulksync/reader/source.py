"""Which file the rows come from and how to read it, its digest, and the copy of stdin."""

import hashlib
import os
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal

from bulksync.errors import InputError, StorageError
from bulksync.reader.fields import Fields

Format = Literal["csv", "tsv", "jsonl", "xlsx"]

_FORMATS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".xlsx": "xlsx"}

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from and how to read them.

    *path* is the file to open (for stdin: the spool), *name* what messages call it. A *delimiter* of None is
    detected from the header; an *encoding* of None is UTF-8 or given by the byte order mark. *escapes* means that
    cells are escaped with backslashes, not quoted. *fields* is the caller's mapping of columns, *sheet* the name or
    number of the sheet to read from a workbook.
    """

    path: Path
    name: str
    format: Format
    compressed: bool
    delimiter: str | None
    encoding: str | None
    escapes: bool = False
    fields: Fields = field(default_factory=Fields)
    sheet: str | None = None


def format_of(path: Path) -> Format | None:
    """Return the format that a file's name implies."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return _FORMATS.get(plain.suffix.lower())


def fingerprint(path: Path) -> str:
    """Return the SHA-256 of the file's bytes on disk, in hex. Raises InputError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(str(path), error) from error


def spool(stream: BinaryIO, path: Path) -> None:
    """Copy *stream* into a private file at *path* (mode 0600), which appears complete or not at all.

    Raises StorageError, leaving whatever was at *path* before.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_spooled(path, error) from error
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # regardless of the umask
            shutil.copyfileobj(stream, file, _BLOCK)
            file.flush()
            os.fsync(descriptor)  # a run resumes from the spool after a power failure
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise _not_spooled(path, error) from error
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _not_spooled(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"cannot copy stdin to {path}: {error.strerror}", "free space or choose another -o, run again", again=True
    )


def unreadable(name: str, error: OSError | ValueError) -> InputError:
    """Return the error for a file that the system does not let us read."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"cannot read {name}: {reason}", "check the path and its permissions")

"""Which file the rows come from, and how to read it."""

import codecs
import hashlib
import os
import secrets
import shutil
import stat
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO, Literal

from bulksync.errors import InputError, StorageError, UsageError
from bulksync.reader.fields import Fields

Format = Literal["csv", "tsv", "jsonl", "xlsx"]

_FORMATS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".xlsx": "xlsx"}
_SPELLED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Source:
    """Where rows come from and how to read them.

    *path* is the file to open (for stdin: the spool), *name* what messages call it. A *delimiter* of None is
    detected from the header; an *encoding* of None is UTF-8 or what the byte order mark says. *fields* are
    what the caller says of columns, *sheet* is the name or the number of the sheet that a workbook is read for.
    """

    path: Path
    name: str
    format: Format
    compressed: bool
    delimiter: str | None
    encoding: str | None
    fields: Fields = field(default_factory=Fields)
    sheet: str | None = None


def locate(
    path: Path,
    *,
    name: str | None = None,
    format: Format | None = None,  # noqa: A002 - the word that the command line uses
    delimiter: str | None = None,
    encoding: str | None = None,
    fields: Fields | None = None,
    sheet: str | None = None,
) -> Source:
    """The source at *path*, its format told by *format* or else by the extension.

    Raises UsageError where the call is wrong, InputError where the file cannot be read.
    """
    name = str(path) if name is None else name
    compressed = path.suffix.lower() == ".gz"
    found = format or format_of(path)
    if found is None:
        raise UsageError(f"cannot tell the format of {name}", "name it: --format csv (or tsv, jsonl, xlsx)")
    if sheet is not None and found != "xlsx":
        raise UsageError(f"--sheet is for workbooks, and {name} is {found}", "leave --sheet out")
    if found == "xlsx":
        _check_installed(name)
    told = _delimiter(delimiter, found), _encoding(encoding)
    source = Source(path, name, found, compressed, *told, fields or Fields(), sheet)
    _check_readable(source)
    return source


def format_of(path: Path) -> Format | None:
    """The format that the name of a file tells."""
    plain = path.with_suffix("") if path.suffix.lower() == ".gz" else path
    return _FORMATS.get(plain.suffix.lower())


def fingerprint(path: Path) -> str:
    """The SHA-256 of the file's bytes as they stand on the disk, in hex; raises InputError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(str(path), error) from error


def spool(stream: BinaryIO, path: Path) -> None:
    """Copies *stream* into a private file at *path* (mode 0600), which appears whole or not at all.

    Raises StorageError: nothing is at *path* then that was not there before.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _not_spooled(path, error) from error
    try:
        with open(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)  # whatever the umask says
            shutil.copyfileobj(stream, file, _BLOCK)
            file.flush()
            os.fsync(descriptor)  # a run goes on from the spool after a power cut
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


def _unreadable(name: str, error: OSError | ValueError) -> InputError:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return InputError(f"cannot read {name}: {reason}", "check the path and its permissions")


def _check_readable(source: Source) -> None:
    try:
        mode = source.path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{source.name} is a directory", "name one file")
        if not stat.S_ISREG(mode):
            raise InputError(
                f"{source.name} is a pipe or a device, not a file", f"feed it to stdin: - --format {source.format}"
            )
        source.path.open("rb").close()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise _unreadable(source.name, error) from error


def _check_installed(name: str) -> None:
    if find_spec("python_calamine") is None:
        raise UsageError(
            f"{name} is a workbook, and python-calamine, which reads those, is not installed",
            "install it: pip install 'bulksync[xlsx]' (or uv tool install 'bulksync[xlsx]'), or save the sheet as CSV",
        )


def _delimiter(delimiter: str | None, found: Format) -> str | None:
    if delimiter is None:
        return "\t" if found == "tsv" else None
    character = _SPELLED_DELIMITERS.get(delimiter.lower(), delimiter)
    if (
        len(character) != 1
        or not (character == "\t" or character.isprintable())
        or character in '"-_'
        or character.isalnum()
    ):
        raise UsageError(f"{delimiter!r} cannot separate columns", "give one character, like --delimiter ';' or tab")
    return character


def _encoding(encoding: str | None) -> str | None:
    if encoding is None:
        return None
    try:
        "x".encode(encoding)  # unlike codecs.lookup, this refuses codecs that are not for text
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:  # ValueError: a NUL in the name, and the codec called "undefined"
        raise UsageError(
            f"unknown encoding {encoding!r}", "name one that Python knows, like --encoding cp1252 or utf-16"
        ) from error

"""Finds out how a file is to be read: as the call says, or else by its name."""

import codecs
import stat
from dataclasses import replace
from pathlib import Path

from bulksync.errors import InputError, UsageError
from bulksync.reader.decoding import HashedFile, Text
from bulksync.reader.shapes import meant_format
from bulksync.reader.source import Format, Source, unreadable

_FORMATS: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_SPELLED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


def locate(
    path: Path,
    *,
    name: str | None = None,
    format: Format | None = None,  # noqa: A002 - the word that the command line uses
    delimiter: str | None = None,
    encoding: str | None = None,
    escapes: bool = False,
) -> Source:
    """The source at *path*, its format told by *format* or else by the extension.

    Raises UsageError where the call is wrong, InputError where the file cannot be read.
    """
    name = str(path) if name is None else name
    compressed = path.suffix.lower() == ".gz"
    found = format or _FORMATS.get((path.with_suffix("") if compressed else path).suffix.lower())
    source = Source(path, name, found or "csv", compressed, None, _encoding(encoding), escapes)
    _check_readable(source)
    if found is None:
        raise _no_format(source)
    if escapes and found == "jsonl":
        raise UsageError("--tsv-escapes is for CSV and TSV, not for JSON lines", "leave --tsv-escapes out")
    return replace(source, delimiter=_delimiter(delimiter, found))


def _no_format(source: Source) -> UsageError:
    """The error for a name that tells no format; InputError where the file itself tells that it has none of ours."""
    with HashedFile(str(source.path)) as file:
        text = Text(source, file)  # kept: its buffer would close the file when nobody holds it any more
        told = meant_format(source, text.head)
    what = f"cannot tell the format of {source.name} by its name"
    if told is None:
        return UsageError(what, "name it: --format csv (or tsv, jsonl)")
    return UsageError(f"{what}; it looks like {told}", f"add --format {told}", adding=("--format", told))


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
        raise unreadable(source.name, error) from error


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

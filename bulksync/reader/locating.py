"""Find out how to read a file: as the caller says, or else by its extension."""

import codecs
import stat
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

from bulksync.errors import InputError, UsageError
from bulksync.reader.decoding import HashedFile, Text
from bulksync.reader.fields import Fields
from bulksync.reader.shapes import meant_format
from bulksync.reader.source import Format, Source, format_of, unreadable

_SPELLED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}


def locate(
    path: Path,
    *,
    name: str | None = None,
    format: Format | None = None,  # noqa: A002 - the word that the command line uses
    delimiter: str | None = None,
    encoding: str | None = None,
    escapes: bool = False,
    fields: Fields | None = None,
    sheet: str | None = None,
) -> Source:
    """Return the source at *path*, its format given by *format* or else by the extension.

    Raises UsageError if the options are wrong, InputError if the file cannot be read.
    """
    name = str(path) if name is None else name
    compressed = path.suffix.lower() == ".gz"
    found = format or format_of(path)
    told = _encoding(encoding), escapes, fields or Fields(), sheet
    source = Source(path, name, found or "csv", compressed, None, *told)
    _check_readable(source)
    if found is None:
        raise _no_format(source)
    if escapes and found not in ("csv", "tsv"):
        other = "JSON lines" if found == "jsonl" else "workbooks"
        raise UsageError(f"--tsv-escapes is for CSV and TSV, not for {other}", "leave --tsv-escapes out")
    if sheet is not None and found != "xlsx":
        raise UsageError(f"--sheet is for workbooks, and {name} is {found}", "leave --sheet out")
    if found == "xlsx":
        _check_installed(name)
    return replace(source, delimiter=_delimiter(delimiter, found))


def _no_format(source: Source) -> UsageError:
    """Return the error for a name without a known extension; InputError if the content is of no supported format."""
    with HashedFile(str(source.path)) as file:
        text = Text(source, file)  # kept: its buffer would close the file once nothing referenced it
        told = meant_format(source, text.head)
    what = f"cannot tell the format of {source.name} by its name"
    if told is None:
        return UsageError(what, "name it: --format csv (or tsv, jsonl, xlsx)")
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
        "x".encode(encoding)  # unlike codecs.lookup, this rejects codecs that are not for text
        return codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:  # ValueError: a NUL in the name, or the codec called "undefined"
        raise UsageError(
            f"unknown encoding {encoding!r}", "name one that Python knows, like --encoding cp1252 or utf-16"
        ) from error

"""Identify files by their first bytes that cannot be read as rows, and say how to convert them.

Instructions are as `remedy` takes them: FILE is the file, NEW the one to write.
"""

import re
from dataclasses import dataclass

_SAVE = "save or export the sheet as CSV UTF-8 (comma delimited)"
_EXPORT = "export it as CSV or JSON lines"
_PARQUET = "python3 -c 'import sys, pandas; pandas.read_parquet(sys.argv[1]).to_csv(sys.stdout, index=False)'"
_PICKLE = "write it as CSV where it was made: DataFrame.to_csv('rows.csv', index=False)"


@dataclass(frozen=True, slots=True)
class Foreign:
    """What a file is, as it follows "the file is", and the *way* to convert it."""

    name: str
    way: str


_XLSX = Foreign(
    "an Excel workbook (.xlsx)", f"name it .xlsx, or add --format xlsx (which needs bulksync[xlsx]); or {_SAVE}"
)

_TAR_AT = 257
"""Offset of a tar archive's signature (POSIX.1-1988, ustar)."""

_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_LOOKED_AT = 4096
"""Bytes searched for a control character, to tell a binary file from text if its signature is made of letters."""

_ZIPPED = (
    (b"xl/workbook", _XLSX),
    (b"xl/worksheets", _XLSX),
    (b"opendocument.spreadsheet", Foreign("an OpenDocument spreadsheet (.ods)", _SAVE)),
    (b"Index/Document.iwa", Foreign("a Numbers spreadsheet", _SAVE)),
    (b"word/", Foreign("a Word document (.docx)", "save its table as CSV UTF-8 or as plain text")),
)
"""What a zip archive is, by the member names that appear at its start."""

_ZIP = Foreign("a zip archive", "unpack it: unzip -p FILE > NEW")

_BINARY = (
    (b"\x1f\x8b", Foreign("compressed with gzip", "unpack it: gzip -dc < FILE > NEW")),
    (b"BZh", Foreign("compressed with bzip2", "unpack it: bzip2 -dc < FILE > NEW")),
    (b"\xfd7zXZ\x00", Foreign("compressed with xz", "unpack it: xz -dc < FILE > NEW")),
    (b"\x28\xb5\x2f\xfd", Foreign("compressed with zstd", "unpack it: zstd -dc < FILE > NEW")),
    (b"\x04\x22\x4d\x18", Foreign("compressed with lz4", "unpack it: lz4 -dc < FILE > NEW")),
    (b"LZIP", Foreign("compressed with lzip", "unpack it: lzip -dc < FILE > NEW")),
    (b"\x1f\x9d", Foreign("compressed with compress (.Z)", "unpack it: uncompress -c < FILE > NEW")),
    (b"7z\xbc\xaf\x27\x1c", Foreign("a 7-Zip archive", "unpack it: 7z x -so FILE > NEW")),
    (b"Rar!\x1a\x07", Foreign("a RAR archive", "unpack it: unrar p -inul FILE > NEW")),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Foreign("an old Excel workbook (.xls) or another Office file", _SAVE)),
    (b"PAR1", Foreign("a Parquet file", f"convert it: {_PARQUET} FILE > NEW")),
    (b"ORC", Foreign("an ORC file", _EXPORT)),
    (b"Obj\x01", Foreign("an Avro file", _EXPORT)),
    (b"ARROW1", Foreign("an Arrow file", _EXPORT)),
    (b"FEA1", Foreign("a Feather (Arrow) file", _EXPORT)),
    (
        b"SQLite format 3\x00",
        Foreign("an SQLite database", "export its table: sqlite3 -header -csv FILE 'SELECT * FROM TABLE' > NEW"),
    ),
    (b"\x89HDF\r\n\x1a\n", Foreign("an HDF5 file", _EXPORT)),
    (b"\x80\x04\x95", Foreign("a Python pickle", _PICKLE)),
    (b"\x80\x05\x95", Foreign("a Python pickle", _PICKLE)),
    (b"\x89PNG\r\n", Foreign("a PNG image", "name the file that has the rows, CSV or JSON lines")),
    (b"\xff\xd8\xff", Foreign("a JPEG image", "name the file that has the rows, CSV or JSON lines")),
    (b"bplist00", Foreign("a binary property list", _EXPORT)),
)

_TEXTUAL = (
    (b"%PDF-", Foreign("a PDF document", "export the table as CSV where the document was made")),
    (b"{\\rtf", Foreign("a rich text document (RTF)", "save it as plain text in UTF-8")),
    (b"-----BEGIN PGP", Foreign("encrypted with PGP", "decrypt it: gpg --decrypt < FILE > NEW")),
    (b"version https://git-lfs", Foreign("a Git LFS pointer, not the file itself", "fetch the file: git lfs pull")),
)


def foreign(start: bytes) -> Foreign | None:
    """Return what a file beginning with *start* is; None if it may be text."""
    if start[_TAR_AT : _TAR_AT + 5] == b"ustar":
        return Foreign("a tar archive", "unpack it: tar -xOf FILE > NEW")
    if start.startswith(b"PK\x03\x04"):
        return next((kind for name, kind in _ZIPPED if name in start), _ZIP)
    signatures = _BINARY + _TEXTUAL if _CONTROL.search(start[:_LOOKED_AT]) else _TEXTUAL
    return next((kind for signature, kind in signatures if start.startswith(signature)), None)

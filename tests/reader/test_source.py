"""Tests of `bulksync.reader` before the first row: which file, read how, and how it can fail to be one."""

import gzip
import hashlib
import io
import os
import stat
from pathlib import Path

import pytest

from bulksync.errors import BulksyncError, InputError, StorageError, UsageError
from bulksync.model import Row
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.source import Format, Source, fingerprint, spool

W = "1111abcd-2222-3333-4444-555555555555"
E = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
CSV = f"workflowId,executionId,status\n{W},{E},RUNNING\n".encode()


@pytest.mark.parametrize(
    ("name", "told", "compressed", "delimiter"),
    [
        ("a.csv", "csv", False, None),
        ("a.b.CSV.GZ", "csv", True, None),
        ("a.tsv", "tsv", False, "\t"),
        ("a.tsv.gz", "tsv", True, "\t"),
        ("a.jsonl", "jsonl", False, None),
        ("a.ndjson.gz", "jsonl", True, None),
    ],
)
def test_format_by_extension(tmp_path: Path, name: str, told: Format, compressed: bool, delimiter: str | None) -> None:
    """The extension tells the format, an extra .gz the compression."""
    path = tmp_path / name
    path.touch()
    assert locate(path) == Source(path, str(path), told, compressed, delimiter, None)


def test_what_is_told_wins(tmp_path: Path) -> None:
    """Format, delimiter and encoding as told win over what the name of the file says."""
    path = tmp_path / "a.jsonl"
    path.touch()
    assert locate(path, name="stdin", format="tsv", delimiter=";", encoding="Latin-1") == Source(
        path, "stdin", "tsv", False, ";", "iso8859-1"
    )
    assert [locate(path, delimiter=d).delimiter for d in ("tab", "\\t", "\t", "|", "¦")] == ["\t", "\t", "\t", "|", "¦"]


NO_FORMAT = "name it: --format csv (or tsv, jsonl, xlsx)"


@pytest.mark.parametrize(
    ("name", "delimiter", "encoding", "what", "next_step"),
    [
        (
            "a.txt",
            None,
            None,
            "cannot tell the format of stdin by its name",
            "name it: --format csv (or tsv, jsonl, xlsx)",
        ),
        (
            "a.gz",
            None,
            None,
            "cannot tell the format of stdin by its name",
            "name it: --format csv (or tsv, jsonl, xlsx)",
        ),
        *(
            ("a.csv", d, None, f"{d!r} cannot separate columns", "give one character, like --delimiter ';' or tab")
            for d in ("", ";;", '"', "x", "7", "-", "\n", "\0", "\udc80")
        ),
        *(
            (
                "a.csv",
                None,
                e,
                f"unknown encoding {e!r}",
                "name one that Python knows, like --encoding cp1252 or utf-16",
            )
            for e in ("", "klingon", "hex", "undefined", "utf-8\0", "ü")
        ),
    ],
)
def test_wrong_calls(
    tmp_path: Path, name: str, delimiter: str | None, encoding: str | None, what: str, next_step: str
) -> None:
    """A call that cannot be meant is refused with a hint."""
    (tmp_path / name).write_bytes(gzip.compress(b"?") if name.endswith(".gz") else b"?")
    with pytest.raises(UsageError) as refused:
        locate(tmp_path / name, name="stdin", delimiter=delimiter, encoding=encoding)
    assert (refused.value.what, refused.value.next_step) == (what, next_step)


def test_files_that_are_none(tmp_path: Path) -> None:
    """A missing file, a directory, a pipe and a device are refused, each in its own words."""
    (tmp_path / "folder.csv").mkdir()
    os.mkfifo(tmp_path / "pipe.csv")
    said: list[tuple[str, str]] = []
    for path in (tmp_path / "none.csv", tmp_path / "folder.csv", tmp_path / "pipe.csv", Path(os.devnull), Path("a\0b")):
        with pytest.raises(InputError) as refused:
            locate(path, name=path.name, format="csv")
        said.append((refused.value.what, refused.value.next_step))
    assert said == [
        ("cannot read none.csv: No such file or directory", "check the path and its permissions"),
        ("folder.csv is a directory", "name one file"),
        ("pipe.csv is a pipe or a device, not a file", "feed it to stdin: - --format csv"),
        ("null is a pipe or a device, not a file", "feed it to stdin: - --format csv"),
        ("cannot read a\0b: embedded null byte", "check the path and its permissions"),
    ]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    """A file without permission is refused when it is located."""
    path = tmp_path / "a.csv"
    path.touch(0o000)
    with pytest.raises(InputError, match="Permission denied"):
        locate(path)


def test_file_gone_after_locate(tmp_path: Path) -> None:
    """A file that goes away between two looks is an input error, too."""
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    source = locate(path, name="a.csv")
    path.unlink()
    with pytest.raises(InputError) as refused:
        open_input(source)
    assert refused.value.what == "cannot read a.csv: No such file or directory"
    with pytest.raises(InputError, match="No such file or directory"):
        fingerprint(path)


@pytest.mark.parametrize("compressed", [False, True])
def test_digest(tmp_path: Path, compressed: bool) -> None:
    """The digest after the pass is that of the raw bytes, also where a fatal row ended the reading early."""
    data = CSV + b'"open\n' + b"x\n" * 1_000_000
    path = tmp_path / ("a.csv.gz" if compressed else "a.csv")
    path.write_bytes(gzip.compress(data, mtime=0) if compressed else data)
    expected = hashlib.sha256(path.read_bytes()).hexdigest()
    for step in ("rows", "records"):
        with open_input(locate(path)) as rows:
            assert rows.digest == ""
            assert len(list(getattr(rows, step)())) == 2
            assert rows.digest == expected
    assert fingerprint(path) == expected


def test_one_pass(tmp_path: Path) -> None:
    """A second pass over an open input is a mistake of the caller, not an empty input."""
    path = tmp_path / "a.csv"
    path.write_bytes(CSV)
    with open_input(locate(path)) as rows:
        assert len(list(rows.rows())) == 1
        with pytest.raises(RuntimeError, match="read once"):
            next(rows.records())


def test_gzip(tmp_path: Path) -> None:
    """Gzip is decompressed as a stream, several members and a byte order mark included."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + CSV[:40], mtime=0) + gzip.compress(CSV[40:], mtime=0))
    with open_input(locate(path)) as rows:
        assert rows.layout.bom
        assert list(rows.rows()) == [Row(1, 2, W, E, "RUNNING", b'{"status":"RUNNING"}')]


def _damaged(data: bytes) -> bytes:
    return data[:20] + bytes([data[20] ^ 0xFF]) + data[21:]


@pytest.mark.parametrize(
    ("data", "what", "next_step"),
    [
        (
            CSV,
            "a.csv.gz is not gzip data, or damaged",
            "copy it again; if it is plain text, rename it: mv a.csv.gz a.csv",
        ),
        (
            _damaged(gzip.compress(CSV, mtime=0)),
            "a.csv.gz is not gzip data, or damaged",
            "copy it again; if it is plain text, rename it: mv a.csv.gz a.csv",
        ),
        (
            gzip.compress(CSV, mtime=0)[:-9],
            "a.csv.gz: the gzip data ends too early",
            "copy the file again, it is not complete",
        ),
        (
            gzip.compress(CSV, mtime=0) + b"rest",
            "a.csv.gz is not gzip data, or damaged",
            "copy it again; if it is plain text, rename it: mv a.csv.gz a.csv",
        ),
    ],
    ids=["plain", "damaged", "cut", "more behind"],
)
def test_bad_gzip(tmp_path: Path, data: bytes, what: str, next_step: str) -> None:
    """What is not gzip, damaged or cut off is refused."""
    path = tmp_path / "a.csv.gz"
    path.write_bytes(data)
    with pytest.raises(InputError) as refused, open_input(locate(path, name="a.csv.gz")) as rows:
        list(rows.rows())
    assert (refused.value.what, refused.value.next_step) == (what, next_step)


def test_spool(tmp_path: Path) -> None:
    """Stdin is copied into a private file, whatever the umask, in place of what stood there, a link included."""
    elsewhere, path = tmp_path / "elsewhere", tmp_path / "spool"
    elsewhere.write_bytes(b"untouched")
    path.symlink_to(elsewhere)
    before = os.umask(0o777)
    try:
        spool(io.BytesIO(CSV * 1000), path)
    finally:
        os.umask(before)
    assert path.read_bytes() == CSV * 1000
    assert stat.S_IMODE(path.lstat().st_mode) == 0o600
    assert elsewhere.read_bytes() == b"untouched"
    assert sorted(tmp_path.iterdir()) == [elsewhere, path]


class _Broken(io.BytesIO):
    def __init__(self, error: BaseException) -> None:
        super().__init__(b"x")
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        raise self._error


@pytest.mark.parametrize("error", [OSError(5, "Input/output error"), KeyboardInterrupt()])
def test_spool_leaves_nothing_behind(tmp_path: Path, error: BaseException) -> None:
    """A copy that does not end leaves neither a file nor a draft, and what stood there stays."""
    path = tmp_path / "spool"
    path.write_bytes(b"before")
    with pytest.raises((StorageError, KeyboardInterrupt)):
        spool(_Broken(error), path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_spool_into_no_folder(tmp_path: Path) -> None:
    """A spool that cannot be written is a storage error that says where."""
    path = tmp_path / "none" / "spool"
    with pytest.raises(BulksyncError) as refused:
        spool(io.BytesIO(CSV), path)
    assert (type(refused.value), refused.value.what) == (
        StorageError,
        f"cannot copy stdin to {path}: No such file or directory",
    )

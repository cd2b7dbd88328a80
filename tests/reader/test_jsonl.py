"""Tests of `bulksync.reader` on JSONL: what comes of each hazard, line by line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from bulksync.errors import InputError
from bulksync.model import InvalidRow, LocalError, Row
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.record import Layout, Record

W = "1111abcd-2222-3333-4444-555555555555"
E = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
IDS = f'"workflowId":"{W}","executionId":"{E}"'
GOOD = f'{{{IDS},"status":"RUNNING"}}'
MIB = 1 << 20

Read = Callable[..., list[Row | InvalidRow]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the rows of a file that holds *data*."""

    def read(data: str | bytes, encoding: str | None = None) -> list[Row | InvalidRow]:
        path = tmp_path / "rows.jsonl"
        path.write_bytes(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
        with open_input(locate(path, name="rows.jsonl", encoding=encoding)) as rows:
            return list(rows.rows(frozenset({"RUNNING"})))

    return read


def good(row: int, line: int, body: str = '{"status":"RUNNING"}', status: str | None = "RUNNING") -> Row:
    """The valid row that the cases here have."""
    return Row(row, line, W, E, status, body.encode())


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (GOOD, good(1, 1)),
        (f'  {{ "Workflow_ID": "{W.upper()}", "execution id": "{E.upper()}", "STATUS": "RUNNING" }} \r', good(1, 1)),
        (f'{{{IDS},"status":"RUNNING","metadata":null}}', good(1, 1)),
        (f'{{{IDS},"status":null,"metadata":{{}}}}', good(1, 1, '{"metadata":{}}', None)),
        (f'{{{IDS},"status":"","metadata":{{}}}}', good(1, 1, '{"metadata":{}}', None)),
        (
            f'{{{IDS},"metadata":{{"n":123456789012345678901234567890,"ü":"\\u20ac\\ud83d\\ude00"}},"lead":[1]}}',
            good(1, 1, '{"metadata":{"n":123456789012345678901234567890,"ü":"€😀"}}', None),
        ),
        (
            f'{{{IDS},"metadata":{{"a":"\u2028\x85\u2029"}}}}',
            good(1, 1, '{"metadata":{"a":"\u2028\x85\u2029"}}', None),
        ),
        (
            f'{{{IDS},"metadata":{{"a":{"[" * 31}{"]" * 31}}}}}',
            good(1, 1, f'{{"metadata":{{"a":{"[" * 31}{"]" * 31}}}}}', None),
        ),
        (
            f'{{{IDS},"metadata":{{"a":0.1,"b":1E22,"c":-0.0}}}}',
            good(1, 1, '{"metadata":{"a":0.1,"b":1e+22,"c":-0.0}}', None),
        ),
    ],
)
def test_valid_row(read: Read, line: str, row: Row) -> None:
    """A valid line is sent with exactly what it has; other names are not sent."""
    assert read(line + "\n") == [row]


_AT = "not valid JSON at character {}: {}"
_LONE = "a \\u escape is half a character (a lone surrogate)"
_CESU = (
    "byte 112 of line 3 (0xED) is not valid UTF-8; it is half a character, as CESU-8 (Oracle, Java) writes them;"
    " export the file as UTF-8"
)
_DEEP = "objects and arrays are nested more than 33 deep"


@pytest.mark.parametrize(
    ("line", "error", "detail", "ids", "status"),
    [
        (
            "{]",
            "json_malformed",
            _AT.format(2, "a comma before it that separates nothing, or something left out"),
            0,
            "",
        ),
        (
            f"{GOOD} {GOOD}",
            "json_malformed",
            _AT.format(len(GOOD) + 2, "a second value on the same line; write one object per line"),
            0,
            "",
        ),
        ("not json", "json_malformed", _AT.format(1, "no value of JSON stands here"), 0, ""),
        (f'{{{IDS},"a":NaN}}', "json_malformed", "NaN is not valid JSON; write null, or leave the name out", 0, ""),
        (f'{{{IDS},"a":1e400}}', "json_malformed", "a number is too large", 0, ""),
        (f'{{{IDS},"a":{"1" * 4301}}}', "json_malformed", "a number has too many digits", 0, ""),
        (
            f'{{{IDS},"a":"\\udc00"}}',
            "json_malformed",
            _LONE,
            0,
            "",
        ),
        (
            f'{{{IDS},"\\ud800":1}}',
            "json_malformed",
            _LONE,
            0,
            "",
        ),
        ("[" * 100_000, "json_malformed", _DEEP, 0, ""),
        (f'{{{IDS},"metadata":{{"a":{"[" * 32}{"]" * 32}}}}}', "json_malformed", _DEEP, 0, ""),
        ("17", "not_an_object", 'the line is JSON, but not an object: {"workflowId": …}', 0, ""),
        (f"[{GOOD}]", "not_an_object", 'the line is JSON, but not an object: {"workflowId": …}', 0, ""),
        (f'{{{IDS},"a":1,"a":1}}', "duplicate_member", "the name 'a' is given twice", 0, ""),
        (f'{{{IDS},"metadata":{{"k":{{"b":1,"b":2}}}}}}', "duplicate_member", "the name 'b' is given twice", 0, ""),
        (
            f'{{"workflow_id":"x",{IDS},"a name behind it":1}}',
            "duplicate_member",
            "workflowId is given twice, the second time as 'workflowId'",
            2,
            "",
        ),
        ("{}", "field_missing", "workflowId is empty or missing", 0, ""),
        ('{"status":"RUNNING"}', "field_missing", "workflowId is empty or missing", 0, "RUNNING"),
        (f"{{{IDS}}}", "field_missing", "neither status nor metadata is given: there is nothing to send", 2, ""),
        (f'{{"workflowId":"{W}","executionId":5}}', "id_invalid", "executionId is not text", 1, ""),
        (f'{{{IDS},"status":1}}', "status_invalid", "status is not text", 2, ""),
        (f'{{{IDS},"status":false}}', "status_invalid", "status is not text", 2, ""),
        (f'{{{IDS},"status":"PAUSED"}}', "status_invalid", "status PAUSED is not one of RUNNING", 2, "PAUSED"),
        (
            f'{{{IDS},"metadata":"{{}}"}}',
            "metadata_invalid",
            "metadata is text that holds JSON, not an object: it was encoded twice; in jq: .metadata |= fromjson",
            2,
            "",
        ),
        (
            f'{{{IDS},"metadata":[]}}',
            "metadata_invalid",
            'metadata is an array, not an object: {"name": "value"}',
            2,
            "",
        ),
        (f'{{{IDS},"a":"\0"}}', "encoding_invalid", "byte 112 of line 3 is NUL", 0, ""),
        (
            f'{{{IDS},"a":"\ud800"}}',
            "encoding_invalid",
            _CESU,
            0,
            "",
        ),
        ("{" + " " * MIB, "row_too_large", "the line is longer than 1 MiB", 0, ""),
    ],
)
def test_invalid_row(read: Read, line: str, error: LocalError, detail: str, ids: int, status: str) -> None:
    """A bad line says what is wrong with it, and the lines around it are read."""
    row = InvalidRow(2, 3, error, detail, *[("", ""), (W, ""), (W, E)][ids], status)
    assert read(f"{GOOD}\n\n{line}\n \t\r\n{GOOD}") == [good(1, 1), row, good(3, 5)]


@pytest.mark.parametrize("data", ["\n", "\n\n", "\ufeff", " \r\n\x1a"])
def test_no_rows(read: Read, data: str) -> None:
    """A file without an object has no rows, and nothing is wrong with that."""
    assert read(data) == []


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(read: Read, encoding: str) -> None:
    """Byte order marks are obeyed."""
    assert read(f"{GOOD}\n{GOOD}\x1a".encode(encoding)) == [good(1, 1), good(2, 2)]


@pytest.mark.parametrize(
    ("data", "what", "next_step"),
    [
        (
            "\n[\n",
            "rows.jsonl is a JSON array, not one object per line",
            "convert it: jq -c '.[]' rows.jsonl > rows2.jsonl",
        ),
        (
            "{\r\n}",
            "rows.jsonl has JSON objects over several lines, not one per line",
            "convert it: jq -c . rows.jsonl > rows2.jsonl",
        ),
        (
            f"{GOOD}\r{GOOD}\r",
            "rows.jsonl: lines end in a bare carriage return",
            "convert them: tr '\\r' '\\n' < rows.jsonl > rows2.jsonl",
        ),
        (
            GOOD.encode("utf-16-le"),
            "rows.jsonl: every other byte is NUL, as in UTF-16-LE without a byte order mark",
            "add --encoding utf-16-le",
        ),
        (
            GOOD.encode("utf-16-be"),
            "rows.jsonl: every other byte is NUL, as in UTF-16-BE without a byte order mark",
            "add --encoding utf-16-be",
        ),
        (
            "\n".join(json.dumps({f"name{number}": 1}) for number in range(1001)),
            "rows.jsonl, line 1001: more than 1,000 different names at the top of the objects",
            "put names that change from row to row into metadata, or leave them out",
        ),
    ],
)
def test_input_refused_as_a_whole(read: Read, data: str | bytes, what: str, next_step: str) -> None:
    """What spoils more than a row refuses the input, with the line and a way out."""
    with pytest.raises(InputError) as refused:
        read(data)
    assert (refused.value.what, refused.value.next_step) == (what, next_step)


def test_layout_and_records(tmp_path: Path) -> None:
    """Names are echoed in the order in which they come up; what is no text is echoed as compact JSON."""
    path = tmp_path / "rows.jsonl"
    lines = [
        f'{{"phone":"+1555","meta_data":{{"a": 1}},{IDS}}}\r\n',
        "\n",
        '{"lead": {"n": [1, 123456789012345678901234567890], "t": "é"}, "phone": null, "status": 5}\n',
        "oops\n",
        '{"lead": true, "metadata": ""}',
    ]
    path.write_bytes(b"\xef\xbb\xbf" + "".join(lines).encode())
    with open_input(locate(path)) as rows:
        assert (rows.layout, rows.header, rows.echoed) == (Layout((), ",", True), "", ())
        assert list(rows.records(["phone", "lead", "meta_data", "metadata"])) == [
            Record(1, 1, lines[0], ["+1555", "", '{"a":1}', ""]),
            Record(2, 3, lines[2], ["", '{"n":[1,123456789012345678901234567890],"t":"é"}', "", ""]),
            Record(3, 4, lines[3], ["", "", "", ""]),
            Record(4, 5, lines[4], ["", "true", "", ""]),
        ]
        assert (rows.echoed, rows.metadata_columns) == (("phone", "lead"), ("meta_data", "metadata"))

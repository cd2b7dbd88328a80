"""Tests of `bulksync.reader` on inputs that nobody thought of."""

import csv
import gzip
import io
import json
import math
from decimal import Decimal
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bulksync.errors import InputError
from bulksync.model import InvalidRow, Row
from bulksync.reader.input import open_input
from bulksync.reader.jsontext import dumps, parse
from bulksync.reader.locating import locate
from bulksync.reader.record import Flaw, Record
from bulksync.reader.source import Format, Source

W = "1111abcd-2222-3333-4444-555555555555"
E = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"
HEADER = "workflowId,executionId,status,metadata,lead\n"

many = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_PIECES = [
    *("workflowId", "executionId", "status", "metadata", "metadata.a", "lead", W, E, "RUNNING", '{"a": 1}', "sep=;"),
    *(",", ";", "\t", "\n", "\r\n", "\r", '"', '""', '"a"b', "\x1a", "\0", "\ufeff", "é", "\u2028", " ", "[", "{", "}"),
    *(f'{{"workflowId":"{W}","executionId":"{E}","status":"RUNNING"}}', '{"a":1,"a":2}', '"\\ud800"', "NaN", "[[[["),
    *(f"{W},{E},RUNNING,\n", "workflowId,executionId,status,metadata\n", f"{W},{E},RUNNING,{{}},x\n"),
]
pieces = st.one_of(
    st.sampled_from(_PIECES).map(str.encode),
    st.sampled_from([b"\xff", b"\xe9", b"\xff\xfe", b"\xed\xa0\x80", b"\xc3", b"\n\x00"]),
    st.binary(max_size=4),
)
_BLANK = ' \t\r\n\u2028,"'
"""Of what lines are made that are no rows: delimiters, blanks and empty quotes."""

bodies = st.lists(pieces, max_size=40).map(b"".join)
headers = st.sampled_from([b"", HEADER.encode(), b"sep=;\nworkflowId;executionId;status\n"])
inputs = st.one_of(
    st.builds(lambda header, body: header + body, headers, bodies),
    st.builds(lambda header, body: (header + body).decode("utf-8", "replace").encode("utf-16"), headers, bodies),
)
encodings = st.sampled_from([None, "utf-8", "utf-8-sig", "cp1252", "utf-16", "utf-16-be", "utf-7", "gb18030", "idna"])
formats: st.SearchStrategy[Format] = st.sampled_from(["csv", "tsv", "jsonl"])


def rows_of(source: Source) -> list[Row | InvalidRow] | InputError:
    """The rows, or how the input was refused."""
    try:
        with open_input(source) as opened:
            return list(opened.rows())
    except InputError as error:
        return error


def records_of(source: Source) -> list[Record] | InputError:
    """The records, or how the input was refused."""
    try:
        with open_input(source) as opened:
            return list(opened.records(opened.echoed + opened.metadata_columns))
    except InputError as error:
        return error


@many
@given(inputs, formats, encodings)
def test_any_bytes(tmp_path: Path, data: bytes, told: Format, encoding: str | None) -> None:
    """Whatever the bytes, there are rows or a refusal, rows count up, lines increase, and both passes agree."""
    path = tmp_path / "input"
    path.write_bytes(data)
    source = Source(path, "input", told, False, None, encoding)
    rows, records = rows_of(source), records_of(source)
    if isinstance(rows, InputError) or isinstance(records, InputError):
        assert str(rows) == str(records)
    else:
        assert [row.row for row in rows] == list(range(1, len(rows) + 1))
        assert [row.line for row in rows] == sorted({row.line for row in rows})
        assert [(record.row, record.line) for record in records] == [(row.row, row.line) for row in rows]
        assert not any(row.fatal for row in rows[:-1] if isinstance(row, InvalidRow))


@many
@given(inputs, formats, encodings)
def test_whatever_is_said_can_be_printed(tmp_path: Path, data: bytes, told: Format, encoding: str | None) -> None:
    """Messages, details, ids and cells are text that any terminal and any report takes; bodies are JSON."""
    path = tmp_path / "input"
    path.write_bytes(data)
    source = Source(path, "input", told, False, None, encoding)
    rows, records = rows_of(source), records_of(source)
    if isinstance(rows, InputError) or isinstance(records, InputError):
        assert all(refused.next_step for refused in (rows, records) if isinstance(refused, InputError))
        assert str(rows).isprintable()
    else:
        for row in rows:
            if isinstance(row, Row):
                assert json.loads(row.body).keys() <= {"status", "metadata"}
            else:
                assert f"{row.detail}{row.workflow_id}{row.execution_id}{row.status}".isprintable()
                assert len(row.detail) <= 200
        assert all(cell.encode() or True for record in records for cell in record.cells)


@many
@given(st.binary(max_size=60), st.integers(0, 200), st.integers(0, 255))
def test_any_gzip(tmp_path: Path, rest: bytes, at: int, byte: int) -> None:
    """Damaged or cut-off gzip is refused or read, never a crash."""
    data = bytearray(gzip.compress(f"workflowId,executionId,status\n{W},{E},RUNNING\n".encode(), mtime=0) + rest)
    data[at % len(data)] = byte
    path = tmp_path / "input.gz"
    path.write_bytes(data)
    rows = rows_of(Source(path, "input.gz", "csv", True, None, None))
    assert isinstance(rows, InputError) or len(rows) <= 1


texts = st.one_of(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=12),
    st.sampled_from(["a\nb", '"', 'say "x"', "a,b;c", "\n\n", "é", "\u2028", "+1555", ""]),
)
metadata = st.none() | st.dictionaries(texts, st.none() | st.integers() | st.booleans() | texts, max_size=3)
line_ends = st.sampled_from(["\n", "\r\n"])


def _line(cells: list[str], delimiter: str, line_end: str) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator=line_end).writerow(cells)
    return text.getvalue()


@many
@given(st.lists(st.tuples(metadata, texts, texts), max_size=8), st.sampled_from(",;\t|"), line_ends)
def test_csv_round_trip(
    tmp_path: Path, rows: list[tuple[dict[str, object] | None, str, str]], delimiter: str, line_end: str
) -> None:
    """What a CSV writer writes is read as it was meant, on the right line, and the raw text is the file again."""
    names = ["lead name", "workflowId", "note\n2", "executionId", "status", "metadata"]
    written = [_line(names, delimiter, line_end)]
    meant: list[tuple[int, object]] = []
    cells: list[list[str]] = []
    for given_metadata, lead, note in rows:
        meant.append((1 + "".join(written).count("\n"), given_metadata))
        text = "" if given_metadata is None else json.dumps(given_metadata, ensure_ascii=False)
        cells.append([lead, note, text])
        written.append(_line([lead, W, note, E, "RUNNING", text], delimiter, line_end))
    path = tmp_path / "input"
    path.write_bytes("".join(written).encode())
    with open_input(Source(path, "input", "csv", False, None, None)) as opened:
        found = [(row.line, json.loads(row.body).get("metadata")) for row in opened.rows() if isinstance(row, Row)]
    with open_input(Source(path, "input", "csv", False, None, None)) as opened:
        records = list(opened.records(["lead name", "note\n2", "metadata"]))
        assert [opened.header, *(record.raw for record in records)] == written
    assert found == meant
    assert [record.cells for record in records] == cells


members = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "", ":", 'q"', "é", "\\", "{", "[]"]) | texts,
        st.sampled_from([0, -0.0, 1.5, 10**30, -(2**63), 2**64, True, None, "", ":", '"', "\\", {"a": 1}, [{"a": "b"}]])
        | texts,
    ),
    max_size=4,
)


@many
@given(members, st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r ")]), st.booleans())
def test_an_object_in_json(pairs: list[tuple[str, object]], separators: tuple[str, str], escaped: bool) -> None:
    """An object is what was written, numbers and all, and one that gives a name twice is refused, however it is set."""
    between, behind = separators
    said = [behind.join(json.dumps(part, ensure_ascii=escaped) for part in pair) for pair in pairs]
    found = parse(f"{{{between.join(said)}}} ", 3)
    if len(dict(pairs)) == len(pairs):
        assert repr(json.loads(dumps(found))) == repr(dict(pairs))
    else:
        assert (type(found), found.error) == (Flaw, "duplicate_member")


names = st.sampled_from(["workflowId", "workflow_id", "executionId", "status", "Status", "metadata", "meta data", "x"])
values: st.SearchStrategy[object] = st.sampled_from([W, E, "RUNNING", "", None, 7, {}, {"a": 1}, []]) | texts


@many
@given(st.lists(st.dictionaries(names | texts, values, max_size=6), max_size=5))
def test_any_objects(tmp_path: Path, objects: list[dict[str, object]]) -> None:
    """Objects with any names in any order are rows, valid or not, and what is not sent is echoed."""
    path = tmp_path / "input"
    path.write_text("\n" + "".join(json.dumps(one) + "\n" for one in objects))
    with open_input(Source(path, "input", "jsonl", False, None, None)) as opened:
        rows = list(opened.rows())
        echoed = opened.echoed
    assert [(row.row, row.line) for row in rows] == [(n, n + 1) for n in range(1, len(objects) + 1)]
    with open_input(Source(path, "input", "jsonl", False, None, None)) as opened:
        cells = [record.cells for record in opened.records(echoed)]
        assert opened.echoed == echoed
    assert cells == [[shown(one.get(name)) for name in echoed] for one in objects]


def shown(value: object) -> str:
    """Return how a value is echoed: text as it is, nothing for null, all else as compact JSON."""
    if value is None or isinstance(value, str):
        return value or ""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@many
@given(st.lists(st.sampled_from(_PIECES), max_size=40).map("".join))
def test_raw_is_the_input(tmp_path: Path, body: str) -> None:
    """Header and raw rows, with the blank lines between them, are the input, up to a fatal row."""
    path = tmp_path / "input"
    path.write_bytes((HEADER + body).encode())
    source = Source(path, "input", "csv", False, ",", None)
    rows, records = rows_of(source), records_of(source)
    if isinstance(rows, InputError) or isinstance(records, InputError):
        assert "\r" in body
        return
    left = body.removesuffix("\x1a")
    for record in records:
        blank, raw, left = left.partition(record.raw)
        assert (blank.strip(_BLANK), raw) == ("", record.raw)
    if not (rows and isinstance(rows[-1], InvalidRow) and rows[-1].fatal):
        assert left.strip(_BLANK) == ""


def test_block_borders(tmp_path: Path) -> None:
    """Characters, line ends and quotes that a block border cuts in two are read as one."""
    row = f'{W},{E},RUNNING,"{{""a"": ""é€😀\u2028""}}",x\r\n'.encode()
    expected = b'{"status":"RUNNING","metadata":{"a":"' + "é€😀\u2028".encode() + b'"}}'
    path = tmp_path / "input"
    for shift in range(len(row)):  # every byte of a row stands once behind the border
        path.write_bytes(b"workflowId,executionId,status,metadata," + b"x" * (shift + 1) + b"\r\n" + row * 2_500)
        with open_input(Source(path, "input", "csv", False, ",", None)) as opened:
            assert list(opened.rows()) == [Row(n, n + 1, W, E, "RUNNING", expected) for n in range(1, 2_501)]


def test_a_byte_order_mark_is_only_one_at_the_start(tmp_path: Path) -> None:
    """The same character elsewhere is text, also where a block starts."""
    start = f"\ufeffworkflowId,executionId,status,lead\n{W},{E},RUNNING,".encode()
    lead = "x" * ((1 << 18) - len(start)) + "\ufeffAna"
    path = tmp_path / "input"
    path.write_bytes(start + lead.encode())
    with open_input(Source(path, "input", "csv", False, None, None)) as opened:
        assert [record.cells for record in opened.records(["lead"])] == [[lead]]


def exact(digits: str) -> Decimal:
    """Return a number with all its digits, however it is written."""
    return Decimal(digits).normalize()


def is_standard(text: str) -> bool:
    """Whether Python's json takes *text* as RFC 8259 has it, within our limits: an object, its names unique."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        if len(dict(pairs)) < len(pairs):
            raise ValueError
        return dict(pairs)

    def finite(digits: str) -> float:
        if math.isinf(number := float(digits)):
            raise ValueError
        return number

    try:
        value = json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_constant=float.fromhex)
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "NaN" not in text and "Infinity" not in text


_TOKENS = [
    *(
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\t",
        '"a"',
        '"b"',
        '""',
        '"',
        "\\",
        "'a'",
        "null",
        "true",
        "false",
        "nul",
        "True",
    ),
    *(
        "0",
        "-0",
        "-",
        "+1",
        "01",
        "1.",
        ".5",
        "1.5",
        "1e5",
        "1E+2",
        "1e",
        "0x1",
        "1e400",
        "-1e-400",
        "123456789012345678901",
    ),
    *(
        '"\\u00e9"',
        '"\\ud83d\\ude00"',
        '"\\ud800"',
        '"\\u12"',
        '"\\x"',
        '"\\/"',
        '"\x00"',
        '"\x1f"',
        '"\x7f"',
        '"\u2028"',
    ),
    *(
        "NaN",
        "Infinity",
        "-Infinity",
        "/* */",
        "// x",
        "#",
        "\ufeff",
        "\xa0",
        '{"a":1}',
        '{"a":',
        '"a":1',
        "[1]",
        "[1,]",
    ),
]


@many
@given(st.lists(st.sampled_from(_TOKENS), max_size=8).map("".join))
def test_any_json(inner: str) -> None:
    """What the standard takes as an object is the same object to us, and nothing else is one."""
    for text in (inner, f'{{"m":{inner}}}', f"{{{inner}}}"):
        found = parse(text, 10)
        if is_standard(text):
            assert repr(json.loads(dumps(found), parse_float=exact)) == repr(json.loads(text, parse_float=exact))
        else:
            assert not isinstance(found, dict), text


class Semicolons(csv.excel):
    """As Excel writes it where a comma is the decimal sign."""

    delimiter = ";"


class AllQuoted(csv.unix_dialect):
    """Every cell in quotes, lines with a line feed."""


@many
@given(
    st.lists(st.tuples(texts, texts), min_size=1, max_size=6),
    st.sampled_from([csv.excel, csv.excel_tab, csv.unix_dialect, Semicolons, AllQuoted]),
    st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
)
def test_dialects(tmp_path: Path, rows: list[tuple[str, str]], dialect: type[csv.Dialect], quoting: int) -> None:
    """Records come back as the standard library wrote them, in whichever dialect."""
    path = tmp_path / "input"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, dialect, quoting=quoting)  # type: ignore[arg-type]  # the three are int there
        writer.writerow(["workflowId", "executionId", "status", "metadata.a", "lead"])
        writer.writerows([W, E, "RUNNING", *row] for row in rows)
    told: Format = "tsv" if dialect.delimiter == "\t" else "csv"
    with open_input(locate(path, format=told)) as opened:
        records = [tuple(record.cells) for record in opened.records(["metadata.a", "lead"])]
    with open_input(locate(path, format=told)) as opened:
        sent = [json.loads(row.body).get("metadata", {}).get("a", "") for row in opened.rows() if isinstance(row, Row)]
    assert records == rows
    assert sent == [first for first, _ in rows]

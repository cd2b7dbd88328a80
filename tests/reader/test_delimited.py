"""Tests of `bulksync.reader` on CSV and TSV: what comes of each hazard, row by row."""

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
HEADER = "workflowId,executionId,status,metadata\n"
MIB = 1 << 20

Read = Callable[..., list[Row | InvalidRow]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads the rows of a file that holds *data*."""

    def read(
        data: str | bytes,
        name: str = "rows.csv",
        *,
        delimiter: str | None = None,
        encoding: str | None = None,
        allowed: frozenset[str] | None = None,
    ) -> list[Row | InvalidRow]:
        path = tmp_path / name
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        with open_input(locate(path, name=name, delimiter=delimiter, encoding=encoding)) as rows:
            return list(rows.rows(allowed))

    return read


def good(row: int, line: int, body: str = '{"status":"RUNNING"}', status: str | None = "RUNNING") -> Row:
    """The valid row that the cases here have."""
    return Row(row, line, W, E, status, body.encode())


def bad(error: LocalError, detail: str, *, status: str = "", row: int = 1, line: int = 2) -> InvalidRow:
    """An invalid row whose ids are fine."""
    return InvalidRow(row, line, error, detail, W, E, status)


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (f"{W},{E},RUNNING,", good(1, 2)),
        (f" {W.upper()} ,{E.upper()}\t, RUNNING ,  ", good(1, 2)),
        (f"{W},{E},,{{}}", good(1, 2, '{"metadata":{}}', None)),
        (
            f'{W},{E},RUNNING,"{{""a"": [1, 2.5, null], ""ü"": ""€""}}"',
            good(1, 2, '{"status":"RUNNING","metadata":{"a":[1,2.5,null],"ü":"€"}}'),
        ),
        (
            f'{W},{E},,{{"n": 123456789012345678901234567890}}',
            good(1, 2, '{"metadata":{"n":123456789012345678901234567890}}', None),
        ),
        (f"{W},{E},RUNNING,null", good(1, 2)),
        (f"{W},{E},NOT_KNOWN_YET_2,", good(1, 2, '{"status":"NOT_KNOWN_YET_2"}', "NOT_KNOWN_YET_2")),
        (f'{W},{E},,"{{\r""a"":\r\n1}}"\r\r', good(1, 2, '{"metadata":{"a":1}}', None)),
        (f'{W},{E},,"{{""a"":\n""\u2028\x85""}}"', good(1, 2, '{"metadata":{"a":"\u2028\x85"}}', None)),
    ],
)
def test_valid_row(read: Read, cells: str, row: Row) -> None:
    """A valid row is sent with exactly what it has: empty cells and null are left out, `{}` and big numbers are not."""
    assert read(HEADER + cells + "\n") == [row]


_UNQUOTED = '; write a literal quote as "" inside a quoted field'
_JSON_IN_QUOTES = '; put the JSON in quotes, and double those inside: "{""name"": 1}"'


@pytest.mark.parametrize(
    ("cells", "row"),
    [
        (f",{E},RUNNING,", InvalidRow(1, 2, "field_missing", "workflowId is empty or missing", "", E, "RUNNING")),
        (f"{W}, ,RUNNING,", InvalidRow(1, 2, "field_missing", "executionId is empty or missing", W, "", "RUNNING")),
        (f"{W},{E},,", bad("field_missing", "neither status nor metadata is given: there is nothing to send")),
        (f"{W},{E},,null", bad("field_missing", "neither status nor metadata is given: there is nothing to send")),
        (
            f"{W},5.5E+11,RUNNING,",
            InvalidRow(
                1,
                2,
                "id_invalid",
                "executionId '5.5E+11' is not a valid ID (8-4-4-4-12 hex digits);"
                " a spreadsheet turned it into a number; format the column as text and export again",
                W,
                "5.5E+11",
                "RUNNING",
            ),
        ),
        (
            f"{W},../../admin\x1b[2J,RUNNING,",
            InvalidRow(
                1,
                2,
                "id_invalid",
                "executionId '../../admin' is not a valid ID (8-4-4-4-12 hex digits); its character 12 is U+001B"
                " (a control character)",
                W,
                "../../admin",
                "RUNNING",
            ),
        ),
        (
            f"{W},{E},running,",
            bad(
                "status_invalid",
                "status 'running' is not valid (at most 64 of A-Z, 0-9 and _); did you mean RUNNING?",
                status="running",
            ),
        ),
        (
            f"{W},{E},{'A' * 65},",
            bad(
                "status_invalid",
                f"status '{'A' * 59}…' is not valid (at most 64 of A-Z, 0-9 and _)",
                status="A" * 65,
            ),
        ),
        (
            f"{W},{E},,{{a:1}}",
            bad(
                "metadata_invalid",
                "metadata: not valid JSON at character 2: a name without quotes",
            ),
        ),
        (f"{W},{E},,[]", bad("metadata_invalid", 'metadata is an array, not an object: {"name": "value"}')),
        (
            f'{W},{E},,{{"a": NaN}}',
            bad("metadata_invalid", "metadata: NaN is not valid JSON; write null, or leave the name out"),
        ),
        (
            f'{W},{E},,{{"a": -Infinity}}',
            bad("metadata_invalid", "metadata: -Infinity is not valid JSON; write null, or leave the name out"),
        ),
        (f'{W},{E},,{{"a": 1e999999}}', bad("metadata_invalid", "metadata: a number is too large")),
        (f'{W},{E},,{{"a": {"9" * 5000}}}', bad("metadata_invalid", "metadata: a number has too many digits")),
        (
            f'{W},{E},,{{"a": "\\ud800"}}',
            bad("metadata_invalid", "metadata: a \\u escape is half a character (a lone surrogate)"),
        ),
        (
            f'{W},{E},,{{"a":{"[" * 32}{"]" * 32}}}',
            bad("metadata_invalid", "metadata: objects and arrays are nested more than 32 deep"),
        ),
        (
            f'{W},{E},,{{"a":{"[" * 100_000}',
            bad("metadata_invalid", "metadata: objects and arrays are nested more than 32 deep"),
        ),
        (
            f'{W},{E},,"{{""b"": {{""a"":1,""x"":2,""a"":3}}}}"',
            bad("duplicate_member", "metadata: the name 'a' is given twice"),
        ),
        (
            f"{W},{E},RUNNING",
            bad(
                "field_count_mismatch",
                "3 fields where the header has 4; write the delimiters of empty fields too, and quote fields that"
                " contain a line break",
                status="RUNNING",
            ),
        ),
        (
            "Grand Totals",
            InvalidRow(
                1,
                2,
                "field_count_mismatch",
                "1 field where the header has 4; if this is a title or a footer, remove it",
                "Grand Totals",
            ),
        ),
        (
            f'{W},{E},RUNNING,{{"a": 1, "b": 2}}',
            bad(
                "field_count_mismatch",
                "5 fields where the header has 4" + _JSON_IN_QUOTES,
                status="RUNNING",
            ),
        ),
        (
            f'{W},{E},RUNNING,"a"b',
            bad("csv_malformed", "unclosed quote, or text after a closing quote" + _UNQUOTED, status="RUNNING"),
        ),
        (
            f"{W},{E},RUN\rNING,",
            InvalidRow(
                1,
                2,
                "csv_malformed",
                "a carriage return outside quotes, or text after a closing quote" + _UNQUOTED,
            ),
        ),
        (f"{W},{E},RUNNING,\0", bad("encoding_invalid", "byte 83 of line 2 is NUL", status="RUNNING")),
    ],
)
def test_invalid_row(read: Read, cells: str, row: InvalidRow) -> None:
    """A bad row says what is wrong with it, in words without metadata values, and the rows around it are read."""
    rows = read(f"{HEADER}{cells}\n{W},{E},RUNNING,\n")
    assert rows == [row, good(2, 3)]
    assert len(row.detail) <= 200


def test_nesting_of_32_is_allowed(read: Read) -> None:
    """Metadata may hold 32 objects and arrays inside one another, itself included, and any number side by side."""
    deep = f'{{"a":{"[" * 31}{"]" * 31}}}'
    deep_and_wide = f'{{"a":{"[" * 31}{"]" * 31},"b":[{",".join(["{}"] * 100)}]}}'
    data = "".join(f"{W}\t{E}\t\t{metadata}\n" for metadata in (deep, deep_and_wide))
    assert read(HEADER.replace(",", "\t") + data) == [
        good(1, 2, f'{{"metadata":{deep}}}', None),
        good(2, 3, f'{{"metadata":{deep_and_wide}}}', None),
    ]


@pytest.mark.parametrize(
    ("wrong", "hint"),
    [
        ("x" + E, ""),
        (E + "0", ""),
        (E.replace("-", ""), "; its hyphens are missing"),
        (f"urn:uuid:{E}", "; remove urn:uuid:"),
        (f"{{{E}}}", "; remove { and }"),
        (f"'{E}'", "; remove ' and '"),
        (E.replace("a", "\uff11"), "; its character 1 is U+FF11 (fullwidth digit one)"),
        (E.replace("-", "\u2011"), "; its character 9 is U+2011 (non-breaking hyphen)"),
        ("NULL", "; leave the cell empty where there is none"),
    ],
)
def test_ids_in_another_spelling(read: Read, wrong: str, hint: str) -> None:
    """Only 8-4-4-4-12 ASCII hex digits are an ID; what is more, less or other than that is named."""
    detail = f"workflowId '{wrong}' is not a valid ID (8-4-4-4-12 hex digits){hint}"
    assert read(f"{HEADER}{wrong},{E},RUNNING,\n") == [InvalidRow(1, 2, "id_invalid", detail, wrong, E, "RUNNING")]


def test_allowed_statuses(read: Read) -> None:
    """Where statuses are restricted, another one is invalid and the detail lists what may stand there."""
    data = f"{HEADER}{W},{E},RUNNING,\n{W},{E},PAUSED,\n"
    detail = "status PAUSED is not one of COMPLETED, RUNNING"
    assert read(data, allowed=frozenset({"RUNNING", "COMPLETED"})) == [
        good(1, 2),
        bad("status_invalid", detail, status="PAUSED", row=2, line=3),
    ]


def test_undecodable_byte_spoils_its_own_row_only(read: Read) -> None:
    """A byte that is not UTF-8 makes one row invalid and is named by its place in its physical line."""
    data = f'{HEADER}{W},{E},RUNNING,\n{W},{E},RUNNING,"é\nRen'.encode() + b'\xe9"\n' + f"{W},{E},RUNNING,\n".encode()
    detail = "byte 4 of line 4 (0xE9) is not valid UTF-8; if the whole file is like this, give --encoding cp1252"
    assert read(data) == [
        good(1, 2),
        bad("encoding_invalid", detail, status="RUNNING", row=2, line=3),
        good(3, 5),
    ]


@pytest.mark.parametrize("tail", ["", "\n", "\r\n", "\x1a", "\n\x1a", "\n\n\n"])
def test_last_line(read: Read, tail: str) -> None:
    """The last row may lack its line end; blank lines and one Ctrl-Z behind it are no rows."""
    assert read(f"{HEADER}{W},{E},RUNNING," + tail) == [good(1, 2)]


@pytest.mark.parametrize("data", [HEADER, HEADER.strip(), "\ufeff" + HEADER, HEADER + "\n,,,\r\n, ,,\n"])
def test_no_rows(read: Read, data: str) -> None:
    """A file with nothing but a header has no rows, and nothing is wrong with that."""
    assert read(data) == []


def test_blank_lines_and_quoted_line_breaks_count_as_lines(read: Read) -> None:
    """Rows count data rows, lines count physical lines."""
    data = f'\n{HEADER}\n{W},{E},RUNNING,"{{\n\n}}"\r\n  \n{W},{E},,\n{W},{E},RUNNING,\n'
    assert read(data) == [
        good(1, 4, '{"status":"RUNNING","metadata":{}}'),
        bad("field_missing", "neither status nor metadata is given: there is nothing to send", row=2, line=8),
        good(3, 9),
    ]


_NEVER = "a quote opened here is never closed (seen on line {}): where the next row starts cannot be told"


@pytest.mark.parametrize(
    ("behind", "seen"),
    [
        (f"{W},{E},RUNNING,\n" * 1000, 1003),  # to the end of the file
        (f'{W},{E},RUNNING,"{{}}"\n' * 1000, 4),  # to the next quote, which does not fit
    ],
)
def test_unclosed_quote_ends_the_reading(read: Read, behind: str, seen: int) -> None:
    """A quote that swallows the lines behind it is told where it opens, and nothing behind it is taken for a row."""
    rows = read(f'{HEADER}{W},{E},RUNNING,\n{W},{E},RUNNING,"open\n{behind}')
    assert rows == [good(1, 2), InvalidRow(2, 3, "csv_malformed", _NEVER.format(seen), W, E, "RUNNING", fatal=True)]


def test_broken_quotes_that_leave_one_open_end_the_reading(read: Read) -> None:
    """After `"a"b` an odd quote may open text that goes on in the next line, so nothing behind it is read."""
    rows = read(f'{HEADER}{W},{E},"RUN"N,"open\n{W},{E},RUNNING,\n')
    assert rows == [InvalidRow(1, 2, "csv_malformed", _NEVER.format(2), W, E, "RUNN", fatal=True)]


def test_unclosed_quote_in_the_last_line_is_a_bad_row(read: Read) -> None:
    """Behind an unclosed quote in the last line there is nothing to lose."""
    assert read(f'{HEADER}{W},{E},RUNNING,\n{W},{E},RUNNING,"open') == [
        good(1, 2),
        bad(
            "csv_malformed",
            "unclosed quote, or text after a closing quote" + _UNQUOTED,
            status="RUNNING",
            row=2,
            line=3,
        ),
    ]


def padded(size: int) -> str:
    """A valid line of *size* bytes."""
    start, end = f'{W},{E},RUNNING,"{{""a"":""', '""}"\n'
    return start + "x" * (size - len(start) - len(end)) + end


def test_row_limit(read: Read) -> None:
    """A row of 1 MiB is read, one byte more is too large, and the rows behind it are read."""
    rows = read(HEADER + padded(MIB) + padded(MIB + 1) + padded(3 * MIB) + f"{W},{E},RUNNING,\n")
    assert [type(row) for row in rows] == [Row, InvalidRow, InvalidRow, Row]
    assert rows[1:] == [
        InvalidRow(2, 3, "row_too_large", "the line is longer than 1 MiB"),
        InvalidRow(3, 4, "row_too_large", "the line is longer than 1 MiB"),
        good(4, 5),
    ]


def test_row_limit_counts_bytes(read: Read) -> None:
    """The limit is one of bytes: 600,000 characters of two bytes are too many."""
    assert read(HEADER + f"{W},{E},RUNNING," + "é" * 600_000) == [
        InvalidRow(1, 2, "row_too_large", "the line is longer than 1 MiB")
    ]


def test_overlong_line_with_an_open_quote_ends_the_reading(read: Read) -> None:
    """Nobody can tell where the row behind a line that is too long and leaves a quote open starts."""
    detail = "the line is longer than 1 MiB and opens a quote that it does not close: where the next row starts"
    assert read(HEADER + padded(3 * MIB).replace('}"', "}") + f"{W},{E},RUNNING,\n") == [
        InvalidRow(1, 2, "row_too_large", f"{detail} cannot be told", fatal=True)
    ]


@pytest.mark.parametrize("swallowed", [("y" * 999 + "\n") * 1100, "y" * 2 * MIB + "\n"])
def test_quoted_text_over_the_limit_ends_the_reading(read: Read, swallowed: str) -> None:
    """A quote that is not closed within 1 MiB is taken for one that never is."""
    detail = "a quote opened here is not closed within 1 MiB: where the next row starts cannot be told"
    rows = read(f'{HEADER}{W},{E},RUNNING,"open\n{swallowed}"\n')
    assert rows == [InvalidRow(1, 2, "csv_malformed", detail, W, E, "RUNNING", fatal=True)]


@pytest.mark.parametrize(
    "data",
    [
        HEADER.encode(),
        b"Workflow_ID;EXECUTION-ID;Status;meta data\n",
        b"sep=;\nworkflowId;executionId;status;metadata\n",
        b'"sep=;"\r\nworkflowId;executionId;status;metadata\r\n',
        b"sep=\t\r\nworkflowId\texecutionId\tstatus\tmetadata\r\n",
        b'"workflow\nId"|execution Id|"st""atus"|status|metadata\n'.replace(b'|"st""atus"', b""),
        b"workflowId\texecutionId\tstatus\tmetadata\n",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_header_spellings_delimiters_and_encodings(read: Read, data: bytes, encoding: str) -> None:
    """Names ignore case, spaces, `_` and `-`; the delimiter is detected in the header; byte order marks count."""
    text = data.decode()
    delimiter = next(character for character in "\t|;," if character in text)
    row = delimiter.join([W, E, "RUNNING", ""])
    lines = text.count("\n") + 1
    given = encoding if encoding == "utf-16-le" else None
    assert read((text + row).encode(encoding), encoding=given) == [good(1, lines)]


def test_utf_16_with_half_a_character(read: Read) -> None:
    """A lone surrogate or a byte too few in UTF-16 spoils its own row only."""
    lines = HEADER + f"{W},{E},RUNNING,\ud83d\n{W},{E},RUNNING,\n{W},{E},RUNNING,"
    rows = read(b"\xff\xfe" + lines.encode("utf-16-le", "surrogatepass") + b"x")
    assert rows == [
        bad("encoding_invalid", "character 83 of line 2 is not valid UTF-16-LE", status="RUNNING"),
        good(2, 3),
        bad("encoding_invalid", "character 83 of line 4 is not valid UTF-16-LE", status="RUNNING", row=3, line=4),
    ]


def test_encoding_as_told(read: Read) -> None:
    """`--encoding` decodes the file, and a byte order mark knows better."""
    data = f'{HEADER}{W},{E},,"{{""a"":""é""}}"\n'
    row = good(1, 2, '{"metadata":{"a":"é"}}', None)
    assert read(data.encode("cp1252"), encoding="cp1252") == [row]
    assert read(data.encode("utf-8-sig"), encoding="cp1252") == [row]


def test_metadata_columns(read: Read) -> None:
    """Columns named `metadata.x` add text members, in their own spelling; empty cells add none."""
    data = f'executionId,workflowId,Meta-Data.firstName,metadata.FirstName,metadata\n{E},{W},Ana,,"{{""a"":1}}"\n'
    assert read(data) == [good(1, 2, '{"metadata":{"a":1,"firstName":"Ana"}}', None)]


def test_metadata_member_given_both_ways(read: Read) -> None:
    """One member cannot come from the JSON and from a column."""
    data = f'executionId,workflowId,metadata.a,metadata\n{E},{W},x,"{{""a"":1}}"\n{E},{W},,"{{""a"":1}}"\n'
    assert read(data) == [
        bad("metadata_invalid", "'a' is given both in metadata and as a column"),
        good(2, 3, '{"metadata":{"a":1}}', None),
    ]


def test_a_long_member_name_does_not_flood_the_detail(read: Read) -> None:
    """Names of members come from the input, so that they are made safe and short, too."""
    name = "\x1b[2J" + "n" * 500
    data = json.dumps({name: 1}).replace('"', '""')
    assert read(f'executionId,workflowId,"metadata.{name}",metadata\n{E},{W},x,"{data}"\n') == [
        bad("metadata_invalid", f"'{'n' * 59}…' is given both in metadata and as a column"),
    ]


def test_columns_without_a_name(read: Read) -> None:
    """Trailing columns without a name must be empty; one before them, like a row number, is passed over."""
    data = f",workflowId,executionId,status,,\n0,{W},{E},RUNNING,,\n1,{W},{E},RUNNING,,x\n"
    assert read(data) == [
        good(1, 2),
        bad(
            "field_count_mismatch",
            "6 fields where the header has 4 with a name; quote fields that contain the delimiter",
            status="RUNNING",
            row=2,
            line=3,
        ),
    ]


_WANTED = "name the columns workflowId, executionId and status or metadata in the first line"


@pytest.mark.parametrize(
    ("data", "what", "next_step"),
    [
        (
            f"{W},{E},RUNNING,\n",
            "rows.csv, line 1 looks like data: the header line is missing",
            _WANTED,
        ),
        (
            "\nworkflowId,status\n",
            "rows.csv, line 2: the header has no executionId column",
            f"{_WANTED}; if they are there, name what separates them: --delimiter",
        ),
        (
            "workflowId^executionId^status\n",
            "rows.csv, line 1: the header has no workflowId, executionId, status or metadata column",
            f"{_WANTED}; if they are there, name what separates them: --delimiter",
        ),
        (
            "workflowId,executionId,status,Work_Flow ID\n",
            "rows.csv, line 1: two columns mean workflowId: 'workflowId' and 'Work_Flow ID'",
            "rename or remove one of them",
        ),
        (
            "workflowId,executionId,metadata.a,metadata.A,metadata.a\n",
            "rows.csv, line 1: two columns mean metadata.a: 'metadata.a' and 'metadata.a'",
            "rename or remove one of them",
        ),
        (
            "workflowId,executionId,metadata.\n",
            "rows.csv, line 1: the column 'metadata.' names no metadata key",
            "name the key, or remove the column",
        ),
        (
            (HEADER + f"{W},{E},RUNNING,\n").encode("utf-16-le"),
            "rows.csv: every other byte is NUL, as in UTF-16-LE without a byte order mark",
            "add --encoding utf-16-le",
        ),
        (
            (HEADER + f"{W},{E},RUNNING,\n").encode("utf-16-be"),
            "rows.csv: every other byte is NUL, as in UTF-16-BE without a byte order mark",
            "add --encoding utf-16-be",
        ),
        (
            "workflowId,executionId,status,prénom\n".encode("cp1252"),
            "rows.csv, line 1: byte 33 of line 1 (0xE9) is not valid UTF-8",
            "name the encoding of the file, like --encoding cp1252",
        ),
        (
            (HEADER + f"{W},{E},RUNNING,\n").replace("\n", "\r"),
            "rows.csv: lines end in a bare carriage return",
            "convert them: tr '\\r' '\\n' < rows.csv > rows2.csv",
        ),
        (
            f'workflowId,executionId,"status\n{W},{E},RUNNING\n',
            "rows.csv, line 1: the header is not valid CSV",
            'close each quote; write a literal quote as "" inside a quoted name',
        ),
        (
            f'workflowId,executionId,status,size in "\n{W},{E},RUNNING,"\n',
            "rows.csv, line 1: the header is not valid CSV",
            'close each quote; write a literal quote as "" inside a quoted name',
        ),
        (
            "x" * 2 * MIB,
            "rows.csv: the header is longer than 1 MiB, or has a quote that is never closed",
            "check that this is a CSV file whose lines end in a line feed",
        ),
        (
            'workflowId,executionId,"status\n' + "x\n" * MIB,
            "rows.csv: the header is longer than 1 MiB, or has a quote that is never closed",
            "check that this is a CSV file whose lines end in a line feed",
        ),
        (
            b"\x1f\x8b\x08\x00",
            "rows.csv is compressed with gzip",
            "unpack it: gzip -dc < rows.csv > rows2.csv",
        ),
        (
            b"PK\x03\x04\x14\x00",
            "rows.csv is a zip archive",
            "unpack it: unzip -p rows.csv > rows2.csv",
        ),
    ],
)
def test_input_refused_as_a_whole(read: Read, data: str | bytes, what: str, next_step: str) -> None:
    """What spoils more than a row refuses the input, with the line and a way out."""
    with pytest.raises(InputError) as refused:
        read(data)
    assert (refused.value.what, refused.value.next_step) == (what, next_step)


@pytest.mark.parametrize(
    ("found", "name", "hint"), [(";", "semicolons", "';'"), ("\t", "tabs", "tab"), (",", "commas", ",")]
)
def test_wrong_delimiter_names_the_right_one(read: Read, found: str, name: str, hint: str) -> None:
    """Where the columns are there under another delimiter, the refusal names it."""
    with pytest.raises(InputError) as refused:
        read(HEADER.replace(",", found), delimiter="|")
    assert (refused.value.what, refused.value.next_step) == (
        f"rows.csv, line 1: the columns are separated by {name}, not by '|'",
        f"add --delimiter {hint}",
    )


def test_layout_and_records(tmp_path: Path) -> None:
    """The report gets the header as it stands, the echoed columns, and every row with its raw lines and cells.

    A row without a column has an empty cell for it.
    """
    path = tmp_path / "rows.csv"
    header = 'sep=;\r\nWorkflow Id;executionId;status;Metadata;metadata.x;Lead;"Pho\nne";\r\n'
    first = f'{W};{E};RUNNING;"{{""a"": 1}}";y;Ana;"+1555\n01";\r\n'
    path.write_bytes(b"\xef\xbb\xbf" + (header + first + f"{W};;\r\n\r\n").encode() + b'a"b;"\xe9";;;;\xe9;;\r\n"x"y')
    with open_input(locate(path)) as rows:
        assert rows.layout == Layout(
            ("Workflow Id", "executionId", "status", "Metadata", "metadata.x", "Lead", "Pho\nne", ""), ";", True
        )
        assert rows.header == header
        assert rows.echoed == ("Lead", "Pho\nne")
        assert rows.metadata_columns == ("Metadata", "metadata.x")
        assert list(rows.records(["Pho\nne", "Lead", "Metadata", "metadata.x"])) == [
            Record(1, 4, first, ["+1555\n01", "Ana", '{"a": 1}', "y"]),
            Record(2, 6, f"{W};;\r\n", ["", "", "", ""]),
            Record(3, 8, 'a"b;"\udce9";;;;\udce9;;\r\n', ["", "?", "", ""]),
            Record(4, 9, '"x"y', ["", "", "", ""]),
        ]


def test_samples() -> None:
    """The samples are what the README says: valid ones, the same rows in two formats, and every error of a CSV row."""
    samples = Path(__file__).parent.parent.parent / "samples"
    rows: dict[str, list[Row | InvalidRow]] = {}
    for path in sorted(
        path for path in samples.iterdir() if path.suffix in (".csv", ".jsonl") and ".report." not in path.name
    ):
        with open_input(locate(path)) as opened:
            rows[path.name] = list(opened.rows())
    sent = {name: [row for row in found if isinstance(row, Row)] for name, found in rows.items()}
    errors = {name: {row.error for row in found if isinstance(row, InvalidRow)} for name, found in rows.items()}
    assert {name: (len(sent[name]), errors[name]) for name in rows} == {
        "executions.csv": (68, set()),
        "executions.jsonl": (68, set()),
        "excel-semicolon.csv": (10, set()),
        "broken.csv": (
            4,
            {
                "encoding_invalid",
                "csv_malformed",
                "duplicate_member",
                "field_missing",
                "field_count_mismatch",
                "id_invalid",
                "status_invalid",
                "metadata_invalid",
            },
        ),
    }
    assert [row.body for row in sent["executions.csv"]] == [row.body for row in sent["executions.jsonl"]]
    assert [row.key for row in sent["executions.csv"]] == [row.key for row in sent["executions.jsonl"]]
    assert len({row.key for row in sent["executions.csv"]}) == 64
    assert len({row.workflow_id for row in sent["executions.csv"]}) == 3

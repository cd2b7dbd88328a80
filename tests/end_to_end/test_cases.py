"""Files as people's tools make them: the exit code, what is said, and the payloads that the server gets.

`tests/cases/` holds one file of each kind, named CASE--FILE; each is tried as a copy under its second name.
"""

import asyncio
import shutil
import subprocess
from functools import partial
from pathlib import Path

import pytest

from tests.support.program import bulksync
from tests.support.recorder import recording

CASES = Path(__file__).parent.parent / "cases"


def copied(case: str, folder: Path) -> str:
    """Copy a case into an empty folder; return the name it has there."""
    [path] = CASES.glob(f"{case}--*")
    name = path.name.partition("--")[2]
    shutil.copy(path, folder / name)
    return name


COMPLETED = b'{"status":"COMPLETED"}'


def named(*names: bytes) -> list[bytes]:
    """Return the payloads of rows that are COMPLETED and have a name."""
    return [b'{"status":"COMPLETED","metadata":{"name":%s}}' % name for name in names]


@pytest.mark.parametrize(
    ("case", "options", "bodies", "said"),
    [
        ("blank-meta-cell", (), named(b'" "', '"\u00a0"'.encode(), b'"Ana "'), "2 cells of 'metadata.name'"),
        ("excel-ghost-rows", (), [COMPLETED], "skipped as blank: 2 lines of nothing but delimiters (first: line 3)"),
        ("trailing-comma-rows", (), [COMPLETED] * 3, "updated 3"),
        ("header-cr-in-quotes", (), [COMPLETED], "updated 1"),
        ("header-csvkit", (), [COMPLETED], "updated 1"),
        ("header-lf-blankline-in-quotes", (), [COMPLETED], "updated 1"),
        ("tsv-literal-quotes", (), named(b'"Ana"', b'"x"'), "quotes around text were taken off: 1 row (row 1, line 2)"),
        ("tsv-literal-quotes", ("--tsv-escapes",), named(b'"\\"Ana\\""', b'"x"'), "updated 2"),
        (
            "mysql-batch",
            ("--tsv-escapes",),
            [
                b'{"status":"COMPLETED","metadata":{"note":"line\\nbreak","path":"C:\\\\x"}}',
                COMPLETED,
                b'{"status":"COMPLETED","metadata":{"q":"say \\"hi\\""}}',
            ],
            "updated 3",
        ),
        (
            "ascii-latin1-as-utf8-flag",
            ("--encoding", "cp1252"),
            ['{"status":"COMPLETED","metadata":{"n":"Ã©"}}'.encode()] * 2,
            "'Ã©' as cp1252, 'é' as UTF-8; if the second is right, leave out --encoding",
        ),
        (
            "ascii-latin1-as-utf8-flag",
            (),
            ['{"status":"COMPLETED","metadata":{"n":"é"}}'.encode()] * 2,
            "updated 2",
        ),
        (
            "json-strings",
            (),
            [
                b'{"metadata":{"a":"\\u0000"}}',
                b'{"metadata":{"a":"/"}}',
                '{"metadata":{"a":"é","b":"é"}}'.encode(),
                '{"metadata":{"a":"\u200b\u202e"}}'.encode(),
                b'{"metadata":{"a":1}}',
                b'{"metadata":{"":1}}',
                '{"metadata":{"a":"😀"}}'.encode(),
                '{"metadata":{"a":"\x7f\x85\u2028"}}'.encode(),
                b'{"metadata":{"__proto__":{"x":1}}}',
                b'{"metadata":{"a":[],"b":{}}}',
                b'{"metadata":{"a":"\\b\\f\\n\\r\\t\\"\\\\"}}',
                b'{"metadata":{"b":1,"a":2,"B":3}}',
            ],
            "updated 12",
        ),
        (
            "json-numbers",
            (),
            [
                b'{"metadata":{"n":%s}}' % number
                for number in (
                    *(b"0", b"-0.0", b"1.1", b"1.0"),
                    *(b"100000.0", b"1e-7", b"12345678901234567890", b"9007199254740993"),
                    *(
                        b"-9223372036854775809",
                        b"18446744073709551616",
                        b"0.1234567890123456789",
                        b"12345678901234567.89",
                    ),
                    *(b"1e-400", b"5e-324", b"1e+308", b"100000000000000000000.5"),
                    *(b"3.0", b"100.0", b"123456789.123456789123", b"1e+16"),
                    *(b"1000000000000000.0", b"1e+22", b"1e+23", b"0.30000000000000004"),
                    *(b"4.35", b"2.675", b"1.7976931348623157e+308", b"99999999999999999999999999999.0"),
                )
            ],
            "updated 28",
        ),
    ],
)
async def test_what_is_sent(
    case: str, options: tuple[str, ...], bodies: list[bytes], said: str, tmp_path: Path
) -> None:
    """A valid file is sent with exactly what it has, and what may be meant otherwise is told."""
    name = copied(case, tmp_path)
    async with recording() as api:
        call = ("run", name, "--base-url", api.url, "--rate", "unlimited", "--max-in-flight", "1", *options)
        done = await asyncio.to_thread(partial(bulksync, *call, folder=tmp_path))
        assert (done.code, [request.body for request in api.requests]) == (0, bodies), done.stderr
    assert said in done.stderr


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("backslash-quotes", ["row 1 (line 2): csv_malformed: a quote is escaped with a backslash"]),
        ("bz2-named-csv", ["rows.csv is compressed with bzip2", "bzip2 -dc < rows.csv > rows2.csv"]),
        ("cesu8", ["row 1 (line 2): encoding_invalid: byte 85 of line 2 (0xED) is not valid UTF-8", "CESU-8"]),
        (
            "comment-lines",
            ["begins with a comment; its header is on line 2", "tail -n +2 rows.csv > rows2.csv"],
        ),
        ("concat-bom-no-header", ["row 2 (line 3): id_invalid", "U+FEFF (byte order mark); were files put together?"]),
        ("concat-with-header", ["row 2 (line 3): id_invalid: the header line is repeated here", "remove line 3"]),
        ("csv-cr-rows-lf-header", ["lines end in a bare carriage return", r"tr '\r' '\n' < rows.csv > rows2.csv"]),
        ("csv-many-members-unquoted", ["row 1 (line 2): csv_malformed", "put the JSON in quotes, and double those"]),
        ("csv-named-jsonl", ["rows.jsonl is CSV, not JSON lines", "bulksync check rows.jsonl --format csv"]),
        ("ditto-swallow", ["row 2 (line 3): csv_malformed", "column 4 'metadata.city' swallowed the rows", "line 4"]),
        ("double-bom", ["column 1, 'workflowId', has U+FEFF (byte order mark)", "tail -c +4 rows.csv > rows2.csv"]),
        ("gz-empty", ["rows.csv.gz is empty (0 bytes)"]),
        ("json-array-first-brace", ["is a JSON array", "jq -c '.[]' rows.jsonl > rows2.jsonl"]),
        ("json-array-one-line", ["is a JSON array", "jq -c '.[]' rows.jsonl > rows2.jsonl"]),
        ("json-name", ["rows.json is a JSON array", "jq -c '.[]' rows.json > rows.jsonl"]),
        ("json-seq-rs", ["U+001E (record separator)", r"tr -d '\036' < rows.jsonl > rows2.jsonl"]),
        ("json-trailing-commas", ["a comma behind each object", "sed 's/,[[:space:]]*$//' rows.jsonl > rows2.jsonl"]),
        ("jsonl-comment", ["begins with a comment", "grep -Ev '^[[:space:]]*(//|#)' rows.jsonl > rows2.jsonl"]),
        ("jsonl-named-csv", ["rows.csv is JSON lines, not CSV", "bulksync check rows.csv --format jsonl"]),
        ("jsonl-nan-echo", ["row 1 (line 1): json_malformed: NaN is not valid JSON"]),
        ("jsonl-null-id-alias", ["duplicate_member: workflowId is given twice, the second time as 'workflow_id'"]),
        ("jsonl-pretty-with-brace-first", ["objects over several lines", "jq -c . rows.jsonl > rows2.jsonl"]),
        ("jsonl-status-number-ws", ["row 1 (line 1): id_invalid", "remove the blanks around it"]),
        ("markdown", ["rows.csv is a Markdown table", "> rows2.csv"]),
        (
            "meta-repr",
            ["row 1 (line 2): metadata_invalid", "quote, as Python's str()", "row 4", "a curly quote"],
        ),
        ("meta-string-jsonl", ["encoded twice; in jq: .metadata |= fromjson", "in jq: .metadata |= from_entries"]),
        ("mysql-batch", ["row 2 (line 3): metadata_invalid", "a word for no value", "add --tsv-escapes"]),
        ("parquet", ["rows.csv is a Parquet file", "pandas.read_parquet", "rows.csv > rows2.csv"]),
        ("powershell-type", ["PowerShell's #TYPE line", "tail -n +2 rows.csv > rows2.csv"]),
        ("sf-footer", ["row 2 (line 4): field_count_mismatch: 1 field where the header has 3", "a title or a footer"]),
        ("short-rows", ["row 2 (line 3): field_count_mismatch: 3 fields where the header has 5"]),
        ("space-after-comma", ["csv_malformed: a blank stands before the quote of column 4 'metadata.firstName'"]),
        ("tar-gz", ["rows.csv.gz, once unpacked, is a tar archive", "gzip -dc < rows.csv.gz | tar -xOf - > rows.csv"]),
        ("whole-line-quoted", ["each line in quotes as a whole", "> rows2.csv"]),
        ("xls-ole", ["an old Excel workbook (.xls)", "export the sheet as CSV UTF-8"]),
        ("xz-named-csv", ["rows.csv is compressed with xz", "xz -dc < rows.csv > rows2.csv"]),
        (
            "zwsp-in-id",
            ["character 37 is U+200B (zero width space)", "character 9 is U+2011 (non-breaking hyphen)"],
        ),
    ],
)
def test_what_is_refused(case: str, said: list[str], tmp_path: Path) -> None:
    """What cannot be sent is named as people would name it, with its place and the way on; nothing is left behind."""
    name = copied(case, tmp_path)
    done = bulksync("check", name, folder=tmp_path)
    assert done.code == 7
    assert [words for words in said if words not in done.stdout + done.stderr] == []
    assert [path.name for path in tmp_path.iterdir()] == [name]


CONVERTED = ["bz2-named-csv", "comment-lines", "csv-cr-rows-lf-header", "double-bom", "json-array-first-brace"]
CONVERTED += ["json-array-one-line", "json-name", "json-seq-rs", "json-trailing-commas", "jsonl-comment", "markdown"]
CONVERTED += ["jsonl-pretty-with-brace-first", "powershell-type", "tar-gz", "whole-line-quoted", "xz-named-csv"]


@pytest.mark.parametrize("case", CONVERTED)
def test_the_way_on(case: str, tmp_path: Path) -> None:
    """The command that a message names, typed as it stands, makes a file that is valid, and destroys nothing."""
    name = copied(case, tmp_path)
    before = (tmp_path / name).read_bytes()
    said = bulksync("check", name, folder=tmp_path).stderr
    command = said.partition("next: ")[2].partition(": ")[2].strip()
    if shutil.which(command.split()[0]) is None:
        pytest.skip(f"{command.split()[0]} is not installed")
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True, timeout=30)
    [made] = {path.name for path in tmp_path.iterdir()} - {name}
    done = bulksync("check", made, folder=tmp_path)
    assert (done.code, (tmp_path / name).read_bytes()) == (0, before), done.stdout + done.stderr

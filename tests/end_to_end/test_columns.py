"""Columns from the file to the server and back: what is sent, what is only echoed, and the rows for another run.

`tests/cases/` holds files as people's tools make them, named CASE--FILE; each is tried as a copy under its second name.
"""

import asyncio
import gzip
import json
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest

from tests.support.program import WORKFLOW, Done, bulksync, execution, rows_of
from tests.support.recorder import Recorder, Rule, answer, recording, when

CASES = Path(__file__).parent.parent / "cases"
COMPLETED = b'{"status":"COMPLETED"}'
HEADER = "workflowId,executionId,status,name\n"

NO_SUCH = answer(404, {"code": "NOT_FOUND", "message": "no such execution"})
REFUSED = "http_404,NOT_FOUND: no such execution"


def copied(case: str, folder: Path) -> str:
    """Copy a case into an empty folder; return the name it has there."""
    [path] = CASES.glob(f"{case}--*")
    name = path.name.partition("--")[2]
    shutil.copy(path, folder / name)
    return name


def refused(*numbers: int) -> Rule:
    """Let the server know nothing of some executions, by the ends of their ids."""
    return when(lambda request: int(request.execution[-12:]) in numbers, NO_SUCH)


async def run(api: Recorder, folder: Path, *arguments: object) -> Done:
    """Run the program against a recorder, in a thread."""
    options = ("--base-url", api.url, "--rate", "unlimited", "--accept-refusals")
    return await asyncio.to_thread(partial(bulksync, "run", *arguments, *options, folder=folder))


def bodies(api: Recorder) -> list[bytes]:
    """Return what was sent, in the order of the executions."""
    return [request.body for request in sorted(api.requests, key=lambda request: request.execution)]


def row(number: int, *cells: str) -> str:
    """Return a row of CSV."""
    return ",".join([WORKFLOW, execution(number), *cells]) + "\n"


# What is sent, and what is only echoed


SENT = [
    (
        "meta-not-sent-jsonl",
        (),
        [b'{"status":"COMPLETED","metadata":{"firstName":"Ana"}}'],
        "columns sent: workflowId 1, executionId 1, status 1, metadata.firstName 1; only echoed: none",
    ),
    (
        "header-csvkit",
        (),
        [COMPLETED],
        "columns sent: workflowId 1, executionId 1, status 1; only echoed: start end 1, c 1",
    ),
    (
        "header-csvkit",
        ("--map", "metadata.c=c", "--set", "status=PAUSED"),
        [b'{"status":"PAUSED","metadata":{"c":"y"}}'],
        (
            "columns sent: workflowId 1, executionId 1, c as metadata.c 1, status (--set) 1;"
            " only echoed: status 1, start end 1"
        ),
    ),
    (
        "nested-dotted",
        (),
        [b'{"status":"COMPLETED","metadata":{"address.city":"Rome","tags[0]":"x","tags.0":"y"}}'],
        "sent as one entry of metadata each: 'address.city', 'tags[0]', 'tags.0'; for objects inside objects,",
    ),
    (
        "cp1252-retry",
        ("--encoding", "cp1252"),
        ['{"status":"COMPLETED","metadata":{"name":"Zoé %d"}}'.replace("%d", str(n)).encode() for n in range(3)],
        "columns sent: workflowId 3, executionId 3, status 3, metadata.name 3; only echoed: none",
    ),
]


@pytest.mark.parametrize(("case", "options", "sent", "said"), SENT)
async def test_what_is_sent_is_told(
    case: str, options: Sequence[str], sent: list[bytes], said: str, tmp_path: Path
) -> None:
    """What a run says is sent is what the server gets; `check` and a dry run say the same."""
    name = copied(case, tmp_path)
    async with recording() as api:
        done = await run(api, tmp_path, name, *options)
    assert (done.code, bodies(api)) == (0, sent), done.stderr
    checked = bulksync("check", name, *options, folder=tmp_path)
    tried = bulksync("run", name, *options, "--dry-run", folder=tmp_path)
    assert all(said in text for text in (done.stderr, checked.stdout, tried.stdout))


LEADS = "wf_id,exec_id,Metadata (JSON),metadata_firstName,Vorname,lead status\n" + "".join(
    row(number, f'"{{""n"": {number}}}"', "x", f"Ana {number}", "won") for number in (1, 2)
)


async def test_a_column_of_another_name(tmp_path: Path) -> None:
    """A near miss is asked about with the options that send it; given in a variable or a file they do the same."""
    (tmp_path / "leads.csv").write_text(LEADS)
    asked = bulksync("check", "leads.csv", folder=tmp_path)
    assert (asked.code, asked.stderr.splitlines()) == (
        7,
        [
            (
                "bulksync: leads.csv, line 1: the header has no workflowId, executionId, status or metadata column;"
                " did you mean 'wf_id' and 'exec_id' and 'Metadata (JSON)'?"
            ),
            (
                "bulksync: next: if so, add --map workflowId=wf_id --map executionId=exec_id"
                " --map 'metadata=Metadata (JSON)'"
            ),
        ],
    )
    pairs = ["workflowId=wf_id", "executionId=exec_id", "metadata=Metadata (JSON)"]
    flags = [word for pair in pairs for word in ("--map", pair)]
    (tmp_path / "map.toml").write_text(f"map = {json.dumps(pairs)}\nset = ['status=PAUSED', 'metadata.source=crm']\n")
    (tmp_path / "map.toml").chmod(0o600)
    sets = ("--set", "status=PAUSED", "--set", "metadata.source=crm")
    variables = {"BULKSYNC_MAP": ",".join(pairs), "BULKSYNC_SET": "status=PAUSED,metadata.source=crm"}
    by_flag = bulksync("check", "leads.csv", *flags, *sets, folder=tmp_path)
    by_variable = bulksync("check", "leads.csv", folder=tmp_path, variables=variables)
    by_file = bulksync("check", "leads.csv", "--config", "map.toml", folder=tmp_path)
    assert by_flag.code == 0, by_flag.stderr
    assert by_flag == by_variable == by_file
    assert by_flag.stdout.splitlines()[:3] == [
        (
            "note: the column 'metadata_firstName' (2 rows) is only echoed; did you mean metadata.firstName? To send"
            " it, add --map metadata.firstName=metadata_firstName"
        ),
        "leads.csv: 2 rows, 2 valid, 0 invalid",
        (
            "columns sent: wf_id as workflowId 2, exec_id as executionId 2, Metadata (JSON) as metadata 2, status"
            " (--set) 2, metadata.source (--set) 2; only echoed: metadata_firstName 2, Vorname 2, lead status 2"
        ),
    ]
    async with recording() as api:
        await run(api, tmp_path, "leads.csv", *flags, *sets)
    wanted = [b'{"status":"PAUSED","metadata":{"n":%d,"source":"crm"}}' % number for number in (1, 2)]
    assert bodies(api) == wanted
    report = rows_of(tmp_path / "leads.csv.report.csv")[0]
    assert [name for name in report if name not in ("row", "line")][-3:] == [
        "metadata_firstName",
        "Vorname",
        "lead status",
    ], "metadata is not echoed, whatever its column is called"


async def test_json_lines_are_mapped_too(tmp_path: Path) -> None:
    """A member of another name is sent with the value that it has, and every row gets the fixed ones."""
    lines = [{"exec": execution(n), "Vorname": name, "n": n} for n, name in ((1, "Ana"), (2, None), (3, ["x", 1.5]))]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    options = ("--map", "executionId=exec", "--map", "metadata.firstName=Vorname", "--set", f"workflowId={WORKFLOW}")
    async with recording() as api:
        done = await run(api, tmp_path, "rows.jsonl", *options, "--set", 'metadata={"a": [1]}')
    assert bodies(api) == [
        b'{"metadata":{"a":[1],"firstName":"Ana"}}',
        b'{"metadata":{"a":[1]}}',
        b'{"metadata":{"a":[1],"firstName":["x",1.5]}}',
    ]
    assert (
        "columns sent: exec as executionId 3, Vorname as metadata.firstName 2, workflowId (--set) 3,"
        " metadata (--set) 3; only echoed: n 3"
    ) in done.stderr


async def test_the_same_columns_are_the_same_run(tmp_path: Path) -> None:
    """A repeat that names the columns in another way goes on; one that sends something else begins anew."""
    (tmp_path / "rows.csv").write_text("workflowId,executionId,state\n" + row(1, "PAUSED") + row(2, "PAUSED"))
    async with recording() as api:
        await run(api, tmp_path, "rows.csv", "--map", "status=state", "--limit", "1")
        same = await run(api, tmp_path, "rows.csv", "--set", "status=PAUSED")
        other = await run(api, tmp_path, "rows.csv", "--set", "status=RUNNING")
    assert (same.code, other.code, len(api.requests)) == (0, 0, 4)
    again = bulksync("report", "rows.csv.report.csv.ledger", "-o", "again.csv", folder=tmp_path)
    assert (again.code, [line["state"] for line in rows_of(tmp_path / "again.csv")]) == (0, ["PAUSED", "PAUSED"])


WRONG = [
    (("--map", "status=Stat"), 7, "rows.csv, line 1: there is no column 'Stat', which --map gives to status"),
    (("--map", "state=name"), 2, "--map state=name is not FIELD=COLUMN"),
    (("--map", "status="), 2, "--map status= is not FIELD=COLUMN"),
    (("--map", "status"), 2, "--map: 'status' has no =: write status=COMPLETED, or metadata.firstName=Vorname"),
    (
        ("--map", "status=name", "--map", "metadata.n=name"),
        2,
        "--map metadata.n=name: the column 'name' is given twice",
    ),
    (("--map", "status=name", "--set", "status=X"), 2, "--set status=X: status is given twice"),
    (("--set", "workflowId=x7"), 2, "--set: workflowId 'x7' is not a valid ID (8-4-4-4-12 hex digits)"),
    (("--set", "metadata=[1]"), 2, "--set: metadata is not a JSON object"),
    (("--sheet", "1"), 2, "--sheet is for workbooks, and rows.csv is csv"),
    (("--min-rows", "2"), 7, "rows.csv has 1 row, fewer than --min-rows 2"),
    (("--rejected-file", "r.xlsx"), 2, "--rejected-file r.xlsx: rows of a workbook are written as CSV"),
    (("--rejected-file", "rows.csv"), 2, "--rejected-file rows.csv is the input too"),
]


@pytest.mark.parametrize(("options", "code", "said"), WRONG)
def test_what_cannot_be_meant(options: Sequence[str], code: int, said: str, tmp_path: Path) -> None:
    """A wrong call is refused, and so is a file that is not as the call says; nothing is sent."""
    (tmp_path / "rows.csv").write_text(HEADER + row(1, "COMPLETED", "Ana"))
    done = bulksync("run", "rows.csv", "--sandbox", *options, folder=tmp_path)
    assert (done.code, done.stderr.splitlines()[0]) == (code, f"bulksync: {said}")


def test_enough_rows(tmp_path: Path) -> None:
    """As many rows as there must be are enough, for a check, a run, and a run that is over."""
    (tmp_path / "rows.csv").write_text(HEADER + row(1, "COMPLETED", "Ana"))
    for command in (("check",), ("run", "--sandbox"), ("run", "--sandbox")):
        assert bulksync(*command, "rows.csv", "--min-rows", "1", folder=tmp_path).code == 0
        assert bulksync(*command, "rows.csv", "--min-rows", "2", folder=tmp_path).code == 7


# One line per row, no column lost or named twice


async def test_names_that_the_report_has_itself(tmp_path: Path) -> None:
    """An echoed column never takes the place of one of the report's, nor that of another echoed one."""
    name = copied("steps-column", tmp_path)
    async with recording() as api:
        await run(api, tmp_path, name, "-o", "r.csv")
        await run(api, tmp_path, name, "-o", "r.jsonl")
    names = ["input.outcome", "input.input.row", "input.row"]
    assert list(rows_of(tmp_path / "r.csv")[0].items())[20:] == list(
        zip(["steps", *names], ["three", "won", "7", "8"], strict=True)
    )
    line = json.loads((tmp_path / "r.jsonl").read_text())
    assert [line[name] for name in ("input.steps", *names)] == ["three", "won", "7", "8"]
    assert isinstance(line["steps"], list)


@pytest.mark.parametrize("case", ["cr-in-cell", "r-multiline-header", "jsonl-echo-number", "steps-column"])
@pytest.mark.parametrize("output", ["r.csv", "r.jsonl"])
async def test_an_audit_agrees(case: str, output: str, tmp_path: Path) -> None:
    """Line ends in names and cells make no discrepancy, and no line more."""
    name = copied(case, tmp_path)
    async with recording() as api:
        await run(api, tmp_path, name, "-o", output)
    done = bulksync("verify", name, output, folder=tmp_path)
    assert (done.code, done.stdout.splitlines()[-1].partition(": ")[2]) == (0, "OK, no discrepancies")


async def test_cells_are_echoed_as_they_stand(tmp_path: Path) -> None:
    """A carriage return stays in its cell, and a number of JSON keeps its digits."""
    async with recording() as api:
        await run(api, tmp_path, copied("cr-in-cell", tmp_path), "-o", "cr.csv")
        await run(api, tmp_path, copied("jsonl-echo-number", tmp_path), "-o", "numbers.csv")
    assert b',"Ana\rBo"\n' in (tmp_path / "cr.csv").read_bytes()
    assert list(rows_of(tmp_path / "numbers.csv")[0].items())[20:] == [
        ("price", "1.10"),
        ("big", "1e15"),
        ("id", "12345678901234567.89"),
        ("o", '{"b":1.50,"a":"x\\ry"}'),
        ("note", "a\rb"),
    ]


# Rows for another run


FLAGS = {"cp1252-retry": ("--encoding", "cp1252"), "r-jsonl-cp1252": ("--encoding", "cp1252")}


@pytest.mark.parametrize("case", ["cp1252-retry", "r-jsonl-cp1252", "gz-retry", "cr-in-cell", "r-multiline-header"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
async def test_what_is_left_is_what_was_there(case: str, suffix: str, tmp_path: Path) -> None:
    """The retry file has its rows byte for byte, compressed as its name says; it reads as the input did."""
    name = copied(case, tmp_path)
    packed = (tmp_path / name).read_bytes()
    original = gzip.decompress(packed) if name.endswith(".gz") else packed
    left = f"left{Path(name.removesuffix('.gz')).suffix}{suffix}"
    async with recording() as api:
        first = await run(api, tmp_path, name, *FLAGS.get(case, ()), "--limit", "1", "--retry-file", left)
        second = await run(api, tmp_path, left, *FLAGS.get(case, ()))
        whole = bodies(api)
    async with recording() as api:
        await run(api, tmp_path, name, *FLAGS.get(case, ()), "--restart")
    written = (tmp_path / left).read_bytes()
    text = gzip.decompress(written) if suffix else written
    assert (first.code, second.code, whole) == (10, 0, bodies(api))
    if name.endswith(".jsonl"):
        assert text == b"".join(original.splitlines(keepends=True)[1:])
    else:
        start = original.index(WORKFLOW.encode() if WORKFLOW.encode() in original else b"1111abcd")
        second_row = original.index(b"1111abcd", start + 1)
        assert text == original[:start] + original[second_row:]


@pytest.mark.parametrize(
    ("encoding", "mark"), [("utf-8", b"\xef\xbb\xbf"), ("utf-16-le", b"\xff\xfe"), ("utf-16-be", b"\xfe\xff")]
)
async def test_rejected_rows_of_a_marked_file(encoding: str, mark: bytes, tmp_path: Path) -> None:
    """A file with a byte order mark gives one with the same mark, encoding and line ends."""
    rows = [row(1, "COMPLETED", "Zoé").replace("\n", "\r\n"), row(2, "done", "Łódź ✓")]
    header = HEADER.replace("\n", "\r\n")
    (tmp_path / "rows.csv").write_bytes(mark + "".join([header, *rows]).rstrip().encode(encoding))
    options = ("--on-invalid", "skip", "--rejected-file", "fix.csv")
    async with recording(refused(1)) as api:
        done = await run(api, tmp_path, "rows.csv", *options)
    written = (tmp_path / "fix.csv").read_bytes()
    assert (done.code, written[: len(mark)]) == (3, mark)
    [head, first, second, rest] = written[len(mark) :].decode(encoding).split("\r\n")
    assert (head, first, rest) == (f"{header.strip()},error,detail", f"{rows[0].strip()},{REFUSED}", "")
    assert second.startswith(f"{rows[1].strip()},status_invalid,")


async def test_rejected_rows_are_fixed_and_run(tmp_path: Path) -> None:
    """Exit 3 says how to get the rows, and how to run them once they are fixed; their errors are only echoed then."""
    rows = [row(1, "COMPLETED", "a"), row(2, "done", '"b, ""c"""'), row(3, "COMPLETED", "d"), row(4, "COMPLETED", "e")]
    (tmp_path / "rows.csv").write_text(HEADER + "".join(rows))
    async with recording(refused(3)) as api:
        first = await run(api, tmp_path, "rows.csv", "--on-invalid", "skip", "--html", "page.html")
        steps = first.stderr.splitlines()[-1].removeprefix("bulksync: next: ").split(": ", 1)[1].split("; ")
        assert steps[0] == "bulksync report rows.csv.report.csv.ledger --rejected-file rows.rejected.csv"
        assert bulksync(*steps[0].split()[1:], folder=tmp_path).code == 0
        written = (tmp_path / "rows.rejected.csv").read_text()
        told = "\"status 'done' is not valid (at most 64 of A-Z, 0-9 and _)\""
        assert written.splitlines() == [
            HEADER.strip() + ",error,detail",
            f"{rows[1].strip()},status_invalid,{told}",
            f"{rows[2].strip()},{REFUSED}",
        ]
        command = steps[1].split(": ", 1)[1]
        assert command == (
            f"bulksync run rows.rejected.csv --on-invalid skip --base-url {api.url} --rate unlimited --accept-refusals"
            " --rejected-file rows.rejected-2.csv"
        )
        unfixed = await asyncio.to_thread(bulksync, *command.split()[1:], folder=tmp_path)
        assert (unfixed.code, (tmp_path / "rows.rejected-2.csv").read_text()) == (3, written)
        assert "columns sent: workflowId 2, executionId 2, status 2; only echoed: name 2, error 2, detail 2" in (
            unfixed.stderr
        )
        (tmp_path / "rows.rejected.csv").write_text(written.replace("done", "PAUSED"))
        api.rules.clear()
        fixed = await asyncio.to_thread(bulksync, *command.split()[1:], folder=tmp_path)
    sent = [(int(request.execution[-12:], 16), request.body) for request in api.requests]
    assert (fixed.code, sorted(sent[3:4]), sorted(sent[4:])) == (
        0,
        [(3, COMPLETED)],
        [(2, b'{"status":"PAUSED"}'), (3, COMPLETED)],
    )


async def test_rejected_json_lines(tmp_path: Path) -> None:
    """Lines of JSON get their error as members, once; what is no object stays as it stands."""
    lines = [
        f'{{"workflowId": "{WORKFLOW}", "executionId": "{execution(1)}", "status": "A", "n": 1.10}}',
        f'{{"workflowId": "{WORKFLOW}", "executionId": "x", "status": "A", "error": "mine"}}',
        '{"workflowId": "cut',
        "{}",
    ]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    async with recording(refused(1)) as api:
        await run(api, tmp_path, "rows.jsonl", "--on-invalid", "skip", "--rejected-file", "fix.jsonl")
        await run(api, tmp_path, "fix.jsonl", "--on-invalid", "skip", "--rejected-file", "again.jsonl")
    written = (tmp_path / "fix.jsonl").read_text()
    wrong = "executionId 'x' is not a valid ID (8-4-4-4-12 hex digits)"
    assert written.splitlines() == [
        lines[0][:-1] + ',"error":"http_404","detail":"NOT_FOUND: no such execution"}',
        lines[1][:-1] + f',"bulksync.error":"id_invalid","detail":"{wrong}"}}',
        lines[2],
        '{"error":"field_missing","detail":"workflowId is empty or missing"}',
    ]
    assert (tmp_path / "again.jsonl").read_text() == written

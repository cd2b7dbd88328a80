"""`bulksync verify --live` finds what the server holds otherwise than the last acknowledged rows asked for."""

import asyncio
import csv
import json
from pathlib import Path
from typing import Any

import orjson
import pytest

from bulksync.commands.live import Asked, Difference, Found, compare, is_same, sample
from bulksync.model import Execution, Row
from tests.support import fault_server as faults
from tests.support.program import WORKFLOW, Done, bulksync, execution, rows_of, write_rows
from tests.support.sandboxes import api

REPORT = "rows.csv.report.csv"


def row(body: dict[str, Any], number: int = 1) -> Row:
    """Return a row that asks for this."""
    return Row(number, number + 1, WORKFLOW, execution(number), body.get("status"), orjson.dumps(body))


def holding(status: str, metadata: object = None) -> Execution:
    """Return an execution as the server holds it."""
    return Execution(status, "", "", "", [], "" if metadata is None else json.dumps(metadata))


def run(folder: Path, url: str, *options: object) -> Done:
    """Send the rows in a folder."""
    return bulksync("run", "rows.csv", "--base-url", url, "--rate", "unlimited", *options, folder=folder)


def verify(folder: Path, url: str, *options: object) -> Done:
    """Ask the server about the report in a folder."""
    live = ("--live", "--base-url", url, "--rate", "unlimited", *options)
    return bulksync("verify", "rows.csv", REPORT, *live, folder=folder)


@pytest.mark.parametrize(
    ("asked", "held", "found"),
    [
        ({"status": "PAUSED"}, holding("PAUSED", {"other": 1}), []),
        ({"metadata": {"a": 1, "b": [{"c": None}]}}, holding("X", {"b": [{"c": None}], "a": 1.0, "z": 0}), []),
        ({"metadata": {}}, holding("X"), []),
        ({"status": "PAUSED"}, holding("RUNNING"), [("status", "status", '"PAUSED"', '"RUNNING"')]),
        ({"metadata": {"a": 1}}, holding("X"), [("metadata missing", "metadata.a", "1", "")]),
        ({"metadata": {"a": 1}}, holding("X", {"a": True}), [("metadata", "metadata.a", "1", "true")]),
        ({"metadata": {"a": {"b": 1}}}, holding("X", {"a": {"b": 1, "c": 2}}),
         [("metadata", "metadata.a", '{"b":1}', '{"b":1,"c":2}')]),
    ],
)  # fmt: skip
def test_what_counts_as_held(asked: dict[str, Any], held: Execution, found: list[tuple[str, ...]]) -> None:
    """Requested entries must be there with their very values; other entries do not matter."""
    asking = row(asked)
    assert [*compare(asking, held)] == [Difference(kind, asking, *rest) for kind, *rest in found]


@pytest.mark.parametrize(
    ("one", "other", "same"), [(1, 1.0, True), (1, True, False), ([1], [1, 2], False), ("1", 1, False)]
)
def test_values_are_the_same(one: object, other: object, same: bool) -> None:
    """Numbers are the same however they are written; nothing else is taken for a number."""
    assert is_same(one, other) is same


@pytest.mark.parametrize(("count", "chosen"), [(None, 10), (1, 1), (3, 3), (10, 10), (99, 10)])
def test_a_sample_is_from_all_over_the_input(count: int | None, chosen: int) -> None:
    """As many executions as asked for, the first of them from the input's first part."""
    wanted = {(WORKFLOW, execution(number)): Asked() for number in range(10)}
    found = [*sample(wanted, count)]
    assert (len(found), found[0]) == (chosen, (WORKFLOW, execution(0)))
    assert found == [key for key in wanted if key in found]


def test_an_unknown_row_that_was_applied_is_no_difference() -> None:
    """The state is compared with the unknown row first, then with the last acknowledged one."""
    earlier, later = row({"status": "RUNNING"}, 1), row({"status": "PAUSED"}, 2)
    found = Found()
    for status in ("PAUSED", "RUNNING", "FAILED"):
        found.take(Asked(earlier, later), 200, holding(status))
    assert [one for one, *_ in found.applied] == [later]
    assert (found.not_applied, [one.held for one in found.differences]) == ([later, later], ['"FAILED"'])


def test_the_server_holds_what_was_sent(tmp_path: Path) -> None:
    """The last row of each execution counts; the report's audit comes first, and exits 0 with it."""
    write_rows(tmp_path / "rows.csv", [1, 2, 1, 3, 2])
    with api(tmp_path) as url:
        run(tmp_path, url)
        done = verify(tmp_path, url)
        part = verify(tmp_path, url, "--sample", 2, "--json")
    assert (done.code, done.stdout) == (0, "3 of 3 executions read: the server holds what was asked for\n")
    assert (part.code, orjson.loads(part.stdout)["read"]) == (0, 2)


@pytest.mark.parametrize(
    ("header", "reading", "read"),
    [
        ("workflowId,Call,status,metadata", ("--map", "executionId=Call"), 3),
        ("workflowId,executionId,State,metadata", ("--set", "status=PAUSED"), 3),
        ("workflowId,executionId,status,metadata", ("--min-rows", "3", "--sample", "2"), 2),
        ("workflowId,executionId,status,metadata", ("--delimiter", ",", "--allow-status", "COMPLETED"), 3),
    ],
)
def test_how_the_input_is_read_is_its_own_matter(
    header: str, reading: tuple[str, ...], read: int, tmp_path: Path
) -> None:
    """Options that say how the input is read, or what must be in it, are not taken for the executions asked about."""
    rows = write_rows(tmp_path / "rows.csv", [1, 2, 3]).read_text()
    (tmp_path / "rows.csv").write_text(rows.replace("workflowId,executionId,status,metadata", header))
    with api(tmp_path) as url:
        run(tmp_path, url, *(word for word in reading if word not in ("--sample", "2")))
        done = verify(tmp_path, url, *reading)
    said = f"{read} of {read} executions read: the server holds what was asked for\n"
    assert (done.code, done.stdout) == (0, said), done.stderr


def test_differences_are_found(tmp_path: Path) -> None:
    """What was changed elsewhere is counted by kind, with its first row and line; -o lists all of it; exit 11."""
    write_rows(tmp_path / "rows.csv", range(1, 5))
    write_rows(tmp_path / "other.csv", [2, 4], status="FAILED", turns=[1, 77])
    with api(tmp_path) as url:
        run(tmp_path, url)
        bulksync("run", "other.csv", "--base-url", url, "--rate", "unlimited", folder=tmp_path)
        done, as_json = verify(tmp_path, url, "-o", "differences.csv"), verify(tmp_path, url, "--json")
    assert (done.code, done.stdout.splitlines()) == (
        11,
        [
            'status: 2, first row 2 (line 3): status asked "COMPLETED", held "FAILED"',
            "metadata: 1, first row 4 (line 5): metadata.turn asked 3, held 77",
            "4 of 4 executions read: 2 executions differ",
        ],
    )
    with (tmp_path / "differences.csv").open(newline="") as file:
        listed = [(line["row"], line["kind"], line["asked"], line["held"]) for line in csv.DictReader(file)]
    assert listed == [
        ("2", "status", '"COMPLETED"', '"FAILED"'),
        ("4", "status", '"COMPLETED"', '"FAILED"'),
        ("4", "metadata", "3", "77"),
    ]
    kinds = [
        (one["kind"], one["count"], one["row"], one["line"]) for one in orjson.loads(as_json.stdout)["differences"]
    ]
    assert (as_json.code, kinds) == (11, [("status", 2, 2, 3), ("metadata", 1, 4, 5)])


async def test_what_the_server_does_not_know(tmp_path: Path) -> None:
    """An execution that is gone is a difference; one that could not be read is none, and exits 4."""
    write_rows(tmp_path / "rows.csv", [1, 2, 3])
    metadata = {"turn": 0, "note": "canary-metadata-5d1f"}

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: faults.Request) -> None:
        number = int(request.ids[1][-1], 16)
        if request.method == "PUT":
            await faults.valid(reader, writer, request)
        elif number == 1:
            said = {"id": execution(1), "workflowId": WORKFLOW, "status": "COMPLETED", "metadata": metadata}
            await faults.answer(200, orjson.dumps(said))(reader, writer, request)
        else:
            status = 404 if number == 2 else 500
            await faults.answer(status, b'{"message": "no"}')(reader, writer, request)

    async with faults.serve(then=behave) as server:
        options = ("--max-attempts", 1, "--max-in-flight", 1)
        await asyncio.to_thread(run, tmp_path, server.url)
        done = await asyncio.to_thread(verify, tmp_path, server.url, *options)
    assert (done.code, done.stdout.splitlines()) == (
        11,
        ["not found: 1, first row 2 (line 3): HTTP 404", "1 of 3 executions read: 1 execution differs"],
    )


def test_unknown_rows_are_settled(tmp_path: Path) -> None:
    """An unknown row whose state the server holds becomes updated, and certain; the next run does not send it."""
    write_rows(tmp_path / "rows.csv", range(1, 31))
    with api(tmp_path, "--faults", "reset_after=0.3") as url:
        first = run(tmp_path, url, "--max-attempts", 1, "--max-failures", "100%", "--max-in-flight", 1)
        unknown = [line["row"] for line in rows_of(tmp_path / REPORT) if line["outcome"] == "unknown"]
        done = verify(tmp_path, url, "--settle")
        assert (first.code, done.code, unknown == []) == (4, 0, False)
        assert f"unknown, but applied: {len(unknown)}, first row {unknown[0]}" in done.stdout
        assert bulksync("report", f"{REPORT}.ledger", folder=tmp_path).code == 0
        lines = rows_of(tmp_path / REPORT)
        count = (tmp_path / "log").read_bytes().count(b'"PUT"')
        again = run(tmp_path, url)
    settled = [line for line in lines if line["row"] in unknown]
    assert {(line["outcome"], line["dispositionCertain"], line["httpStatus"]) for line in settled} == {
        ("updated", "true", "200")
    }
    assert (again.code, (tmp_path / "log").read_bytes().count(b'"PUT"')) == (0, count)
    assert "all rows done" in again.stderr


def test_what_moved_between_a_run_and_a_fetch(tmp_path: Path) -> None:
    """A diff of a fetch since the run, in the run's own ledger, lists each execution whose disposition is another."""
    write_rows(tmp_path / "rows.csv", range(1, 11))
    with api(tmp_path) as url:
        run(tmp_path, url)
        bulksync("fetch", "rows.csv", "--base-url", url, "--rate", "unlimited", folder=tmp_path)
    since = ("--diff", "--since", f"{REPORT}.ledger")
    same = bulksync("report", "rows.csv.state.jsonl.ledger", *since, folder=tmp_path)
    assert (same.code, same.stdout.count("\n")) == (0, 1)
    assert "10 executions compared with the last earlier answer: no disposition moved" in same.stderr
    with api(tmp_path, "--drift", "500ms") as url:
        bulksync("fetch", "rows.csv", "--base-url", url, "--rate", "10/s", "--resend", folder=tmp_path)
    moved = bulksync("report", "rows.csv.state.jsonl.ledger", *since, folder=tmp_path)
    assert (moved.code, moved.stdout.count("\n") > 1) == (0, True)


def test_options_that_belong_together(tmp_path: Path) -> None:
    """What only --live can do is refused without it."""
    write_rows(tmp_path / "rows.csv", [1])
    done = bulksync("verify", "rows.csv", REPORT, "--settle", folder=tmp_path)
    assert (done.code, "go with --live" in done.stderr) == (2, True)

"""`bulksync fetch` reads each execution once, into a state file that is itself an input."""

import asyncio
import csv
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from time import sleep
from typing import Any

import orjson
import pytest

from bulksync.ledger.states import COLUMNS, cells_of
from tests.support import fault_server as faults
from tests.support.program import CANARY, KEY, WORKFLOW, bulksync, execution, started, write_rows
from tests.support.sandboxes import api

METADATA = '{"big": 12345678901234567890123, "exact": 1.10, "text": "é ✓ \\u0001", "deep": {"a": [1, null]}}'
"""What parsing and writing anew would change, or could."""


def states(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a state file."""
    return [orjson.loads(line) for line in path.read_bytes().splitlines()]


def arrivals(folder: Path) -> list[tuple[str, str]]:
    """Return the method and the execution of each request that the sandbox saw."""
    lines = map(orjson.loads, (folder / "log").read_bytes().splitlines())
    return [(line["method"], line["execution_id"]) for line in lines]


def fetch(folder: Path, url: str, *options: object) -> int:
    """Fetch the rows in a folder and return the exit code."""
    done = bulksync("fetch", "rows.csv", "--base-url", url, "--rate", "unlimited", *options, folder=folder)
    assert KEY not in done.stdout + done.stderr
    return done.code


def test_what_is_announced_is_what_is_sent(tmp_path: Path) -> None:
    """A GET sends no column of the input, so none is said to be sent, nor that an unknown status will be."""
    write_rows(tmp_path / "rows.csv", [1, 2], status="HELD")
    with api(tmp_path) as url:
        target = ("--base-url", url, "--rate", "unlimited")
        read = bulksync("fetch", "rows.csv", *target, folder=tmp_path).stderr.splitlines()[0]
        sent = bulksync("run", "rows.csv", *target, folder=tmp_path).stderr.splitlines()
    assert read.startswith(f"bulksync: fetching 2 executions from {url} at unlimited, about ")
    assert sent[0].startswith("bulksync: columns sent: workflowId 2, executionId 2, status 2, metadata 2;")
    assert sent[2] == "bulksync: unknown statuses (will be sent anyway): HELD 2"


def test_one_line_for_each_execution(tmp_path: Path) -> None:
    """Each execution is read once, and stands in the state file where its first row stands in the input."""
    write_rows(tmp_path / "rows.csv", [3, 1, 3, 2, 1])
    with api(tmp_path) as url:
        assert fetch(tmp_path, url, "--max-in-flight", 1) == 0
    found = states(tmp_path / "rows.csv.state.jsonl")
    assert [line["executionId"] for line in found] == [execution(number) for number in (3, 1, 2)]
    assert all(tuple(line) == COLUMNS for line in found)
    assert {(line["outcome"], line["httpStatus"], line["error"]) for line in found} == {("fetched", 200, "")}
    assert Counter(arrivals(tmp_path)) == {("GET", execution(number)): 1 for number in (1, 2, 3)}
    assert (tmp_path / "rows.csv.state.jsonl").stat().st_mode & 0o777 == 0o600


def test_the_ledger_holds_no_metadata(tmp_path: Path) -> None:
    """What was read stands in the states alone, which are private."""
    write_rows(tmp_path / "rows.csv", [1, 2])
    with api(tmp_path) as url:
        bulksync("run", "rows.csv", "--base-url", url, "--rate", "unlimited", folder=tmp_path)
        assert fetch(tmp_path, url) == 0
    holds = {path.name: CANARY.encode() in path.read_bytes() for path in tmp_path.glob("rows.csv.state*")}
    assert holds == {
        "rows.csv.state.jsonl": True,
        "rows.csv.state.jsonl.ledger": False,
        "rows.csv.state.jsonl.states": True,
    }
    assert {path.stat().st_mode & 0o777 for path in tmp_path.glob("rows.csv.state*")} == {0o600}


@pytest.mark.parametrize("name", ["rows.csv.state.jsonl", "state.csv"])
def test_running_the_state_file_undoes(name: str, tmp_path: Path) -> None:
    """Fetch, run, run the state file: every execution is as it was, byte for byte."""
    write_rows(tmp_path / "rows.csv", range(1, 8))
    with api(tmp_path, "--replaces-metadata") as url:
        options = ("--base-url", url, "--rate", "unlimited", "--quiet")
        assert fetch(tmp_path, url, "-o", name) == 0
        assert bulksync("run", "rows.csv", *options, folder=tmp_path).code == 0
        assert fetch(tmp_path, url, "-o", "between.jsonl") == 0
        assert bulksync("run", name, *options, folder=tmp_path).code == 0
        assert fetch(tmp_path, url, "-o", "after.jsonl") == 0
    before, between, after = (held(tmp_path / one) for one in (name, "between.jsonl", "after.jsonl"))
    assert (before == after, before == between) == (True, False)


def held(path: Path) -> list[tuple[str, str]]:
    """Return status and metadata of each execution, as they stand in a state file of either format."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [(line["status"], line["metadata"]) for line in csv.DictReader(file)]
    return [(line["status"], line["metadata"]) for line in map(cells_of, path.read_text().splitlines())]


@pytest.mark.parametrize("name", ["s.jsonl", "s.csv"])
async def test_metadata_is_kept_verbatim(name: str, tmp_path: Path) -> None:
    """Numbers and escapes stand in the state file, and go out again, as the server wrote them."""
    write_rows(tmp_path / "rows.csv", [1])
    body = f'{{"id": "{execution(1)}", "workflowId": "{WORKFLOW}", "status": "PAUSED", "metadata":\n{METADATA}}}'
    async with faults.serve(faults.answer(200, body.encode())) as server:
        assert await asyncio.to_thread(fetch, tmp_path, server.url, "-o", name) == 0
        assert held(tmp_path / name) == [("PAUSED", METADATA)]
        options = ("--base-url", server.url, "--rate", "unlimited", "-q")
        assert (await asyncio.to_thread(lambda: bulksync("run", name, *options, folder=tmp_path))).code == 0
    sent = orjson.loads(server.requests[1].body.replace(b"12345678901234567890123", b"1"))
    assert sent == {"status": "PAUSED", "metadata": orjson.loads(METADATA.replace("12345678901234567890123", "1"))}
    assert b"12345678901234567890123" in server.requests[1].body


ODD: Mapping[str, tuple[faults.Behaviour, tuple[str, str]]] = {
    "no metadata": (faults.valid, ("fetched", "")),
    "not JSON": (faults.answer(200, b"<html>"), ("failed", "response_invalid")),
    "refused": (faults.answer(404, b'{"message": "gone"}'), ("rejected", "http_404")),
    "500": (faults.answer(500, b"{}"), ("failed", "http_500")),
    "hung up": (faults.raw(b""), ("failed", "connection_lost")),
}


@pytest.mark.parametrize("name", ODD)
async def test_odd_answers(name: str, tmp_path: Path) -> None:
    """What could not be read has an outcome, never `unknown`, as a GET changes nothing; a run passes over it."""
    behaviour, wanted = ODD[name]
    write_rows(tmp_path / "rows.csv", [1, 2])
    body = f'{{"id": "{execution(1)}", "workflowId": "{WORKFLOW}", "status": "PAUSED", "metadata": {{"a": 1}}}}'
    async with faults.serve(faults.answer(200, body.encode()), then=behaviour) as server:
        options = ("--max-attempts", 1, "--max-in-flight", 1, "--max-failures", "100%")
        await asyncio.to_thread(fetch, tmp_path, server.url, *options)
    _, second = states(tmp_path / "rows.csv.state.jsonl")
    assert ((second["outcome"], second["error"]), second["metadata"]) == (wanted, None)
    checked = bulksync("check", "rows.csv.state.jsonl", "--json", folder=tmp_path)
    assert (checked.code, orjson.loads(checked.stdout)["rows"]) == (0, 2 if name == "no metadata" else 1)


def test_what_could_not_be_read_is_passed_over_with_a_count(tmp_path: Path) -> None:
    """A run of the state file leaves out the executions that the fetch could not read, and says how many."""
    write_rows(tmp_path / "rows.csv", range(1, 6))
    with api(tmp_path, "--only-seen") as url:
        bulksync("run", "rows.csv", "--base-url", url, "--rate", "unlimited", "--limit", 3, folder=tmp_path)
        assert fetch(tmp_path, url, "--accept-refusals") == 3
        done = bulksync("run", "rows.csv.state.jsonl", "--base-url", url, "--rate", "unlimited", folder=tmp_path)
    assert done.code == 0
    assert "passed over, as the state file could not read them: 2 executions" in done.stderr
    assert "3 rows, updated 3" in done.stderr


def test_a_repeat_reads_only_what_is_left(tmp_path: Path) -> None:
    """After --limit the same command goes on, and the state file is whole; --resend reads all again."""
    write_rows(tmp_path / "rows.csv", range(1, 7))
    with api(tmp_path) as url:
        assert fetch(tmp_path, url, "--limit", 2) == 10
        assert fetch(tmp_path, url) == 0
        assert {line["outcome"] for line in states(tmp_path / "rows.csv.state.jsonl")} == {"fetched"}
        assert fetch(tmp_path, url) == 0
        assert len(arrivals(tmp_path)) == 6
        (tmp_path / "rows.csv.state.jsonl.states").unlink()
        assert fetch(tmp_path, url) == 0
        assert len(arrivals(tmp_path)) == 12


def test_a_killed_fetch_goes_on(tmp_path: Path) -> None:
    """After kill -9 nothing is unknown, and what was read before is not lost."""
    write_rows(tmp_path / "rows.csv", range(1, 41))
    with api(tmp_path) as url:
        options = ("fetch", "rows.csv", "--base-url", url, "--rate", "100/s")
        with started(*options, folder=tmp_path) as process:
            while not (tmp_path / "log").exists() or len(arrivals(tmp_path)) < 10:
                sleep(0.01)
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert fetch(tmp_path, url) == 0
    assert [line["outcome"] for line in states(tmp_path / "rows.csv.state.jsonl")] == ["fetched"] * 40


def test_a_run_and_a_fetch_share_a_ledger(tmp_path: Path) -> None:
    """Neither continues the other, and a report of either can be written again."""
    write_rows(tmp_path / "rows.csv", [1, 2])
    with api(tmp_path) as url:
        options = ("--base-url", url, "--rate", "unlimited", "--ledger", "l")
        assert bulksync("run", "rows.csv", *options, folder=tmp_path).code == 0
        assert fetch(tmp_path, url, "--ledger", "l") == 0
        assert bulksync("run", "rows.csv", *options, folder=tmp_path).stderr.count("all rows done") == 1
    assert len(arrivals(tmp_path)) == 4
    written = (tmp_path / "rows.csv.state.jsonl").read_bytes()
    (tmp_path / "rows.csv.state.jsonl").unlink()
    assert bulksync("report", "l", folder=tmp_path).code == 0
    assert (tmp_path / "rows.csv.state.jsonl").read_bytes() == written

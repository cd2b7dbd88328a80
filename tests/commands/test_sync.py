"""`sync`: every row comes back once, the run is that of the command line, and whoever leaves it leaves nothing."""

import asyncio
import inspect
import itertools
import json
import logging
import queue
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import aclosing
from datetime import UTC, datetime
from logging.handlers import QueueHandler
from pathlib import Path
from typing import Any
from uuid import UUID

import pandas
import polars
import pytest

import bulksync as package
from bulksync import InputError, LockedError, Outcome, Progress, RowResult, Sync, UsageError, sync
from bulksync.report.table import COLUMNS
from bulksync.sandbox.server import Sandbox, Settings, serve
from tests.support.program import CANARY, KEY, WORKFLOW, bulksync, environment, execution, rows_of, write_rows

REPORT = "rows.csv.report.csv"
ROOT = Path(__file__).parent.parent.parent

STUCK = Settings(script={execution(2): ["hang"]})
"""The second row is never answered."""


@pytest.fixture(autouse=True)
def _nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """After each run there are the threads that were there before, and no temporary file."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    before = set(threading.enumerate())
    yield
    for thread in set(threading.enumerate()) - before:
        thread.join(5)  # those that read the input are told to end, and not waited for
    assert set(threading.enumerate()) - before == set()
    assert list(temporary.iterdir()) == []


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An input of twenty rows."""
    return write_rows(tmp_path / "rows.csv", range(1, 21))


def rows(*numbers: int) -> list[dict[str, Any]]:
    """Return rows as a program has them."""
    return [
        {"workflowId": WORKFLOW, "executionId": execution(number), "status": "COMPLETED", "metadata": {"a": CANARY}}
        for number in numbers
    ]


def against(sandbox: Sandbox, **options: Any) -> dict[str, Any]:
    """Return the options of a run against a sandbox of the test's own."""
    return {"base_url": sandbox.url, "api_key": KEY, "rate": "unlimited", **options}


def names(folder: Path) -> list[str]:
    """Return what a folder holds besides the temporary files of a test."""
    return sorted(file.name for file in folder.iterdir() if file.name != "temporary")


def drained(records: queue.SimpleQueue[logging.LogRecord]) -> Iterator[logging.LogRecord]:
    """Return what was logged."""
    while not records.empty():
        yield records.get()


def told(results: list[RowResult]) -> list[tuple[int, Outcome, str]]:
    """Return what became of each row."""
    return [(result.row, result.outcome, result.error) for result in results]


def sent(sandbox: Sandbox) -> Counter[str]:
    """Count the updates by execution."""
    return Counter(arrival.execution_id for arrival in sandbox.log)


# What is yielded


async def test_a_result_is_a_line_of_the_report(path: Path) -> None:
    """Every row of a path is yielded once, with what the report of the same run says of it."""
    results = sync(path, sandbox=True, rate="unlimited")
    found = sorted([result async for result in results], key=lambda result: result.row)
    report = rows_of(path.with_name(REPORT))
    assert [
        {
            "row": str(result.row),
            "line": str(result.line),
            "workflowId": result.workflow_id,
            "executionId": result.execution_id,
            "requestedStatus": result.requested_status,
            "outcome": result.outcome,
            "httpStatus": str(result.http_status),
            "attempts": str(result.attempts),
            "returnedStatus": result.returned_status,
            "disposition": result.disposition,
            "stepDispositions": ";".join(step.disposition for step in result.steps),
            "startedAt": result.started_at,
            "completedAt": result.completed_at,
            "firstSentAt": result.first_sent_at,
            "finishedAt": result.finished_at,
            "durationMs": str(result.duration_ms),
            "dispositionCertain": str(result.disposition_certain).lower(),
            "orderRisk": "false",
            "error": result.error,
            "detail": result.detail,
        }
        for result in found
    ] == report
    assert (len(found), results.exit_code, results.summary["outcomes"]) == (20, 0, {"updated": 20})


async def test_rows_as_dicts_leave_no_file(tmp_path: Path) -> None:
    """Rows given as values are sent as they are, ids as UUID too, and neither ledger nor report is left."""
    given = [*rows(1, 2), {"workflow_id": UUID(WORKFLOW), "executionId": UUID(execution(3)), "metadata": {}, "x": 1}]
    async with serve(Settings()) as sandbox:
        found = [result async for result in sync(given, **against(sandbox))]
    assert sorted(told(found)) == [(number, Outcome.UPDATED, "") for number in (1, 2, 3)]
    assert sorted((arrival.execution_id, arrival.body) for arrival in sandbox.applied) == [
        (execution(1), {"status": "COMPLETED", "metadata": {"a": CANARY}}),
        (execution(2), {"status": "COMPLETED", "metadata": {"a": CANARY}}),
        (execution(3), {"metadata": {}}),
    ]
    assert names(tmp_path) == []


async def test_columns_that_are_echoed(tmp_path: Path) -> None:
    """A result has its row's other columns, of a file, a list and a stream alike, in a repeated run too."""
    given = [{**row, "lead": f"L-{number}", "row": number} for number, row in enumerate(rows(1, 2, 3), 1)]
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in given))
    expected = {number: {"lead": f"L-{number}", "row": str(number)} for number in (1, 2, 3)}
    for source in (path, path, given, iter(given)):
        found = [result async for result in sync(source, sandbox=True, rate="unlimited")]
        assert {result.row: result.columns for result in found} == expected
    flat = found[0].as_dict()
    assert (flat["executionId"], flat["outcome"], flat["lead"]) == (
        found[0].execution_id, "updated", f"L-{found[0].row}",
    )  # fmt: skip
    names = [name for name in COLUMNS if name != "orderRisk"]  # which only the end of a run tells
    assert (list(flat), flat["row"], flat["input.row"]) == (
        [*names, "lead", "input.row"],
        found[0].row,
        str(found[0].row),
    )
    assert json.loads(json.dumps(flat)) == flat


async def test_progress_in_numbers(path: Path) -> None:
    """At any time the run tells how far it is, and after its end how far it got."""
    results = sync(path, sandbox=True, rate="unlimited")
    assert results.progress == Progress()
    async for _ in results:
        assert 1 <= results.progress.done <= results.progress.requests <= 20
        assert results.progress.total == 20
    last = results.progress
    assert (last.done, last.total, last.outcomes, last.requests) == (20, 20, {"updated": 20}, 20)
    assert (last.in_flight, last.rate > 0, last.elapsed > 0) == (0, True, True)


async def test_invalid_rows_are_yielded_in_input_order() -> None:
    """By default an invalid row keeps the others from being sent; with `skip` they come first, as they finish."""
    given: list[Any] = [
        *rows(1),
        {"workflowId": WORKFLOW},
        ["no", "row"],
        {**rows(2)[0], "metadata": {"x": float("inf")}},
    ]
    bad = [
        (2, Outcome.INVALID, "field_missing"),
        (3, Outcome.INVALID, "not_an_object"),
        (4, Outcome.INVALID, "metadata_invalid"),
    ]
    refused = sync(given, sandbox=True)
    assert told([result async for result in refused]) == [(1, Outcome.UNSENT, "interrupted"), *bad]
    assert (refused.exit_code, refused.summary["stopped"]) == (7, "not sent: the input has invalid rows")
    skipped = sync(given, sandbox=True, on_invalid="skip")
    assert told([result async for result in skipped]) == [(1, Outcome.UPDATED, ""), *bad]
    assert skipped.exit_code == 3


async def test_what_json_cannot_hold_is_an_invalid_row() -> None:
    """A value that cannot be written as JSON makes its row invalid; the message names the key, not the value."""
    given = [*rows(1), {**rows(2)[0], "metadata": {"x": {CANARY}}}]
    results = sync(given, sandbox=True, on_invalid="skip")
    found = [result async for result in results]
    assert [(result.row, result.execution_id, result.error, result.detail) for result in found] == [
        (1, execution(1), "", ""),
        (2, execution(2), "metadata_invalid", "metadata.x is a set, which JSON cannot hold"),
    ]
    assert results.exit_code == 3


async def test_results_come_as_rows_finish() -> None:
    """A row that takes long does not keep back those behind it."""
    script = {execution(2): ["unavailable", "ok"]}
    async with serve(Settings(script=script)) as sandbox:
        found = [result.row async for result in sync(rows(1, 2, 3), **against(sandbox))]
    assert found == [1, 3, 2]


async def test_a_stop_is_told_by_the_summary() -> None:
    """A wrong key is no exception: rows are yielded with their error, and the summary says why and what to do."""
    async with serve(Settings(key="another-key")) as sandbox:
        results = sync(rows(1, 2), **against(sandbox))
        found = [result async for result in results]
    assert told(found) == [(1, Outcome.FAILED, "http_401"), (2, Outcome.UNSENT, "aborted_access")]
    assert (results.exit_code, results.summary["nextStep"]) == (
        5,
        (
            "check the API key and the URL (for TLS also ca_file= and the clock), then run it again: sync(rows, …);"
            " where the refused rows are themselves wrong, such as deleted executions, add accept_refusals=True"
        ),
    )


# The same run as that of the command line


async def test_sync_and_the_command_line_go_on_with_each_other(path: Path) -> None:
    """A path has the ledger and the report that `bulksync run` gives it; either continues what the other began."""
    first = await asyncio.to_thread(
        bulksync, "run", "rows.csv", "--sandbox", "--rate", "unlimited", "--limit", 5, folder=path.parent
    )
    results = sync(str(path), sandbox=True, rate="unlimited")
    found = [result async for result in results]
    assert (first.code, results.exit_code, results.summary["requests"]) == (10, 0, 15)
    assert sorted(told(found)) == [(number, Outcome.UPDATED, "") for number in range(1, 21)]
    assert sorted(result.row for result in found[15:]) == [1, 2, 3, 4, 5]
    last = await asyncio.to_thread(bulksync, "run", "rows.csv", "--sandbox", folder=path.parent)
    assert (last.code, "all rows done by run" in last.stderr) == (0, True)


async def test_a_kept_ledger_makes_dicts_repeatable(tmp_path: Path) -> None:
    """With `ledger=` the same rows are sent once however often they are given."""
    options = {"ledger": tmp_path / "kept.ledger"}
    async with serve(Settings()) as sandbox:
        for _ in range(2):
            found = [result async for result in sync(rows(1, 2), **against(sandbox, **options))]
            assert sorted(told(found)) == [(1, Outcome.UPDATED, ""), (2, Outcome.UPDATED, "")]
        assert sent(sandbox) == {execution(1): 1, execution(2): 1}


async def test_a_report_of_dicts_where_asked_for(tmp_path: Path) -> None:
    """With `output=` rows given as dicts have a report, and a ledger beside it."""
    output = tmp_path / "out.csv"
    assert len([result async for result in sync(rows(1, 2), sandbox=True, output=output)]) == 2
    assert [row["outcome"] for row in rows_of(output)] == ["updated", "updated"]
    assert names(tmp_path) == ["out.csv", "out.csv.ledger"]


# Streams


def numbered(count: int | None = None) -> Iterator[dict[str, Any]]:
    """Give rows one after the other, for ever where there is no *count*."""
    return (rows(number)[0] for number in (itertools.count(1) if count is None else range(1, count + 1)))


async def slowly(given: Iterable[dict[str, Any]]) -> AsyncIterator[dict[str, Any]]:
    """Give rows as a queue does."""
    for row in given:
        await asyncio.sleep(0)
        yield row


@pytest.mark.parametrize("make", [numbered, lambda count=None: slowly(numbered(count))], ids=["iterator", "async"])
async def test_a_stream_is_sent_as_it_comes(make: Any) -> None:
    """A stream without an end is sent from its first row on, and leaving the loop ends it well."""
    async with serve(Settings()) as sandbox:
        async with sync(make(), **against(sandbox)) as results:
            found = [result async for result in take(results, 100)]
        assert (results.exit_code, results.summary["stopped"]) == (10, "the caller left before the end")
        assert results.summary["outcomes"]["updated"] == len(sandbox.log) >= 100
        assert max(sent(sandbox).values()) == 1
        whole = [result async for result in sync(make(50), **against(sandbox))]
    assert {result.outcome for result in found} == {Outcome.UPDATED}
    assert sorted(result.row for result in whole) == list(range(1, 51))


async def take(results: Sync, count: int) -> AsyncIterator[RowResult]:
    """Give the first results of a run."""
    async with aclosing(aiter(results)) as every:
        async for result in every:
            yield result
            count -= 1
            if not count:
                return


async def test_a_row_is_sent_before_the_next_one_is_there() -> None:
    """A stream that waits for the result of a row before it gives the next one gets it."""
    seen: asyncio.Queue[RowResult] = asyncio.Queue()

    async def conversation() -> AsyncIterator[dict[str, Any]]:
        yield rows(1)[0]
        for _ in range(3):
            yield rows((await seen.get()).row + 1)[0]

    results = sync(conversation(), sandbox=True, rate="unlimited")
    found = []
    async for result in results:
        found.append(result)
        seen.put_nowait(result)
    assert told(found) == [(number, Outcome.UPDATED, "") for number in (1, 2, 3, 4)]
    assert results.exit_code == 0


async def test_rows_of_one_execution_in_a_stream() -> None:
    """They are sent in their order, never two at once, and none behind one that failed."""
    given = [row for _ in range(10) for row in rows(1, 2, 3)]
    given = [{**row, "metadata": {"turn": turn}} for turn, row in enumerate(given)]
    script: dict[str, list[str | int]] = {execution(2): ["ok", "ok", 404], execution(3): ["ok", *["server_error"] * 2]}
    async with serve(Settings(script=script)) as sandbox:
        results = sync(iter(given), **against(sandbox, max_attempts=2))
        found = [result async for result in results]
    turns = [(arrival.execution_id, arrival.body["metadata"]["turn"]) for arrival in sandbox.applied]
    assert [turn for one, turn in turns if one == execution(1)] == list(range(0, 30, 3))
    assert [turn for one, turn in turns if one == execution(2)] == [turn for turn in range(1, 30, 3) if turn != 7]
    errors = Counter(result.error for result in found if result.execution_id == execution(3))
    assert errors == {"": 1, "http_500": 1, "predecessor_unresolved": 8}
    assert (len(found), results.exit_code) == (30, 4)


async def test_an_invalid_row_ends_a_stream_where_it_stands() -> None:
    """The run stops with its number and reason; what is behind it is not sent, and the generator is not run on."""
    given = numbered()
    source = itertools.chain(rows(1, 2), [{"metadata": {"x": {1}}}], given)
    async with serve(Settings()) as sandbox:
        results = sync(source, **against(sandbox))
        found = [result async for result in results]
    bad = [result for result in found if result.outcome is Outcome.INVALID]
    assert [(result.row, result.detail) for result in bad] == [(3, "metadata.x is a set, which JSON cannot hold")]
    assert set(sent(sandbox)) <= {execution(1), execution(2)}
    assert results.summary["stopped"].startswith("row 3 is invalid (metadata_invalid: metadata.x is a set, which")
    assert (results.exit_code, "on_invalid='skip'" in results.summary["nextStep"]) == (7, True)


async def test_an_endless_stream_tells_of_invalid_rows() -> None:
    """With `skip` an invalid row of a stream has its result when it comes, not at an end that there is not."""
    source = (rows(number)[0] if number % 10 else {"executionId": number} for number in itertools.count(1))
    async with serve(Settings()) as sandbox, sync(source, **against(sandbox, on_invalid="skip")) as results:
        found = [result async for result in take(results, 200)]
    outcomes = Counter(result.outcome for result in found)
    assert outcomes[Outcome.INVALID] > 0
    assert outcomes[Outcome.UPDATED] > 0


async def test_only_changed_rows_of_a_stream(tmp_path: Path) -> None:
    """What the ledger knows as acknowledged is left out, unless another row of its execution goes before it."""
    options = {"ledger": tmp_path / "kept.ledger", "only_changed": True}
    (one, two), changed = rows(1, 2), {**rows(2)[0], "status": "FAILED"}
    async with serve(Settings()) as sandbox:
        for given in ([one, two], [one, two, changed, two, one]):
            found = [result async for result in sync(iter(given), **against(sandbox, **options))]
        assert sent(sandbox) == {execution(1): 1, execution(2): 3}
    assert sorted(told(found)) == [
        (1, Outcome.UNCHANGED, ""),
        (2, Outcome.UNCHANGED, ""),
        (3, Outcome.UPDATED, ""),
        (4, Outcome.UPDATED, ""),
        (5, Outcome.UNCHANGED, ""),
    ]


async def test_a_stream_is_read_no_faster_than_its_results_are_taken() -> None:
    """However many rows a stream has, few of them are taken ahead of who looks at the results."""
    taken = itertools.count()
    source = (rows(number + 1)[0] for number in taken)
    async with serve(Settings()) as sandbox, sync(source, **against(sandbox)) as results:
        async for _ in results:
            while len(sandbox.log) < 1_000:  # noqa: ASYNC110  the run goes on by itself until enough results wait
                await asyncio.sleep(0.01)
            break
    assert next(taken) < 10_000


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_stream_that_breaks(is_async: bool) -> None:
    """What an iterator raises comes out of the loop as it is, once what was sent before is recorded."""

    def broken() -> Iterator[dict[str, Any]]:
        yield from rows(1, 2)
        raise ZeroDivisionError

    results = sync(slowly(broken()) if is_async else broken(), sandbox=True)
    with pytest.raises(ZeroDivisionError):
        [result async for result in results]
    assert (results.exit_code, results.summary["stopped"]) == (7, "the iterator of the rows raised ZeroDivisionError")


async def test_a_report_and_a_ledger_of_a_stream(tmp_path: Path) -> None:
    """A stream has a report where asked for, and each call with its ledger is a run of its own."""
    output = tmp_path / "out.csv"
    for _ in range(2):
        assert len([result async for result in sync(iter(rows(1, 2)), sandbox=True, output=output)]) == 2
    assert [(row["row"], row["outcome"]) for row in rows_of(output)] == [("1", "updated"), ("2", "updated")]
    runs = await asyncio.to_thread(bulksync, "history", f"{output}.ledger", folder=tmp_path)
    assert len(runs.stdout.splitlines()) == 2


# The blocking form


def test_a_plain_loop(path: Path) -> None:
    """`for` works without an event loop, and `list` takes everything."""
    results = sync(path, sandbox=True, rate="unlimited")
    assert sorted(told(list(results))) == [(number, Outcome.UPDATED, "") for number in range(1, 21)]
    assert (results.exit_code, results.summary["outcomes"]) == (0, {"updated": 20})
    with pytest.raises(RuntimeError, match="a run is iterated over once"):
        list(results)


async def test_a_plain_loop_where_a_loop_is_running(path: Path) -> None:
    """As in a notebook, `for` works on the thread of a running event loop too; an async stream then runs elsewhere."""
    for source in (path, slowly(numbered(20))):
        assert len(list(sync(source, sandbox=True, rate="unlimited"))) == 20


def test_leaving_a_plain_loop(path: Path) -> None:
    """A `break` waits for the end of the run, with or without `with`, and so does an error in the loop."""
    for row in sync(path, sandbox=True, rate="20/s"):
        assert row.outcome is Outcome.UPDATED
        break
    assert Counter(row["outcome"] for row in rows_of(path.with_name(REPORT))).keys() == {"updated", "unsent"}
    results = sync(path, sandbox=True, rate="20/s")

    def work() -> None:
        with results:
            for _ in results:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert (results.exit_code, results.summary["stopped"]) == (10, "the caller left before the end")


INTERRUPTED = """
import signal, bulksync
signal.signal(signal.SIGINT, signal.default_int_handler)
results = bulksync.sync("rows.csv", sandbox=True, rate=20)
try:
    with results:
        for number, result in enumerate(results):
            if number == 1:
                signal.setitimer(signal.ITIMER_REAL, 0.01)
                signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
except KeyboardInterrupt:
    print(results.exit_code, results.summary["stopped"])
"""


def test_ctrl_c_in_a_plain_loop(path: Path) -> None:
    """Ctrl-C while the loop waits for a row ends the run well, and is the caller's then."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", INTERRUPTED], cwd=path.parent, env=environment(path.parent),
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "10 the caller left before the end\n", "")
    outcomes = Counter(row["outcome"] for row in rows_of(path.with_name(REPORT)))
    assert (set(outcomes), outcomes.total()) == ({"updated", "unsent"}, 20)


def test_errors_of_a_plain_loop(tmp_path: Path) -> None:
    """What ends a run before its time is raised by `for` as by `async for`."""
    with pytest.raises(InputError):
        list(sync(tmp_path / "missing.csv", sandbox=True))
    with pytest.raises(TypeError, match="rows gives text"):
        list(sync(iter(["workflowId"]), sandbox=True))  # type: ignore[arg-type]  # the mistake that is meant


# Leaving


async def test_leaving_the_loop_ends_the_run(path: Path) -> None:
    """`async with` waits for the end: what was sent is recorded, the rest unsent, and a repeat sends only that."""
    async with serve(Settings()) as sandbox:
        async with sync(path, **against(sandbox, rate="20/s")) as results:
            async for _ in results:
                break
        updated = results.summary["outcomes"]["updated"]
        assert (results.exit_code, results.summary["stopped"]) == (10, "the caller left before the end")
        assert results.summary["outcomes"] == {"updated": updated, "unsent": 20 - updated}
        assert len(sandbox.log) == updated < 20
        found = [result async for result in sync(path, **against(sandbox))]
        assert sent(sandbox) == Counter(execution(number) for number in range(1, 21))
    assert sorted(told(found)) == [(number, Outcome.UPDATED, "") for number in range(1, 21)]


async def test_leaving_without_async_with(path: Path) -> None:
    """A plain `break` ends the run too, behind the caller's back: its ledger is free soon after."""
    async with serve(Settings()) as sandbox:
        async for _ in sync(path, **against(sandbox, rate="20/s")):
            break
        found = [result async for result in sync(path, **against(sandbox, lock_wait="10s"))]
        assert sent(sandbox) == Counter(execution(number) for number in range(1, 21))
    assert len(found) == 20


@pytest.mark.parametrize("debug", [False, True])
def test_leaving_at_the_end_of_the_program(debug: bool, path: Path) -> None:
    """Where the event loop ends right behind a `break`, the run still ends well and is closed in its ledger."""

    async def main() -> None:
        async for _ in sync(path, sandbox=True, rate="20/s"):
            break

    asyncio.run(main(), debug=debug)
    outcomes = Counter(row["outcome"] for row in rows_of(path.with_name(REPORT)))
    assert (set(outcomes), outcomes.total()) == ({"updated", "unsent"}, 20)


async def test_a_cancelled_task_ends_the_run(path: Path) -> None:
    """Being cancelled in the loop lets requests finish and records them; a repeat sends only the rest."""
    seen = asyncio.Event()

    async def work() -> None:
        async for _ in sync(path, **against(sandbox, rate="20/s")):
            seen.set()

    async with serve(Settings()) as sandbox:
        task = asyncio.create_task(work())
        await seen.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        report = rows_of(path.with_name(REPORT))
        assert Counter(row["outcome"] for row in report) == {
            "updated": len(sandbox.log),
            "unsent": 20 - len(sandbox.log),
        }
        assert len([result async for result in sync(path, **against(sandbox))]) == 20
        assert sent(sandbox) == Counter(execution(number) for number in range(1, 21))


async def test_a_second_cancellation_cancels_what_is_in_flight(path: Path) -> None:
    """A request that hangs is unknown then, and the run ends at once, recorded and reported."""
    async with serve(STUCK) as sandbox:
        others_are_done = asyncio.Event()

        async def work() -> None:
            count = 0
            async for _ in sync(path, **against(sandbox, max_in_flight=2)):
                count += 1
                if count == 19:
                    others_are_done.set()

        task = asyncio.create_task(work())
        await others_are_done.wait()
        task.cancel()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    outcomes = Counter((row["outcome"], row["error"]) for row in rows_of(path.with_name(REPORT)))
    assert outcomes == {("updated", ""): 19, ("unknown", "interrupted"): 1}


async def test_drain_bounds_the_waiting(path: Path) -> None:
    """`drain="0s"` cancels the requests in flight as soon as the caller leaves."""
    async with serve(STUCK) as sandbox, sync(path, **against(sandbox, drain="0s", max_in_flight=2)) as results:
        count = 0
        async for _ in results:
            count += 1
            if count == 19:
                break
    assert results.summary["outcomes"] == {"updated": 19, "unknown": 1}


async def test_an_error_in_the_loop_is_the_callers(path: Path) -> None:
    """What the loop's body raises comes out as it is, after the run has ended."""
    results = sync(path, sandbox=True)

    async def work() -> None:
        async with results:
            async for _ in results:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert results.exit_code == 10


async def test_leaving_before_the_first_row(path: Path) -> None:
    """A run that nobody iterates over does nothing; one that is left while it validates sends nothing."""
    async with sync(path, sandbox=True) as results:
        pass
    assert (results.exit_code, names(path.parent)) == (None, ["rows.csv"])
    async with aclosing(aiter(sync(path, sandbox=True))) as started:
        task = asyncio.ensure_future(anext(started))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


# In somebody else's program


async def test_two_runs_in_one_loop(tmp_path: Path) -> None:
    """Runs side by side do not disturb each other."""
    one, two = (write_rows(tmp_path / name, range(1, 11)) for name in ("one.csv", "two.csv"))

    async def outcomes(path: Path) -> list[Outcome]:
        return [result.outcome async for result in sync(path, **against(sandbox))]

    async with serve(Settings()) as sandbox:
        assert [*await asyncio.gather(outcomes(one), outcomes(two))] == [[Outcome.UPDATED] * 10] * 2
        assert sent(sandbox) == Counter([execution(number) for number in range(1, 11)] * 2)


async def test_a_ledger_in_use(path: Path) -> None:
    """A second run of the same input raises LockedError and leaves the first alone."""
    async with sync(path, sandbox=True, rate="20/s") as results:
        async for _ in results:
            with pytest.raises(LockedError):
                [result async for result in sync(path, sandbox=True)]
            break
    assert results.exit_code == 10


async def test_a_run_is_iterated_over_once() -> None:
    """To iterate again is a mistake; a new call is a new run."""
    results = sync(rows(1), sandbox=True)
    assert len([result async for result in results]) == 1
    with pytest.raises(RuntimeError, match="a run is iterated over once; call sync again"):
        [result async for result in results]


async def test_streams_and_signals_are_the_callers(capfd: pytest.CaptureFixture[str]) -> None:
    """Nothing is printed, no signal is taken; what there is to say goes to the logger `bulksync`."""
    said: queue.SimpleQueue[logging.LogRecord] = queue.SimpleQueue()
    listener = QueueHandler(said)
    logger = logging.getLogger("bulksync")
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    logger.addHandler(listener)
    logger.setLevel(logging.INFO)
    try:
        async for _ in sync([{**rows(1)[0], "status": "ODD"}], sandbox=True):
            assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    finally:
        logger.removeHandler(listener)
        logger.setLevel(logging.NOTSET)
    assert [(record.levelname, record.getMessage()) for record in drained(said)] == [
        ("INFO", "columns sent: workflowId 1, executionId 1, status 1, metadata 1; only echoed: none"),
        ("INFO", "sending 1 row to sandbox at 10/s, about 0.1s"),
        ("WARNING", "unknown statuses (will be sent anyway): ODD 1"),
    ]
    assert capfd.readouterr() == ("", "")


def test_warnings_need_a_listener(tmp_path: Path) -> None:
    """In a program that listens to no logger not even a warning reaches stderr."""
    row = {"workflowId": WORKFLOW, "executionId": execution(1), "status": "ODD"}
    script = f"""
import asyncio, bulksync
async def main():
    async for _ in bulksync.sync([{row!r}], sandbox=True):
        pass
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


# The call


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": "5/d"}, "rate=: '5/d' is not a rate: write 10/s, 600/m or unlimited"),
        ({"nope": 1}, "nope=: there is no such option"),
        ({"sandbox": True, "base_url": "sandbox"}, "sandbox=True and base_url= exclude each other: give one"),
        ({"base_url": "http://api.example"}, "base_url= http://api.example would send the API key in clear text"),
        ({"notify": "https://example.com"}, "notify: of the command line only"),
        ({"dry_run": True}, "dry_run: of the command line only"),
        ({"output": "-"}, "stdin and stdout are the caller's"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    """A wrong option raises UsageError at the call, before there is anything to await."""
    with pytest.raises(UsageError) as caught:
        sync("rows.csv", **options)
    assert (str(caught.value), bool(caught.value.next_step)) == (message, True)


async def test_no_key(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Without a key the run raises UsageError and makes no file; an unusable one is not shown."""
    monkeypatch.delenv("FEATHER_API_KEY", raising=False)
    for key, message in ((None, "no API key found"), (f"{KEY} {KEY}", "api_key is empty, or contains whitespace")):
        with pytest.raises(UsageError, match=message) as caught:
            [result async for result in sync(path, api_key=key)]
        assert KEY not in repr(caught.value)
    assert names(path.parent) == ["rows.csv"]


def test_the_key_is_not_shown() -> None:
    """Neither the run nor what it holds shows the key."""
    results = sync("rows.csv", api_key=KEY)
    assert KEY not in repr(results) + repr(vars(results))


def test_importing_is_cheap(tmp_path: Path) -> None:
    """`import bulksync` loads none of the libraries; every public name is there."""
    script = "import sys, bulksync; print(sorted({'aiohttp', 'anyio', 'pydantic', 'cyclopts'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
    assert {name for name in package.__all__ if inspect.getmodule(getattr(package, name)) is None} == set()
    assert (Path(package.__file__).parent / "py.typed").exists()


def test_the_notebook_does_what_it_says(tmp_path: Path) -> None:
    """The sample for notebooks sends a data frame of pandas and shows what became of each row."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "samples" / "notebook.py"],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    lines = done.stdout.splitlines()
    names = ["Ada", "Ben", "Cy", "Dee", "Eve"]
    assert {line.partition(": ")[2] for line in lines[:5]} == {f"{name} updated" for name in names}
    assert [line.split()[:3] for line in lines[6:11]] == [[str(n), name, "updated"] for n, name in enumerate(names, 1)]
    assert (lines[11:], done.stderr) == (["0 {'updated': 5}"], "")


FRAME = {
    "workflow_id": [UUID(WORKFLOW)] * 2,
    "executionId": [execution(1), execution(2)],
    "status": ["COMPLETED", None],
    "metadata": ['{"a": 1}', '{"a": 2}'],
    "metadata.at": [datetime(2026, 1, 2, tzinfo=UTC), None],
    "metadata.score": [0.5, None],
    "lead": ["Ada", None],
}


@pytest.mark.parametrize(
    "frame",
    [pandas.DataFrame(FRAME), polars.DataFrame({**FRAME, "workflow_id": [WORKFLOW] * 2})],
    ids=["pandas", "polars"],
)
async def test_a_data_frame(frame: Any) -> None:
    """A frame is sent as it is: what is missing is left out, times are ISO 8601, other columns are echoed."""
    async with serve(Settings()) as sandbox:
        found = sorted([result async for result in sync(frame, **against(sandbox))], key=lambda result: result.row)
    assert told(found) == [(1, Outcome.UPDATED, ""), (2, Outcome.UPDATED, "")]
    assert {arrival.execution_id: arrival.body for arrival in sandbox.applied} == {
        execution(1): {
            "status": "COMPLETED",
            "metadata": {"a": 1, "at": "2026-01-02T00:00:00+00:00", "score": 0.5},
        },
        execution(2): {"metadata": {"a": 2}},
    }
    assert [result.columns for result in found] == [{"lead": "Ada"}, {"lead": ""}]


def test_the_sample_does_what_it_says(tmp_path: Path) -> None:
    """The sample program runs as it stands and shows three rows."""
    done = subprocess.run(
        [sys.executable, "-W", "error", ROOT / "samples" / "from_python.py"],
        cwd=tmp_path,
        env=environment(tmp_path, PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["1", "updated"], ["2", "updated"], ["3", "updated"]]
    assert (lines[3:], done.stderr) == (["0 {'updated': 3}"], "")

"""Closing: the exit code says what to do next, and so does the message, with the exact command."""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from bulksync import __version__
from bulksync.errors import InputError
from bulksync.ledger.store import Store
from bulksync.model import Execution, Outcome, Reply, Result, Stop
from bulksync.options.files import files_for
from bulksync.options.models import ReportOptions, RunOptions
from bulksync.reader.locating import locate
from bulksync.reader.source import Source
from bulksync.report.charts import Slices
from bulksync.report.render import input_of, render, slices_of, view_of
from bulksync.report.schema import Timeline, Transition
from bulksync.report.summary import MOVES, close_finished, close_run, exit_code, measured, next_step, summary_of
from bulksync.report.table import View
from bulksync.sender.plan import Plan, plan_run
from bulksync.sender.settings import settings_of
from bulksync.sender.tally import Tally
from tests.support.endings import STOPS
from tests.support.program import API_KEY, WORKFLOW, execution, rows_of, write_rows

COMMAND = "bulksync run rows.csv --rate 10/s"

REPORT = "rows.csv.report.csv"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An open, empty ledger."""
    with closing(Store(tmp_path / "rows.ledger")) as opened:
        yield opened


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """An input of two rows."""
    return locate(write_rows(tmp_path / "rows.csv", [1, 2]))


def planned(store: Store, source: Source) -> Plan:
    """Plan a run of *source*."""
    options = RunOptions()
    files = files_for(source.path, options)
    return plan_run(store, source, options, target="t", files=files, now=0.0, key=API_KEY, stopping=lambda: False)


def result(row: int, outcome: Outcome, error: str = "", disposition: str = "") -> Result:
    """Return the result of a row."""
    said = Execution("COMPLETED", disposition, "", "", []) if disposition else None
    status = 200 if outcome is Outcome.UPDATED else 422
    return Result(row, (WORKFLOW, execution(row)), outcome, error, "", status, said, 1)


@pytest.mark.parametrize("code", STOPS)
def test_a_stop_tells_more_than_rows(code: int) -> None:
    """Whatever became of the rows, a run that was stopped ends with the stop's code."""
    outcomes = {"failed": 1, "rejected": 1, "updated": 1}
    assert exit_code(Stop(code, "interrupted", ""), outcomes, {"internal_error": 1}) == code


@pytest.mark.parametrize(
    ("outcomes", "errors", "code"),
    [
        ({}, {}, 0),
        ({"updated": 5}, {}, 0),
        ({"updated": 5, "unchanged": 2}, {}, 0),
        ({"updated": 5, "rejected": 1}, {"http_422": 1}, 3),
        ({"invalid": 1}, {"id_invalid": 1}, 3),
        ({"failed": 1}, {"http_503": 1}, 4),
        ({"unknown": 1}, {"request_timeout": 1}, 4),
        ({"unsent": 1}, {"predecessor_unresolved": 1}, 4),
        ({"rejected": 9, "invalid": 9, "failed": 1}, {"http_503": 1, "http_422": 9}, 4),
        ({"failed": 1, "rejected": 1}, {"internal_error": 1}, 1),
    ],
)
def test_rows_to_repeat_tell_more_than_rows_to_mend(
    outcomes: dict[str, int], errors: dict[str, int], code: int
) -> None:
    """4 goes before 3, and a fault of ours before both."""
    assert exit_code(None, outcomes, errors) == code


def test_what_to_do_next() -> None:
    """Every code but 0 says what to do, with the exact command where it is to be run again."""
    again = f"to resume, run the same command: {COMMAND}"
    assert {code: next_step(code, COMMAND, REPORT) for code in (0, 3, *STOPS, 4)} == {
        0: "",
        1: f"please report this as a bug, with the output; to resume the run: {COMMAND}",
        3: f"see the columns error and detail in {REPORT}, fix those rows, and run them as a new file",
        4: f"run it again, now or later: {COMMAND}",
        5: f"check the API key and the URL (for TLS also --ca-file and the clock), then run it again: {COMMAND}; where "
        "the refused rows are themselves wrong, such as deleted executions, add --accept-refusals",
        6: f"run it again later: {COMMAND}",
        7: f"fix the input, then run it again: {COMMAND}; with --on-invalid skip the valid rows are sent",
        8: f"free space, then run it again: {COMMAND}",
        10: again,
        12: f"look at the columns error and detail in {REPORT}, then run it again: {COMMAND}",
        129: again,
        130: again,
        143: again,
    }


def test_a_run_is_closed_with_its_summary(store: Store, source: Source) -> None:
    """The summary counts rows over the whole run, requests and times over this invocation."""
    plan = planned(store, source)
    store.commit(plan.run.id, [result(1, Outcome.UPDATED, disposition="DNC")])
    tally = Tally()
    tally.count(Reply(200, ""), sent=100.0, duration=0.1, is_retry=False)
    stop = Stop(130, "interrupted", "stopped by SIGINT")
    run = close_run(store, plan.run, stop, tally, now=1.0, command=COMMAND, rate=10.0)
    assert (run.ended, run.exit_code, store.runs()) == ("1970-01-01T00:00:01.000Z", 130, [run])
    assert run.summary
    assert orjson.loads(run.summary) == {
        "run": run.name,
        "input": str(source.path),
        "target": "t",
        "rows": 2,
        "started": "1970-01-01T00:00:00.000Z",
        "outcomes": {"unsent": 1, "updated": 1},
        "httpStatuses": {"200": 1},
        "dispositions": {"DNC": 1},
        "moved": [],
        "errors": {"interrupted": 1},
        "ended": "1970-01-01T00:00:01.000Z",
        **measured(tally, 10.0).model_dump(mode="json", by_alias=True),
        "stopped": "stopped by SIGINT",
        "advice": "",
        "version": __version__,
        "schemaVersion": 1,
        "exitCode": 130,
        "nextStep": f"to resume, run the same command: {COMMAND}",
    }
    assert [(line.error, line.detail) for line in store.lines(run.id)] == [
        ("", ""),
        ("interrupted", "stopped by SIGINT"),
    ]


def test_a_summary_shows_the_most_frequent_moves(store: Store, tmp_path: Path) -> None:
    """From which disposition to which how many executions went since the run before, bounded."""
    for night, word in (("RUNNING", "WAS_{:02}"), ("COMPLETED", "DNC")):
        plan = planned(store, locate(write_rows(tmp_path / "night.csv", range(1, 51), night)))
        answers = [result(number, Outcome.UPDATED, disposition=word.format(number)) for number in range(1, 51)]
        store.commit(plan.run.id, answers)
        run = close_run(store, plan.run, None, Tally(), now=1.0, command=COMMAND, rate=10.0)
    expected = [Transition(old=f"WAS_{n:02}", new="DNC", count=1) for n in range(1, MOVES + 1)]
    assert summary_of(store, run).moved == tuple(expected)


def test_what_an_invocation_measured() -> None:
    """The rate counts from the first request to the last answer; shares of the time add up to one."""
    tally = Tally(32, time_went={"rate": 3.0, "hold": 1.0, "server": 0.0, "retry": 0.0})
    for number in range(3):
        reply = Reply(429 if number == 2 else 200, "")
        tally.count(reply, sent=100.0 + number, duration=1.0, is_retry=number == 2)
    assert measured(tally, 10.0).model_dump(mode="json", by_alias=True) == {
        "requests": 3, "retries": 1, "throttled": 1, "unavailable": 0, "pauses": 0, "pausedSeconds": 1.0,
        "rate": "10/s",
        "maxInFlight": 32,
        "achievedRate": 0.67, "latencyMs": {"p50": 1000, "p95": 1000, "p99": 1000},
        "timeWent": {"rate": 0.75, "hold": 0.25, "server": 0.0, "retry": 0.0},
        "timeBreakdown": {"rate": 0.75, "hold": 0.25, "server": 0.0, "retry": 0.0}, "elapsedSeconds": 3.0,
        "timeline": {
            "from": "1970-01-01T00:01:40.000Z", "sliceSeconds": 1.0,
            "acknowledged": [0, 1, 1, 0], "throttled": [0, 0, 0, 1], "other": [0, 0, 0, 0],
        },
    }  # fmt: skip
    nothing = measured(Tally(), 10.0)
    assert (nothing.achieved_rate, nothing.time_went.rate) == (None, 0.0)
    assert nothing.timeline == Timeline(start=None, slice_seconds=1.0, acknowledged=(), throttled=(), other=())


def test_a_finished_run_is_closed_once(store: Store, source: Source) -> None:
    """A run that ended well is returned as it stands; one that a kill kept from its end is closed now."""
    plan = planned(store, source)
    store.commit(plan.run.id, [result(1, Outcome.UPDATED), result(2, Outcome.UPDATED)])
    killed = store.runs()[0]
    first = close_finished(store, killed, now=1.0, command=COMMAND, rate=10.0)
    assert (first.exit_code, first.ended) == (0, "1970-01-01T00:00:01.000Z")
    assert close_finished(store, first, now=2.0, command="other", rate=1.0) is first


def test_the_input_is_shown_only_as_it_was(store: Store, source: Source) -> None:
    """Bytes that changed, or a file that is gone, are said instead."""
    run = planned(store, source).run
    assert input_of(run, source) is source
    source.path.write_text("other")
    changed = input_of(run, source)
    assert isinstance(changed, InputError)
    assert changed.what == f"{source.path} has changed since the run read it"
    source.path.unlink()
    gone = input_of(run, source)
    assert isinstance(gone, InputError)
    assert gone.what == f"cannot read {source.path}: No such file or directory"


def test_what_a_page_shows_over_time(store: Store, source: Source) -> None:
    """The answers that the last call counted; rows by the second they were finished in where it sent nothing."""
    plan = planned(store, source)
    store.commit(plan.run.id, [replace(result(1, Outcome.UPDATED), finished=100.5)])
    tally = Tally()
    tally.count(Reply(200, ""), sent=100.25, duration=0.1, is_retry=False)
    counts = {"acknowledged": (1,), "throttled": (0,), "other": (0,)}
    assert slices_of(store, plan.run, measured(tally, 1.0).timeline) == Slices(100.25, 1.0, counts)
    finished = Slices(100.0, 1.0, {"finished": [1]})
    assert slices_of(store, plan.run, measured(Tally(), 1.0).timeline) == finished
    assert slices_of(store, plan.run, None) == finished


def test_a_page_is_written_beside_the_report(store: Store, source: Source, tmp_path: Path) -> None:
    """With --html the page tells what the run came to, from the ledger alone."""
    plan = planned(store, source)
    store.commit(plan.run.id, [result(1, Outcome.REJECTED, "http_422")])
    run = close_run(store, plan.run, None, Tally(), now=1.0, command=COMMAND, rate=10.0)
    assert render(store, run, source, tmp_path / "r.csv", ReportOptions(html=tmp_path / "r.html")) == ""
    text = (tmp_path / "r.html").read_text()
    assert (str(tmp_path / "r.csv") in text, str(store.path) in text, "http_422" in text) == (True, True, True)


def test_metadata_is_echoed_on_request_only(store: Store, tmp_path: Path) -> None:
    """The columns of metadata appear only with --echo-metadata, and none without the input."""
    path = tmp_path / "rows.csv"
    path.write_text(f"workflowId;executionId;metadata.name;city\n{WORKFLOW};{execution(1)};Ann;Rome\n")
    run = planned(store, locate(path)).run
    assert view_of(run, echoed=True) == View(";", False, ("city",), False)
    run = replace(run, settings=settings_of(run).model_copy(update={"echo_metadata": True}).model_dump_json())
    assert view_of(run, echoed=True) == View(";", False, ("city", "metadata.name"), False)
    assert view_of(run, echoed=False) == View(";", False, (), False)


def test_everything_asked_for_is_written(store: Store, source: Source, tmp_path: Path) -> None:
    """Report, retry file and summary come from the same run."""
    plan = planned(store, source)
    store.commit(plan.run.id, [result(1, Outcome.UPDATED)])
    run = close_run(store, plan.run, None, Tally(), now=1.0, command=COMMAND, rate=10.0)
    options = ReportOptions(retry_file=tmp_path / "again.csv", summary=tmp_path / "s.json")
    assert render(store, run, source, tmp_path / "r.csv", options) == ""
    assert [row["outcome"] for row in rows_of(tmp_path / "r.csv")] == ["updated", "unsent"]
    header, _, second = source.path.read_text().splitlines(keepends=True)
    assert (tmp_path / "again.csv").read_text() == header + second
    assert orjson.loads((tmp_path / "s.json").read_bytes()) == orjson.loads(run.summary or "")


def test_without_the_input_there_is_a_report_but_no_retry_file(store: Store, source: Source, tmp_path: Path) -> None:
    """The report is then without the input's columns, which is said; a retry file is refused."""
    plan = planned(store, source)
    run = close_run(store, plan.run, None, Tally(), now=1.0, command=COMMAND, rate=10.0)
    gone, output = InputError("rows.csv is gone"), tmp_path / "r.csv"
    note = render(store, run, gone, output, ReportOptions())
    assert note == "rows.csv is gone; the report lacks the input's other columns"
    with pytest.raises(InputError) as caught:
        render(store, run, gone, output, ReportOptions(retry_file=tmp_path / "again.csv"))
    assert (caught.value.what, caught.value.next_step) == (
        "rows.csv is gone",
        f"without the input there is no retry file; the report is {output}",
    )
    assert len(rows_of(output)) == 2
    assert not (tmp_path / "again.csv").exists()

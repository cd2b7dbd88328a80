"""What a terminal shows: lines for people, from the same values as the summary."""

from typing import Any

import pytest

from bulksync.console.lines import check_lines, closing_lines, closing_parts, diff_lines, invalid_line
from bulksync.ledger.line import Problem
from bulksync.report.grouping import Group
from bulksync.report.schema import Summary, Transition

SUMMARY: dict[str, Any] = {
    "run": "r", "target": "t", "started": "2026-01-01T00:00:00.000Z", "httpStatuses": {}, "exitCode": 4,
    "rows": 1200, "input": "rows.csv", "outcomes": {"updated": 1199, "failed": 1}, "requests": 1300,
    "achievedRate": 9.87, "rate": "10/s", "retries": 1, "throttled": 2, "pauses": 1, "pausedSeconds": 2.25,
    "latencyMs": {"p50": 30, "p95": 40, "p99": 50}, "dispositions": {"DNC": 1199}, "errors": {"http_503": 1},
    "moved": [], "stopped": "", "advice": "97 % limited by --rate",
    "nextStep": "run it again, now or later: bulksync run rows.csv",
}  # fmt: skip

PAUSE = "1 pause of 2.2s in all"

GROUP = Group("http_503", "try … later", 3, 7, 9)


def lines(*groups: Group, note: str = "", **changes: Any) -> list[str]:
    """Return what is said at the end of a run."""
    summary = Summary.model_validate(SUMMARY | changes)
    return closing_lines(summary, closing_parts(summary, groups, report="r.csv", ledger="r.ledger", note=note))


def test_the_end_of_a_run() -> None:
    """Rows, requests, where the time went, words of the server, errors, where to look, what next."""
    assert lines(GROUP) == [
        "rows.csv: 1,200 rows, updated 1,199, failed 1",
        f"sent: 1,300 requests, 9.87/s of 10/s, 1 retry, 2 answered 429, {PAUSE}, latency p50 30 ms, p99 50 ms",
        "time: 97 % limited by --rate",
        "dispositions: DNC 1,199",
        "errors: http_503 1",
        "error: 3 rows, first row 7 (line 9): http_503: try … later",
        "report: r.csv",
        "ledger: r.ledger",
        "next: run it again, now or later: bulksync run rows.csv",
    ]


def test_what_there_is_none_of_is_not_said() -> None:
    """A run without requests, errors and next step says only what it is."""
    nothing: dict[str, Any] = {"p50": None, "p95": None, "p99": None}
    quiet: dict[str, Any] = {
        "rows": 1,
        "outcomes": {"unsent": 1},
        "requests": 0,
        "dispositions": {},
        "errors": {},
        "advice": "",
        "nextStep": "",
    }
    assert lines(**quiet) == ["rows.csv: 1 row, unsent 1", "report: r.csv", "ledger: r.ledger"]
    lost: dict[str, Any] = {
        "requests": 1,
        "achievedRate": None,
        "retries": 0,
        "throttled": 0,
        "pauses": 0,
        "latencyMs": nothing,
    }
    assert lines(**quiet | lost)[1] == "sent: 1 request"


def test_why_a_run_stopped_and_what_is_missing() -> None:
    """The reason stands right behind the counts, a note behind the files."""
    said = lines(stopped="stopped by SIGINT", note="without the input's other columns", outcomes={"updated": 2})
    assert (said[1], said[-2]) == ("stopped: stopped by SIGINT", "note: without the input's other columns")


MOVED = [{"from": "NO_ANSWER", "to": "VOICEMAIL", "count": 1041}, {"from": "", "to": "DNC", "count": 2}]
WORDS = "NO_ANSWER → VOICEMAIL 1,041, none → DNC 2"


def test_what_moved() -> None:
    """From where to where how many executions went stands behind the dispositions."""
    said = lines(moved=MOVED)
    assert said[4] == f"moved: {WORDS}"


@pytest.mark.parametrize(
    ("compared", "moved", "said"),
    [
        (0, [], "run r: no earlier run that this ledger keeps has an answer for its executions (--keep-runs)"),
        (1, [], "run r: 1 execution compared with the last earlier answer: no disposition moved"),
        (
            2000,
            MOVED,
            "run r: 2,000 executions compared with the last earlier answer: dispositions moved: " + WORDS,
        ),
    ],
)
def test_what_a_difference_came_to(compared: int, moved: list[dict[str, Any]], said: str) -> None:
    """Where nothing could be compared that is said, as it is something else than that nothing moved."""
    assert diff_lines("r", compared, [Transition.model_validate(one) for one in moved]) == [said]


def test_errors_are_said_in_groups() -> None:
    """The largest groups are named, others counted; what the stop said to every row is not said twice."""
    groups = [Group("http_400", "a" * number, number, number, number + 1) for number in range(7, 0, -1)]
    unsent = Group("interrupted", "stopped by SIGINT", 90, 10, 11)
    said = [line for line in lines(unsent, *groups, stopped="stopped by SIGINT") if line.startswith("error: ")]
    assert said == [
        "error: 7 rows, first row 7 (line 8): http_400: aaaaaaa",
        "error: 6 rows, first row 6 (line 7): http_400: aaaaaa",
        "error: 5 rows, first row 5 (line 6): http_400: aaaaa",
        "error: 4 rows, first row 4 (line 5): http_400: aaaa",
        "error: 3 rows, first row 3 (line 4): http_400: aaa",
        "error: … and 3 rows with other errors",
    ]
    assert lines(Group("http_500", "", 1, 2, 3))[5] == "error: row 2 (line 3): http_500"


def test_a_server_with_many_words() -> None:
    """Twenty dispositions are named, the others counted, and none of them is obeyed by a terminal."""
    many = {f"\x1b[31mD{number}": 100 - number for number in range(25)}
    named = ", ".join(f"D{number} {100 - number}" for number in range(20))
    assert lines(dispositions=many)[3] == f"dispositions: {named}, … 5 others 390"


def test_what_a_check_says() -> None:
    """Counts, columns, notes, statuses, executions in several rows, and how long it takes."""
    found: dict[str, Any] = {
        "columns": [
            {"name": "workflow_id", "field": "workflowId", "rows": 1000},
            {"name": "Vorname\n", "field": "metadata.firstName", "rows": 7},
            {"name": "", "field": "status", "rows": 1000},
            {"name": "lead\r\nName", "field": "", "rows": 12},
        ],
        "input": "rows.csv", "rows": 1000, "valid": 999, "invalid": 1, "statuses": {"COMPLETED": 990, "NEW": 9},
        "unknownStatuses": {"NEW": 9}, "repeatedExecutions": 1, "rowsOfThose": 3,
        "repeated": [{"executionId": "e", "row": 7, "rows": 3}],
    }  # fmt: skip
    sent = "workflow_id 1,000, Vorname as metadata.firstName 7, status (--set) 1,000"
    said = f"columns sent: {sent}; only echoed: lead Name 12"
    assert check_lines(found, takes="1m40s", rate="10/s") == [
        "rows.csv: 1,000 rows, 999 valid, 1 invalid",
        said,
        "statuses: COMPLETED 990, NEW 9",
        "unknown statuses (will be sent anyway): NEW 9",
        "1 execution appears in more than one row (3 rows); those are sent in file order",
        "  e in 3 rows, from row 7 on",
        "estimated duration: 1m40s at 10/s",
    ]
    bare = found | {
        "columns": found["columns"][:1],
        "statuses": {},
        "unknownStatuses": {},
        "repeatedExecutions": 0,
    }
    assert check_lines(bare, takes="0.1s", rate="10/s") == [
        "rows.csv: 1,000 rows, 999 valid, 1 invalid",
        "columns sent: workflow_id 1,000; only echoed: none",
        "estimated duration: 0.1s at 10/s",
    ]


def test_an_invalid_row_names_row_and_line() -> None:
    """Every message about a row names both."""
    assert invalid_line(Problem(7, 9, "id_invalid", "no UUID")) == "row 7 (line 9): id_invalid: no UUID"

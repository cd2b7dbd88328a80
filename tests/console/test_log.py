"""Tests of `bulksync.console.log`."""

import io
import json
import logging
import os
import sys
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Literal

import pytest

from bulksync.console.log import EVENTS, say_to_stderr, teller, to_logging

UNTIL = datetime(2026, 1, 31, 15, 20, 31, tzinfo=timezone(timedelta(hours=2)))

ROW = {
    "row": 7,
    "line": 9,
    "workflowId": "11111111-1111-4111-8111-111111111111",
    "executionId": "00000000-0000-4000-8000-000000000001",
    "attempt": 2,
}

SAMPLES: dict[str, dict[str, Any]] = {
    "note": {"text": "skipped as blank: 2 lines of nothing but delimiters (first: line 3)"},
    "sending": {
        "rows": 12_345,
        "target": "https://api.example.com",
        "rate": "10/s",
        "about": "20m34s",
        "etaSeconds": 1234.5,
        "run": "r1",
    },
    "fetching": {"rows": 1, "target": "sandbox", "rate": "10/s", "about": "0.1s"},
    "saving before": {"path": "before.jsonl"},
    "sending a stream": {"target": "sandbox", "rate": "10/s"},
    "columns": {"sent": "workflowId 2, status 2", "echoed": "leadName 1"},
    "acknowledged already": {"known": 5, "rows": 6, "command": "bulksync run rows.csv --only-changed"},
    "superseded": {"rows": 2},
    "continuing": {"name": "r1", "begun": "--resend"},
    "unknown statuses": {"statuses": {"DONE": 2}},
    "ended": {"outcomes": {"updated": 5}},
    "few files": {"asked": 100, "allowed": 16, "files": 48},
    "planned": {"due": 4, "rows": 5, "invalid": 1, "seconds": 0.25, "report": "r.csv", "ledger": "r.csv.ledger"},
    "sharing": {"quota": "/state/quota/1f"},
    "not sharing": {"reason": "/state/quota/1f: Permission denied"},
    "shared rate": {"others": 20.0, "own": 10.0},
    "quota": {"reason": "the quota redis://10.0.0.5:6379/0 cannot be used: no answer"},
    "password seen": {},
    "progress": {"text": "5 of 10 rows", "done": 5, "total": 10, "etaSeconds": 2.5, "outcomes": {"updated": 5}},
    "asked": {"text": "6 of 10 rows"},
    "hold": {"wait": 2.04, "until": UNTIL, "reason": "the server answers 429"},
    "stopping": {"reason": "stopped by SIGTERM"},
    "retry": ROW | {"reason": "http_503", "wait": 0.51},
    "attempt": ROW | {"reason": "acknowledged", "duration": 0.0423},
    "not notified": {"url": "https://hooks.example", "reason": "the answer is 404 Not Found"},
    "failed": {"error": "no API key found", "nextStep": "export one", "exitCode": 2},
    "fault": {"error": "ZeroDivisionError()"},
    "internal error": ROW | {"error": "ZeroDivisionError()"},
}

LINES = {
    "note": "bulksync: skipped as blank: 2 lines of nothing but delimiters (first: line 3)",
    "sending": "bulksync: sending 12,345 rows to https://api.example.com at 10/s, about 20m34s",
    "fetching": "bulksync: fetching 1 execution from sandbox at 10/s, about 0.1s",
    "saving before": "bulksync: each execution is read before its first update, which takes a turn more;"
    " its state is saved in before.jsonl",
    "sending a stream": "bulksync: sending rows to sandbox at 10/s as they come",
    "columns": "bulksync: columns sent: workflowId 2, status 2; only echoed: leadName 1",
    "acknowledged already": (
        "bulksync: 5 of 6 rows are already acknowledged with the same payload; to leave them out: bulksync run rows.csv"
        " --only-changed"
    ),
    "superseded": ("bulksync: rows skipped because a later run has updated their executions (--resend sends them): 2"),
    "continuing": "bulksync: resuming run r1, started with --resend; once it is done, --resend starts another",
    "unknown statuses": "bulksync: unknown statuses (will be sent anyway): DONE 2",
    "ended": "bulksync: updated 5",
    "few files": "bulksync: 16 concurrent requests, not the 100 asked for: ulimit -n is 48",
    "planned": "bulksync: 4 of 5 rows to send, 1 invalid, after 0.2s; to r.csv and r.csv.ledger",
    "sharing": "bulksync: sharing the rate with other runs: /state/quota/1f",
    "not sharing": (
        "bulksync: the rate applies to this run alone: the quota file cannot be used: /state/quota/1f: Permission"
        " denied"
    ),
    "shared rate": "bulksync: sharing the quota with a run at 20/s; this one keeps to 10/s",
    "quota": "bulksync: paused, nothing is sent: the quota redis://10.0.0.5:6379/0 cannot be used: no answer",
    "password seen": "bulksync: other users of this host can see the password in --quota; set BULKSYNC_QUOTA",
    "progress": "bulksync: 5 of 10 rows",
    "asked": "bulksync: 6 of 10 rows",
    "hold": "bulksync: waiting 2.0s, until 15:20:31: the server answers 429",
    "stopping": "bulksync: stopping; waiting for requests in flight (Ctrl-C again to cancel them): stopped by SIGTERM",
    "retry": "bulksync: row 7 (line 9): http_503; attempt 2, again in 0.5s",
    "attempt": "bulksync: row 7 (line 9): acknowledged after 0.042s",
    "not notified": (
        "bulksync: https://hooks.example (--notify) did not take the summary: the answer is 404 Not Found"
    ),
    "failed": "bulksync: no API key found",
    "fault": "bulksync: internal error: ZeroDivisionError()",
    "internal error": "bulksync: row 7 (line 9): internal error: ZeroDivisionError()",
}


def told(style: Literal["text", "json"], *, quiet: bool = False, verbosity: int = 0) -> list[str]:
    """Return what is said of one event of each kind."""
    said: list[str] = []
    tell = teller(style, quiet=quiet, verbosity=verbosity, say=said.append)
    for event, fields in SAMPLES.items():
        tell(event, **fields)
    return said


def test_there_is_a_sample_of_every_event() -> None:
    """No event is left untested."""
    assert list(SAMPLES) == list(EVENTS) == list(LINES)


@pytest.mark.parametrize(
    ("quiet", "verbosity", "hidden"),
    [
        (False, 0, {"planned", "sharing", "retry", "attempt"}),
        (False, 1, {"attempt"}),
        (False, 2, set()),
        (False, 9, set()),
        (True, 0, set(EVENTS) - {"asked", "not notified", "failed", "fault", "internal error"}),
        (True, 2, set(EVENTS) - {"asked", "not notified", "failed", "fault", "internal error"}),
    ],
)
def test_lines_for_people(quiet: bool, verbosity: int, hidden: set[str]) -> None:
    """Each event is one line of text, and how much is said is the caller's choice."""
    expected = [line for event, line in LINES.items() if event not in hidden]
    assert told("text", quiet=quiet, verbosity=verbosity) == expected


def test_a_program_that_calls_us_hears_by_logging(caplog: pytest.LogCaptureFixture) -> None:
    """`to_logging` says each event to the logger `bulksync`, at its level, and nothing below what is listened to."""
    caplog.set_level(logging.INFO, "bulksync")
    for event, fields in SAMPLES.items():
        to_logging(event, **fields)
    assert caplog.record_tuples == [
        ("bulksync", level, LINES[event].removeprefix("bulksync: "))
        for event, (level, _) in EVENTS.items()
        if level >= logging.INFO
    ]


def test_lines_for_programs() -> None:
    """Each event is one JSON object with its name, level, time and fields, and all times are UTC."""
    said = [json.loads(line) for line in told("json", verbosity=2)]
    times = [line.pop("time") for line in said]
    levels = {logging.WARNING: "warning", logging.INFO: "info", logging.ERROR: "error"}
    assert said == [
        fields
        | ({"until": "2026-01-31T13:20:31Z"} if event == "hold" else {})
        | {"event": event, "level": levels.get(EVENTS[event][0], "debug")}
        for event, fields in SAMPLES.items()
    ]
    assert all(time.endswith("Z") and datetime.fromisoformat(time).utcoffset() == UTC.utcoffset(None) for time in times)


def test_what_json_has_no_word_for_is_null() -> None:
    """A line parses whatever the value: a number that is none is null, and an object its text."""
    said: list[str] = []
    tell = teller("json", quiet=False, verbosity=0, say=said.append)
    tell("progress", text="x", rate=float("inf"), error=ValueError("so"))
    line = json.loads(said[0], parse_constant=pytest.fail)
    assert (line["rate"], line["error"]) == (None, "so")


@pytest.mark.parametrize(("style", "mark"), [("text", "Traceback"), ("json", '"exception"')])
def test_an_internal_error_shows_where(style: Literal["text", "json"], mark: str) -> None:
    """A fault of ours is said in a line, and with `-v` with its place in the code, to be reported."""
    said: list[str] = []
    for verbosity in (0, 1):
        tell = teller(style, quiet=True, verbosity=verbosity, say=said.append)
        try:
            raise ValueError("broken")
        except ValueError as error:
            tell("internal error", row=1, line=2, error=repr(error), exc_info=error)
    short, long = said
    assert ("broken" in short, mark in short, len(short.splitlines())) == (True, False, 1)
    assert ("broken" in long, mark in long) == (True, True)
    assert (len(long.splitlines()) == 1) is (style == "json")


def test_braces_in_what_others_say_are_text() -> None:
    """A server's words are never taken for a template."""
    said: list[str] = []
    teller("text", quiet=False, verbosity=0, say=said.append)("progress", text="{rows} {0} {")
    assert said == ["bulksync: {rows} {0} {"]


# stderr


def test_says_to_stderr(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line is written at once, with its end."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    say_to_stderr("a line")
    assert stream.getvalue() == "a line\n"


def test_a_closed_stderr_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where stderr was closed nothing is said, this time and every later time."""
    stream = io.StringIO()
    stream.close()
    monkeypatch.setattr(sys, "stderr", stream)
    say_to_stderr("lost")
    assert sys.stderr is None
    say_to_stderr("lost too")


def test_a_pipe_without_a_reader_is_no_reason_to_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the reader of stderr went away nothing is said any more."""
    reading, writing = os.pipe()
    os.close(reading)
    stream = os.fdopen(writing, "w")
    monkeypatch.setattr(sys, "stderr", stream)
    say_to_stderr("lost")
    assert sys.stderr is None
    with pytest.raises(BrokenPipeError):
        stream.close()

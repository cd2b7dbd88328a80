"""The ledger: what was committed stays, what may have been sent is doubted, and a stranger's file is left alone."""

import itertools
import os
import sqlite3
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from bulksync.errors import LockedError, StorageError
from bulksync.ledger import sql
from bulksync.ledger.backlog import AHEAD, Backlog
from bulksync.ledger.database import check_sqlite, checked
from bulksync.ledger.line import Recorded
from bulksync.ledger.store import Store, timestamp
from bulksync.ledger.writer import BATCH, BEHIND, Ledger, open_ledger
from bulksync.model import Execution, InvalidRow, Outcome, Result, Row, Step, payload_digest
from tests.support.ledgers import execute
from tests.support.program import WORKFLOW, execution

TARGET = "https://api.invalid"

SECRET = "metadata-nobody-may-see"  # noqa: S105  no secret, a word to look for


def row(number: int, key: int | None = None) -> Row:
    """Return input row *number*; rows of one *key* are of one execution."""
    body = f'{{"status":"COMPLETED","metadata":{{"note":"{SECRET}"}}}}'.encode()
    return Row(number, number + 1, WORKFLOW, execution(number if key is None else key), "COMPLETED", body)


def no_loss() -> None:
    """Say that the ledger was lost, which it is not."""
    pytest.fail("no loss")


def begin(store: Store, rows: list[Row | InvalidRow], *, target: str = TARGET, name: str = "") -> int:
    """Plan a run of *rows* in one chunk."""
    with store.transaction():
        number = len(store.runs()) + 1
        run = store.begin(
            name=name or f"run-{number}", target=target, input="rows.csv", path="/rows.csv", digest="d", started=0.0
        )
        store.plan(run, rows, b"chunk")
        store.set_settings(run, len(rows), '{"report": null}')
    return run


def begin_rows(store: Store, count: int, **about: str) -> int:
    """Plan a run of *count* rows of as many executions."""
    return begin(store, [row(number) for number in range(1, count + 1)], **about)


def updated(of: Row, digest: str = "") -> Result:
    """Return the result of a row that was acknowledged at the first attempt."""
    return Result(of.row, of.key, Outcome.UPDATED, status=200, attempts=1, digest=digest or f"digest-{of.row}")


def result(of: Row, outcome: Outcome, error: str = "http_503", *, doubtful: bool = False) -> Result:
    """Return the result of a row that was not acknowledged."""
    attempts = 0 if outcome is Outcome.UNSENT else 1
    return Result(of.row, of.key, outcome, error, status=None, attempts=attempts, doubtful=doubtful)


def outcomes(store: Store, run: int) -> list[str | None]:
    """Return the outcome of each line of a run."""
    return [line.outcome for line in store.lines(run)]


def told(store: Store, run: int) -> list[tuple[str | None, bool, str, str]]:
    """Return outcome, doubt, error and detail of each line of a run."""
    return [(line.outcome, bool(line.doubtful), line.error, line.detail) for line in store.lines(run)]


def query(path: Path, statement: str) -> list[tuple[Any, ...]]:
    """Look into a ledger that nobody has open."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(statement).fetchall()


def acknowledged(path: Path) -> dict[str, str]:
    """Return the acknowledged digests of a closed ledger by execution."""
    return dict(query(path, "SELECT execution, digest FROM acknowledged"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a ledger is to be."""
    return tmp_path / "rows.ledger"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    """An open, empty ledger."""
    with closing(Store(path)) as opened:
        yield opened


def killed_while(path: Path, script: str) -> None:
    """Run *script* in a process that dies without closing its `store`; it has `begin`, `row` and the other words."""
    program = f"""
import os, sys
from pathlib import Path
from tests.ledger.test_store import *
store = Store(Path({str(path)!r}))
{script}
os.kill(os.getpid(), 9)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (-9, "")


def test_a_planned_row_is_due_and_an_invalid_one_is_not(store: Store) -> None:
    """A plan makes valid rows due, and gives invalid ones their outcome at once."""
    run = begin(store, [row(1), InvalidRow(2, 3, "id_invalid", "no UUID", "w", "e", "S"), row(3)])
    assert store.count_due(run) == 2
    assert store.due(run, 1, 3) == {1, 3}
    assert store.due(run, 2, 3) == {3}
    assert told(store, run) == [
        (None, False, "", ""),
        ("invalid", False, "id_invalid", "no UUID"),
        (None, False, "", ""),
    ]
    assert list(store.invalid(run)) == [(2, 3, "id_invalid", "no UUID")]


def test_a_plan_that_fails_leaves_no_run(store: Store) -> None:
    """A run is planned as one transaction, or not at all."""
    begin_rows(store, 1)
    with pytest.raises(StorageError):
        begin(store, [row(1), row(1)])
    assert [run.name for run in store.runs()] == ["run-1"]


def test_chunk_digest_is_found_by_its_first_row(store: Store) -> None:
    """A chunk is known by its first row; any other row begins none."""
    run = begin_rows(store, 3)
    assert (store.chunk_digest(run, 1), store.chunk_digest(run, 2)) == (b"chunk", None)


def test_a_result_is_kept_whole(store: Store) -> None:
    """A line holds everything that the answer said, times in UTC with milliseconds."""
    run = begin_rows(store, 1)
    steps = [Step("s1", "CALL", 1, "ENDED", "DNC", "hangup")]
    said = Execution("COMPLETED", "FRAUD", "2026-01-01T00:00:00Z", "later", steps)
    of = row(1)
    answer = Result(
        1, of.key, Outcome.UPDATED, "", "", 200, said, 2, 1_700_000_000.0, 1_700_000_001.5, 0.2504, True, "d"
    )
    store.commit(run, [answer])
    assert list(store.lines(run)) == [
        (
            1, 2, WORKFLOW, execution(1), "COMPLETED", "updated", 200, 2, "COMPLETED", "FRAUD",
            '[{"id":"s1","type":"CALL","order":1,"status":"ENDED","disposition":"DNC","call_ended_reason":"hangup"}]',
            "2026-01-01T00:00:00Z", "later", "2023-11-14T22:13:20.000Z", "2023-11-14T22:13:21.500Z", 250, 1, "", "",
        )
    ]  # fmt: skip


def test_the_cells_of_a_report_are_joined(store: Store) -> None:
    """Each line is one text of 20 cells in the contract's order; what is not known, or was never sent, is empty."""
    run = begin(store, [row(1), InvalidRow(2, 3, "id_invalid", "no UUID", "", "e", "S"), row(3), row(4), row(5)])
    steps = [Step(str(n), "CALL", n, "ENDED", word, "") for n, word in enumerate(("A", "", 'B"é'))]
    said = Execution("COMPLETED", "FRAUD", "2026-01-01T00:00:00Z", "later", steps)
    short = Execution("COMPLETED", "", "", "", steps[2:])
    times = (1_700_000_000.0, 1_700_000_001.5, 0.2504)
    lost = Result(3, row(3).key, Outcome.UNKNOWN, "request_timeout", "late", None, None, 1, *times, doubtful=True)
    both = [
        Result(number, row(number).key, Outcome.UPDATED, "", "", 200, execution_said, 2, *times, False, "d")
        for number, execution_said in ((1, said), (5, short))
    ]
    store.commit(run, [*both, lost])
    store.leave(run, error="interrupted", detail="stopped")
    sent, never = "2023-11-14T22:13:20.000Z|2023-11-14T22:13:21.500Z|250", "|" * 11
    acknowledged = 'COMPLETED|updated|200|2|COMPLETED|FRAUD|A;;B"é|2026-01-01T00:00:00Z|later'
    assert list(store.joined(run, {3}, "|")) == [
        f"1|2|{WORKFLOW}|{execution(1)}|{acknowledged}|{sent}|true|false||",
        f"2|3||e|S|invalid||0{never}id_invalid|no UUID",
        f"3|4|{WORKFLOW}|{execution(3)}|COMPLETED|unknown||1||||||{sent}|false|true|request_timeout|late",
        f"4|5|{WORKFLOW}|{execution(4)}|COMPLETED|unsent||0{never}interrupted|stopped",
        f'5|6|{WORKFLOW}|{execution(5)}|COMPLETED|updated|200|2|COMPLETED||B"é|||{sent}|true|false||',
    ]


def test_counts_name_only_what_there_is(store: Store) -> None:
    """Counts stand most frequent first, and empty words are not counted."""
    run = begin_rows(store, 4)
    store.commit(run, [updated(row(1)), updated(row(2)), result(row(3), Outcome.REJECTED, "http_422")])
    assert store.counts(run, "outcome") == {"updated": 2, "rejected": 1}
    assert store.counts(run, "error") == {"http_422": 1}
    assert store.counts(run, "http") == {"200": 2}
    assert store.counts(run, "requested") == {"COMPLETED": 4}


def test_an_old_sqlite_is_named() -> None:
    """Where SQLite cannot read our statements, people are told so, and not that the ledger is damaged."""
    check_sqlite((3, 33, 0))
    with pytest.raises(StorageError) as caught:
        check_sqlite((3, 32, 3))
    assert str(caught.value) == "this Python has SQLite 3.32.3; bulksync needs 3.33 or newer"


def test_a_batch_is_recorded_by_key(store: Store) -> None:
    """Each row of a batch is looked up, however many lines the run has; SQLite could also go through them all."""
    values = [None] * (len(Recorded._fields) * sql.RECORDED_AT_ONCE + 1)
    steps = store._db.execute(f"EXPLAIN QUERY PLAN {sql.RECORD}", values).fetchall()
    assert steps[-1][3] == "SEARCH line USING PRIMARY KEY (run=? AND row=?)"


def test_errors_name_their_rows(store: Store) -> None:
    """Every row with an error is given in row order with its line and detail, and none without one."""
    run = begin(store, [row(1), InvalidRow(2, 3, "id_invalid", "no UUID", "w", "e", "S"), row(3), row(4)])
    store.commit(run, [updated(row(1)), result(row(4), Outcome.REJECTED, "http_422")])
    assert list(store.errors(run)) == [(2, 3, "id_invalid", "no UUID"), (4, 5, "http_422", "")]


def test_rows_not_done_are_cut_at_the_unsent_ones(store: Store) -> None:
    """They stand in row order; where there are too many, those that went wrong go before those never sent."""
    run = begin_rows(store, 5)
    store.commit(run, [updated(row(1)), result(row(3), Outcome.FAILED), result(row(5), Outcome.REJECTED, "http_422")])
    store.leave(run, error="interrupted", detail="stopped")
    failed = (3, 4, WORKFLOW, execution(3), "COMPLETED", "failed", None, 1, "http_503", "")
    unsent = [(n, n + 1, WORKFLOW, execution(n), "COMPLETED", "unsent", None, 0, "interrupted", "stopped")
              for n in (2, 4)]  # fmt: skip
    rejected = (5, 6, WORKFLOW, execution(5), "COMPLETED", "rejected", None, 1, "http_422", "")
    assert store.not_done(run, 9) == [unsent[0], failed, unsent[1], rejected]
    assert store.not_done(run, 3) == [unsent[0], failed, rejected]
    assert store.not_done(run, 1) == [failed]


def test_what_a_page_shows_of_times_and_steps(store: Store) -> None:
    """Answers are counted by milliseconds, rows by the second they were finished in, steps by disposition."""
    run = begin_rows(store, 4)
    steps = [Step("s1", "CALL", 1, "ENDED", "VOICEMAIL", ""), Step("s2", "CALL", 2, "ENDED", "", "")]
    said = Execution("COMPLETED", "DNC", "", "", steps)
    store.commit(
        run,
        [
            Result(1, row(1).key, Outcome.UPDATED, "", "", 200, said, 1, 100.0, 100.25, 0.25),
            Result(2, row(2).key, Outcome.UPDATED, "", "", 200, said, 1, 100.5, 100.9, 0.25),
            Result(3, row(3).key, Outcome.UNKNOWN, "request_timeout", "", None, None, 1, 100.5, 130.5, 30.0, True),
        ],
    )
    assert store.latencies(run) == [(250, 2)]
    assert store.finished(run) == [(100, 2), (130, 1)]
    assert store.counts(run, "step") == {"VOICEMAIL": 2}


def test_attempts_and_doubt_add_up_over_repeats(store: Store) -> None:
    """Attempts count over the repeats of a run, the first time it was sent stays, and so does a doubt."""
    run = begin_rows(store, 1)
    of = row(1)
    store.commit(run, [Result(1, of.key, Outcome.UNKNOWN, "request_timeout", "", None, None, 3, 1.0, 2.0, 1.0, True)])
    store.leave(run, error="interrupted", detail="")
    store.reopen(run, retry_rejected=False)
    store.commit(run, [Result(1, of.key, Outcome.UPDATED, "", "", 200, None, 2, 5.0, 6.0, 1.0, False, "d")])
    (line,) = store.lines(run)
    assert line[5:8] == ("updated", 200, 5)
    assert line[13:17] == (timestamp(1.0), timestamp(6.0), 1000, 1)


def test_a_row_that_was_not_sent_again_keeps_what_is_known_of_it(store: Store) -> None:
    """A repeat that does not get to a row leaves its earlier outcome, error and attempts as they were."""
    run = begin_rows(store, 2)
    store.commit(run, [result(row(1), Outcome.FAILED, "http_503"), result(row(2), Outcome.UNSENT, "aborted_outage")])
    store.leave(run, error="interrupted", detail="")
    store.reopen(run, retry_rejected=False)
    store.commit(run, [result(of, Outcome.UNSENT, "deadline_exceeded") for of in (row(1), row(2))])
    assert told(store, run) == [("failed", False, "http_503", ""), ("unsent", False, "deadline_exceeded", "")]


def test_leaving_a_run_says_why_to_each_row_that_is_left(store: Store) -> None:
    """Rows that a run did not get to are unsent for the reason given, none is left without an outcome."""
    run = begin_rows(store, 3)
    store.commit(run, [updated(row(1))])
    store.leave(run, error="deadline_exceeded", detail="out of time")
    assert told(store, run) == [
        ("updated", False, "", ""),
        ("unsent", False, "deadline_exceeded", "out of time"),
        ("unsent", False, "deadline_exceeded", "out of time"),
    ]
    assert store.count_due(run) == 0


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.UNKNOWN])
def test_rows_behind_an_unresolved_one_say_so(outcome: Outcome, store: Store) -> None:
    """After failed or unknown the later rows of that execution are unsent with predecessor_unresolved."""
    run = begin(store, [row(1, 7), row(2, 7), row(3, 8), row(4, 7)])
    store.commit(run, [result(row(1, 7), outcome)])
    store.leave(run, error="interrupted", detail="x")
    stuck = ("unsent", False, "predecessor_unresolved", "waits for row 1 of its execution")
    assert told(store, run) == [(outcome, False, "http_503", ""), stuck, ("unsent", False, "interrupted", "x"), stuck]


def test_reopening_makes_due_what_is_unsettled(store: Store) -> None:
    """A repeat sends failed, unknown and unsent rows, never updated, rejected or invalid ones."""
    run = begin(store, [*(row(number) for number in range(1, 6)), InvalidRow(6, 7, "id_invalid", "")])
    kinds = (Outcome.UPDATED, Outcome.REJECTED, Outcome.FAILED, Outcome.UNKNOWN)
    store.commit(run, [result(row(number), kind) for number, kind in enumerate(kinds, 1)])
    store.leave(run, error="interrupted", detail="")
    store.end(run, ended=1.0, exit_code=4, summary='{"a": 1}')
    store.reopen(run, retry_rejected=False)
    assert store.due(run, 1, 6) == {3, 4, 5}
    assert (store.runs()[0].ended, store.runs()[0].exit_code) == (None, None)


def test_reopening_a_run_with_nothing_left_keeps_its_end(store: Store) -> None:
    """A run of which everything is done stays as it ended."""
    run = begin_rows(store, 1)
    store.commit(run, [updated(row(1))])
    ended = store.end(run, ended=1.0, exit_code=0, summary='{"rows": 1}')
    store.reopen(run, retry_rejected=True)
    assert store.runs() == [ended]
    assert (ended.ended, ended.exit_code, ended.summary) == ("1970-01-01T00:00:01.000Z", 0, '{"rows": 1}')


def test_retry_rejected_passes_over_what_a_later_row_overtook(store: Store) -> None:
    """A rejected row with a later acknowledged row of its execution is not sent again: that would swap them."""
    rows: list[Row | InvalidRow] = [row(1, 1), row(2, 1), row(3, 2), row(4, 2), row(5, 3)]
    run = begin(store, rows)
    kinds = (Outcome.REJECTED, Outcome.UPDATED, Outcome.UPDATED, Outcome.REJECTED, Outcome.REJECTED)
    store.commit(run, [result(row(n, k), kind) for n, k, kind in zip(range(1, 6), (1, 1, 2, 2, 3), kinds, strict=True)])
    store.reopen(run, retry_rejected=True)
    assert store.due(run, 1, 5) == {4, 5}


def test_order_risks_begin_at_the_doubt_and_need_a_later_request(store: Store) -> None:
    """An order risk stands at rows from an ambiguous attempt on, if a later row of that execution was sent."""
    run = begin(store, [row(1, 1), row(2, 1), row(3, 1), row(4, 2), row(5, 2), row(6, 3)])
    store.commit(
        run,
        [
            updated(row(1, 1)),
            result(row(2, 1), Outcome.REJECTED, doubtful=True),
            updated(row(3, 1)),
            result(row(4, 2), Outcome.UNKNOWN, doubtful=True),
            result(row(5, 2), Outcome.UNSENT),
            result(row(6, 3), Outcome.UNKNOWN, doubtful=True),
        ],
    )
    assert store.order_risks(run) == {2, 3}


def test_repeated_executions_are_counted(store: Store) -> None:
    """Executions in several rows are found with their first row."""
    run = begin(store, [row(1, 1), row(2, 2), row(3, 1), row(4, 1), row(5, 3)])
    assert store.repeated(run) == [(execution(1), 1, 3)]


def test_the_latest_run_is_that_of_the_target(store: Store) -> None:
    """Runs against other targets do not count."""
    begin_rows(store, 1, name="a")
    begin_rows(store, 1, name="b", target="https://other.invalid")
    found = store.latest(TARGET, "d"), store.latest("https://other.invalid", "d")
    assert [run.name for run in found if run] == ["a", "b"]
    assert store.latest("https://third.invalid", "d") is None
    assert store.latest(TARGET, "another") is None


def test_an_acknowledged_payload_is_remembered(path: Path) -> None:
    """The last updated row of an execution leaves its digest, once the run ends."""
    with closing(Store(path)) as store:
        run = begin(store, [row(1, 1), row(2, 1), row(3, 2)])
        store.commit(run, [updated(row(1, 1)), updated(row(2, 1)), result(row(3, 2), Outcome.REJECTED)])
        store.leave(run, error="interrupted", detail="")
    assert acknowledged(path) == {execution(1): "digest-2"}


@pytest.mark.parametrize("outcome", [Outcome.UNKNOWN, Outcome.FAILED, Outcome.REJECTED])
def test_a_later_doubt_takes_the_digest_away(outcome: Outcome, path: Path) -> None:
    """A digest counts only if no later attempt for that execution may have been applied."""
    with closing(Store(path)) as store:
        first = begin(store, [row(1, 1), row(2, 2)])
        store.commit(first, [updated(row(1, 1)), updated(row(2, 2))])
        store.leave(first, error="interrupted", detail="")
        second = begin(store, [row(1, 1)])
        store.commit(second, [result(row(1, 1), outcome, doubtful=True)])
        store.leave(second, error="interrupted", detail="")
    assert acknowledged(path) == {execution(2): "digest-2"}


def test_a_doubt_about_a_later_row_takes_the_digest_of_an_earlier_one_away(path: Path) -> None:
    """Within one run, too, only what no later row may have replaced is acknowledged."""
    with closing(Store(path)) as store:
        run = begin(store, [row(1, 1), row(2, 1)])
        store.commit(run, [updated(row(1, 1)), result(row(2, 1), Outcome.REJECTED, doubtful=True)])
        store.leave(run, error="interrupted", detail="")
    assert acknowledged(path) == {}


def test_a_doubt_that_an_update_of_the_same_row_followed_is_none(path: Path) -> None:
    """A row updated after a doubtful attempt is acknowledged: whichever was applied last, the payload is the same."""
    with closing(Store(path)) as store:
        run = begin(store, [row(1, 1), row(2, 1), row(3, 1)])
        again = Result(2, row(2, 1).key, Outcome.UPDATED, status=200, attempts=2, doubtful=True, digest="again")
        store.commit(run, [updated(row(1, 1)), again, result(row(3, 1), Outcome.UNSENT)])
        store.leave(run, error="interrupted", detail="")
    assert acknowledged(path) == {execution(1): "again"}


@pytest.mark.parametrize("outcome", [Outcome.UPDATED, Outcome.REJECTED])
def test_what_an_earlier_row_may_replace_late_is_not_acknowledged(outcome: Outcome, path: Path) -> None:
    """An attempt that was given up can be applied behind a later row: nobody knows what the server holds then."""
    with closing(Store(path)) as store:
        first = begin(store, [row(1, 1), row(2, 2)])
        store.commit(first, [updated(row(1, 1)), updated(row(2, 2))])
        store.leave(first, error="interrupted", detail="")
        second = begin(store, [row(1, 1), row(2, 1)])
        doubted = Result(1, row(1, 1).key, outcome, attempts=2, doubtful=True, digest="x" * (outcome == "updated"))
        store.commit(second, [doubted, updated(row(2, 1))])
        store.leave(second, error="interrupted", detail="")
    assert acknowledged(path) == {execution(2): "digest-2"}


def test_an_undoubted_failure_keeps_the_digest(path: Path) -> None:
    """An attempt that was surely not applied leaves the last acknowledged payload what it was."""
    with closing(Store(path)) as store:
        for kind in (Outcome.UPDATED, Outcome.FAILED):
            run = begin(store, [row(1)])
            store.commit(run, [updated(row(1)) if kind is Outcome.UPDATED else result(row(1), kind)])
            store.leave(run, error="interrupted", detail="")
    assert acknowledged(path) == {execution(1): "digest-1"}


def sent_before(store: Store, rows: list[Row | InvalidRow]) -> None:
    """Have a run in which each row was acknowledged."""
    run = begin(store, rows)
    valid = [row for row in rows if isinstance(row, Row)]
    store.commit(run, [updated(row, payload_digest(row.body)) for row in valid])
    store.leave(run, error="interrupted", detail="")
    store.end(run, ended=1.0, exit_code=0, summary="{}")


def left_out(store: Store, run: int, rows: list[Row | InvalidRow]) -> list[str | None]:
    """Leave out what is acknowledged, and return the outcomes then."""
    with store.transaction():
        store.leave_out(run, rows)
        store.take_back(run)
    return outcomes(store, run)


def say(of: Row, text: str) -> Row:
    """Return a row with another payload."""
    return replace(of, body=text.encode())


def test_an_acknowledged_payload_is_left_out(store: Store) -> None:
    """Only a row whose payload is the last acknowledged one is left out: it is not due, and unchanged."""
    sent_before(store, [say(row(1), "a"), say(row(2), "b")])
    rows: list[Row | InvalidRow] = [
        say(row(1), "a"),
        say(row(2), "a"),
        say(row(3), "a"),
        InvalidRow(4, 5, "id_invalid", "no UUID"),
    ]
    run = begin(store, rows)
    assert left_out(store, run, rows) == ["unchanged", None, None, "invalid"]
    assert store.due(run, 1, 4) == {2, 3}


def test_another_target_has_acknowledged_nothing(store: Store) -> None:
    """What one API holds says nothing about another."""
    sent_before(store, [row(1)])
    run = begin(store, [row(1)], target="https://other.invalid")
    assert left_out(store, run, [row(1)]) == [None]


@pytest.mark.parametrize(
    ("held", "chain", "left"),
    [
        ("a", "aaa", ["unchanged", "unchanged", "unchanged"]),
        ("b", "ab", [None, None]),
        ("a", "aba", ["unchanged", None, None]),
        ("a", "baa", [None, None, None]),
        ("", "aa", [None, None]),
    ],
)
def test_behind_a_row_that_will_be_sent_nothing_is_left_out(
    held: str, chain: str, left: list[str | None], store: Store
) -> None:
    """Of one execution only the rows before the first changed one are left out, whatever stands between them."""
    sent_before(store, [say(row(1, 1), held), say(row(2, 2), "x")] if held else [row(2, 2)])
    rows: list[Row | InvalidRow] = [say(row(number, 1), text) for number, text in enumerate(chain, 1)]
    rows.append(say(row(9, 2), "x"))
    run = begin(store, rows)
    assert left_out(store, run, rows)[:-1] == left


def test_what_was_left_out_can_be_taken_back(store: Store) -> None:
    """On request every row that was left out is due again."""
    sent_before(store, [row(1), row(2)])
    run = begin_rows(store, 2)
    with store.transaction():
        store.leave_out(run, [row(1), row(2)])
        store.take_all_back(run)
    assert (store.due(run, 1, 2), outcomes(store, run)) == ({1, 2}, [None, None])


def test_only_what_was_never_sent_is_left_out_of_a_repeat(store: Store) -> None:
    """A row that was tried keeps what is known of it, and is sent again."""
    sent_before(store, [row(number) for number in (1, 2, 3)])
    run = begin_rows(store, 3)
    store.commit(run, [result(row(1), Outcome.FAILED), result(row(2), Outcome.UNSENT, "interrupted")])
    store.leave(run, error="deadline_exceeded", detail="late")
    store.end(run, ended=2.0, exit_code=10, summary="{}")
    store.reopen(run, retry_rejected=False)
    left_out(store, run, [row(number) for number in (1, 2, 3)])
    assert told(store, run) == [("failed", False, "http_503", ""), *[("unchanged", False, "", "")] * 2]
    assert store.due(run, 1, 3) == {1}


def test_an_unchanged_row_leaves_what_is_acknowledged(path: Path) -> None:
    """A night in which nothing was sent is as good as the one before."""
    with closing(Store(path)) as store:
        sent_before(store, [row(1)])
        for _ in range(2):
            run = begin_rows(store, 1)
            assert left_out(store, run, [row(1)]) == ["unchanged"]
            store.leave(run, error="interrupted", detail="")
            store.end(run, ended=1.0, exit_code=0, summary="{}")


def test_a_kill_before_its_row_leaves_an_unchanged_row_alone(path: Path) -> None:
    """The watermark is about rows that were due."""
    with closing(Store(path)) as store:
        sent_before(store, [row(1)])
    killed_while(
        path, "run = begin_rows(store, 2)\nleft_out(store, run, [row(1), say(row(2), 'x')])\nstore.mark(run, 2)"
    )
    with closing(Store(path)) as store:
        assert outcomes(store, 2) == ["unchanged", "unknown"]


def answered(store: Store, words: dict[int, str], *, target: str = TARGET, keys: list[int] | None = None) -> int:
    """Have a run in which row by row the server said a word; rows without one were left out."""
    rows: list[Row | InvalidRow] = [row(number, key) for number, key in enumerate(keys or [1, 2, 3], 1)]
    run = begin(store, rows, target=target)
    answers = [
        replace(updated(one), execution=Execution("COMPLETED", words[one.row], "", "", []))
        for one in rows
        if isinstance(one, Row) and one.row in words
    ]
    store.commit(run, answers)
    store.leave(run, error="interrupted", detail="")
    store.end(run, ended=1.0, exit_code=0, summary="{}")
    return run


def test_moves_are_counted_against_the_last_earlier_answer(store: Store) -> None:
    """Each execution is compared with what the server last said of it before, whichever run that was."""
    first = answered(store, {1: "NO_ANSWER", 2: "NO_ANSWER", 3: "DNC"})
    second = answered(store, {1: "BUSY", 3: ""})
    third = answered(store, {1: "VOICEMAIL", 2: "VOICEMAIL", 3: "DNC"})
    assert store.moves(first) == []
    assert store.moves(second) == [("DNC", "", 1), ("NO_ANSWER", "BUSY", 1)]
    assert store.moves(third) == [("", "DNC", 1), ("BUSY", "VOICEMAIL", 1), ("NO_ANSWER", "VOICEMAIL", 1)]
    assert list(store.moved(third)) == [
        (1, 2, WORKFLOW, execution(1), "BUSY", "VOICEMAIL", "run-2"),
        (2, 3, WORKFLOW, execution(2), "NO_ANSWER", "VOICEMAIL", "run-1"),
        (3, 4, WORKFLOW, execution(3), "", "DNC", "run-2"),
    ]


def test_the_last_row_of_an_execution_speaks_for_it(store: Store) -> None:
    """Of several rows of one execution the last answer counts, in this run and in the earlier one."""
    answered(store, {1: "BUSY", 2: "DNC"}, keys=[1, 1])
    run = answered(store, {1: "BUSY", 2: "DNC", 3: "DNC"}, keys=[1, 2, 1])
    assert (store.moves(run), list(store.moved(run))) == ([("DNC", "DNC", 1)], [])


def test_only_answers_of_the_same_target_are_compared(store: Store) -> None:
    """What another API said, or a run whose lines were forgotten, is not known here."""
    answered(store, {1: "BUSY"}, target="https://other.invalid")
    run = answered(store, {1: "DNC"})
    assert store.moves(run) == []
    run = answered(store, {1: "BUSY"})
    store.prune(1)
    assert store.moves(run) == []


def steps(store: Store, work: Callable[[], object]) -> int:
    """Count the steps of SQLite's machine, in hundreds, that some work takes."""
    count = itertools.count()
    store._db.set_progress_handler(lambda: next(count) < 0, 100)
    work()
    store._db.set_progress_handler(None, 0)
    return next(count)


def tangled(store: Store, size: int) -> dict[str, int]:
    """Have a run in which everything went wrong for *size* executions of two rows, and count what its end took."""
    rows: list[Row | InvalidRow] = [row(number, (number + 1) // 2) for number in range(1, 2 * size + 1)]
    run = begin(store, rows)
    kinds = (Outcome.UNKNOWN, Outcome.FAILED, Outcome.REJECTED, Outcome.UPDATED)
    first = [one for one in rows[::2] if isinstance(one, Row)]
    results = [result(one, kinds[n % 4], doubtful=n % 2 == 0) for n, one in enumerate(first)]
    overtaking = [updated(one) for n, one in enumerate(rows[1::2]) if isinstance(one, Row) and n % 4 > 1]
    store.commit(run, results + overtaking)
    counts = {"leave": steps(store, lambda: store.leave(run, error="interrupted", detail=""))}
    counts["risks"] = steps(store, lambda: store.order_risks(run))
    store.end(run, ended=1.0, exit_code=4, summary="{}")
    counts["reopen"] = steps(store, lambda: store.reopen(run, retry_rejected=True))
    counts["leave out"] = steps(store, lambda: left_out(store, run, rows))
    sent_before(store, rows)
    counts["moves"] = steps(store, lambda: [store.moves(run + 1), *store.moved(run + 1)])
    return counts


def test_the_work_grows_with_the_rows(tmp_path: Path) -> None:
    """Four times the rows are about four times the work, however many of them went wrong: never their square."""
    with closing(Store(tmp_path / "few")) as few, closing(Store(tmp_path / "many")) as many:
        small, large = tangled(few, 250), tangled(many, 1000)
    assert {name: large[name] / small[name] < 6 for name in small} == dict.fromkeys(small, True)


def test_recovery_doubts_what_may_have_been_sent(path: Path) -> None:
    """After a kill rows up to the watermark without a result are unknown and doubtful, those behind it unsent."""
    killed_while(
        path,
        """
run = begin_rows(store, 5)
store.mark(run, 3)
store.commit(run, [updated(row(2))])
""",
    )
    with closing(Store(path)) as store:
        (run,) = store.runs()
        maybe = ("unknown", True, "interrupted", "the run was killed; this row may have been sent")
        never = ("unsent", False, "interrupted", "the run was killed before its turn")
        assert told(store, run.id) == [maybe, ("updated", False, "", ""), maybe, never, never]
        assert run.ended is not None
        assert (run.exit_code, run.summary, store.count_due(run.id)) == (None, None, 0)
    assert acknowledged(path) == {execution(2): "digest-2"}


def test_recovery_takes_digests_of_maybe_sent_rows_away(path: Path) -> None:
    """A row that may have been sent is no longer known to be what was last acknowledged."""
    with closing(Store(path)) as store:
        run = begin_rows(store, 3)
        store.commit(run, [updated(row(number)) for number in (1, 2, 3)])
        store.leave(run, error="interrupted", detail="")
        store.end(run, ended=1.0, exit_code=0, summary="{}")
    killed_while(path, "run = begin_rows(store, 3)\nstore.mark(run, 2)")
    Store(path).close()
    assert acknowledged(path) == {execution(3): "digest-3"}


def test_recovery_before_the_first_request_doubts_nothing(path: Path) -> None:
    """A kill between the plan and the first watermark leaves only unsent rows, and every digest."""
    killed_while(path, "run = begin_rows(store, 2)")
    with closing(Store(path)) as store:
        assert outcomes(store, 1) == ["unsent", "unsent"]


def test_recovery_of_a_repeat_keeps_what_was_known(path: Path) -> None:
    """A kill right after a run was reopened leaves its rows as they were before."""
    killed_while(
        path,
        """
run = begin_rows(store, 3)
store.mark(run, 3)
store.commit(run, [updated(row(1)), result(row(2), Outcome.FAILED), result(row(3), Outcome.UNSENT)])
store.leave(run, error="deadline_exceeded", detail="")
store.end(run, ended=1.0, exit_code=10, summary="{}")
store.reopen(run, retry_rejected=False)
""",
    )
    with closing(Store(path)) as store:
        assert [line[:3] for line in told(store, 1)] == [
            ("updated", False, ""),
            ("failed", False, "http_503"),
            ("unsent", False, "interrupted"),
        ]


def test_recovery_never_undoes_an_ended_run(path: Path) -> None:
    """Opening a ledger again changes nothing about runs that came to their end."""
    with closing(Store(path)) as store:
        run = begin_rows(store, 2)
        store.mark(run, 2)
        store.commit(run, [updated(row(1)), result(row(2), Outcome.FAILED)])
        store.leave(run, error="interrupted", detail="")
        before = store.end(run, ended=1.0, exit_code=4, summary='{"x": 1}'), told(store, run)
    with closing(Store(path)) as store:
        assert (store.runs()[0], told(store, run)) == before


def test_the_watermark_never_falls(path: Path) -> None:
    """A lower mark after a higher one takes nothing back."""
    killed_while(path, "run = begin_rows(store, 3)\nstore.mark(run, 2)\nstore.mark(run, 1)")
    with closing(Store(path)) as store:
        assert outcomes(store, 1) == ["unknown", "unknown", "unsent"]


@pytest.mark.fault("B2", "rows from all over the input")
@pytest.mark.parametrize(("size", "most"), [(3, 10), (10, 10), (1_000, 10), (1_000, 20)])
def test_rows_elsewhere_are_spread(size: int, most: int, store: Store) -> None:
    """So many due rows at most, from the first to the last, each with the digest of its chunk."""
    run = begin_rows(store, size)
    found = store.elsewhere(run, most)
    assert (len(found), {*found.values()}) == (min(size, most), {b"chunk"})
    assert {1, size} <= found.keys()
    if size > most:
        assert max(after - before for before, after in pairwise(found)) <= size / most * 2


def test_rows_elsewhere_begin_their_executions(store: Store) -> None:
    """No row is among them behind another due row of its execution, nor one that is not due."""
    run = begin(store, [row(number, number % 7) for number in range(1, 101)])
    store.commit(run, [updated(row(number, number)) for number in range(1, 4)])
    assert set(store.elsewhere(run, 20)) <= {4, 5, 6, 7, 8, 9, 10}


def test_rows_of_other_workflows_are_elsewhere(store: Store) -> None:
    """A row of each workflow is among them, wherever it stands, while there are not too many."""
    rows: list[Row | InvalidRow] = [row(number) for number in range(1, 200)]
    rows[76:78] = [replace(row(number), workflow_id="other") for number in (77, 78)]
    assert 77 in store.elsewhere(begin(store, rows), 20)


def test_rows_ahead_may_have_been_sent(path: Path) -> None:
    """After a kill a row that was marked ahead of its turn is unknown, and those between are unsent."""
    with closing(Store(path)) as store:
        run = begin_rows(store, 9)
        store.mark(run, 2)
        store.mark_ahead(run, [7])
    with closing(Store(path)) as store:
        assert outcomes(store, run) == [*["unknown"] * 2, *["unsent"] * 4, "unknown", *["unsent"] * 2]


@pytest.mark.fault("D6", "the ledger deleted, moved or replaced")
@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_ledger_knows_whether_it_is_in_place(how: str, path: Path) -> None:
    """A file that is not at its path any more is noticed, and can still be written."""
    with closing(Store(path)) as store:
        run = begin_rows(store, 1)
        before = store.is_in_place()
        path.unlink() if how == "deleted" else path.rename(path.with_name("elsewhere"))
        if how == "replaced":
            path.write_bytes(b"")
        store.commit(run, [updated(row(1))])
        assert (before, store.is_in_place()) == (True, False)


@pytest.mark.fault("B5", "another key")
def test_the_ledger_holds_no_key(path: Path) -> None:
    """What tells keys apart is neither the key nor what anybody could compute from it."""
    with closing(Store(path)) as store:
        store.prove(TARGET, SECRET)
        known = store.is_proven(TARGET, SECRET)
    assert known
    assert SECRET.encode() not in path.read_bytes()


def test_a_ledger_of_the_first_format_goes_on(path: Path) -> None:
    """A ledger that an earlier bulksync wrote is brought up to date, with its runs and what was acknowledged."""
    with closing(sqlite3.connect(path)) as old:
        old.execute("PRAGMA journal_mode=WAL")
        for statement in sql.SCHEMA.split(";\n"):
            old.execute(statement)
        old.execute(f"PRAGMA application_id = {sql.APPLICATION_ID}")
        old.execute("PRAGMA user_version = 1")
        old.execute("INSERT INTO target VALUES (1, ?)", (TARGET,))
        old.execute("INSERT INTO acknowledged VALUES (1, 'w', 'e', 'digest')")
        old.commit()
    with closing(Store(path)) as store:
        store.prove(TARGET, "key")
        begin_rows(store, 1)
    with closing(Store(path)) as store:
        assert (store.is_proven(TARGET, "key"), len(store.runs())) == (True, 1)
    assert set(acknowledged(path)) == {"e"}


@pytest.mark.fault("D7", "space of runs that were forgotten")
def test_a_ledger_gives_space_back(store: Store) -> None:
    """Where most of the file is empty, it gets smaller."""
    begin_rows(store, 20_000)
    begin_rows(store, 1)
    before = store.size()
    store.prune(1)
    assert store.size() < before / 4


@pytest.mark.fault("D7", "a large ledger is not read as a whole")
def test_what_is_checked_does_not_grow(tmp_path: Path) -> None:
    """Of a large ledger neither rows nor digests are looked through when it is opened."""
    with closing(sqlite3.connect(tmp_path / "large")) as db:
        db.execute("CREATE TABLE filler (value BLOB)")
        assert checked(db) == ("1",)
        db.execute("INSERT INTO filler VALUES (zeroblob(40000000))")
        assert checked(db) == ("target", "run", "chunk")


def test_prune_forgets_lines_and_keeps_digests(path: Path) -> None:
    """Old runs are forgotten with their lines, never what was acknowledged."""
    with closing(Store(path)) as store:
        for number in range(1, 4):
            run = begin(store, [row(1, number)])
            store.commit(run, [updated(row(1, number))])
            store.leave(run, error="interrupted", detail="")
            store.end(run, ended=1.0, exit_code=0, summary="{}")
        store.prune(2)
        assert [len(list(store.lines(run))) for run in (1, 2, 3)] == [0, 1, 1]
        assert [run.name for run in store.runs()] == ["run-2", "run-3"]
        assert (store.chunk_digest(1, 1), store.chunk_digest(2, 1)) == (None, b"chunk")
    assert set(acknowledged(path)) == {execution(1), execution(2), execution(3)}


def test_prune_spares_the_run_that_may_be_continued(store: Store) -> None:
    """The latest run of each target keeps its lines: a repeat that found none would take them all for done."""
    undone = begin_rows(store, 2, target="https://other.invalid")
    for _ in range(3):
        begin_rows(store, 1)
    store.prune(1)
    assert [len(list(store.lines(run))) for run in (undone, 2, 3, 4)] == [2, 0, 0, 1]


@pytest.mark.parametrize("umask", [0, 0o777])
def test_every_file_is_private_whatever_the_umask(umask: int, path: Path) -> None:
    """The ledger and SQLite's side files are readable by their owner alone."""
    before = os.umask(umask)
    try:
        with closing(Store(path)) as store:
            begin_rows(store, 1)
            modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    finally:
        os.umask(before)
    assert modes == {"rows.ledger": 0o600, "rows.ledger-wal": 0o600}
    assert [file.name for file in path.parent.iterdir()] == ["rows.ledger"]


def test_a_file_that_was_open_to_others_is_closed_to_them(path: Path) -> None:
    """An empty file prepared with loose permissions becomes a private ledger."""
    path.touch(0o644)
    Store(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_no_metadata_in_the_ledger(path: Path) -> None:
    """Neither the file nor its log holds what a row would send."""
    with closing(Store(path)) as store:
        run = begin_rows(store, 20)
        store.commit(run, [updated(row(number)) for number in range(1, 21)])
        store.leave(run, error="interrupted", detail="")
        found = [SECRET.encode() in file.read_bytes() for file in path.parent.iterdir()]
    assert [*found, SECRET.encode() in path.read_bytes()] == [False, False, False]


def test_a_temporary_ledger_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a path the ledger is one of this process alone."""
    monkeypatch.chdir(tmp_path)
    with closing(Store(None)) as store:
        assert store.count_due(begin_rows(store, 3)) == 3
    assert list(tmp_path.iterdir()) == []


@pytest.mark.fault(44, "two overlapping cron runs")
def test_a_second_opener_in_the_same_process_gives_no_lock_away(path: Path, store: Store) -> None:
    """Who is refused in the process that holds a ledger leaves it locked for other processes."""
    with pytest.raises(LockedError):
        Store(path)
    script = f"from pathlib import Path\nfrom bulksync.ledger.store import Store\nStore(Path({str(path)!r}))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False)
    assert done.stderr.splitlines()[-1] == f"bulksync.errors.LockedError: another run holds the ledger {path}"
    store.close()
    Store(path).close()


def test_a_second_opener_is_refused_at_once(path: Path, store: Store) -> None:
    """While one process has the ledger any other gets LockedError, and nothing changes."""
    run = begin_rows(store, 1)
    program = f"""
from pathlib import Path
from bulksync.errors import LockedError
from bulksync.ledger.line import Recorded
from bulksync.ledger.store import Store
try:
    Store(Path({str(path)!r}))
except LockedError as error:
    print(error.what, error.next_step, sep="; ")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout == f"another run holds the ledger {path}; wait for it, or add --lock-wait 10m\n"
    store.commit(run, [updated(row(1))])
    assert outcomes(store, run) == ["updated"]


def newer(path: Path) -> None:
    """Make a ledger of a later format."""
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA user_version = {sql.VERSION + 1}")


def flipped(path: Path) -> None:
    """Overwrite the middle of every page but the first."""
    data = bytearray(path.read_bytes())
    for page in range(4096, len(data), 4096):
        data[page : page + 64] = os.urandom(64)
    path.write_bytes(data)


def flipped_at_the_end(path: Path) -> None:
    """Overwrite a page that opening a ledger has no need to read."""
    data = path.read_bytes()
    path.write_bytes(data[:-4096] + os.urandom(64) + data[-4032:])


def garbage(path: Path) -> None:
    """Make a file of anything else."""
    path.write_text("workflowId,executionId,status\n" * 100)


def strangers(path: Path) -> None:
    """Make somebody else's database."""
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE theirs (x)")


def strangers_with_a_log(path: Path) -> None:
    """Make somebody else's database that keeps a write-ahead log as ours does."""
    path.unlink()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE theirs (x)")


def truncated(path: Path) -> None:
    """Cut a ledger in the middle."""
    os.truncate(path, path.stat().st_size // 2)


LEFT = "it was left as it is"


@pytest.mark.fault(43, "ledger corrupted, or of a newer format")
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (newer, f"the ledger {{path}} has format {sql.VERSION + 1}, this bulksync has {sql.VERSION}; {LEFT}"),
        (flipped, f"the ledger {{path}} is damaged (*); {LEFT}"),
        (flipped_at_the_end, f"the ledger {{path}} is damaged (*); {LEFT}"),
        (truncated, f"the ledger {{path}} is damaged (*); {LEFT}"),
        (garbage, f"{{path}} is not a ledger; {LEFT}"),
        (strangers, f"{{path}} is not a ledger; {LEFT}"),
        (strangers_with_a_log, f"{{path}} is not a ledger; {LEFT}"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_file_that_is_no_whole_ledger_of_ours_is_left_as_it_is(harm: Any, message: str, path: Path) -> None:
    """Another format, damage and strangers' files are refused, and kept byte for byte."""
    with closing(Store(path)) as store:
        run = begin_rows(store, 500)
        store.leave(run, error="interrupted", detail="")
        store.end(run, ended=1.0, exit_code=10, summary="{}")
    harm(path)
    path.chmod(0o640)
    before = path.read_bytes()
    with pytest.raises(StorageError) as caught:
        Store(path)
    head, _, tail = message.format(path=path).partition("*")
    assert caught.value.what.startswith(head)
    assert caught.value.what.endswith(tail)
    assert path.read_bytes() == before
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_that_is_surely_no_ledger_keeps_its_mode(path: Path) -> None:
    """A stranger's file is not even made private."""
    path.write_text("notes")
    path.chmod(0o644)
    with pytest.raises(StorageError):
        Store(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_a_ledger_needs_a_folder(tmp_path: Path) -> None:
    """Where the file cannot be created, that is said, and where else it could be."""
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "rows.ledger"
    with pytest.raises(StorageError) as caught:
        Store(path)
    assert (caught.value.what, caught.value.next_step) == (
        f"the ledger {path} cannot be opened or created: Not a directory",
        "choose a writable folder with --ledger",
    )


async def test_a_result_is_recorded_by_a_plain_call_and_kept_by_flush(path: Path) -> None:
    """`record` writes nothing yet; `flush` writes all of it."""
    count = BATCH + 1
    async with open_ledger(path) as ledger:
        run = await ledger.call(begin_rows, ledger.store, count)
        for number in range(1, count + 1):
            ledger.record(updated(row(number)))
        assert await ledger.call(outcomes, ledger.store, run) == [None] * count
        await ledger.flush(run)
        assert await ledger.call(outcomes, ledger.store, run) == ["updated"] * count


@pytest.mark.parametrize("count", [3, BATCH, 2 * BATCH + 1])
async def test_keep_commits_what_is_recorded(count: int, path: Path) -> None:
    """Results are committed after a moment, and at once when there are enough of them."""
    async with open_ledger(path) as ledger, anyio.create_task_group() as around:
        run = await ledger.call(begin_rows, ledger.store, count)
        around.start_soon(ledger.keep, run, lambda: pytest.fail("no failure"), no_loss)
        for number in range(1, count + 1):
            ledger.record(updated(row(number)))
        with anyio.fail_after(10):
            while await ledger.call(outcomes, ledger.store, run) != ["updated"] * count:
                await anyio.lowlevel.checkpoint()
        around.cancel_scope.cancel()


async def test_a_cancelled_flush_still_commits(path: Path) -> None:
    """A commit that has begun is not cut off: half-known results would be sent again."""
    async with open_ledger(path) as ledger:
        run = await ledger.call(begin_rows, ledger.store, 1)
        ledger.record(updated(row(1)))
        with anyio.CancelScope() as scope:
            scope.cancel()
            await ledger.flush(run)
        assert await ledger.call(outcomes, ledger.store, run) == ["updated"]


async def test_new_requests_wait_for_a_disk_that_is_far_behind(path: Path) -> None:
    """`room` returns at once until too much is uncommitted, and then once that is committed."""
    async with open_ledger(path) as ledger:
        run = await ledger.call(begin_rows, ledger.store, 1)
        await ledger.room()
        for _ in range(BEHIND):
            ledger.record(updated(row(1)))
        passed = anyio.Event()

        async def wait(ledger: Ledger = ledger) -> None:
            await ledger.room()
            passed.set()

        async with anyio.create_task_group() as around:
            around.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert not passed.is_set()
            await ledger.flush(run)
            with anyio.fail_after(10):
                await passed.wait()


REFUSING = "CREATE TRIGGER full BEFORE UPDATE ON line BEGIN SELECT raise(ABORT, 'disk full'); END"


async def taken(backlog: Backlog) -> list[int]:
    """Take all that a backlog has, to its end."""
    rows: list[int] = []
    while some := await backlog.take():
        rows += some
    return rows


async def test_a_backlog_gives_each_row_once(path: Path) -> None:
    """Rows come in the order of their commits, and at the end of the run those that had no commit, in input order."""
    backlog = Backlog()
    async with open_ledger(path, backlog=backlog) as ledger:
        run = await ledger.call(begin_rows, ledger.store, 6)
        for number in (5, 2):
            ledger.record(updated(row(number)))
        ledger.record(result(row(3), Outcome.UNSENT, "interrupted"))
        await ledger.flush(run)
        assert (await backlog.take(), backlog.run) == ([5, 2], run)
        ledger.record(updated(row(6)))
        await ledger.flush(run)
        backlog.complete(run, 6)
        assert await taken(backlog) == [6, 1, 3, 4]
        lines = await ledger.call(ledger.store.lines_of, run, [6, 1, 5])
    assert [(line[0], line[5]) for line in lines] == [(6, "updated"), (1, None), (5, "updated")]


async def test_new_requests_wait_for_who_takes_the_backlog(path: Path) -> None:
    """With many committed rows not yet taken nothing new may start, until some are, or nobody takes them any more."""
    backlog = Backlog()
    async with open_ledger(path, backlog=backlog) as ledger, anyio.create_task_group() as around:
        backlog.add(1, [updated(row(number)) for number in range(1, AHEAD + 1)])
        with anyio.move_on_after(0.05) as waiting:
            await ledger.room()
        assert waiting.cancelled_caught
        around.start_soon(ledger.room)
        await backlog.take()
    backlog.add(1, [updated(row(number)) for number in range(AHEAD, 3 * AHEAD)])
    backlog.close()
    await backlog.room()
    assert await backlog.take() == []


async def test_a_failed_commit_keeps_the_results_for_another_try(path: Path) -> None:
    """What could not be committed is told once, and committed when the disk has room again."""
    async with open_ledger(path) as ledger:
        store = ledger.store
        run = await ledger.call(begin_rows, store, 2)
        await ledger.call(execute, store, REFUSING)
        failures: list[str] = []
        ledger.record(updated(row(1)))
        with anyio.fail_after(10):
            await ledger.keep(run, lambda: failures.append("told"), no_loss)
        ledger.record(updated(row(2)))
        with pytest.raises(StorageError) as caught:
            await ledger.flush(run)
        assert (failures, caught.value.what) == (
            ["told"],
            f"the ledger {path} cannot be read or written: disk full",
        )
        await ledger.call(execute, store, "DROP TRIGGER full")
        await ledger.flush(run)
        assert await ledger.call(outcomes, store, run) == ["updated", "updated"]


@contextmanager
def held(path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Have another process hold a ledger until it reads a line."""
    program = f"""
from pathlib import Path
from bulksync.ledger.line import Recorded
from bulksync.ledger.store import Store
store = Store(Path({str(path)!r}))
print("open", flush=True)
input()
store.close()
"""
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"open\n"
        try:
            yield process
        finally:
            process.communicate(timeout=60)


@pytest.mark.parametrize("wait", [0.0, 0.3])
async def test_waiting_for_the_lock_has_an_end(wait: float, path: Path) -> None:
    """A locked ledger is refused at once, or when --lock-wait is over."""
    with held(path):
        started = anyio.current_time()
        with pytest.raises(LockedError):
            async with open_ledger(path, wait):
                pass
        assert anyio.current_time() - started >= wait


async def test_a_lock_that_is_let_go_meanwhile_is_taken(path: Path) -> None:
    """Whoever waits for the ledger gets it when the other run ends."""
    with held(path) as process:
        assert process.stdin is not None
        async with anyio.create_task_group() as around:
            around.start_soon(anyio.to_thread.run_sync, os.write, process.stdin.fileno(), b"\n")
            async with open_ledger(path, 20.0) as ledger:
                assert await ledger.call(ledger.store.runs) == []


FULL = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
size = 0
def limited(more):
    used = sum(file.stat().st_size for file in [store.path.with_name(store.path.name + "-wal")])
    resource.setrlimit(resource.RLIMIT_FSIZE, (used + more, -1))
"""


@pytest.mark.fault(40, "no space for the ledger")
@pytest.mark.parametrize("more", [0, 4_000, 9_000, 30_000])
def test_a_full_disk_keeps_what_was_committed(more: int, path: Path) -> None:
    """A commit that finds no space is StorageError; with space again the same results are committed."""
    program = f"""
from pathlib import Path
from tests.ledger.test_store import *
store = Store(Path({str(path)!r}))
run = begin_rows(store, 2000)
store.mark(run, 2000)
store.commit(run, [updated(row(1))])
{FULL}
limited({more})
failed = 0
for first in range(2, 2001, 100):
    results = [updated(row(number)) for number in range(first, min(first + 100, 2001))]
    try:
        store.commit(run, results)
    except StorageError as error:
        failed += 1
        resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
        store.commit(run, results)
print(failed, set(outcomes(store, run)), execute(store, "PRAGMA integrity_check"))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("1 {'updated'} [('ok',)]\n", "")


class Ledgers(RuleBasedStateMachine):
    """The store against plain dictionaries: rows of one target, runs one after the other, kills and repeats."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name) / "rows.ledger"
        self.store = Store(self.path)
        self.keys: list[int] = []
        self.run = 0
        self.is_open = False
        self.due: set[int] = set()
        self.watermark = 0
        self.outcome: dict[int, str | None] = {}
        self.doubtful: set[int] = set()
        self.digests: dict[int, str] = {}
        """Of the rows of this run that were acknowledged."""
        self.acknowledged: dict[int, str] = {}
        """By execution, as it was left by the runs that came to an end."""

    def teardown(self) -> None:
        """Close the file and remove it."""
        self.store.close()
        self.folder.cleanup()

    @precondition(lambda self: not self.is_open)
    @rule(keys=st.lists(st.integers(0, 3), min_size=1, max_size=6))
    def begin(self, keys: list[int]) -> None:
        """A new run plans one row for each key."""
        rows: list[Row | InvalidRow] = [row(number, key) for number, key in enumerate(keys, 1)]
        self.run = begin(self.store, rows)
        self.keys, self.is_open, self.watermark = keys, True, 0
        self.due = set(range(1, len(keys) + 1))
        self.outcome = dict.fromkeys(self.due)
        self.doubtful, self.digests = set(), {}

    @precondition(lambda self: self.is_open)
    @rule(data=st.data())
    def mark(self, data: st.DataObject) -> None:
        """Rows up to some number may be sent."""
        number = data.draw(st.integers(1, len(self.keys)))
        self.store.mark(self.run, number)
        self.watermark = max(self.watermark, number)

    @precondition(lambda self: self.is_open and any(n <= self.watermark for n in self.due))
    @rule(data=st.data(), doubtful=st.booleans())
    def commit(self, data: st.DataObject, doubtful: bool) -> None:
        """Something becomes of a row that may be sent."""
        number = data.draw(st.sampled_from(sorted(n for n in self.due if n <= self.watermark)))
        kind = data.draw(st.sampled_from([Outcome.UPDATED, Outcome.REJECTED, Outcome.FAILED, Outcome.UNKNOWN]))
        of = row(number, self.keys[number - 1])
        digest = os.urandom(4).hex() if kind is Outcome.UPDATED else ""
        self.store.commit(self.run, [Result(number, of.key, kind, attempts=1, doubtful=doubtful, digest=digest)])
        self.due.discard(number)
        self.outcome[number] = kind
        self.digests.pop(number, None)
        if digest:
            self.digests[number] = digest
        if doubtful:
            self.doubtful.add(number)

    def left(self) -> None:
        """Take a run's end into the model: of each execution what was acknowledged last, if that is beyond doubt."""
        for number in self.due:
            self.outcome[number] = self.outcome[number] or "unsent"
        self.due, self.is_open = set(), False
        for key in set(self.keys):
            rows = [number for number, of in enumerate(self.keys, 1) if of == key]
            sent = [n for n in rows if self.outcome[n] not in (None, "unsent", "unchanged")]
            doubts = [n for n in rows if n in self.doubtful]
            if doubts and (sent[-1] > doubts[0] or any(self.outcome[n] != "updated" for n in doubts)):
                self.acknowledged.pop(key, None)
            elif found := [n for n in rows if n in self.digests]:
                self.acknowledged[key] = self.digests[found[-1]]

    @precondition(lambda self: self.is_open)
    @rule()
    def end(self) -> None:
        """The run ends well."""
        self.store.leave(self.run, error="interrupted", detail="")
        self.store.end(self.run, ended=1.0, exit_code=0, summary="{}")
        self.left()

    @precondition(lambda self: self.run and not self.is_open)
    @rule(retry_rejected=st.booleans())
    def reopen(self, retry_rejected: bool) -> None:
        """The run goes on: what is unsettled is due again."""
        self.store.reopen(self.run, retry_rejected=retry_rejected)
        self.due = {n for n, outcome in self.outcome.items() if outcome in ("failed", "unknown", "unsent")}
        if retry_rejected:
            self.due |= {n for n, outcome in self.outcome.items() if outcome == "rejected" and not self.overtaken(n)}
        if self.due:
            self.is_open, self.watermark = True, 0

    def overtaken(self, number: int) -> bool:
        """Whether a later row of the same execution was acknowledged."""
        key = self.keys[number - 1]
        return any(n > number and self.keys[n - 1] == key and self.outcome[n] == "updated" for n in self.outcome)

    @rule()
    def reopen_file(self) -> None:
        """A kill: the file is closed and opened again; an open run is found killed."""
        self.store.close()
        self.store = Store(self.path)
        if self.is_open:
            for number in sorted(n for n in self.due if n <= self.watermark):
                self.outcome[number] = "unknown"
                self.doubtful.add(number)
                self.due.discard(number)
            self.left()

    @invariant()
    def holds_the_same(self) -> None:
        """The store and the model tell the same."""
        if not self.run:
            return
        lines = list(self.store.lines(self.run))
        assert [line[5] for line in lines] == [self.outcome[number] for number in sorted(self.outcome)]
        assert {line[0] for line in lines if line[16]} == self.doubtful
        assert self.store.due(self.run, 1, len(self.keys)) == self.due
        kept = execute(self.store, "SELECT execution, digest FROM acknowledged")
        if not self.is_open:
            assert dict(kept) == {execution(key): digest for key, digest in self.acknowledged.items()}


TestLedgers = Ledgers.TestCase


TestLedgers.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)

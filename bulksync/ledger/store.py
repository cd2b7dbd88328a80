"""The state kept between runs: what was planned, what was sent, and every outcome; the source of the report."""

import sqlite3
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from bulksync.ledger import sql
from bulksync.ledger.database import explained, identity, open_file, scalar
from bulksync.ledger.line import Line, Moved, Moves, NotDone, Problem, Recorded, Repeated
from bulksync.model import Execution, InvalidRow, Outcome, Result, Row, payload_digest

GIVEN_BACK = 20_000
"""Pages of 4 KiB returned to the file system at once: about a tenth of a second."""

COMPARED = 300_000
"""Maximum rows of earlier runs searched for changes; the latest run is always searched, whatever its size.

They have no index by execution, as that would cost more with every row than it saves here.
"""


Since = Callable[[], Iterable[tuple[str, str, str, str]]]
"""Returns the `answers` of a run in another ledger."""


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one input against one target; *started* and *ended* are formatted as in the report.

    *settings* and *summary* are JSON that is opaque to the ledger; there is no summary before the end, nor after a
    kill.
    """

    id: int
    name: str
    target: str
    input: str
    path: str
    digest: str
    settings: str
    rows: int
    started: str
    ended: str | None
    exit_code: int | None
    summary: str | None


def run_of(columns: Sequence[Any]) -> Run:
    """Return a run from the columns of `sql.RUNS`."""
    return Run(*columns)


def timestamp(seconds: float | None) -> str | None:
    """Format a Unix time in UTC with milliseconds and Z."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


class Store:
    """Owns the connection; every call blocks, and all are made from one thread.

    Each raises StorageError if the file cannot be read or written; what was committed before is kept.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._db = open_file(path)
        self._identity = identity(path)
        try:
            self._recover()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        """Close the file and release it."""
        self._db.close()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit the changes of the block together, or none of them."""
        with explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A full disk has already rolled back.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def _recover(self) -> None:
        """Close runs that were killed: rows up to the watermark without a result may have been sent."""
        with self.transaction() as db:
            for (run,) in db.execute(sql.KILLED).fetchall():
                db.execute(sql.MAYBE_SENT, {"run": run})
                leave(db, run, "interrupted", "the run was killed before its turn")
                db.execute(sql.SET_ENDED, (timestamp(datetime.now(UTC).timestamp()), None, "{}", run))

    # Runs

    def runs(self) -> list[Run]:
        """Return every run, oldest first."""
        with explained(self.path):
            found = self._db.execute(sql.RUNS).fetchall()
        return [run_of(row) for row in found]

    def run(self, run: int) -> Run:
        """Return the current record of a run."""
        with explained(self.path):
            return run_of(self._db.execute(sql.RUN, (run,)).fetchone())

    def latest(self, target: str, digest: str, verb: str = "run") -> Run | None:
        """Return the latest run of kind *verb* of an input with these bytes against *target*."""
        with explained(self.path):
            found = self._db.execute(sql.LATEST, (target, digest, verb)).fetchone()
            return run_of(found) if found else None

    def reports(self) -> set[str | None]:
        """Return the report paths of all runs, as stored in their settings."""
        with explained(self.path):
            return {report for (report,) in self._db.execute(sql.REPORTS)}

    def is_open(self, run: int) -> bool:
        """Whether a run has unfinished rows."""
        with explained(self.path):
            return bool(scalar(self._db, sql.IS_OPEN, run))

    def has_sent(self, run: int) -> bool:
        """Whether a row of a run was sent, or may have been."""
        with explained(self.path):
            return bool(scalar(self._db, sql.HAS_SENT, run))

    def begin(self, *, name: str, target: str, input: str, path: str, digest: str, started: float) -> int:  # noqa: A002  the column name
        """Begin a new run inside the caller's transaction and return its ID."""
        self._db.execute(sql.ADD_TARGET, (target,))
        cursor = self._db.execute(sql.ADD_RUN, (name, target, input, path, digest, timestamp(started)))
        assert cursor.lastrowid is not None  # noqa: S101  set after an INSERT
        return cursor.lastrowid

    def plan(self, run: int, rows: Sequence[Row | InvalidRow], digest: bytes) -> None:
        """Add a chunk of lines to a new run, in the caller's transaction; *digest* later detects changes to it."""
        self._db.execute(sql.ADD_CHUNK, (run, rows[0].row, digest))
        self._db.executemany(sql.ADD_LINE, [planned(run, row) for row in rows])

    def keep_first(self, run: int) -> None:
        """Remove all planned rows except the first of each execution, in the caller's transaction."""
        self._db.execute(sql.KEEP_FIRST, {"run": run})

    def count_acknowledged(self, run: int, rows: Iterable[Row | InvalidRow]) -> int:
        """Return how many rows have the last acknowledged payload of their execution."""
        if not scalar(self._db, sql.HAS_ACKNOWLEDGED, run):
            return 0
        valid = [row for row in rows if isinstance(row, Row)]
        return sum(scalar(self._db, sql.ACKNOWLEDGED, run, *row.key, payload_digest(row.body)) for row in valid)

    def leave_out(self, run: int, rows: Iterable[Row | InvalidRow]) -> None:
        """Mark rows whose payload is the last acknowledged one as `unchanged`, in the caller's transaction."""
        valid = [row for row in rows if isinstance(row, Row)]
        digests = [{"run": run, "row": row.row, "digest": payload_digest(row.body)} for row in valid]
        self._db.executemany(sql.LEAVE_OUT, digests)

    def take_back(self, run: int) -> None:
        """Make skipped rows due again if they come after a due row of their execution."""
        self._db.execute(sql.TAKE_BACK, {"run": run})

    def take_all_back(self, run: int) -> None:
        """Make every skipped row due again."""
        self._db.execute(sql.TAKE_ALL_BACK, (run,))

    def set_settings(self, run: int, rows: int, settings: str) -> None:
        """Store a run's number of rows and its settings."""
        with explained(self.path):
            self._db.execute(sql.SET_SETTINGS, (rows, settings, run))

    def prune(self, keep: int) -> None:
        """Delete all but the *keep* latest runs and each target's latest, but never the acknowledged payloads.

        If much of the file is then empty, it shrinks by at most `GIVEN_BACK` pages.
        """
        with explained(self.path):
            stale = [run for (run,) in self._db.execute(sql.STALE, (keep,)).fetchall()]
        for run in stale:
            with self.transaction() as db:
                for statement in sql.FORGET:
                    db.execute(statement, (run,))
        with explained(self.path):
            if scalar(self._db, "PRAGMA freelist_count") * 4 > scalar(self._db, "PRAGMA page_count"):
                # Run as a script, since the pragma takes one step per page and `execute` performs only the first.
                self._db.executescript(f"PRAGMA incremental_vacuum({GIVEN_BACK})")

    def size(self) -> int:
        """Return the ledger's size in bytes, without changes not yet written back to the file."""
        with explained(self.path):
            return int(scalar(self._db, "PRAGMA page_count") * scalar(self._db, "PRAGMA page_size"))

    def is_in_place(self) -> bool:
        """Whether the file at the ledger's path is still the one that was opened."""
        return self.path is None or identity(self.path) == self._identity

    def reopen(self, run: int, *, retry_rejected: bool) -> None:
        """Resume a run: unsettled rows become due again, unless a later run has superseded them.

        With *retry_rejected*, so do rejected rows, unless a later row of the same run was acknowledged.
        """
        with self.transaction() as db:
            db.execute(sql.DUE_AGAIN, (run,))
            if retry_rejected:
                db.execute(sql.REJECTED_DUE_AGAIN, (run,))
                db.execute(sql.SKIP_OVERTAKEN, {"run": run})
            db.execute(sql.SUPERSEDE, {"run": run})
            db.execute(sql.SET_REOPENED, {"run": run})

    def leave(self, run: int, *, error: str, detail: str) -> None:
        """Record an outcome for the rows that a run did not reach, and store the acknowledged payloads."""
        with self.transaction() as db:
            leave(db, run, error, detail)

    def end(self, run: int, *, ended: float, exit_code: int, summary: str) -> Run:
        """Close a run, store its summary, and return its final record."""
        with self.transaction() as db:
            db.execute(sql.SET_ENDED, (timestamp(ended), exit_code, summary, run))
        return self.run(run)

    # Rows

    def mark(self, run: int, row: int) -> None:
        """Record that rows up to *row* may be sent from now on."""
        with self.transaction() as db:
            db.execute(sql.SET_WATERMARK, (row, run))

    def mark_ahead(self, run: int, rows: Iterable[int]) -> None:
        """Record that some rows may be sent from now on, ahead of the others before them."""
        with self.transaction() as db:
            db.executemany(sql.MARK_AHEAD, [(run, row) for row in rows])

    def elsewhere(self, run: int, most: int) -> dict[int, bytes]:
        """Return at most *most* due rows from the whole input, each with the digest of its planned chunk.

        Each is the first due one of its execution; half of them, if there are as many, are of different workflows.
        """
        with explained(self.path):
            rows = {row for (row,) in self._db.execute(sql.WORKFLOWS, {"run": run, "most": most // 2})}
            first, last = self._db.execute(sql.LAST_DUE, (run,)).fetchone()
            others = most - len(rows) if rows else 0
            for number in range(others):
                wanted = last - (last - first) * number // others
                rows.update(row for (row,) in self._db.execute(sql.SPREAD, {"run": run, "least": wanted}))
            return {row: scalar(self._db, sql.CHUNK_OF, run, row) for row in sorted(rows)}

    # Access

    def is_proven(self, target: str, key: str) -> bool:
        """Whether this key has had a success at the target."""
        with explained(self.path):
            return bool(scalar(self._db, sql.PROVEN, target, self._fingerprint(key)))

    def prove(self, target: str, key: str) -> None:
        """Record that this key has had a success at the target."""
        with self.transaction() as db:
            db.execute(sql.PROVE, (target, self._fingerprint(key)))

    def _fingerprint(self, key: str) -> bytes:
        """Return a fingerprint of the key, usable only in this ledger: salted, and too short to reveal the key."""
        return blake2b(key.encode(), digest_size=8, salt=scalar(self._db, sql.SALT)).digest()

    def chunk_digest(self, run: int, first: int) -> bytes | None:
        """Return the digest of the planned chunk that begins with row *first*; None if there is none."""
        with explained(self.path):
            found = self._db.execute(sql.CHUNK, (run, first)).fetchone()
            return found[0] if found else None

    def count_due(self, run: int) -> int:
        """Return how many rows are still to be sent."""
        with explained(self.path):
            return int(scalar(self._db, sql.COUNT_DUE, run))

    def longest_chain(self, run: int) -> int:
        """Return the number of due rows of the execution that has most of them."""
        with explained(self.path):
            return int(scalar(self._db, sql.LONGEST_CHAIN, run))

    def due(self, run: int, first: int, last: int) -> set[int]:
        """Return which rows from *first* to *last* are still to be sent."""
        with explained(self.path):
            return {row for (row,) in self._db.execute(sql.DUE, (run, first, last))}

    def commit(self, run: int, results: Iterable[Result]) -> None:
        """Record the results of rows in one transaction."""
        results = list(results)
        sent = [recorded(result) for result in results if result.outcome is not Outcome.UNSENT]
        unsent = [(r.error, r.detail, run, r.row) for r in results if r.outcome is Outcome.UNSENT]
        # Usually it is a single statement, which is a transaction in itself; BEGIN and COMMIT would each pass the GIL
        # back and forth once more.
        is_one = not unsent and len(sent) <= sql.RECORDED_AT_ONCE
        with explained(self.path) if is_one else self.transaction():
            for first in range(0, len(sent), sql.RECORDED_AT_ONCE):
                part = [value for row in sent[first : first + sql.RECORDED_AT_ONCE] for value in row]
                missing = sql.RECORDED_AT_ONCE * len(Recorded._fields) - len(part)
                self._db.execute(sql.RECORD, [*part, *[None] * missing, run])
            if unsent:
                self._db.executemany(sql.RECORD_UNSENT, unsent)

    def settle(self, run: int, applied: Iterable[tuple[Row, int, Execution]]) -> int:
        """Change `unknown` rows to `updated` if the server was found to hold their state, and return their number.

        Each comes with the HTTP status and the execution of the answer that shows it.
        """
        count = 0
        with self.transaction() as db:
            for row, status, said in applied:
                words = (said.status, said.disposition, orjson.dumps(said.steps).decode(), said.started_at)
                values = (status, *words, said.completed_at, payload_digest(row.body), run, row.row)
                count += db.execute(sql.SETTLE, values).rowcount
            db.execute(sql.ACKNOWLEDGE, {"run": run})
        return count

    # Reports

    def lines(self, run: int) -> Generator[Line, None, None]:
        """Yield the lines of a run in row order; close the generator if it is not exhausted."""
        with explained(self.path):
            yield from map(Line._make, self._db.execute(sql.LINES, (run,)))

    def joined(self, run: int, order_risks: Iterable[int], separator: str) -> Generator[str, None, None]:
        """Yield the report's cells of each line in row order, joined; close the generator if it is not exhausted."""
        form, risks = separator.join(["%s"] * len(sql.CELLS)), orjson.dumps([*order_risks]).decode()
        with explained(self.path):
            for (text,) in self._db.execute(sql.JOINED, {"run": run, "risks": risks, "form": form}):
                yield text

    def lines_of(self, run: int, rows: Sequence[int]) -> list[Line]:
        """Return the lines for *rows* of a run, in the given order."""
        with explained(self.path):
            return list(map(Line._make, self._db.execute(sql.LINES_OF, (orjson.dumps(rows).decode(), run))))

    def order_risks(self, run: int) -> set[int]:
        """Return rows at or after an ambiguous attempt, for executions where a later row was also sent."""
        with explained(self.path):
            return {row for (row,) in self._db.execute(sql.ORDER_RISKS, {"run": run})}

    def counts(self, run: int, column: str) -> dict[str, int]:
        """Return the number of lines for each non-empty value in a column of `sql.COUNTS`, most frequent first."""
        with explained(self.path):
            return {str(word): count for word, count in self._db.execute(sql.COUNTS[column], (run,)) if word}

    def answers(self, run: int) -> Iterator[tuple[str, str, str, str]]:
        """Return the server's answers in a run, latest first: disposition, name of the run, workflow, execution."""
        with explained(self.path):
            yield from self._db.execute(sql.ANSWERS, (run,))

    def moves(self, run: int, since: Since | None = None) -> list[Moves]:
        """Return how many executions changed from which disposition to which since an earlier run, most frequent first.

        Unchanged ones are counted too; executions that appear in no earlier run are not. *since* returns the `answers`
        of another ledger, used instead of the earlier runs in this one.
        """
        with explained(self.path):
            self._compare(run, since)
            return list(map(Moves._make, self._db.execute(sql.MOVES)))

    def moved(self, run: int, since: Since | None = None) -> Generator[Moved, None, None]:
        """Yield the rows whose execution changed, in row order; close the generator if it is not exhausted."""
        with explained(self.path):
            self._compare(run, since)
            yield from map(Moved._make, self._db.execute(sql.MOVED, (run,)))

    def _compare(self, run: int, since: Since | None = None) -> None:
        """Collect each execution's previous answer, from the latest earlier run back until all are known."""
        for statement in sql.COMPARE:
            self._db.execute(statement)
        if since is not None:
            self._db.execute(sql.ASK, (run,))
            self._db.executemany(sql.ANSWER_ELSEWHERE, since())
            return
        earlier = self._db.execute(sql.EARLIER, (run,)).fetchall()
        unknown = self._db.execute(sql.ASK, (run,)).rowcount if earlier else 0
        compared = 0
        for one, rows in earlier:
            if not unknown or (compared and compared + rows > COMPARED):
                break
            self._db.execute(sql.ANSWER, (one,))
            unknown -= self._db.execute(sql.ANSWERED, (one,)).rowcount
            compared += rows

    def repeated(self, run: int) -> list[Repeated]:
        """Return the executions that appear in more than one row, ordered by their first row."""
        with explained(self.path):
            return list(map(Repeated._make, self._db.execute(sql.REPEATED, (run,))))

    def invalid(self, run: int) -> Iterator[Problem]:
        """Return the invalid rows of a run, in row order."""
        with explained(self.path):
            yield from map(Problem._make, self._db.execute(sql.INVALID, (run,)))

    def errors(self, run: int) -> Iterator[Problem]:
        """Return the rows of a run that have an error, in row order."""
        with explained(self.path):
            yield from map(Problem._make, self._db.execute(sql.ERRORS, (run,)))

    def not_done(self, run: int, most: int) -> list[NotDone]:
        """Return at most *most* rows that are not done, in row order; unsent ones are dropped first."""
        with explained(self.path):
            return list(map(NotDone._make, self._db.execute(sql.NOT_DONE, (run, most))))

    def latencies(self, run: int) -> list[tuple[int, int]]:
        """Return the durations of the rows' last answers, in milliseconds, with the number of rows for each."""
        with explained(self.path):
            return self._db.execute(sql.LATENCIES, (run,)).fetchall()

    def finished(self, run: int) -> list[tuple[int, int]]:
        """Return the Unix times, in whole seconds, at which rows were finished, with the number of rows for each."""
        with explained(self.path):
            return self._db.execute(sql.FINISHED, (run,)).fetchall()


def leave(db: sqlite3.Connection, run: int, error: str, detail: str) -> None:
    """Make rows that are still due `unsent`, for the given reason or because of an earlier row in their way."""
    db.execute(sql.LEAVE_UNSENT, (error, detail, run))
    db.execute(sql.UNRESOLVED, {"run": run})
    db.execute(sql.DOUBT, {"run": run})
    db.execute(sql.ACKNOWLEDGE, {"run": run})


def planned(run: int, row: Row | InvalidRow) -> tuple[Any, ...]:
    """Return a row's initial line as `sql.ADD_LINE` takes it."""
    head = (run, row.row, row.line, row.workflow_id, row.execution_id, row.status or "")
    if isinstance(row, InvalidRow):
        return (*head, 0, Outcome.INVALID, row.error, row.detail)
    return (*head, 1, None, "", "")


def recorded(result: Result) -> Recorded:
    """Return a result as the ledger records it."""
    said = result.execution
    return Recorded(
        row=result.row,
        outcome=result.outcome,
        error=result.error,
        detail=result.detail,
        http=result.status,
        attempts=result.attempts,
        returned=said.status if said else "",
        disposition=said.disposition if said else "",
        steps=orjson.dumps(said.steps).decode() if said else "[]",
        started=said.started_at if said else "",
        completed=said.completed_at if said else "",
        first_sent=result.first_sent,
        finished=result.finished,
        duration=None if result.duration is None else round(result.duration * 1000),
        doubtful=result.doubtful,
        digest=result.digest or None,
    )

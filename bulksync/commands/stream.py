"""A run over a stream: rows are validated, entered into the ledger and sent as they arrive.

Whatever needs all rows at once is not available for a stream: it is not validated as a whole before the first request,
it cannot be resumed by a later call (`only_changed` skips what is already acknowledged), and its report has no echoed
columns. Everything else is as for a file: the order of an execution's rows, the rate, and what the ledger records
before a row is sent.
"""

import secrets
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import anyio

from bulksync.commands.job import Job
from bulksync.commands.run import reported, sent_through
from bulksync.commands.target import fitted
from bulksync.console.closing import Ending
from bulksync.console.progress import Doing
from bulksync.errors import InputError, StorageError
from bulksync.ledger.backlog import Backlog
from bulksync.ledger.store import Run
from bulksync.ledger.writer import Ledger
from bulksync.model import InvalidRow, Row, Stop, Tell
from bulksync.options.models import RunOptions
from bulksync.options.values import show_rate
from bulksync.reader.chunks import allowed_set, chunk_digest
from bulksync.reader.echoes import Kept
from bulksync.reader.input import open_input
from bulksync.reader.mapping import parse_fields
from bulksync.reader.rows import stored
from bulksync.reader.source import Source
from bulksync.reader.values import json_line
from bulksync.sender.feed import Limit, stop_for
from bulksync.sender.inlet import Inlet
from bulksync.sender.plan import (
    Plan,
    check_before,
    check_output,
    how_read,
    looks_for,
    place_of,
    run_name,
    unknown_statuses,
)
from bulksync.sender.send import Brake
from bulksync.sender.settings import Found, RunSettings, settings_of


@dataclass(frozen=True, slots=True)
class Ends:
    """The inputs of a stream; *kept* receives echoed cells, *backlog* the rows that have an outcome at once."""

    inlet: Inlet
    backlog: Backlog
    kept: Kept


async def travel_stream(job: Job, ledger: Ledger, brake: Brake, doing: Doing, tell: Tell, ends: Ends) -> Ending:
    """Send rows as they arrive until there are no more, then report. Raises BulksyncError if no report was written."""
    store, options = ledger.store, fitted(job.options, tell)
    await ledger.call(check_output, store, job.files.output, overwrite=options.overwrite)
    fields = parse_fields(options.map, options.set)
    source = Source(
        job.input, job.name or "rows", "jsonl", compressed=False, delimiter=None, encoding=None, fields=fields
    )
    run = await ledger.call(begin, ledger, job, source)
    is_known = await ledger.call(store.is_proven, job.target, job.key.get_secret_value())
    doing.run = run.name
    tell("sending a stream", target=job.target, rate=show_rate(options.rate))
    plan = Plan(run, settings_of(run), due=0, invalid=0, is_known=is_known)
    stream = Stream(ledger, run, source, options, ends)
    sent = await sent_through(job, ledger, plan, source, options, brake, doing, tell, total=None, supply=stream)
    run = await ledger.call(store.run, run.id)
    plan = replace(plan, run=run, settings=settings_of(run))
    if unknown := unknown_statuses(plan.settings.statuses):
        tell("unknown statuses", statuses=unknown)
    return await reported(job, ledger, plan, source, sent)


def begin(ledger: Ledger, job: Job, source: Source) -> Run:
    """Open a run that has no rows yet. Blocks."""
    store, now = ledger.store, time.time()
    check_before(store, job.files, None)
    with store.transaction():
        run = store.begin(
            name=run_name(now),
            target=job.target,
            input=source.name,
            path=place_of(source.path, job.files.ledger),
            digest=f"stream {secrets.token_hex(16)}",  # matches no input, so that no later call resumes this run
            started=now,
        )
        how, look = how_read(source, job.options), looks_for(job.options, job.files)
        settings = RunSettings(**dict(how), **dict(look), **dict(found(0, 0, Counter())))
        store.set_settings(run, 0, settings.model_dump_json())
    return store.run(run)


def found(rows: int, invalid: int, statuses: Counter[str]) -> Found:
    """Return what is known about a stream so far, in the ledger's form for a validated file."""
    return Found(
        rows=rows,
        invalid=invalid,
        fatal=False,
        digest="",
        delimiter=",",
        bom=False,
        echoed=(),
        metadata_columns=(),
        statuses=dict(statuses.most_common()),
    )


class Stream:
    """The rows of a stream: rows that have arrived are added to the run, and those that are due are returned.

    With `only_changed` it remembers a hash of every execution that it has returned a row of, about 60 bytes each;
    if two hashes collide, a row is sent that could have been skipped.
    """

    def __init__(self, ledger: Ledger, run: Run, source: Source, options: RunOptions, ends: Ends) -> None:
        self._ledger = ledger
        self._run = run
        self._source = source
        self._options = options
        self._inlet = ends.inlet
        self._backlog = ends.backlog
        self._kept = ends.kept
        self._waiting: anyio.CancelScope | None = None
        self._is_halted = False
        self._given: set[int] = set()
        self._rows = 0
        self._invalid = 0
        self._statuses = Counter[str]()

    async def next(self) -> list[Row] | Stop | None:
        """Wait for rows, enter them into the ledger and return those that are due; None at the end of the stream."""
        await self._ledger.room()  # the consumer of the results sets the pace
        given = await self._take()
        if not given:
            return None
        try:
            rows = await self._ledger.call(self._enter, given)
            bad = [row for row in rows if isinstance(row, InvalidRow)]
            if bad and self._options.on_invalid == "abort":
                return refusal(bad[0])
            due, left_out = await self._ledger.call(self._due, rows)
        except (InputError, StorageError) as error:
            return stop_for(error)
        self._backlog.add_rows(self._run.id, [*left_out, *(row.row for row in bad)])
        return due

    async def elsewhere(self, most: int, limited: Limit) -> list[Row] | Stop:
        """Return no rows: those still to come are unknown."""
        return []

    def halt(self) -> None:
        """Take no more rows."""
        self._is_halted = True
        if self._waiting is not None:
            self._waiting.cancel()

    async def close(self) -> None:
        """Tell the producer that no more rows are taken."""
        self._inlet.close()

    async def _take(self) -> list[object]:
        """Wait for a row, and return it with any others that have arrived; none at the end."""
        taken: list[object] = []
        with anyio.CancelScope() as self._waiting:
            if not self._is_halted:
                taken = await self._inlet.take()
        return taken

    # On the ledger's thread

    def _enter(self, given: Sequence[object]) -> list[Row | InvalidRow]:
        """Validate rows, and add them to the run."""
        with stored(self._source.path):
            self._source.path.write_bytes(b"".join(map(json_line, given)))
        with open_input(self._source) as content:
            rows = [self._numbered(row) for row in content.rows(allowed_set(self._options.allow_status))]
            names = content.echoed
        with open_input(self._source) as content:
            for row, record in zip(rows, content.records(names), strict=True):
                self._kept.keep(row.row, dict(zip(names, record.cells, strict=True)))
        self._rows += len(rows)
        self._invalid += sum(isinstance(row, InvalidRow) for row in rows)
        self._statuses.update(row.status for row in rows if isinstance(row, Row) and row.status)
        store, run = self._ledger.store, self._run
        with store.transaction():
            store.plan(run.id, rows, chunk_digest(rows))
            settings = settings_of(run).having(found(self._rows, self._invalid, self._statuses))
            store.set_settings(run.id, self._rows, settings.model_dump_json())
        return rows

    def _numbered(self, row: Row | InvalidRow) -> Row | InvalidRow:
        """Return a row with its position in the stream."""
        return replace(row, row=self._rows + row.row, line=self._rows + row.line)

    def _due(self, rows: Sequence[Row | InvalidRow]) -> tuple[list[Row], list[int]]:
        """Return the rows to send, once the ledger has recorded that they may be, and the ones to skip."""
        store, run = self._ledger.store, self._run.id
        due: list[Row] = []
        left_out: list[Row] = []
        for row in rows:
            if isinstance(row, Row):
                (left_out if self._options.only_changed and self._is_unchanged(row) else due).append(row)
        if left_out:
            with store.transaction():
                store.leave_out(run, left_out)
        store.mark(run, rows[-1].row)
        return due, [row.row for row in left_out]

    def _is_unchanged(self, row: Row) -> bool:
        """Return whether a row's payload is already acknowledged and no other row of its execution precedes it."""
        execution = hash(row.key)
        if execution not in self._given and self._ledger.store.count_acknowledged(self._run.id, [row]):
            return True
        self._given.add(execution)
        return False


def refusal(row: InvalidRow) -> Stop:
    """Return why a stream ends at an invalid row; earlier rows may have been sent."""
    return Stop(
        7,
        "interrupted",
        f"row {row.row} is invalid ({row.error}: {row.detail}); a stream ends there",
        "fix that row, or leave invalid ones out with --on-invalid skip; rows before it may have been sent",
    )

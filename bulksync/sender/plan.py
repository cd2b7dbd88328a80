"""Decides what a run is before anything is sent: which files, a new run or the latest one resumed, and which rows."""

import os
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from pydantic import SecretStr

from bulksync.errors import InputError, UsageError
from bulksync.ledger.store import Run, Store
from bulksync.model import InvalidRow, Row
from bulksync.options.files import STDOUT, Files
from bulksync.options.models import InputOptions, RunOptions
from bulksync.reader.chunks import allowed_set, chunk_digest, chunks
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.mapping import parse_fields
from bulksync.reader.noting import NO_VALUES
from bulksync.reader.source import Source, fingerprint
from bulksync.reader.validation import KNOWN_STATUSES, meant_status
from bulksync.sender.settings import Found, HowRead, Look, RunSettings, settings_of
from bulksync.text import counted

ANSWER_TIME = 0.1
"""Response time in seconds assumed before any answer: an estimate, as servers are near and far."""

MOST_ASKED = 10
"""Maximum unknown statuses compared with the known ones; a column of unrelated words is not worth more."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done: the *due* rows of *run*, which has these *settings*.

    *invalid* counts the invalid rows of the input; *fatal* says that the rows after one of them cannot be told apart;
    *is_known* says that the key has had a success at the target before. *acknowledged* counts the rows of a new run
    whose payload is already acknowledged; *superseded* counts those of a resumed run whose execution a later run has
    updated; *notes* are remarks on the input.
    """

    run: Run
    settings: RunSettings
    due: int
    invalid: int
    fatal: bool = False
    continued: bool = False
    is_known: bool = False
    acknowledged: int = 0
    superseded: int = 0
    notes: tuple[str, ...] = ()

    @property
    def is_finished(self) -> bool:
        """Whether an earlier run has already done everything that can be done."""
        return self.continued and self.due == 0

    def is_refused(self, on_invalid: str) -> bool:
        """Whether the input's invalid rows keep any valid ones from being sent."""
        is_open = self.due > 0 or self.invalid == self.run.rows
        return is_open and refuses(self.invalid, self.fatal, on_invalid)


def refuses(invalid: int, fatal: bool, on_invalid: str) -> bool:
    """Whether the invalid rows of an input keep its valid ones from being sent."""
    return fatal or (invalid > 0 and on_invalid == "abort")


def check_output(store: Store, output: Path | None, *, overwrite: bool) -> None:
    """Raise UsageError if the report would replace a link or a file that this ledger did not write."""
    if output is None or output == STDOUT:
        return
    if output.is_symlink() or (output.exists() and not output.is_file()):
        raise UsageError(f"{output} is not a plain file", "name another with --output")
    if not output.parent.is_dir():
        raise UsageError(f"the folder {output.parent} does not exist", "create it, or name another with --output")
    places = {str(output.resolve()), place_of(output, store.path)}
    if output.exists() and not overwrite and not places & store.reports():
        raise UsageError(
            f"{output} was not written by this ledger, so it is not replaced",
            "move it away, or add --overwrite; with another --output the default ledger is another one too, which knows"
            " nothing of what was sent",
        )


def place_of(path: Path, ledger: Path | None) -> str:
    """Return a path as the ledger stores it: relative to the ledger's folder, so that both can be moved together."""
    return os.path.relpath(path.resolve(), ledger.resolve().parent) if ledger else str(path.resolve())


def locate_input(options: InputOptions, path: Path, name: str | None = None) -> Source:
    """Return how an input is to be read; raises UsageError or InputError if it cannot be."""
    return locate(
        path,
        name=name,
        format=options.format,
        delimiter=options.delimiter,
        encoding=options.encoding,
        fields=parse_fields(options.map, options.set),
        sheet=options.sheet,
        escapes=options.tsv_escapes,
    )


def check_enough(rows: int, source: Source, options: InputOptions) -> None:
    """Raise InputError if an input has fewer rows than required."""
    if rows < options.min_rows:
        has = f"{source.name} has {counted(rows, 'row')}, fewer than --min-rows {options.min_rows:,}"
        raise InputError(has, "check that the file is complete; if it is, lower --min-rows")


def plan_run(
    store: Store,
    source: Source,
    options: RunOptions,
    *,
    target: str,
    key: SecretStr,
    files: Files,
    now: float,
    stopping: Callable[[], bool],
    verb: str = "run",
    reads: bool = False,
) -> Plan:
    """Resume the latest run of this input against *target*, or validate the whole input as a new run.

    The input is compared by its bytes. Blocks; raises InputError if the input cannot be read or changes meanwhile.
    *stopping* ends it between chunks. A *verb* resumes only its own runs; one that *reads* makes one request per
    execution.
    """
    digest = fingerprint(source.path)
    how, look = how_read(source, options), looks_for(options, files, verb)
    is_known = store.is_proven(target, key.get_secret_value())
    has_states = not reads or files.states.exists()  # a run whose states are gone cannot be resumed
    latest = store.latest(target, digest, verb) if has_states else None
    if latest:
        check_enough(latest.rows, source, options)
    if latest and is_wanted(store, latest, options) and reads_the_same(store, latest, source, options, how, stopping):
        check_before(store, files, latest)
        return continue_run(store, latest, source, options, look, stopping, is_known=is_known)
    check_before(store, files, None)
    with store.transaction():
        run = store.begin(
            name=run_name(now),
            target=target,
            input=source.name,
            path=place_of(source.path, files.ledger),
            digest=digest,
            started=now,
        )
        found = validate(store, run, source, options.allow_status, stopping, only_changed=options.only_changed)
        if found.digest != digest:
            raise InputError(f"{source.name} changed while it was read", "wait until it is complete, then run again")
        if reads:
            store.keep_first(run)
        check_enough(found.rows, source, options)
        if options.only_changed:
            is_refused = refuses(found.invalid, found.fatal, options.on_invalid)
            (store.take_all_back if is_refused else store.take_back)(run)
        settings = RunSettings(**dict(how), **dict(look), **dict(found), begun=begun_by(options), reads=reads)
        store.set_settings(run, found.rows, settings.model_dump_json())
    return Plan(
        store.run(run),
        settings,
        store.count_due(run),
        found.invalid,
        found.fatal,
        is_known=is_known,
        acknowledged=0 if options.only_changed or reads else found.acknowledged,
        notes=found.notes,
    )


def check_before(store: Store, files: Files, run: Run | None) -> None:
    """Raise UsageError if states saved now might not be those before this *run*; None means a new run."""
    path = files.before
    if path is None:
        return
    is_this_runs = run is not None and settings_of(run).before == place_of(path, files.ledger)
    if run is not None and store.has_sent(run.id) and not (is_this_runs and path.exists()):
        raise UsageError(
            f"--save-before {path}: run {run.name} has already updated executions whose states are not there",
            "put the file back if it was moved; else go on without --save-before, or begin a new run with --restart",
        )
    if not is_this_runs and path.exists() and path.stat().st_size:
        raise UsageError(
            f"--save-before {path} is there already, perhaps with states before another run",
            "name another file, or move this one away",
        )


def begun_by(options: RunOptions) -> str:
    """Return which option requests a new run regardless of earlier ones; empty if none does."""
    return "--resend" if options.resend else "--restart" if options.restart else ""


def is_wanted(store: Store, run: Run, options: RunOptions) -> bool:
    """Whether this invocation resumes a run: an option that requests a new run does so only until that one is done."""
    asked = begun_by(options)
    return not asked or (settings_of(run).begun == asked and store.is_open(run.id))


def reads_the_same(
    store: Store,
    run: Run,
    source: Source,
    options: RunOptions,
    how: HowRead,
    stopping: Callable[[], bool],
) -> bool:
    """Whether the input yields the same rows as when it was planned: read the same way, or found to be equal."""
    if settings_of(run).reads_as(how):
        return True
    rows = 0
    with open_input(source) as content:
        for chunk in chunks(content.rows(allowed_set(options.allow_status))):
            if stopping():
                raise InterruptedError
            if store.chunk_digest(run.id, chunk[0].row) != chunk_digest(chunk):
                return False
            rows += len(chunk)
    return rows == run.rows


def continue_run(
    store: Store,
    run: Run,
    source: Source,
    options: RunOptions,
    look: Look,
    stopping: Callable[[], bool],
    *,
    is_known: bool,
) -> Plan:
    """Make an earlier run's unfinished rows due again, except those that a later run has superseded."""
    settings = settings_of(run).having(look)
    store.set_settings(run.id, run.rows, settings.model_dump_json())
    store.reopen(run.id, retry_rejected=options.retry_rejected)
    if options.only_changed and not refuses(settings.invalid, settings.fatal, options.on_invalid):
        leave_out(store, run, source, options.allow_status, stopping)
    return Plan(
        replace(run, settings=settings.model_dump_json()),
        settings,
        store.count_due(run.id),
        settings.invalid,
        settings.fatal,
        continued=True,
        is_known=is_known,
        superseded=store.counts(run.id, "error").get("superseded", 0),
    )


def leave_out(
    store: Store, run: Run, source: Source, allowed: Iterable[str] | None, stopping: Callable[[], bool]
) -> None:
    """Read the input again, and skip due rows whose payload was already acknowledged."""
    with open_input(source) as content, store.transaction():
        for chunk in chunks(content.rows(allowed_set(allowed))):
            if stopping():
                raise InterruptedError
            if store.chunk_digest(run.id, chunk[0].row) != chunk_digest(chunk):
                raise InputError(f"{source.name} changed while it was read", "run again")
            store.leave_out(run.id, chunk)
        store.take_back(run.id)


def run_name(now: float) -> str:
    """Return a unique name for a run; names sort by time."""
    return f"{datetime.fromtimestamp(now, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def validate(
    store: Store,
    run: int,
    source: Source,
    allowed: Iterable[str] | None,
    stopping: Callable[[], bool],
    *,
    only_changed: bool = False,
) -> Found:
    """Read every row of the input into the plan of *run*, inside the caller's transaction.

    With *only_changed*, skip rows whose payload is the last acknowledged one.
    """
    rows = invalid = acknowledged = 0
    fatal = False
    statuses = Counter[str]()
    with open_input(source) as content:
        for chunk in chunks(content.rows(allowed_set(allowed))):
            if stopping():
                raise InterruptedError
            store.plan(run, chunk, chunk_digest(chunk))
            if only_changed:
                store.leave_out(run, chunk)
            else:
                acknowledged += store.count_acknowledged(run, chunk)
            rows += len(chunk)
            bad = [row for row in chunk if isinstance(row, InvalidRow)]
            invalid += len(bad)
            fatal = fatal or any(row.fatal for row in bad)
            statuses.update(row.status for row in chunk if isinstance(row, Row) and row.status)
        return Found(
            rows=rows,
            invalid=invalid,
            fatal=fatal,
            digest=content.digest,
            delimiter=content.layout.delimiter,
            bom=content.layout.bom,
            echoed=content.echoed,
            metadata_columns=content.metadata_columns,
            statuses=dict(statuses.most_common()),
            acknowledged=acknowledged,
            columns=tuple(content.columns),
            notes=(*content.notes, *notes_on(rows, statuses)),
        )


def notes_on(rows: int, statuses: Mapping[str, int]) -> Iterator[str]:
    """Yield remarks on an input as a whole: no rows, and near misses of a known status."""
    if not rows:
        yield "the input has no rows: there is nothing to send"
    for status in islice(unknown_statuses(statuses), MOST_ASKED):
        sent = f"status {status} is sent as it is ({counted(statuses[status], 'row')})"
        if meant := meant_status(status, KNOWN_STATUSES):
            yield f"{sent}; did you mean {meant}?"
        elif status in NO_VALUES:
            yield f"{sent}; to omit it, leave the cell empty"


def estimate(rows: int, longest: int, rate: float) -> float:
    """Return how many seconds sending takes if the execution with the most rows has *longest* in sequence."""
    return max(rows / rate, longest * ANSWER_TIME)


def unknown_statuses(statuses: Mapping[str, int]) -> dict[str, int]:
    """Return the statuses that the API's pages do not name; the server may accept them nevertheless."""
    return {status: count for status, count in statuses.items() if status not in KNOWN_STATUSES}


def how_read(source: Source, options: RunOptions) -> HowRead:
    """Return the options that determine which rows the bytes of an input yield."""
    return HowRead(
        format=source.format,
        asked_delimiter=source.delimiter,
        encoding=source.encoding,
        map=options.map,
        set=options.set,
        sheet=source.sheet,
        tsv_escapes=source.escapes,
        allow_status=options.allow_status,
    )


def looks_for(options: RunOptions, files: Files, verb: str = "run") -> Look:
    """Return a run's output files, their locations, and the report's format."""
    return Look(
        report=None if files.output in (None, STDOUT) else place_of(files.output, files.ledger),
        echo_metadata=options.echo_metadata,
        guard_formulas=options.guard_formulas,
        verb=verb,
        states=place_of(files.states, files.ledger),
        before=None if files.before is None else place_of(files.before, files.ledger),
    )

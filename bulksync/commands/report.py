"""Regenerate a run's report from the ledger, with the input's own columns if the input is unchanged."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bulksync.commands.fetch import FETCH
from bulksync.commands.update import UPDATE
from bulksync.errors import InputError, LockedError, StorageError, UsageError
from bulksync.ledger.database import NOTHING_KNOWN, NotALedgerError
from bulksync.ledger.store import Run, Since, Store
from bulksync.options.files import STDOUT, beside_it, tell_apart
from bulksync.options.models import RenderOptions
from bulksync.reader.locating import locate
from bulksync.reader.mapping import parse_fields
from bulksync.reader.source import Source
from bulksync.report.render import input_of, measure
from bulksync.report.schema import Transition
from bulksync.report.summary import moved, recorded_summary, report_of
from bulksync.report.table import write_moves
from bulksync.sender.plan import check_output
from bulksync.sender.settings import settings_of

VERBS = {verb.name: verb for verb in (UPDATE, FETCH)}
"""The kinds of runs in a ledger."""


def render_again(ledger: Path, options: RenderOptions) -> tuple[Run, Path, str]:
    """Regenerate a run's report; return the run, the report's path, and a note on what it lacks.

    Raises UsageError if the file is not a ledger or if output files would collide, StorageError if the ledger
    cannot be read, LockedError while a run is using it, InputError if a retry file is requested but the input has
    changed.
    """
    with opened(ledger) as store:
        run = chosen(store.runs(), options.run)
        check_kept(store, run)
        output = options.output or report_of(store, run) or Path(f"{run.input}.report.csv")
        tell_apart(options.input or ledger.parent / run.path, output, ledger, options)
        check_output(store, output, overwrite=options.overwrite)
        note = VERBS[settings_of(run).verb].write(
            store, run, source_again(run, options.input or ledger.parent / run.path), output, options
        )
        measure(run, options, now=datetime.fromisoformat(run.ended or run.started).timestamp())
        return run, output, note


def print_moves(ledger: Path, options: RenderOptions) -> tuple[str, int, tuple[Transition, ...]]:
    """Print the rows whose disposition changed since an earlier run of the same target, as CSV.

    Returns the run's name, how many executions could be compared, and the changes; raises as `render_again` does.
    """
    with opened(ledger) as store:
        run = chosen(store.runs(), options.run)
        check_kept(store, run)
        with answers_in(options.since) as since:
            with closing(store.moved(run.id, since)) as rows:
                write_moves(STDOUT, rows)
            compared = sum(moves.executions for moves in store.moves(run.id, since))
            return run.name, compared, moved(store, run, since)


@contextmanager
def answers_in(ledger: Path | None) -> Iterator[Since | None]:
    """Yield a lookup of the answers of the latest run in another ledger; None if there is no other."""
    if ledger is None:
        yield None
        return
    with opened(ledger) as store:
        run = chosen(store.runs(), None)
        yield lambda: store.answers(run.id)


def chosen(runs: list[Run], name: str | None) -> Run:
    """Return the run of that name, or the latest. Raises UsageError if there is none."""
    found = [run for run in runs if name in (None, run.name)]
    if not found:
        names = ", ".join(run.name for run in runs[-5:]) or "none"
        wanted = f"run {name}" if name else "run"
        raise UsageError(f"there is no {wanted} in this ledger", f"name one with --run; the latest are: {names}")
    return found[-1]


def check_kept(store: Store, run: Run) -> None:
    """Raise UsageError if a run's lines have been pruned from the ledger."""
    if run.rows and next(store.lines(run.id), None) is None:
        raise UsageError(
            f"the rows of run {run.name} have been pruned",
            "its report cannot be rendered any more; to keep more runs in future: --keep-runs 100",
        )


def source_again(run: Run, path: Path) -> Source | InputError:
    """Return the run's input if the file at *path* is unchanged, else the reason why it cannot be used."""
    settings = settings_of(run)
    try:
        source = locate(
            path,
            format=settings.format,
            delimiter=settings.asked_delimiter,
            encoding=settings.encoding,
            fields=parse_fields(settings.map, settings.set),
            sheet=settings.sheet,
            escapes=settings.tsv_escapes,
        )
    except InputError as error:
        return error
    return input_of(run, source)


def history_of(ledger: Path) -> tuple[list[dict[str, Any]], int]:
    """Return the runs in a ledger, oldest first, and its size in bytes.

    Raises UsageError if the file is not a ledger, StorageError or LockedError if it cannot be read.
    """
    with opened(ledger) as store:
        return [history_entry(store, run) for run in store.runs()], store.size()


def history_entry(store: Store, run: Run) -> dict[str, Any]:
    """Return a run's entry in the history."""
    summary = recorded_summary(run)
    return {
        "run": run.name,
        "started": run.started,
        "ended": run.ended,
        "exitCode": run.exit_code,
        "rows": run.rows,
        "outcomes": summary.outcomes if summary else store.counts(run.id, "outcome"),
        "input": run.input,
        "target": run.target,
    }


@contextmanager
def opened(ledger: Path) -> Iterator[Store]:
    """Yield the store of an existing ledger.

    Raises UsageError for any other file; StorageError or LockedError, with advice for a reader, if it cannot be
    read.
    """
    if not ledger.is_file():
        raise UsageError(f"there is no ledger {ledger}", where_to_look(ledger))
    try:
        store = Store(ledger)
    except NotALedgerError:
        raise UsageError(f"{ledger} is not a ledger", where_to_look(ledger)) from None
    except LockedError as error:
        raise LockedError(error.what, "wait until it has ended, then run the same command again") from None
    except StorageError as error:
        raise StorageError(error.what, error.next_step.removesuffix(f"; {NOTHING_KNOWN}")) from None
    with closing(store):
        yield store


def where_to_look(path: Path) -> str:
    """Return a hint at the right file for a user who names an input, or its report, instead of the ledger."""
    beside = [beside_it(path, ending) for ending in ("ledger", "report.csv.ledger")]
    found = next((ledger for ledger in beside if ledger.is_file()), None)
    return f"name its ledger: {found}" if found else "name the .ledger file next to the report"

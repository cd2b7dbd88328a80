"""Renders a run's report again from its ledger, and from its input where that is still what it was."""

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
"""What runs in a ledger may be."""


def render_again(ledger: Path, options: RenderOptions) -> tuple[Run, Path, str]:
    """Write the report of a run again; return the run, where the report stands, and what is missing in it.

    UsageError for a file that is no ledger, or where one file would take another's place, StorageError where the ledger
    cannot be read, LockedError while a run holds it, InputError where a retry file is asked for of a changed input.
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
    """Print the rows whose disposition moved since an earlier run of the same target, as CSV.

    Returns the run's name, how many executions could be compared, and what moved where; raises as `render_again` does.
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
    """Yield what gives the answers of the latest run in another ledger; None where there is no other."""
    if ledger is None:
        yield None
        return
    with opened(ledger) as store:
        run = chosen(store.runs(), None)
        yield lambda: store.answers(run.id)


def chosen(runs: list[Run], name: str | None) -> Run:
    """Return the run of that name, or the latest; UsageError where there is none."""
    found = [run for run in runs if name in (None, run.name)]
    if not found:
        names = ", ".join(run.name for run in runs[-5:]) or "none"
        wanted = f"run {name}" if name else "run"
        raise UsageError(f"there is no {wanted} in this ledger", f"name one with --run; the latest are: {names}")
    return found[-1]


def check_kept(store: Store, run: Run) -> None:
    """Raise UsageError where the ledger has forgotten the lines of a run."""
    if run.rows and next(store.lines(run.id), None) is None:
        raise UsageError(
            f"the rows of run {run.name} have been pruned",
            "its report cannot be rendered any more; to keep more runs in future: --keep-runs 100",
        )


def source_again(run: Run, path: Path) -> Source | InputError:
    """Return the input of a run where its bytes, at *path*, are what they were; else why not."""
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

    UsageError for a file that is no ledger, StorageError or LockedError where it cannot be read.
    """
    with opened(ledger) as store:
        return [history_entry(store, run) for run in store.runs()], store.size()


def history_entry(store: Store, run: Run) -> dict[str, Any]:
    """Return what the history tells of a run."""
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
    """Yield the store in a ledger that is there.

    UsageError for another file, StorageError or LockedError where it cannot be read, with a reader's way out.
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
    """Say which file is meant by somebody who names an input, or its report, instead of the ledger."""
    beside = [beside_it(path, ending) for ending in ("ledger", "report.csv.ledger")]
    found = next((ledger for ledger in beside if ledger.is_file()), None)
    return f"name its ledger: {found}" if found else "name the .ledger file next to the report"

"""Renders a run's report again from its ledger, and from its input where that is still what it was."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from bulksync.errors import InputError, StorageError, UsageError
from bulksync.ledger.store import Run, Store
from bulksync.options.files import STDOUT, tell_apart
from bulksync.options.models import RenderOptions
from bulksync.reader.locating import locate
from bulksync.reader.mapping import parse_fields
from bulksync.reader.source import Source
from bulksync.report.render import input_of, measure, render
from bulksync.report.schema import Transition
from bulksync.report.summary import moved, recorded_summary, report_of
from bulksync.report.table import write_moves
from bulksync.sender.plan import check_output
from bulksync.sender.settings import settings_of


def render_again(ledger: Path, options: RenderOptions) -> tuple[Run, Path, str]:
    """Write the report of a run again; return the run, where the report stands, and what is missing in it.

    StorageError where the ledger cannot be read, LockedError while a run holds it, UsageError where one file would take
    another's place, InputError where a retry file is asked for but the input is not what it was.
    """
    with opened(ledger) as store:
        run = chosen(store.runs(), options.run)
        check_kept(store, run)
        output = options.output or report_of(store, run) or Path(f"{run.input}.report.csv")
        tell_apart(options.input or ledger.parent / run.path, output, ledger, options)
        check_output(store, output, overwrite=options.overwrite)
        note = render(store, run, source_again(run, options.input or ledger.parent / run.path), output, options)
        measure(run, options, now=datetime.fromisoformat(run.ended or run.started).timestamp())
        return run, output, note


def print_moves(ledger: Path, options: RenderOptions) -> tuple[str, int, tuple[Transition, ...]]:
    """Print the rows whose disposition moved since an earlier run of the same target, as CSV.

    Returns the run's name, how many executions could be compared, and what moved where; raises as `render_again` does.
    """
    with opened(ledger) as store:
        run = chosen(store.runs(), options.run)
        check_kept(store, run)
        with closing(store.moved(run.id)) as rows:
            write_moves(STDOUT, rows)
        return run.name, sum(moves.executions for moves in store.moves(run.id)), moved(store, run)


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

    StorageError or LockedError where it cannot be read.
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
    """Yield the store in a ledger that is there; StorageError or LockedError where it cannot be read."""
    if not ledger.is_file():
        raise StorageError(f"there is no ledger {ledger}", "name the .ledger file next to the report")
    with closing(Store(ledger)) as store:
        yield store

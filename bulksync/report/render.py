"""Render a run from its ledger: the report, the retry file, the summary, the page and the metrics."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from bulksync.errors import InputError
from bulksync.ledger.store import Run, Store
from bulksync.options.files import STDOUT
from bulksync.options.models import ReportOptions
from bulksync.reader.input import open_input
from bulksync.reader.record import Record
from bulksync.reader.source import Source, fingerprint
from bulksync.report.charts import Slices, sliced
from bulksync.report.grouping import grouped
from bulksync.report.page import MOST_ROWS, Facts, write_page
from bulksync.report.retry_file import write_rejected_file, write_retry_file
from bulksync.report.schema import Timeline
from bulksync.report.summary import recorded_summary, summary_of, write_summary
from bulksync.report.table import SEPARATOR, View, is_json, write_csv_report, write_json_report
from bulksync.sender.settings import settings_of


def input_of(run: Run, source: Source) -> Source | InputError:
    """Return *source* if its bytes are still those of the run, else the reason why it cannot be used."""
    try:
        if fingerprint(source.path) == run.digest:
            return source
    except InputError as error:
        return error
    return InputError(f"{source.name} has changed since the run read it")


def render(store: Store, run: Run, source: Source | InputError, output: Path | None, options: ReportOptions) -> str:
    """Write a run's report, retry file, summary and page, each if asked for.

    Returns a note for the user on what they lack. If *source* is an InputError, the report is without the input's
    columns, and a retry file is refused with that error. Raises StorageError if a file cannot be written.
    """
    if options.summary:
        write_summary(options.summary, summary_of(store, run))
    if isinstance(source, InputError):
        if output:
            write_report(store, run, output, None, view_of(run, echoed=False))
        if options.html:
            draw(store, run, output, options.html)
        if options.retry_file or options.rejected_file:
            raise InputError(source.what, f"without the input there is no retry file; the report is {output}")
        return f"{source.what}; the report lacks the input's other columns"
    if output:
        view = view_of(run, echoed=True)
        with open_input(source) as content:
            write_report(store, run, output, content.records(view.echoed), view)
    if options.html:
        draw(store, run, output, options.html)
    for path, write in ((options.retry_file, write_retry_file), (options.rejected_file, write_rejected_file)):
        if path:
            with open_input(source) as content, closing(store.lines(run.id)) as lines:
                write(path, lines, content)
    return ""


def write_report(store: Store, run: Run, path: Path, records: Iterator[Record] | None, view: View) -> None:
    """Write the report in the format that its name implies. Raises StorageError if that fails."""
    risks = store.order_risks(run.id)
    if is_json(path):
        with closing(store.lines(run.id)) as lines:
            write_json_report(path, lines, risks, records, view)
    else:
        with closing(store.joined(run.id, risks, SEPARATOR)) as joined:
            write_csv_report(path, joined, records, view)


def draw(store: Store, run: Run, output: Path | None, path: Path) -> None:
    """Write the page of a run. Raises StorageError if that fails."""
    summary = summary_of(store, run)
    facts = Facts(
        report="" if output in (None, STDOUT) else str(output),
        ledger=str(store.path or ""),
        steps=store.counts(run.id, "step"),
        latencies=store.latencies(run.id),
        slices=slices_of(store, run, summary.timeline),
        errors=grouped(store.errors(run.id)),
        rows=store.not_done(run.id, MOST_ROWS),
    )
    write_page(path, summary, facts)


def slices_of(store: Store, run: Run, timeline: Timeline | None) -> Slices:
    """Return the answers over time counted by the run's last invocation, or else when its rows finished."""
    if timeline is None or timeline.start is None:
        return sliced(store.finished(run.id))
    return Slices(timeline.start.timestamp(), timeline.slice_seconds, timeline.counts)


def measure(run: Run, options: ReportOptions, *, now: float) -> None:
    """Write a run's metrics if asked for, as the last file, once nothing else can fail."""
    if options.metrics_file:
        from bulksync.report.metrics import write_metrics  # here, so that the library is loaded only if needed

        write_metrics(options.metrics_file, recorded_summary(run), exit_code=run.exit_code, now=now)


def view_of(run: Run, *, echoed: bool) -> View:
    """Return the report's format, with the input's other columns if *echoed*."""
    settings = settings_of(run)
    columns = settings.echoed + (settings.metadata_columns if settings.echo_metadata else ())
    return View(
        delimiter=settings.delimiter,
        bom=settings.bom,
        echoed=columns if echoed else (),
        guard_formulas=settings.guard_formulas,
    )

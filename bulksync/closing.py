"""Ends a run: closes it in the ledger, says what came of it, and renders what people see."""

from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from bulksync.errors import InputError
from bulksync.ledger import Run, Store
from bulksync.model import Outcome, Stop
from bulksync.options import ReportOptions, show_rate
from bulksync.reader import Source, fingerprint, open_input
from bulksync.report import View, write_report, write_retry_file, write_summary
from bulksync.tally import Tally

RAN_OUT = Stop(10, "interrupted", "the run ended before its turn")
"""What rows are told that a run without a reason to stop did not get to."""


def exit_code(stop: Stop | None, outcomes: Mapping[str, int], errors: Mapping[str, int]) -> int:
    """Say what the caller should do next; a stop tells more than rows, and rows to repeat more than rows to mend."""
    if stop is not None:
        return stop.exit_code
    if errors.get("internal_error"):
        return 1
    if any(outcomes.get(outcome) for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNSENT)):
        return 4
    return 3 if any(outcomes.get(outcome) for outcome in (Outcome.REJECTED, Outcome.INVALID)) else 0


def next_step(code: int, command: str, report: str) -> str:
    """Say what to do after an exit code, with the exact command where it is to be run again."""
    return {
        0: "",
        1: f"report this as a fault of bulksync, with its output; the run can go on: {command}",
        3: f"see the columns error and detail in {report}, mend those rows, and run them as a new file",
        4: f"run it again, now or later: {command}",
        5: f"mend the key or the address, then run it again: {command}",
        6: f"run it again later: {command}",
        7: f"mend the input, then run it again: {command}; with --on-invalid skip the valid rows are sent",
        8: f"free space, then run it again: {command}",
        10: f"go on with the same command: {command}",
        12: f"look at the columns error and detail in {report}, then run it again: {command}",
    }.get(code, f"go on with the same command: {command}")


def close_run(store: Store, run: Run, stop: Stop | None, tally: Tally, *, now: float, command: str, rate: float) -> Run:
    """Close a run in the ledger, with a summary of what came of it, and return it as it stands then."""
    why = stop or RAN_OUT
    store.leave(run.id, error=why.error, detail=why.detail)
    outcomes, errors = store.counts(run.id, "outcome"), store.counts(run.id, "error")
    code = exit_code(stop, outcomes, errors)
    report = run.reading["report"] or "the report"
    summary = {
        "run": run.name,
        "input": run.input,
        "target": run.target,
        "rows": run.rows,
        "started": run.started,
        "outcomes": outcomes,
        "httpStatuses": store.counts(run.id, "http"),
        "dispositions": store.counts(run.id, "disposition"),
        "errors": errors,
        **measured(tally, rate),
        "stopped": stop.detail if stop else "",
        "exitCode": code,
        "nextStep": next_step(code, command, report),
    }
    return store.end(run.id, ended=now, exit_code=code, summary=summary)


def close_finished(store: Store, run: Run, *, now: float, command: str, rate: float) -> Run:
    """Return a run that had nothing left to do, closed where a kill or a signal kept it from ending well."""
    if run.exit_code in (0, 3):
        return run
    return close_run(store, run, None, Tally(), now=now, command=command, rate=rate)


def measured(tally: Tally, rate: float) -> dict[str, Any]:
    """Return what one invocation counted and timed, as the summary shows it; the rest of the summary is of the run."""
    span = (tally.last_answer or 0.0) - (tally.first_sent or 0.0)
    total = sum(tally.time_went.values())
    return {
        "requests": tally.requests,
        "retries": tally.retries,
        "throttled": tally.throttled,
        "pauses": tally.holds,
        "pausedSeconds": round(tally.time_went["hold"], 3),
        "rate": show_rate(rate),
        "achievedRate": round((tally.requests - 1) / span, 2) if span > 0 else None,
        "latencyMs": {name: tally.percentile(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        "timeWent": {cause: round(spent / total, 3) if total else 0.0 for cause, spent in tally.time_went.items()},
        "elapsedSeconds": round(span, 3),
    }


def input_of(run: Run, source: Source) -> Source | InputError:
    """Return *source* if its bytes are still those of the run, else why they cannot be shown."""
    try:
        if fingerprint(source.path) == run.digest:
            return source
    except InputError as error:
        return error
    return InputError(f"{source.name} is not what it was when the run read it")


def render(store: Store, run: Run, source: Source | InputError, output: Path, options: ReportOptions) -> str:
    """Write what people see of a run: the report, and the retry file and the summary where asked for.

    Returns what they ought to know about it. Where *source* is not to be had the report is without its columns, and a
    retry file is refused with that InputError. StorageError where a file cannot be written.
    """
    risks = store.order_risks(run.id)
    if options.summary:
        write_summary(options.summary, run.summary)
    if isinstance(source, InputError):
        with closing(store.lines(run.id)) as lines:
            write_report(output, lines, risks, None, view_of(run, echoed=False))
        if options.retry_file:
            raise InputError(source.what, f"without the input there is no retry file; the report is {output}")
        return f"{source.what}; the report is without the input's other columns"
    with open_input(source) as content, closing(store.lines(run.id)) as lines:
        write_report(output, lines, risks, content.records(), view_of(run, echoed=True))
    if options.retry_file:
        with open_input(source) as content, closing(store.lines(run.id)) as lines:
            header, bom = content.header, content.layout.bom
            write_retry_file(options.retry_file, lines, content.records(), header, bom=bom)
    return ""


def view_of(run: Run, *, echoed: bool) -> View:
    """Return how the report of a run looks, with the input's other columns if *echoed*."""
    reading = run.reading
    columns = (*reading["echoed"], *(reading["metadata_columns"] if reading["echo_metadata"] else ()))
    return View(
        delimiter=reading["delimiter"],
        bom=reading["bom"],
        echoed=columns if echoed else (),
        guard_formulas=reading["guard_formulas"],
    )

"""A run's summary: what was counted and timed, the exit code, and the next step."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import orjson

from bulksync import __version__
from bulksync.ledger.store import Run, Since, Store
from bulksync.model import Outcome, Stop
from bulksync.report.advice import advice
from bulksync.report.atomic import written
from bulksync.report.schema import (
    SCHEMA_VERSION,
    Known,
    Latency,
    Measured,
    Summary,
    Timeline,
    TimeWent,
    Transition,
)
from bulksync.sender.settings import settings_of
from bulksync.sender.tally import Tally

RAN_OUT = Stop(10, "interrupted", "the run ended before its turn")
"""The reason given for rows not reached by a run that ended without a stop."""

MOVES = 20
"""Maximum number of disposition changes in a summary; `bulksync report --diff` has every row."""


def exit_code(stop: Stop | None, outcomes: Mapping[str, int], errors: Mapping[str, int]) -> int:
    """Return the exit code; a stop takes precedence over rows, and rows to retry over rows to fix."""
    if stop is not None:
        return stop.exit_code
    if errors.get("internal_error"):
        return 1
    is_open = sum(outcomes.get(outcome, 0) for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNSENT))
    if is_open > errors.get("superseded", 0):
        return 4
    return 3 if any(outcomes.get(outcome) for outcome in (Outcome.REJECTED, Outcome.INVALID)) else 0


def next_step(code: int, command: str, report: object, fixing: str = "") -> str:
    """Return what to do after an exit code, with the exact command if it is to be run again; *fixing* is used for 3."""
    return {
        0: "",
        1: f"please report this as a bug, with the output; to resume the run: {command}",
        3: fixing or f"see the columns error and detail in {report}, fix those rows, and run them as a new file",
        4: f"run it again, now or later: {command}",
        5: f"check the API key and the URL (for TLS also --ca-file and the clock), then run it again: {command}; where "
        "the refused rows are themselves wrong, such as deleted executions, add --accept-refusals",
        6: f"run it again later: {command}",
        7: f"fix the input, then run it again: {command}; with --on-invalid skip the valid rows are sent",
        8: f"free space, then run it again: {command}",
        10: f"to resume, run the same command: {command}",
        12: f"look at the columns error and detail in {report}, then run it again: {command}",
    }.get(code, f"to resume, run the same command: {command}")


def close_run(
    store: Store,
    run: Run,
    stop: Stop | None,
    tally: Tally,
    *,
    now: float,
    command: str,
    rate: float,
    fixing: str = "",
) -> Run:
    """Close a run in the ledger with its summary, and return the closed run."""
    why = stop or RAN_OUT
    store.leave(run.id, error=why.error, detail=why.detail)
    counted, done = known(store, run, datetime.fromtimestamp(now, UTC)), measured(tally, rate)
    code = exit_code(stop, counted.outcomes, counted.errors)
    report = report_of(store, run) or "the report"
    summary = Summary(
        **dict(counted),
        **dict(done),
        stopped=stop.detail if stop else "",
        advice=advice(done),
        exit_code=code,
        next_step=stop.next_step if stop and stop.next_step else next_step(code, command, report, fixing),
        version=__version__,
        schema_version=SCHEMA_VERSION,
    )
    return store.end(run.id, ended=now, exit_code=code, summary=orjson.dumps(summary.as_json()).decode())


def report_of(store: Store, run: Run) -> Path | None:
    """Return the path of a run's report; None if it went to stdout or was not written."""
    report = settings_of(run).report
    return None if report is None else (store.path.parent if store.path else Path()) / report


def known(store: Store, run: Run, ended: datetime | None) -> Known:
    """Return what the ledger knows about a run that ended at *ended*."""
    return Known(
        run=run.name,
        input=run.input,
        target=run.target,
        rows=run.rows,
        started=datetime.fromisoformat(run.started),
        ended=ended,
        outcomes=store.counts(run.id, "outcome"),
        http_statuses=store.counts(run.id, "http"),
        dispositions=store.counts(run.id, "disposition"),
        moved=moved(store, run),
        errors=store.counts(run.id, "error"),
    )


def recorded_summary(run: Run) -> Summary | None:
    """Return the summary recorded when the run was closed; None if it was killed before that."""
    if run.summary is None:
        return None
    return Summary.model_validate({"ended": run.ended, **orjson.loads(run.summary)})


def summary_of(store: Store, run: Run) -> Summary:
    """Return a run's summary; if it was killed, what the ledger knows and that it was killed."""
    return recorded_summary(run) or Summary(
        **dict(known(store, run, datetime.fromisoformat(run.ended) if run.ended else None)),
        stopped="the run was killed",
        exit_code=None,
        next_step="to resume, run the same command as before",
        version=__version__,
        schema_version=SCHEMA_VERSION,
    )


def moved(store: Store, run: Run, since: Since | None = None) -> tuple[Transition, ...]:
    """Return the most frequent changes of disposition since an earlier run."""
    moves = [move for move in store.moves(run.id, since) if move.old != move.new]
    return tuple(Transition(old=move.old, new=move.new, count=move.executions) for move in moves[:MOVES])


def close_finished(store: Store, run: Run, *, now: float, command: str, rate: float, fixing: str = "") -> Run:
    """Return a run with nothing left to do, first closing it if a kill or a signal kept it from ending properly."""
    if run.exit_code == 0 or (run.exit_code == 3 and not fixing):
        return run
    if run.exit_code == 3:
        told = orjson.loads(run.summary or "{}") | {"nextStep": fixing}
        return replace(run, summary=orjson.dumps(told).decode())
    return close_run(store, run, None, Tally(), now=now, command=command, rate=rate, fixing=fixing)


def measured(tally: Tally, rate: float) -> Measured:
    """Return what one invocation counted and timed; the rest of the summary is about the whole run."""
    span = (tally.last_answer or 0.0) - (tally.first_sent or 0.0)
    total = sum(tally.time_went.values())
    went = TimeWent(**{cause: round(spent / total, 3) if total else 0.0 for cause, spent in tally.time_went.items()})
    return Measured(
        requests=tally.requests,
        retries=tally.retries,
        throttled=tally.throttled,
        unavailable=tally.unavailable,
        pauses=tally.holds,
        paused_seconds=round(tally.time_went["hold"], 3),
        rate=rate,
        max_in_flight=tally.width,
        achieved_rate=round((tally.requests - 1) / span, 2) if span > 0 else None,
        latency_ms=Latency(p50=tally.percentile(0.5), p95=tally.percentile(0.95), p99=tally.percentile(0.99)),
        time_went=went,
        time_breakdown=went,
        elapsed_seconds=round(span, 3),
        timeline=timeline_of(tally),
    )


def timeline_of(tally: Tally) -> Timeline:
    """Return the answers over time, up to the last non-empty slice."""
    timeline = tally.timeline
    used = max((part + 1 for counts in timeline.counts.values() for part, n in enumerate(counts) if n), default=0)
    counts = {answer: tuple(counts[:used]) for answer, counts in timeline.counts.items()}
    start = None if tally.first_sent is None else datetime.fromtimestamp(tally.first_sent, UTC)
    return Timeline(start=start, slice_seconds=timeline.width, **counts)


def write_summary(path: Path, summary: Summary) -> None:
    """Write a run's summary as JSON. Raises StorageError if that fails."""
    with written(path, "summary") as file:
        file.write(orjson.dumps(summary.as_json(), option=orjson.OPT_INDENT_2).decode() + "\n")

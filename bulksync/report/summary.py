"""A run's summary: what was counted and timed, the exit code, and the next step."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from bulksync.ledger.store import Run, Store, timestamp
from bulksync.model import Outcome, Stop
from bulksync.options.values import show_rate
from bulksync.report.advice import advice
from bulksync.report.atomic import written
from bulksync.sender.tally import Tally

RAN_OUT = Stop(10, "interrupted", "the run ended before its turn")
"""What rows are told that a run without a reason to stop did not get to."""

MOVES = 20
"""Kinds of moves that a summary shows; `bulksync report --diff` has every row."""


def exit_code(stop: Stop | None, outcomes: Mapping[str, int], errors: Mapping[str, int]) -> int:
    """Say what the caller should do next; a stop tells more than rows, and rows to repeat more than rows to fix."""
    if stop is not None:
        return stop.exit_code
    if errors.get("internal_error"):
        return 1
    is_open = sum(outcomes.get(outcome, 0) for outcome in (Outcome.FAILED, Outcome.UNKNOWN, Outcome.UNSENT))
    if is_open > errors.get("superseded", 0):
        return 4
    return 3 if any(outcomes.get(outcome) for outcome in (Outcome.REJECTED, Outcome.INVALID)) else 0


def next_step(code: int, command: str, report: object, fixing: str = "") -> str:
    """Say what to do after an exit code, with the exact command where it is to be run again; *fixing* is that for 3."""
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
    """Close a run in the ledger, with a summary of what came of it, and return it as it stands then."""
    why = stop or RAN_OUT
    store.leave(run.id, error=why.error, detail=why.detail)
    counted = known(store, run)
    code = exit_code(stop, counted["outcomes"], counted["errors"])
    report = report_of(store, run) or "the report"
    done = measured(tally, rate)
    summary = {
        **counted,
        **done,
        "advice": advice(done),
        "stopped": stop.detail if stop else "",
        "exitCode": code,
        "nextStep": stop.next_step if stop and stop.next_step else next_step(code, command, report, fixing),
    }
    return store.end(run.id, ended=now, exit_code=code, summary=summary)


def report_of(store: Store, run: Run) -> Path | None:
    """Return where the report of a run stands; None where it went to stdout, or nowhere."""
    report: str | None = run.reading["report"]
    return None if report is None else (store.path.parent if store.path else Path()) / report


def known(store: Store, run: Run) -> dict[str, Any]:
    """Return what the ledger knows of a run, as the summary shows it."""
    return {
        "run": run.name,
        "input": run.input,
        "target": run.target,
        "rows": run.rows,
        "started": run.started,
        "outcomes": store.counts(run.id, "outcome"),
        "httpStatuses": store.counts(run.id, "http"),
        "dispositions": store.counts(run.id, "disposition"),
        "moved": moved(store, run),
        "errors": store.counts(run.id, "error"),
    }


def summary_of(store: Store, run: Run) -> dict[str, Any]:
    """Return a run's summary; where a kill kept it from one, what the ledger knows, and that it was killed."""
    if run.summary:
        return run.summary
    killed = {
        "stopped": "the run was killed",
        "exitCode": None,
        "nextStep": "to resume, run the same command as before",
    }
    return known(store, run) | killed


def moved(store: Store, run: Run) -> list[dict[str, Any]]:
    """Return from which disposition to which executions went since an earlier run, the most frequent moves."""
    moves = [move for move in store.moves(run.id) if move[0] != move[1]]
    return [dict(zip(("from", "to", "count"), move, strict=True)) for move in moves[:MOVES]]


def close_finished(store: Store, run: Run, *, now: float, command: str, rate: float, fixing: str = "") -> Run:
    """Return a run that had nothing left to do, closed where a kill or a signal kept it from ending well."""
    if run.exit_code == 0 or (run.exit_code == 3 and not fixing):
        return run
    if run.exit_code == 3:
        return replace(run, summary=run.summary | {"nextStep": fixing})
    return close_run(store, run, None, Tally(), now=now, command=command, rate=rate, fixing=fixing)


def measured(tally: Tally, rate: float) -> dict[str, Any]:
    """Return what one invocation counted and timed, as the summary shows it; the rest of the summary is of the run."""
    span = (tally.last_answer or 0.0) - (tally.first_sent or 0.0)
    total = sum(tally.time_went.values())
    return {
        "requests": tally.requests,
        "retries": tally.retries,
        "throttled": tally.throttled,
        "unavailable": tally.unavailable,
        "pauses": tally.holds,
        "pausedSeconds": round(tally.time_went["hold"], 3),
        "rate": show_rate(rate),
        "maxInFlight": tally.width,
        "achievedRate": round((tally.requests - 1) / span, 2) if span > 0 else None,
        "latencyMs": {name: tally.percentile(share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        "timeWent": {cause: round(spent / total, 3) if total else 0.0 for cause, spent in tally.time_went.items()},
        "elapsedSeconds": round(span, 3),
        "timeline": shown(tally),
    }


def shown(tally: Tally) -> dict[str, Any]:
    """Return the timeline as the summary shows it: its start, seconds in each slice, counts up to the last in use."""
    timeline = tally.timeline
    used = max((part + 1 for counts in timeline.counts.values() for part, n in enumerate(counts) if n), default=0)
    counts = {answer: counts[:used] for answer, counts in timeline.counts.items()}
    return {"from": timestamp(tally.first_sent), "sliceSeconds": timeline.width, **counts}


def write_summary(path: Path, summary: dict[str, Any]) -> None:
    """Write a run's counts as JSON; StorageError where that fails."""
    with written(path, "summary") as file:
        file.write(orjson.dumps(summary, option=orjson.OPT_INDENT_2).decode() + "\n")

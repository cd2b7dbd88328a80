"""What a terminal shows of a run or a check: lines for people, from the same values as the summary."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson


def closing_lines(summary: Mapping[str, Any], *, report: str, ledger: str, note: str) -> list[str]:
    """Say what came of a run, where to look, and what to do next."""
    rows, requests = summary["rows"], summary["requests"]
    lines = [f"{summary['input']}: {counted(rows, 'row')}, {listed(summary['outcomes'])}"]
    if summary["stopped"]:
        lines.append(f"stopped: {summary['stopped']}")
    if requests:
        lines.append(f"sent: {sent(summary)}")
    if summary["dispositions"]:
        lines.append(f"dispositions: {listed(summary['dispositions'])}")
    if moved := summary.get("moved"):  # a run of long ago has none
        lines.append(f"dispositions moved: {moves(moved)}")
    if summary["errors"]:
        lines.append(f"errors: {listed(summary['errors'])}")
    lines += [f"report: {report}", f"ledger: {ledger}"]
    lines += [f"note: {note}"] if note else []
    lines += [f"next: {summary['nextStep']}"] if summary["nextStep"] else []
    return lines


def sent(summary: Mapping[str, Any]) -> str:
    """Say how many requests went out, how fast, and what held them up."""
    parts = [counted(summary["requests"], "request")]
    if summary["achievedRate"]:
        parts.append(f"{summary['achievedRate']:,}/s of {summary['rate']}")
    if summary["retries"]:
        parts.append(f"{counted(summary['retries'], 'retry', 'retries')}")
    if summary["throttled"]:
        parts.append(f"{summary['throttled']:,} answered 429")
    if summary["pauses"]:
        parts.append(f"{counted(summary['pauses'], 'pause')} of {summary['pausedSeconds']:.1f}s in all")
    latency = summary["latencyMs"]
    if latency["p50"] is not None:
        parts.append(f"latency p50 {latency['p50']} ms, p99 {latency['p99']} ms")
    return ", ".join(parts)


def diff_lines(run: str, compared: int, moved: Sequence[Mapping[str, Any]]) -> list[str]:
    """Say how many executions of a *run* were *compared* with earlier runs, and what came of it."""
    if not compared:
        return [f"run {run}: no earlier run that this ledger keeps has an answer for its executions (--keep-runs)"]
    found = f"dispositions moved: {moves(moved)}" if moved else "no disposition moved"
    return [f"run {run}: {counted(compared, 'execution')} compared with the last earlier answer: {found}"]


def moves(moved: Iterable[Mapping[str, Any]]) -> str:
    """Say from which disposition to which how many executions went."""
    return ", ".join(f"{one['from'] or 'none'} → {one['to'] or 'none'} {one['count']:,}" for one in moved)


def check_lines(found: Mapping[str, Any], *, takes: str, rate: str) -> list[str]:
    """Say what a check *found*; sending *takes* so long at *rate*."""
    lines = [
        f"{found['input']}: {counted(found['rows'], 'row')}, {found['valid']:,} valid, {found['invalid']:,} invalid"
    ]
    if found["statuses"]:
        lines.append(f"statuses: {listed(found['statuses'])}")
    if found["unknownStatuses"]:
        lines.append(f"not among the known statuses, sent all the same: {listed(found['unknownStatuses'])}")
    if repeated := found["repeatedExecutions"]:
        stand = counted(repeated, "execution stands", "executions stand")
        lines.append(f"{stand} in several rows ({found['rowsOfThose']:,}), which are sent in file order")
        lines += [
            f"  {one['executionId']} in {one['rows']} rows, from row {one['row']} on" for one in found["repeated"]
        ]
    lines.append(f"sending takes {takes} at {rate}")
    return lines


def check_json(found: Mapping[str, Any], invalid: Iterable[tuple[int, int, str, str]]) -> str:
    """Write what a check found as JSON, its invalid rows under `errors`."""
    names = ("row", "line", "error", "detail")
    errors = [dict(zip(names, row, strict=True)) for row in invalid]
    return orjson.dumps({**found, "errors": errors}, option=orjson.OPT_INDENT_2).decode()


def history_line(run: Mapping[str, Any]) -> str:
    """Say in a line what a run was and came to."""
    code = "killed" if run["exitCode"] is None else f"exit {run['exitCode']}"
    head = f"{run['run']}  {run['started']} to {run['ended'] or 'now'}  {code}"
    return f"{head}  {counted(run['rows'], 'row')}: {listed(run['outcomes'])}  {run['input']} to {run['target']}"


def invalid_line(invalid: tuple[int, int, str, str]) -> str:
    """Say what is wrong with an invalid row, and where it stands."""
    row, line, error, detail = invalid
    return f"row {row} (line {line}): {error}: {detail}"


def listed(counts: Mapping[str, int]) -> str:
    """Write counts by word."""
    return ", ".join(f"{word} {count:,}" for word, count in counts.items())


def counted(count: int, noun: str, plural: str = "") -> str:
    """Write a number with its noun."""
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"

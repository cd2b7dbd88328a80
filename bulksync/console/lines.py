"""Text about a run or a check for people, from the same values as the JSON summary."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import orjson

from bulksync.ledger.line import Problem
from bulksync.model import Preview
from bulksync.options.values import show_rate
from bulksync.reader.fields import own_field
from bulksync.reader.record import Column
from bulksync.report.grouping import Group
from bulksync.report.schema import Summary, Transition
from bulksync.text import clean, counted, listed, name_of

Part = tuple[str, str | Mapping[str, int]]
"""A part of the closing summary: its label, and a text or counts by word."""

MOST_WORDS = 20
"""Maximum number of words counted one by one; the server may use any number of them."""

LONGEST_NAME = 60
"""Maximum length of a column's name as shown."""

MOST_GROUPS = 5
"""Maximum number of error groups shown; the report has every row."""


def closing_parts(summary: Summary, groups: Sequence[Group], *, report: str, ledger: str, note: str) -> list[Part]:
    """Return the parts of the closing summary: the results, where to look, and what to do next."""
    parts: list[Part] = [
        ("input", f"{summary.input}, {counted(summary.rows, 'row')}"),
        ("outcomes", summary.outcomes),
        ("stopped", summary.stopped),
        ("sent", sent(summary) if summary.requests else ""),
        ("time", summary.advice),
        ("dispositions", topmost(summary.dispositions)),
        ("moved", moves(summary.moved)),
        ("errors", summary.errors),
        *(("error", line) for line in group_lines([group for group in groups if not says(group, summary.stopped)])),
        ("report", report),
        ("ledger", ledger),
        ("note", note),
        ("next", summary.next_step),
    ]
    return [(label, what) for label, what in parts if what]


def closing_lines(summary: Summary, parts: Iterable[Part]) -> list[str]:
    """Return the closing summary as lines, for a file or a mail."""
    counts = ", ".join(filter(None, (counted(summary.rows, "row"), listed(summary.outcomes))))
    lines = [f"{summary.input}: {counts}"]
    for label, what in parts:
        if label not in ("input", "outcomes"):
            lines.append(f"{label}: {what if isinstance(what, str) else listed(what)}")
    return lines


def says(group: Group, stopped: str) -> bool:
    """Return whether a group's message only repeats why the run stopped."""
    return bool(stopped) and group.message == stopped


def group_lines(groups: Sequence[Group]) -> list[str]:
    """Return lines for the largest groups of rows with errors."""
    lines = [group_line(group) for group in groups[:MOST_GROUPS]]
    if others := groups[MOST_GROUPS:]:
        lines.append(f"… and {counted(sum(group.count for group in others), 'row')} with other errors")
    return lines


def group_line(group: Group) -> str:
    """Return a line for a group: the error, and where its first row is."""
    first = f"{group.count:,} rows, first " if group.count > 1 else ""
    message = f": {group.message}" if group.message else ""
    return f"{first}row {group.row} (line {group.line}): {group.error}{message}"


def topmost(counts: Mapping[str, int]) -> dict[str, int]:
    """Return the first words with their counts, and one entry for all others."""
    shown = {clean(word): count for word, count in islice(counts.items(), MOST_WORDS)}
    others = list(counts.values())[MOST_WORDS:]
    return shown | ({f"… {len(others):,} others": sum(others)} if others else {})


def sent(summary: Summary) -> str:
    """Return how many requests were sent, how fast, and what delayed them."""
    parts = [counted(summary.requests, "request")]
    if summary.achieved_rate:
        parts.append(f"{summary.achieved_rate:,}/s of {show_rate(summary.rate)}")
    if summary.retries:
        parts.append(counted(summary.retries, "retry", "retries"))
    if summary.throttled:
        parts.append(f"{summary.throttled:,} answered 429")
    if summary.pauses:
        parts.append(f"{counted(summary.pauses, 'pause')} of {summary.paused_seconds:.1f}s in all")
    if summary.latency_ms.p50 is not None:
        parts.append(f"latency p50 {summary.latency_ms.p50} ms, p99 {summary.latency_ms.p99} ms")
    return ", ".join(parts)


def diff_lines(run: str, compared: int, moved: Sequence[Transition]) -> list[str]:
    """Return how many executions of *run* were *compared* with earlier runs, and how their dispositions changed."""
    if not compared:
        return [f"run {run}: no earlier run that this ledger keeps has an answer for its executions (--keep-runs)"]
    found = f"dispositions moved: {moves(moved)}" if moved else "no disposition moved"
    return [f"run {run}: {counted(compared, 'execution')} compared with the last earlier answer: {found}"]


def moves(moved: Iterable[Transition]) -> str:
    """Return how many executions changed from which disposition to which."""
    return ", ".join(f"{one.old or 'none'} → {one.new or 'none'} {one.count:,}" for one in moved)


def check_lines(found: Mapping[str, Any], *, takes: str, rate: str) -> list[str]:
    """Return lines on what a check *found*; *takes* is the estimated duration at *rate*."""
    lines = [
        f"{found['input']}: {counted(found['rows'], 'row')}, {found['valid']:,} valid, {found['invalid']:,} invalid"
    ]
    said = columns_said(Column(**column) for column in found["columns"])
    lines.append(f"columns sent: {said['sent']}; only echoed: {said['echoed']}")
    if found["statuses"]:
        lines.append(f"statuses: {listed(found['statuses'])}")
    if found["unknownStatuses"]:
        lines.append(f"unknown statuses (will be sent anyway): {listed(found['unknownStatuses'])}")
    if repeated := found["repeatedExecutions"]:
        appear = counted(repeated, "execution appears", "executions appear")
        lines.append(
            f"{appear} in more than one row ({counted(found['rowsOfThose'], 'row')}); those are sent in file order"
        )
        lines += [
            f"  {one['executionId']} in {one['rows']} rows, from row {one['row']} on" for one in found["repeated"]
        ]
    lines.append(f"estimated duration: {takes} at {rate}")
    return lines


def columns_said(columns: Iterable[Column]) -> dict[str, str]:
    """Return which columns are *sent* and as what, and which are only *echoed*, each with its number of rows."""
    sent, echoed = {}, {}
    for column in columns:
        name, field = clean(column.name, LONGEST_NAME), clean(column.field, LONGEST_NAME)
        if not field:
            echoed[name] = column.rows
        elif not name:
            sent[f"{field} (--set)"] = column.rows
        else:
            sent[name if own_field(column.name) == column.field else f"{name} as {field}"] = column.rows
    return {"sent": shortened(sent), "echoed": shortened(echoed) or "none"}


def shortened(counts: Mapping[str, int]) -> str:
    """Return the first counts by word, and how many more words there are."""
    more = len(counts) - MOST_WORDS
    return listed(dict(islice(counts.items(), MOST_WORDS))) + (f", and {more:,} more" if more > 0 else "")


def check_json(found: Mapping[str, Any], invalid: Iterable[Problem], requests: Sequence[Preview] = ()) -> str:
    """Return what a check found as JSON, with invalid rows under `errors`, and the *requests* asked for."""
    errors = [problem._asdict() for problem in invalid]
    return as_json({**found, "errors": errors, **({"requests": requests} if requests else {})})


def as_json(found: Any) -> str:
    """Return values as JSON, for programs and people."""
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def request_lines(request: Preview) -> Iterator[str]:
    """Yield a request as it would be sent; characters unsafe for a terminal are JSON-escaped in its body."""
    yield f"row {request.row} (line {request.line}):"
    yield f"{request.method} {request.url}"
    yield from (f"{name}: {value}" for name, value in request.headers.items())
    yield ""
    yield "".join(one if one.isprintable() else json.dumps(one)[1:-1] for one in request.body)
    yield ""


def history_json(ledger: Path, runs: Sequence[Mapping[str, Any]], size: int) -> str:
    """Return the runs of a ledger of *size* bytes as JSON."""
    return as_json({"ledger": name_of(ledger), "bytes": size, "runs": runs})


def history_line(run: Mapping[str, Any]) -> str:
    """Return one line on a run and its result."""
    code = "killed" if run["exitCode"] is None else f"exit {run['exitCode']}"
    head = f"{run['run']}  {run['started']} to {run['ended'] or 'now'}  {code}"
    return f"{head}  {counted(run['rows'], 'row')}: {listed(run['outcomes'])}  {run['input']} to {run['target']}"


def invalid_line(invalid: Problem) -> str:
    """Return one line on what is wrong with an invalid row and where it is."""
    return f"row {invalid.row} (line {invalid.line}): {invalid.error}: {invalid.detail}"

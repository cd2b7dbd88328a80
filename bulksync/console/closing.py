"""The closing summary printed when a run ends."""

from dataclasses import dataclass

from bulksync.console.lines import Part, closing_lines, closing_parts, invalid_line
from bulksync.ledger.line import Problem
from bulksync.ledger.store import Run
from bulksync.options.files import Files
from bulksync.report.grouping import Group
from bulksync.report.schema import Summary
from bulksync.sender.plan import Plan


@dataclass(frozen=True, slots=True)
class Ending:
    """A run's result; *note* says what its files lack, *invalid* holds the first invalid rows.

    *groups* are the rows with an error, grouped by message.
    """

    run: Run
    summary: Summary
    plan: Plan
    note: str
    invalid: list[Problem]
    groups: list[Group]


def ending_lines(ending: Ending, files: Files) -> list[str]:
    """Return the closing summary as lines."""
    lines = first_lines(ending) + closing_lines(ending.summary, ending_parts(ending, files))
    return [f"bulksync: {line}" for line in lines]


def first_lines(ending: Ending) -> list[str]:
    """Return the lines that come first: the rows to fix, or that there was nothing to do."""
    run, plan = ending.run, ending.plan
    lines = [invalid_line(row) for row in ending.invalid]
    if plan.invalid > len(lines):
        lines.append(f"… and {plan.invalid - len(lines):,} more invalid rows; the report has them all")
    if plan.is_finished:
        rejected = ", --retry-rejected only the rejected ones" if ending.summary.outcomes.get("rejected") else ""
        lines.append(f"all rows done by run {run.name} at {run.ended}; --resend sends again{rejected}")
    return lines


def ending_parts(ending: Ending, files: Files) -> list[Part]:
    """Return the closing summary as labelled parts."""
    said = {problem.row for problem in ending.invalid}
    groups = [group for group in ending.groups if group.count > 1 or group.row not in said]
    summary = ending.summary
    if ending.plan.is_finished:
        summary = summary.model_copy(update={"requests": 0, "advice": ""})  # nothing was sent by this invocation
    return closing_parts(summary, groups, report=str(files.output), ledger=str(files.ledger), note=ending.note)

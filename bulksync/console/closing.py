"""What a run came to, as it is said to people at its end."""

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
    """What a run came to; *note* says what is missing in what was written, *invalid* is a first look at bad rows.

    *groups* are the rows with an error, those together that say the same.
    """

    run: Run
    summary: Summary
    plan: Plan
    note: str
    invalid: list[Problem]
    groups: list[Group]


def ending_lines(ending: Ending, files: Files) -> list[str]:
    """Say to people what a run came to, in lines."""
    lines = first_lines(ending) + closing_lines(ending.summary, ending_parts(ending, files))
    return [f"bulksync: {line}" for line in lines]


def first_lines(ending: Ending) -> list[str]:
    """Say what comes before all else: rows that must be fixed, and that nothing was to be done."""
    run, plan = ending.run, ending.plan
    lines = [invalid_line(row) for row in ending.invalid]
    if plan.invalid > len(lines):
        lines.append(f"… and {plan.invalid - len(lines):,} more invalid rows; the report has them all")
    if plan.is_finished:
        rejected = ", --retry-rejected only the rejected ones" if ending.summary.outcomes.get("rejected") else ""
        lines.append(f"all rows done by run {run.name} at {run.ended}; --resend sends again{rejected}")
    return lines


def ending_parts(ending: Ending, files: Files) -> list[Part]:
    """Return what a run came to, part by part."""
    said = {problem.row for problem in ending.invalid}
    groups = [group for group in ending.groups if group.count > 1 or group.row not in said]
    summary = ending.summary
    if ending.plan.is_finished:
        summary = summary.model_copy(update={"requests": 0, "advice": ""})  # nothing was sent this time
    return closing_parts(summary, groups, report=str(files.output), ledger=str(files.ledger), note=ending.note)

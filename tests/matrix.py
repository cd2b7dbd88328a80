"""The fault matrix as the tests have it: `python -m tests.matrix` prints which test shows which fault.

The marks are read out of the files, so that nothing needs to run:

    @pytest.mark.fault(7, "a byte now and then")
    @pytest.mark.fault("B4", "one row gets a firewall's page")

A number is one fault; a letter with a number is a kind of fault, and each mark names the member that its test shows.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent

Row = int | str

KINDS = {"A": range(1, 6), "B": range(1, 12), "C": (1, 3), "D": range(1, 11)}
"""Kinds of faults: the truth of outcomes, whose fault it is, the quota, the ledger and the call."""

FAULTS: tuple[Row, ...] = (*range(1, 58), *(f"{letter}{n}" for letter, numbers in KINDS.items() for n in numbers))
"""The rows of the matrix, in order."""


class Mark(NamedTuple):
    """One test's claim to show a fault."""

    row: Row
    what: str
    test: str


def shown() -> dict[Row, list[Mark]]:
    """Return the marks of all tests by row of the matrix."""
    marks: defaultdict[Row, list[Mark]] = defaultdict(list)
    for path in sorted(TESTS.rglob("test_*.py")):
        for mark in marks_in(path):
            marks[mark.row].append(mark)
    return dict(marks)


def marks_in(path: Path) -> Iterator[Mark]:
    """Return the marks in one file; a test that is always skipped shows nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            calls = {ast.unparse(call.func): call for call in node.decorator_list if isinstance(call, ast.Call)}
            if "pytest.mark.skip" not in calls:
                yield from (
                    Mark(*claim(call), f"{path.relative_to(TESTS)}::{node.name}")
                    for call in faults_of(node.decorator_list)
                )


def faults_of(decorators: list[ast.expr]) -> Iterator[ast.Call]:
    """Return the calls of the mark among a test's decorators."""
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            yield decorator


def claim(call: ast.Call) -> tuple[Row, str]:
    """Return a mark's two arguments."""
    row, what = (ast.literal_eval(argument) for argument in call.args)
    return row, what


def missing(rows: Mapping[Row, list[Mark]]) -> list[Row]:
    """Return the rows of the matrix that no test shows."""
    return [row for row in FAULTS if row not in rows]


def table() -> str:
    """Return the matrix in Markdown: row, fault, tests."""
    lines = ["| # | fault | shown by |", "|---|---|---|"]
    marks_of = shown()
    for row in FAULTS:
        marks = marks_of.get(row, [])
        what = "; ".join(dict.fromkeys(mark.what for mark in marks))
        tests = ", ".join(sorted({f"`{mark.test}`" for mark in marks}))
        lines.append(f"| {row} | {what} | {tests or '**none**'} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())

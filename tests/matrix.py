"""The fault matrix as the tests have it: `python -m tests.matrix` prints which test shows which fault.

The marks are read out of the files, so that nothing needs to run:

    @pytest.mark.fault(7, "a byte now and then")
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).parent

FAULTS = range(1, 58)
"""The rows of the matrix."""


class Mark(NamedTuple):
    """One test's claim to show a fault."""

    row: int
    what: str
    test: str


def shown() -> dict[int, list[Mark]]:
    """Return the marks of all tests by row of the matrix."""
    marks: defaultdict[int, list[Mark]] = defaultdict(list)
    for path in sorted(TESTS.glob("test_*.py")):
        for mark in marks_in(path):
            marks[mark.row].append(mark)
    return dict(marks)


def marks_in(path: Path) -> Iterator[Mark]:
    """Return the marks in one file; a test that is always skipped shows nothing."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
            calls = {ast.unparse(call.func): call for call in node.decorator_list if isinstance(call, ast.Call)}
            if "pytest.mark.skip" not in calls:
                yield from (Mark(*claim(call), f"{path.name}::{node.name}") for call in faults_of(node.decorator_list))


def faults_of(decorators: list[ast.expr]) -> Iterator[ast.Call]:
    """Return the calls of the mark among a test's decorators."""
    for decorator in decorators:
        if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pytest.mark.fault":
            yield decorator


def claim(call: ast.Call) -> tuple[int, str]:
    """Return a mark's two arguments."""
    row, what = (ast.literal_eval(argument) for argument in call.args)
    return row, what


def table() -> str:
    """Return the matrix in Markdown: row, fault, tests."""
    lines = ["| # | fault | shown by |", "|---|---|---|"]
    for row, marks in sorted(shown().items()):
        tests = ", ".join(sorted({f"`{mark.test}`" for mark in marks}))
        lines.append(f"| {row} | {marks[0].what} | {tests} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(table())

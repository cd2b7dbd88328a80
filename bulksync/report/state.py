"""The state file: one line for each execution of a fetch, in the order of its first row, which is itself an input."""

import csv
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import orjson

from bulksync.errors import StorageError
from bulksync.ledger.states import COLUMNS, States, cells_of
from bulksync.model import Outcome
from bulksync.report.atomic import written
from bulksync.report.table import guarded, is_json

VERBATIM = frozenset({"workflowId", "executionId", "status", "metadata"})
"""What a run of the state file sends: it stays exactly as the server holds it."""


def write_states(path: Path, lines: Iterable[tuple[Any, ...]], states: States) -> None:
    """Write the states of a run's *lines*, in the ledger's columns, as JSON lines, or as CSV by its name.

    StorageError where it cannot be written, or a state is missing that the ledger knows of.
    """
    found = state_lines(lines, states)
    with written(path, "state file") as file:
        if is_json(path) or path.suffix.lower() != ".csv":
            file.writelines(f"{line}\n" for line in found)
            return
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for line in found:
            cells = cells_of(line)
            writer.writerow([cell(name, cells[name]) for name in COLUMNS])


def cell(name: str, value: Any) -> str:
    """Return a value as CSV has it; words of the server are guarded against formulas, but for those that are sent."""
    text = ";".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return text if name in VERBATIM else guarded(text)


def state_lines(lines: Iterable[tuple[Any, ...]], states: States) -> Iterator[str]:
    """Return the state of each execution as JSON; one that could not be read has neither status nor metadata."""
    for line in lines:
        workflow, execution, outcome, http, error, detail = *line[2:4], *line[5:7], *line[-2:]
        if outcome == Outcome.INVALID:
            continue
        state = states.line((workflow, execution)) if outcome == Outcome.FETCHED else None
        if outcome == Outcome.FETCHED and state is None:
            raise StorageError(
                f"{states.path} has lost states that the ledger knows of",
                "fetch them again, with --restart",
                again=True,
            )
        values: tuple[Any, ...] = (workflow, execution, "", None, outcome, http, "", [], "", "", None, error, detail)
        yield state.rstrip("\n") if state else orjson.dumps(dict(zip(COLUMNS, values, strict=True))).decode()

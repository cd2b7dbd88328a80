"""The state file: one line per execution of a fetch, in the order of its first row; it is also a valid input."""

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
"""The fields that a run of the state file sends: they are kept exactly as the server has them."""


def write_states(path: Path, lines: Iterable[tuple[Any, ...]], states: States) -> None:
    """Write the states of a run's *lines*, in the ledger's columns, as JSON lines or CSV depending on the name.

    Raises StorageError if the file cannot be written, or a state recorded in the ledger is missing.
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
    """Return a value as a CSV cell; server text is guarded against formulas, except in fields that are sent."""
    text = ";".join(value) if isinstance(value, list) else "" if value is None else str(value)
    return text if name in VERBATIM else guarded(text)


def state_lines(lines: Iterable[tuple[Any, ...]], states: States) -> Iterator[str]:
    """Yield the state of each execution as JSON; one that could not be read has neither status nor metadata."""
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

"""`bulksync check`: validate the input exactly as a run would, without sending."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import asdict
from typing import Any

from bulksync.ledger.line import Problem
from bulksync.ledger.store import Store
from bulksync.options.models import InputOptions
from bulksync.reader.source import Source
from bulksync.sender.plan import check_enough, estimate, refuses, unknown_statuses, validate


@contextmanager
def checked(source: Source, options: InputOptions) -> Iterator[tuple[dict[str, Any], Iterable[Problem]]]:
    """Validate the whole input; yield what was found, and its invalid rows.

    Raises InputError if the input cannot be read. Memory does not grow with the input: the rows are kept on disk.
    """
    with closing(Store(None)) as store:
        with store.transaction():
            run = store.begin(name="check", target="", input=source.name, path="", digest="", started=0.0)
            found = validate(store, run, source, options.allow_status, stopping=lambda: False)
        repeated = store.repeated(run)
        rows = sum(one.rows for one in repeated)
        summary = {
            "input": source.name,
            "rows": found.rows,
            "valid": found.rows - found.invalid,
            "invalid": found.invalid,
            "fatal": found.fatal,
            "columns": [asdict(column) for column in found.columns],
            "notes": list(found.notes),
            "statuses": found.statuses,
            "unknownStatuses": unknown_statuses(found.statuses),
            "repeatedExecutions": len(repeated),
            "rowsOfThose": rows,
            "repeatedRows": rows,
            "repeated": [{"executionId": one.execution, "row": one.row, "rows": one.rows} for one in repeated[:10]],
            "secondsAtRate": estimate(found.rows - found.invalid, store.longest_chain(run), options.rate),
        }
        yield summary, store.invalid(run)
        check_enough(found.rows, source, options)


def check_code(found: Mapping[str, Any], on_invalid: str) -> int:
    """Return the exit code of a run with what a check *found*: 0 sends, 7 refuses, 3 has no row to send."""
    if refuses(found["invalid"], found["fatal"], on_invalid):
        return 7
    return 3 if found["invalid"] and not found["valid"] else 0

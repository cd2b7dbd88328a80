"""What the ledger keeps with each run, whichever bulksync wrote it."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from bulksync.ledger.store import Run
from bulksync.sender.settings import HowRead, Look, settings_of

RUN = Run(1, "r", "t", "rows.csv", "rows.csv", "d", "{}", 3, "2026-01-01T00:00:00.000Z", None, None, None)

FIRST: dict[str, Any] = {
    "format": "csv", "asked_delimiter": ";", "encoding": None, "allow_status": ["A", "B"], "report": "r.csv",
    "echo_metadata": True, "guard_formulas": False, "rows": 3, "invalid": 1, "fatal": False, "digest": "d",
    "delimiter": ";", "bom": True, "echoed": ["city"], "metadata_columns": ["metadata"], "statuses": {"A": 2},
}  # fmt: skip
"""What the first bulksync kept."""


def run_with(**more: object) -> Run:
    """Return a run whose settings also have *more*."""
    return replace(RUN, settings=orjson.dumps(FIRST | more).decode())


@pytest.mark.parametrize("more", [{"begun": "", "acknowledged": 0}, {"begun": "--resend", "acknowledged": 7}])
def test_json_goes_in_and_out_unchanged(more: dict[str, Any]) -> None:
    """No key is lost or changed, and what is new has its default."""
    kept = orjson.loads(settings_of(run_with(**more)).model_dump_json())
    assert kept == orjson.loads(settings_of(run_with()).model_dump_json()) | FIRST | more
    assert (kept["map"], kept["set"], kept["sheet"], kept["columns"]) == ([], [], None, [])


def test_settings_of_other_times() -> None:
    """What an earlier bulksync did not keep has a meaning, and what a later one keeps is passed over."""
    assert settings_of(run_with()) == settings_of(run_with(begun="", acknowledged=0, later=1))


@pytest.mark.parametrize(
    ("changes", "same"),
    [({}, True), ({"format": "tsv"}, False), ({"asked_delimiter": None}, False), ({"allow_status": ("A",)}, False)],
)
def test_what_makes_the_same_bytes_mean_the_same_rows(changes: dict[str, Any], same: bool) -> None:
    """Format, delimiter, encoding and allowed statuses, and nothing of how the report looks."""
    how = HowRead(format="csv", asked_delimiter=";", encoding=None, allow_status=("A", "B")).model_copy(update=changes)
    settings = settings_of(run_with())
    look = Look(report=None, echo_metadata=False, guard_formulas=True)
    assert (settings.reads_as(how), settings.having(look).reads_as(how)) == (same, same)

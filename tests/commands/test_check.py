"""Checking: the same look at an input as a run takes, and nothing left behind."""

from pathlib import Path

import pytest

from bulksync.commands.check import check_code, checked
from bulksync.errors import InputError
from bulksync.options.models import InputOptions
from bulksync.reader.locating import locate
from tests.support.program import WORKFLOW, execution, write_rows


def test_what_a_check_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Counts, statuses, repeated executions, the time it takes, and every invalid row with row and line."""
    path = write_rows(tmp_path / "rows.csv", [1, 2, 1, 3, 1, 2])
    path.write_text(path.read_text() + f"{WORKFLOW},{execution(4)},NEW,\nno,{execution(5)},COMPLETED,\n")
    before = sorted(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    with checked(locate(path), InputOptions(rate=2.0)) as (found, invalid):
        assert found == {
            "input": str(path),
            "rows": 8,
            "valid": 7,
            "invalid": 1,
            "fatal": False,
            "columns": [
                {"name": "workflowId", "field": "workflowId", "rows": 8},
                {"name": "executionId", "field": "executionId", "rows": 8},
                {"name": "status", "field": "status", "rows": 8},
                {"name": "metadata", "field": "metadata", "rows": 6},
            ],
            "notes": [],
            "statuses": {"COMPLETED": 6, "NEW": 1},
            "unknownStatuses": {"NEW": 1},
            "repeatedExecutions": 2,
            "rowsOfThose": 5,
            "repeatedRows": 5,
            "repeated": [
                {"executionId": execution(1), "row": 1, "rows": 3},
                {"executionId": execution(2), "row": 2, "rows": 2},
            ],
            "secondsAtRate": 3.5,
        }
        assert [row[:3] for row in invalid] == [(8, 9, "id_invalid")]
    assert sorted(tmp_path.iterdir()) == before


def test_statuses_may_be_restricted(tmp_path: Path) -> None:
    """A status that is not allowed makes its row invalid."""
    path = write_rows(tmp_path / "rows.csv", [1, 2])
    with checked(locate(path), InputOptions.model_validate({"allow_status": "CREATED"})) as (found, invalid):
        assert (found["valid"], found["invalid"]) == (0, 2)
        assert [row[:3] for row in invalid] == [(1, 2, "status_invalid"), (2, 3, "status_invalid")]


def test_an_input_without_rows(tmp_path: Path) -> None:
    """A header alone is a valid input of no rows, at any rate."""
    path = write_rows(tmp_path / "rows.csv", [])
    with checked(locate(path), InputOptions.model_validate({"rate": "unlimited"})) as (found, invalid):
        assert (found["rows"], found["secondsAtRate"], list(invalid)) == (0, 0.0, [])


def test_an_input_that_is_none_is_refused(tmp_path: Path) -> None:
    """An input without the columns that a row needs cannot be checked."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b\n")
    with pytest.raises(InputError), checked(locate(path), InputOptions()):
        pass


@pytest.mark.parametrize(
    ("valid", "invalid", "fatal", "aborting", "skipping"),
    [(2, 0, False, 0, 0), (0, 0, False, 0, 0), (2, 1, False, 7, 0), (0, 1, False, 7, 3), (2, 1, True, 7, 7)],
)
def test_what_a_run_would_do(valid: int, invalid: int, fatal: bool, aborting: int, skipping: int) -> None:
    """7 where a run would refuse the input, 3 where nothing would be left to send, else 0."""
    found = {"valid": valid, "invalid": invalid, "fatal": fatal}
    assert (check_code(found, "abort"), check_code(found, "skip")) == (aborting, skipping)

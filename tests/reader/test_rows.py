"""Rows given as values become lines of JSON that the reader finds valid or invalid like any others."""

import enum
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import numpy
import pandas
import pytest

from bulksync.errors import StorageError
from bulksync.model import InvalidRow
from bulksync.reader.input import open_input
from bulksync.reader.locating import locate
from bulksync.reader.rows import write_rows
from tests.support.program import WORKFLOW, execution

ROW = {"workflowId": WORKFLOW, "executionId": execution(1), "status": "COMPLETED"}
IDS = {"workflowId": WORKFLOW, "executionId": execution(1)}


class Status(enum.Enum):
    """A program's own words for a status."""

    DONE = "COMPLETED"


def read_back(rows: Any, path: Path) -> list[tuple[int, str]]:
    """Write rows and read them again: their numbers, and the body, or the error with its detail, of each."""
    write_rows(rows, path, lambda: False)
    with open_input(locate(path)) as content:
        return [
            (row.row, f"{row.error}: {row.detail}" if isinstance(row, InvalidRow) else row.body.decode())
            for row in content.rows(frozenset({"COMPLETED"}))
        ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where rows are written."""
    return tmp_path / "rows.jsonl"


@pytest.mark.parametrize(
    ("row", "found"),
    [
        (ROW, '{"status":"COMPLETED"}'),
        (MappingProxyType(ROW), '{"status":"COMPLETED"}'),
        (
            {"workflow_id": UUID(WORKFLOW), "execution-id": UUID(execution(2)), "Status": Status.DONE},
            '{"status":"COMPLETED"}',
        ),
        ({**ROW, "metadata": {"ü": "ß"}, "status": ""}, '{"metadata":{"ü":"ß"}}'),
        ({**ROW, "metadata": {"ü": "ß"}, "status": float("nan")}, '{"metadata":{"ü":"ß"}}'),
        ({**ROW, "metadata": pandas.NaT}, '{"status":"COMPLETED"}'),
        ({**ROW, "metadata": pandas.NA}, '{"status":"COMPLETED"}'),
        ({**ROW, "metadata": ""}, '{"status":"COMPLETED"}'),
        ({**ROW, "metadata": "null"}, '{"status":"COMPLETED"}'),
        ({**ROW, "metadata": {}}, '{"status":"COMPLETED","metadata":{}}'),
    ],
    ids=repr,
)
def test_a_row_in_a_programs_own_types(row: Any, found: str, path: Path) -> None:
    """Ids may be UUIDs and the status a member of an enumeration; whatever stands for nothing is not sent."""
    assert read_back([row], path) == [(1, found)]


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        (None, "null"),
        (True, "true"),
        (numpy.bool_(True), "true"),
        (7, "7"),
        (2**70, "1180591620717411303424"),
        (-(2**63) - 1, "-9223372036854775809"),
        (numpy.int64(-3), "-3"),
        (numpy.uint64(2**64 - 1), "18446744073709551615"),
        (0.1, "0.1"),
        (numpy.float64(0.1), "0.1"),
        (numpy.float32(1.5), "1.5"),
        (Decimal("1.10"), "1.1"),
        (Decimal("0.1234567890123456789012345"), "0.1234567890123456789012345"),
        (Decimal("123456789012345678901234567890"), "123456789012345678901234567890"),
        (Decimal("-1E+5"), "-100000.0"),
        ("text", '"text"'),
        (numpy.str_("text"), '"text"'),
        (Status.DONE, '"COMPLETED"'),
        (UUID(WORKFLOW), f'"{WORKFLOW}"'),
        (date(2026, 1, 2), '"2026-01-02"'),
        (time(3, 4, 5), '"03:04:05"'),
        (datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC), '"2026-01-02T03:04:05.000678+00:00"'),
        (datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=2))), '"2026-01-02T03:00:00+02:00"'),
        (pandas.Timestamp("2026-01-02T03:04:05.123456789"), '"2026-01-02T03:04:05.123456789"'),
        (numpy.datetime64("2026-01-02T03:04:05"), '"2026-01-02T03:04:05"'),
        ((1, [2.5, {"a": None}]), '[1,[2.5,{"a":null}]]'),
        (numpy.array([1.5, numpy.nan]), "[1.5,null]"),
        (numpy.array(["2026-01-02", "NaT"], "datetime64[D]"), '["2026-01-02",null]'),
        ([float("nan"), pandas.NA], "[null,null]"),
        ({1: 1, False: 2, date(2026, 1, 2): 3}, '{"1":1,"false":2,"2026-01-02":3}'),
        ({"a": float("nan"), "b": pandas.NaT, "c": Decimal("NaN"), "d": numpy.datetime64("NaT"), "e": 1}, '{"e":1}'),
    ],
    ids=repr,
)
def test_a_value_in_metadata(value: object, sent: str, path: Path) -> None:
    """Each value is sent as JSON has it: no digit is lost, times are ISO 8601, what is missing is left out."""
    expected = [(1, f'{{"metadata":{{"x":{sent}}}}}')]
    assert read_back([{**IDS, "metadata": {"x": value}}], path) == expected
    if value is not None:
        assert read_back([{**IDS, "metadata.x": value}], path) == expected


@pytest.mark.parametrize(
    ("cells", "body"),
    [
        ({"metadata": '{"a": 1.10, "b": 0.1234567890123456789}'}, '{"a":1.1,"b":0.1234567890123456789}'),
        ({"metadata": '{\n  "a": {}\n}'}, '{"a":{}}'),
        ({"metadata": '{"a": 1}', "metadata.b": 2}, '{"a":1,"b":2}'),
        ({"metadata.b": 2, "metadata": {"a": 1}}, '{"b":2,"a":1}'),
        ({"Metadata.b": "2", "metadata . c": "", "metadata.d": None, "metadata.e": float("nan")}, '{"b":"2"}'),
    ],
    ids=repr,
)
def test_metadata_as_text_and_as_columns(cells: dict[str, Any], body: str, path: Path) -> None:
    """Metadata may be JSON text, and have columns of its own as in CSV; an empty one adds nothing."""
    ((number, found),) = read_back([IDS | cells], path)
    assert (number, sorted(found)) == (1, sorted(f'{{"metadata":{body}}}'))


ENDLESS: list[object] = []
ENDLESS.append(ENDLESS)


@pytest.mark.parametrize(
    ("cells", "error"),
    [
        ({"metadata": {"x": {1}}}, "metadata_invalid: metadata.x is a set, which JSON cannot hold"),
        ({"metadata": {"x": [b""]}}, "metadata_invalid: metadata.x[0] is a bytes, which JSON cannot hold"),
        ({"metadata.x": object()}, "metadata_invalid: metadata.x is an object, which JSON cannot hold"),
        ({"metadata": {"x": 1j}}, "metadata_invalid: metadata.x is a complex, which JSON cannot hold"),
        (
            {"metadata": {"x": numpy.longdouble(1)}},
            "metadata_invalid: metadata.x is a longdouble, which JSON cannot hold",
        ),
        ({"metadata": {"x": timedelta(1)}}, "metadata_invalid: metadata.x is a timedelta, which JSON cannot hold"),
        ({"metadata": {"x": float("inf")}}, "metadata_invalid: metadata.x is infinite, or too large a number for JSON"),
        (
            {"metadata": {"x": Decimal("1E+999")}},
            "metadata_invalid: metadata.x is infinite, or too large a number for JSON",
        ),
        ({"metadata": {"x": 10**5000}}, "metadata_invalid: metadata.x is too large a number for JSON"),
        ({"metadata": {"x": "\ud800"}}, "metadata_invalid: metadata.x holds half a character (a lone surrogate)"),
        ({"metadata": {"x": {(1, 2): 3}}}, "metadata_invalid: metadata.x has a key that is a tuple: (1, 2)"),
        (
            {"metadata": {1: 1, "1": 2}},
            "metadata_invalid: metadata has two keys that are the same once they are written as text",
        ),
        ({"metadata": {"x": ENDLESS}}, f"metadata_invalid: metadata.x{'[0]' * 16}[… is nested more than 32 deep"),
        ({"metadata": "{"}, "metadata_invalid: metadata: not valid JSON at character 2: it ends too early"),
        ({"metadata": "[]"}, "metadata_invalid: metadata is an array, not an object"),
        ({"metadata": [1], "metadata.x": 1}, "metadata_invalid: metadata is an array, not an object"),
        ({"metadata": {"x": 1}, "metadata.x": 2}, "metadata_invalid: 'x' is given both in metadata and as a column"),
        ({"status": b"COMPLETED"}, "status_invalid: status is a bytes, which JSON cannot hold"),
        ({"status": "ELSE"}, "status_invalid: status ELSE is not one of COMPLETED"),
        ({"executionId": 7}, "id_invalid: executionId is not text"),
        ({"executionId": None}, "field_missing: executionId is empty or missing"),
        ({"lead": {1}}, "json_malformed: lead is a set, which JSON cannot hold"),
        ({1: 1, "1": 2}, "duplicate_member: two columns have the same name once they are written as text"),
        ({"metadata": {"x": "y" * (1 << 20)}}, "row_too_large: the line is longer than 1 MiB"),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_what_json_cannot_hold(cells: dict[Any, Any], error: str, path: Path) -> None:
    """A value that JSON has no word for makes its own row invalid, and the message names the key."""
    ((number, found),) = read_back([ROW | cells], path)
    assert (number, found[: len(error)]) == (1, error)


@pytest.mark.parametrize("row", ["row", 7, None, ["a"], (1, 2)], ids=repr)
def test_what_is_no_row(row: object, path: Path) -> None:
    """Something else than a dict among the rows is an invalid row."""
    named = "a NoneType" if row is None else "an int" if row == 7 else f"a {type(row).__name__}"
    assert read_back([ROW, row], path)[1:] == [(2, f"not_an_object: the row is {named}, not a dict")]


def test_a_full_disk(tmp_path: Path) -> None:
    """Rows that find no space raise StorageError; an error of the rows themselves comes as it is."""
    with pytest.raises(StorageError, match="the rows cannot be written to /dev/full"):
        write_rows([ROW], Path("/dev/full"), lambda: False)
    with pytest.raises(FileNotFoundError):
        write_rows((open("/missing") for _ in range(1)), tmp_path / "rows.jsonl", lambda: False)  # noqa: SIM115


def test_writing_is_ended_between_rows(path: Path) -> None:
    """Who leaves meanwhile does not wait for the rest of the rows."""
    taken: list[int] = []

    def rows() -> Iterator[dict[str, str]]:
        for number in range(9):
            taken.append(number)
            yield ROW

    with pytest.raises(InterruptedError):
        write_rows(rows(), path, lambda: len(taken) == 3)
    assert taken == [0, 1, 2]

"""Rows given as values become lines of JSON that the reader finds as valid or invalid as any others."""

from collections.abc import AsyncIterator
from pathlib import Path
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from bulksync.errors import InputError
from bulksync.model import InvalidRow
from bulksync.reader.input import open_input
from bulksync.reader.rows import write_rows
from bulksync.reader.source import locate
from tests.support.program import WORKFLOW, execution

ROW = {"workflowId": WORKFLOW, "executionId": execution(1), "status": "COMPLETED"}


async def read_back(rows: Any, path: Path) -> list[tuple[int, str]]:
    """Write rows and read them again: their numbers, and the body or the error of each."""
    await write_rows(rows, path)
    with open_input(locate(path)) as content:
        return [
            (row.row, row.error if isinstance(row, InvalidRow) else row.body.decode())
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
        ({**ROW, "executionId": UUID(execution(2)), "status": ""}, "field_missing"),
        ({**ROW, "executionId": UUID(execution(2)), "metadata": {"ü": "ß"}, "status": ""}, '{"metadata":{"ü":"ß"}}'),
        ({**ROW, "status": None, "metadata": {"n": 2**70}}, '{"metadata":{"n":1180591620717411303424}}'),
        ({**ROW, "status": "ELSE"}, "status_invalid"),
        ({**ROW, "executionId": 7}, "id_invalid"),
        ({**ROW, "metadata": {"x": float("inf")}}, "json_malformed"),
        ({**ROW, "metadata": {"x": "\ud800"}}, "json_malformed"),
        ({**ROW, "metadata": {1: 1, "1": 2}}, "duplicate_member"),
        ({**ROW, "metadata": {"x": "y" * (1 << 20)}}, "row_too_large"),
        ({}, "field_missing"),
        ("row", "not_an_object"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
async def test_a_value_is_validated_like_a_line(row: Any, found: str, path: Path) -> None:
    """What a row means, or why it is invalid, is the same as if it had stood in a file."""
    assert await read_back([row], path) == [(1, found)]


async def test_either_kind_of_iterable(path: Path) -> None:
    """Rows come from a list, a generator or an async generator, however many there are."""

    async def source() -> AsyncIterator[dict[str, str]]:
        for _ in range(2_500):
            yield ROW

    assert len(await read_back(source(), path)) == len(await read_back((ROW for _ in range(2_500)), path)) == 2_500


@pytest.mark.parametrize(("value", "what"), [({1}, "it holds a set"), (b"", "it holds a bytes")], ids=["set", "bytes"])
async def test_what_json_has_not(value: object, what: str, path: Path) -> None:
    """A value that JSON has no word for raises InputError with the row's number."""
    with pytest.raises(InputError) as caught:
        await write_rows([ROW, {**ROW, "metadata": {"x": value}}], path)
    assert str(caught.value) == f"row 2 cannot be written as JSON: {what}"

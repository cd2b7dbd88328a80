"""What may be given as rows: frames give dicts as they are, and what cannot be rows is refused by name."""

from collections.abc import AsyncIterator
from io import StringIO
from pathlib import Path
from typing import Any

import numpy
import pandas
import polars
import pytest

from bulksync.reader.tables import check_rows, dicts, is_stream

RECORDS = [{"a": number, "b": f"text {number}"} for number in range(2_500)]


async def endless() -> AsyncIterator[dict[str, Any]]:
    """Give rows for ever."""
    while True:
        yield {}


@pytest.mark.parametrize("frame", [pandas.DataFrame(RECORDS), polars.DataFrame(RECORDS)], ids=["pandas", "polars"])
def test_a_frame_gives_its_rows(frame: Any) -> None:
    """Every row of a frame is a dict of Python's own values, in order, however many there are."""
    check_rows(frame)
    assert (list(dicts(frame)), is_stream(frame)) == (RECORDS, False)
    assert list(dicts(frame[:0])) == []


def test_a_column_that_would_be_lost() -> None:
    """A frame of pandas with two columns of one name is refused: a dict would hold only one of them."""
    with pytest.raises(TypeError, match="two columns of the same name"):
        list(dicts(pandas.DataFrame([[1, 2]], columns=["a", "a"])))


@pytest.mark.parametrize(
    ("rows", "is_one"),
    [
        ([{}], False),
        (({},), False),
        ({1: {}}.values(), False),
        (pandas.Series([{}]), False),
        ("rows.csv", False),
        (Path("rows.csv"), False),
        (iter([{}]), True),
        (({} for _ in ()), True),
        (map(dict, [[]]), True),
        (endless(), True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_has_no_length_is_a_stream(rows: Any, is_one: bool) -> None:
    """A collection can be validated as a whole; nobody knows how many rows an iterator has."""
    check_rows(rows)
    assert is_stream(rows) is is_one


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"workflowId": "w"}, r"rows is a single dict: give a list of dicts, sync\(\[row\]\)"),
        (["workflowId", "executionId"], "rows gives text, such as 'workflowId', not dicts"),
        ("", "text that is not a path"),
        ('{"workflowId": "w"}', "text that is not a path"),
        ("workflowId,executionId\n1,2\n", "text that is not a path"),
        (b"rows.csv", "rows is bytes"),
        (None, "rows is NoneType, not a path, a data frame or an iterable of dicts"),
        (7, "rows is int, not"),
        (polars.LazyFrame(RECORDS), r"rows is LazyFrame, not .*: collect\(\) it first"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_be_rows(rows: Any, message: str) -> None:
    """A wholly wrong argument is a TypeError that says what to give instead."""
    with pytest.raises(TypeError, match=message):
        check_rows(rows)


@pytest.mark.parametrize(
    "rows",
    [iter(["workflowId"]), pandas.Series(["a"]), numpy.array(["a"]), StringIO("a,b\n")],
    ids=lambda value: type(value).__name__,
)
def test_names_that_are_iterated_over(rows: Any) -> None:
    """Column names, or a file's lines, are not rows; where they come from an iterator the first one shows it."""
    check_rows(rows)
    with pytest.raises(TypeError, match="rows gives text"):
        list(dicts(rows))

"""Errors behind rows: the rows stay as they are, and a second run puts its errors in the place of the first's."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulksync.reader.annotating import annotated_cells, annotated_header, annotated_object

NAMES = ("a", "b")
WITH_OURS = ("a", "b", "error", "detail")


@pytest.mark.parametrize(
    ("raw", "names", "annotated"),
    [
        ("1,2\n", NAMES, "1,2,e,d;\n"),
        ("1,2\r\n", NAMES, "1,2,e,d;\r\n"),
        ("1,2", NAMES, "1,2,e,d;"),
        ('"1,\n",2\n', NAMES, '"1,\n",2,e,d;\n'),
        ('x"y"z,2\n', NAMES, 'x"y"z,2,e,d;\n'),
        ("1,2,, \n", NAMES, "1,2,e,d;\n"),
        ("1,2,3\n", NAMES, "1,2,3,e,d;\n"),
        ("1\n", NAMES, "1,e,d;\n"),
        ('1,"open\n', NAMES, '1,"open\n'),
        ("", NAMES, ",,e,d;"),
        ('1,2,old,"an, old"\n', WITH_OURS, "1,2,e,d;\n"),
        ("1,2,3,old,old\n", WITH_OURS, "1,2,3,e,d;\n"),
        ("1,2,3\n", WITH_OURS, "1,2,3\n"),
    ],
)
def test_cells_behind_a_row(raw: str, names: tuple[str, ...], annotated: str) -> None:
    """Two cells more, or other ones; a row that has an open quote, or that lacks cells of an earlier run, is left."""
    assert annotated_cells(raw, ",", names, "e", "d;") == annotated


@pytest.mark.parametrize(
    ("raw", "names", "annotated"),
    [
        ("a,b\r\n", ["a", "b"], "a,b,error,detail\r\n"),
        ("sep=,\na,b", ["a", "b"], "sep=,\na,b,error,detail"),
        ("a,error\n", ["a", "error"], "a,error,bulksync.error,detail\n"),
        (
            "a,error,bulksync.error,detail\n",
            ["a", "error", "bulksync.error", "detail"],
            "a,error,bulksync.error,detail\n",
        ),
        ("a,error,detail\n", ["a", "error", "detail"], "a,error,detail\n"),
    ],
)
def test_names_behind_a_header(raw: str, names: list[str], annotated: str) -> None:
    """The input's own columns keep their names, and no name is there twice."""
    assert annotated_header(raw, ",", names) == annotated


CELLS = st.lists(st.text('a,;"\n\r é', max_size=4), min_size=2, max_size=4)


@given(CELLS, st.text('a,;" é', max_size=6), st.text('a,;" é', max_size=6))
def test_what_is_annotated_is_read_back(cells: list[str], first: str, second: str) -> None:
    """Whatever a row and its errors hold, it has two cells more, which those of a second run replace."""
    line = io.StringIO()
    csv.writer(line, lineterminator="\r\n").writerow(cells)
    names = [str(number) for number in range(len(cells))]
    once = annotated_cells(line.getvalue(), ",", names, first, "d")
    assert next(csv.reader(io.StringIO(once, newline=""), strict=True)) == [*cells, first, "d"]
    twice = annotated_cells(once, ",", [*names, "error", "detail"], second, "e")
    assert twice == annotated_cells(line.getvalue(), ",", names, second, "e")


@pytest.mark.parametrize(
    ("raw", "annotated"),
    [
        ('{"a": 1.0 }\r\n', '{"a": 1.0,"error":"e","detail":"é"}\r\n'),
        ("{ }\n", '{"error":"e","detail":"é"}\n'),
        ("", '{"error":"e","detail":"é"}'),
        ('{"a":1,"a":2}\n', '{"a":1,"a":2,"error":"e","detail":"é"}\n'),
        ('{"detail":1}\n', '{"detail":1,"error":"e","bulksync.detail":"é"}\n'),
        ('{"a":1,"error":"old \\"}","detail":"old"}\n', '{"a":1,"error":"e","detail":"é"}\n'),
        ("[1]\n", "[1]\n"),
        ('{"a": \n', '{"a": \n'),
    ],
)
def test_members_behind_an_object(raw: str, annotated: str) -> None:
    """Two members more, or other ones; what is no object is left."""
    assert annotated_object(raw, "e", "é", is_utf=True) == annotated
    assert annotated_object(raw, "e", "é", is_utf=False) == annotated.replace("é", "\\u00e9")

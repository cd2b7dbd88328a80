"""Grouping: rows that say the same are one group, whatever ids and numbers they name."""

import pytest

from bulksync.ledger.line import Problem
from bulksync.report.grouping import MOST, Group, grouped, masked
from tests.support.program import execution


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ("", ""),
        ("Not allowed", "Not allowed"),
        (f"Execution {execution(7)} not found", "Execution … not found"),
        (f"Execution {execution(7).upper()}: not found", "Execution …: not found"),
        ("abcdefab-abcd-abcd-abcd-abcdefabcdef", "…"),
        ("waits for row 12 of its execution", "waits for row … of its execution"),
        ("took 1,234.5 ms, until 2026-01-01T10:00:00.250Z.", "took … ms, until …."),
        ("request req_01HZX4 (L-20001)", "request … (L-…)"),
    ],
)
def test_ids_and_numbers_are_masked(detail: str, message: str) -> None:
    """Ids, numbers, times and words with a digit in them differ from row to row; the rest is what is said."""
    assert masked(detail) == message


def test_rows_that_say_the_same_are_one_group() -> None:
    """Most frequent first, with the first row and line; masked only where the rows differ."""
    rows = [
        (1, 2, "http_404", f"no execution {execution(1)}"),
        (2, 3, "http_422", "status 5 is unknown"),
        (3, 5, "http_404", f"no execution {execution(3)}"),
        (4, 6, "http_400", f"no execution {execution(4)}"),
        (5, 7, "http_422", "status 5 is unknown"),
        (6, 8, "http_404", f"no execution {execution(1)}"),
    ]
    assert grouped(Problem(*row) for row in rows) == [
        Group("http_404", "no execution …", 3, 1, 2),
        Group("http_422", "status 5 is unknown", 2, 2, 3),
        Group("http_400", f"no execution {execution(4)}", 1, 4, 6),
    ]
    assert grouped([]) == []


def test_groups_without_number_stay_few() -> None:
    """A server that never says the same twice costs no memory without end: the rest is counted as one."""
    words = ["".join(chr(97 + int(digit)) for digit in f"{number:04}") for number in range(MOST + 5)]
    groups = grouped(Problem(number, number + 1, "http_400", word) for number, word in enumerate(words, 1))
    assert groups[0] == Group("http_400", "…", 5, MOST + 1, MOST + 2)
    assert [group.count for group in groups[1:]] == [1] * MOST

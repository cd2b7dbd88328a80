"""The advice for rejected rows, as exact commands."""

from pathlib import Path

import pytest

from bulksync.commands.again import fixing


@pytest.mark.parametrize(
    "of_the_whole",
    [
        ("--save-before", "before.jsonl"),
        ("--limit", "5"),
        ("--min-rows=100",),
        ("-o", "night.csv", "--summary", "s.json"),
        ("--resend",),
    ],
)
def test_other_rows_get_no_option_of_the_whole_input(of_the_whole: tuple[str, ...]) -> None:
    """What belongs to the run of the whole input, its before-image too, is not repeated for the rows to be fixed."""
    arguments = ("run", "rows.csv", *of_the_whole, "--rate", "10/s")
    said = fixing(arguments, Path("rows.csv"), "csv", ledger=Path("l"), rejected=None)
    assert said == (
        "get the rejected and invalid rows as a file: bulksync report l --rejected-file rows.rejected.csv; "
        "fix the rows in rows.rejected.csv, then run them: "
        "bulksync run rows.rejected.csv --rate 10/s --rejected-file rows.rejected-2.csv"
    )

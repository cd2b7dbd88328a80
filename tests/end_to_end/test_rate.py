"""The quota, end to end: a server that counts arrivals in a sliding second never has to refuse one."""

import json
from pathlib import Path

import pytest

from tests.support.program import bulksync, write_rows


@pytest.mark.parametrize(
    ("rate", "rows", "loop"),
    [
        (10, 200, "uvloop"),
        (100, 1_000, "uvloop"),
        (100, 1_000, "asyncio"),
        (1_000, 5_000, "uvloop"),
        (1_000, 5_000, "asyncio"),
    ],
)
def test_the_quota_is_filled_and_never_exceeded(rate: int, rows: int, loop: str, tmp_path: Path) -> None:
    """At 10, 100 and 1,000/s a strict server that forgives 10 ms refuses nothing, and the run fills the rate."""
    write_rows(tmp_path / "rows.csv", range(rows))
    options = ("--sandbox", "--rate", f"{rate}/s", "--summary", "summary.json")
    done = bulksync("run", "rows.csv", *options, folder=tmp_path, loop=loop)
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert (done.code, summary["outcomes"], summary["throttled"], summary["requests"]) == (
        0,
        {"updated": rows},
        0,
        rows,
    )
    assert summary["elapsedSeconds"] <= 1.06 * rows / rate + 1

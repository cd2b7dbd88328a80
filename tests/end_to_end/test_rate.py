"""The quota, end to end: a server that counts arrivals in a sliding second never has to refuse one.

Other rates, and how well they are used, are shown in virtual time by `tests.quota.test_pacer`.
"""

import json
from pathlib import Path

import pytest

from tests.support.program import bulksync, write_rows

ROWS = 400


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_the_quota_is_never_exceeded(loop: str, tmp_path: Path) -> None:
    """At 100/s a strict server that forgives 10 ms refuses nothing, and nothing is sent sooner than the rate allows."""
    write_rows(tmp_path / "rows.csv", range(ROWS))
    options = ("--sandbox", "--rate", "100/s", "--summary", "summary.json")
    done = bulksync("run", "rows.csv", *options, folder=tmp_path, loop=loop)
    summary = json.loads((tmp_path / "summary.json").read_text())
    told = (done.code, summary["outcomes"], summary["throttled"], summary["requests"])
    assert told == (0, {"updated": ROWS}, 0, ROWS)
    assert summary["elapsedSeconds"] >= ROWS / 100 - 1

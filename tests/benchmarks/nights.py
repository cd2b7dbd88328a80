"""A ledger after years of nightly runs: how long a small run takes to open and plan it, beside a fresh one.

    python -m tests.benchmarks.nights [NIGHTS [ROWS [TURNOVER]]]

Each night's run is written as a real one leaves it, by SQL as sending would take days; then the ledger is pruned as a
run does at its end. TURNOVER executions a night are new.
"""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

from bulksync.ledger.store import Store
from bulksync.options.files import files_for
from bulksync.options.models import RunOptions
from bulksync.reader.locating import locate
from bulksync.sender.plan import plan_run
from tests.support.program import API_KEY, write_rows

TARGET = "https://api.invalid"

NIGHT = """
WITH RECURSIVE number(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < ?2)
INSERT INTO line (run, row, line, workflow, execution, requested, due, outcome, http, attempts, returned, disposition,
    first_sent, finished, duration, digest)
SELECT ?1, n, n + 1, '11111111-1111-4111-8111-111111111111', printf('00000000-0000-4000-8000-%012x', n + ?3),
    'COMPLETED', 0, 'updated', 200, 1, 'COMPLETED', 'NO_ANSWER',
    '2026-11-27T02:15:00.000Z', '2026-11-27T02:15:00.100Z', 100,
    printf('%032x', n * ?1)
FROM number
"""


def grow(store: Store, nights: int, rows: int, turnover: int) -> None:
    """Write nights, each pruned as a run does at its end."""
    for night in range(nights):
        with store.transaction() as db:
            run = store.begin(
                name=f"night-{night}",
                target=TARGET,
                input="export.csv",
                path="export.csv",
                digest=f"{night}",
                started=0.0,
            )
            store.set_settings(run, rows, '{"report": "export.csv.report.csv"}')
            db.execute(NIGHT, (run, rows, night * turnover))
        store.leave(run, error="", detail="")
        store.end(run, ended=1.0, exit_code=0, summary=f'{{"timeline": {{"acknowledged": {[1] * 120}}}}}')
        store.prune(30)


def planned(ledger: Path, rows: Path) -> float:
    """Return how many seconds opening a ledger and planning a small run take."""
    started = time.perf_counter()
    with closing(Store(ledger)) as store:
        options = RunOptions(ledger=ledger)
        plan_run(
            store,
            locate(rows),
            options,
            target=TARGET,
            key=API_KEY,
            files=files_for(rows, options),
            now=0.0,
            stopping=lambda: False,
        )
    return time.perf_counter() - started


def main(nights: int = 1_095, rows: int = 100_000, turnover: int = 500) -> None:
    """Print what years of nights cost."""
    with tempfile.TemporaryDirectory() as folder:
        old, fresh, small = Path(folder, "old"), Path(folder, "fresh"), write_rows(Path(folder, "rows.csv"), range(10))
        with closing(Store(old)) as store:
            grow(store, nights, rows, turnover)
        took, beside = planned(old, small), planned(fresh, small)
        with closing(Store(old)) as store:
            size, runs = store.size(), len(store.runs())
    executions = rows + turnover * (nights - 1)
    print(f"{nights:,} nights of {rows:,} rows, {executions:,} executions: {size / 1e6:,.0f} MB, {runs} runs kept")
    print(f"open and plan 10 rows: {took:.3f} s, on a fresh ledger {beside:.3f} s: {took - beside:+.3f} s")


if __name__ == "__main__":
    main(*(int(argument) for argument in sys.argv[1:]))

"""Memory does not grow with the input."""

from pathlib import Path

from tests.benchmarks.cost import measured
from tests.support.program import WORKFLOW, command, execution

ROWS = 1_000_000
MEGABYTE = 1_000_000


def test_a_million_rows_are_checked_within_150_mb(tmp_path: Path) -> None:
    """`check` reads a million rows, all of different executions, within 150 MB."""
    with (tmp_path / "rows.csv").open("w") as file:
        file.write("workflowId,executionId,status,metadata\n")
        file.writelines(f'{WORKFLOW},{execution(row)},COMPLETED,"{{""turn"": {row}}}"\n' for row in range(ROWS))
    cost = measured(command("check", "rows.csv"), ROWS, tmp_path)
    assert (tmp_path / "output").read_text().startswith("rows.csv: 1,000,000 rows, 1,000,000 valid, 0 invalid\n")
    assert cost.peak <= 150 * MEGABYTE

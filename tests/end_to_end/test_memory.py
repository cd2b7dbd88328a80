"""Memory does not grow with the input."""

from pathlib import Path

from tests.benchmarks.cost import measured
from tests.support.program import WORKFLOW, command, execution

ROWS = 400_000
"""At 200,000 the peak is reached; 57 bytes more for each row would be noticed."""

PEAK = 110_000_000
"""Bytes: 87 MB were measured."""


def test_many_rows_are_checked_within_110_mb(tmp_path: Path) -> None:
    """`check` reads rows of so many different executions within 110 MB."""
    with (tmp_path / "rows.csv").open("w") as file:
        file.write("workflowId,executionId,status,metadata\n")
        file.writelines(f'{WORKFLOW},{execution(row)},COMPLETED,"{{""turn"": {row}}}"\n' for row in range(ROWS))
    cost = measured(command("check", "rows.csv"), ROWS, tmp_path)
    assert (tmp_path / "output").read_text().startswith("rows.csv: 400,000 rows, 400,000 valid, 0 invalid\n")
    assert cost.peak <= PEAK

"""Memory does not grow with the input."""

import os
import subprocess
from pathlib import Path

from tests.program import WORKFLOW, command, environment, execution

ROWS = 1_000_000
MEGABYTE = 1_000_000


def peak_of(*arguments: object, folder: Path) -> tuple[int, int]:
    """Run the program and return its exit code and the most memory it held, in bytes."""
    with (folder / "out").open("wb") as out:
        process = subprocess.Popen(command(*arguments), cwd=folder, env=environment(folder), stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, usage.ru_maxrss * 1024


def test_a_million_rows_are_checked_within_150_mb(tmp_path: Path) -> None:
    """`check` reads a million rows, all of different executions, within 150 MB."""
    with (tmp_path / "rows.csv").open("w") as file:
        file.write("workflowId,executionId,status,metadata\n")
        file.writelines(f'{WORKFLOW},{execution(row)},COMPLETED,"{{""turn"": {row}}}"\n' for row in range(ROWS))
    code, peak = peak_of("check", "rows.csv", folder=tmp_path)
    assert (code, (tmp_path / "out").read_text().splitlines()[0]) == (
        0,
        "rows.csv: 1,000,000 rows, 1,000,000 valid, 0 invalid",
    )
    assert peak <= 150 * MEGABYTE

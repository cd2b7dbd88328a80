"""What a command costs: wall time, CPU and memory, of it and of everything it started."""

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command cost."""

    rows: int
    wall: float
    cpu: float
    peak: float

    @property
    def rate(self) -> float:
        """Rows a second, from the command's start to its end."""
        return self.rows / self.wall

    @property
    def cpu_per_row(self) -> float:
        """Microseconds of CPU for a row."""
        return self.cpu / self.rows * 1e6


def measured(command: Sequence[str], rows: int, folder: Path, codes: Sequence[int] = (0,)) -> Cost:
    """Run a command to its end and return what it cost; RuntimeError where it fails."""
    started = time.monotonic()
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment(), stdout=output, stderr=output)
        _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    wall = time.monotonic() - started
    if process.returncode not in codes:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}: {(folder / 'output').read_text()[-800:]}")
    return Cost(rows, wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def environment() -> dict[str, str]:
    """Return the environment of every command: ours, with a key, our package, and no BULKSYNC_ variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BULKSYNC_")}
    return kept | {"FEATHER_API_KEY": "benchmark-key", "PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": "/nowhere"}


def median(costs: Sequence[Cost]) -> Cost:
    """Return the run in the middle by wall time."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]

"""What a command costs: wall time, CPU and memory, of it and of everything it started."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True, slots=True)
class Cost:
    """What one run of a command cost: seconds of wall and CPU time, and bytes at its peak."""

    rows: int
    wall: float
    cpu: float
    peak: int

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
    launcher = [sys.executable, "-I", "-S", str(Path(__file__).with_name("spent.py")), "spent"]
    with (folder / "output").open("wb") as output:
        subprocess.run([*launcher, *command], cwd=folder, env=environment(), stdout=output, stderr=output, check=True)
    spent = json.loads((folder / "spent").read_text())
    if (code := spent.pop("code")) not in codes:
        raise RuntimeError(f"{command[0]} ended with {code}: {(folder / 'output').read_text()[-800:]}")
    return Cost(rows, **spent)


def environment() -> dict[str, str]:
    """Return the environment of every command: ours, with a key, our package, and no BULKSYNC_ variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BULKSYNC_")}
    folders = {"XDG_CONFIG_HOME": "/nowhere", "XDG_STATE_HOME": f"{tempfile.gettempdir()}/bulksync-bench-state"}
    return kept | {"FEATHER_API_KEY": "benchmark-key", "PYTHONPATH": str(ROOT), **folders}


def median(costs: Sequence[Cost]) -> Cost:
    """Return the run in the middle by wall time."""
    return sorted(costs, key=lambda cost: cost.wall)[len(costs) // 2]

"""The program's start: what it answers before anything else is loaded."""

import subprocess
import sys
from pathlib import Path

from tests.support.program import environment

ON_WINDOWS = """
import os, sys
os.name = "nt"
for name in ("fcntl", "resource", "uvloop", "bulksync.cli"):
    sys.modules[name] = None
from bulksync.__main__ import main
main()
"""
"""The start as it is on Windows: without the modules that only Unix has, and before the command line is loaded."""


def test_windows_is_told_in_a_line(tmp_path: Path) -> None:
    """Where the system is not supported, the program says so and what to do, instead of a traceback: exit 2."""
    call = [sys.executable, "-c", ON_WINDOWS, "run", "rows.csv"]
    done = subprocess.run(
        call, cwd=tmp_path, env=environment(tmp_path), capture_output=True, text=True, timeout=60, check=False
    )
    said = "bulksync: Windows is not supported: run it in WSL, where it is the same as on Linux\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", said)

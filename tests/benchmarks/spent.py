"""Runs a command and writes what it spent: `python spent.py FILE COMMAND…`.

A process counts the memory of the one that started it as its own peak, so a small one starts what is measured.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main(file: str, *command: str) -> None:
    """Run the command to its end; the file gets its exit code, seconds of wall and CPU time, and peak bytes."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu, peak = usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024
    Path(file).write_text(json.dumps({"code": process.returncode, "wall": wall, "cpu": cpu, "peak": peak}))


if __name__ == "__main__":
    main(*sys.argv[1:])

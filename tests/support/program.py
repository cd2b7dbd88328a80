"""The program as a user runs it: a process of its own, its output captured, an end set to its time."""

import csv
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr

KEY = "canary-7f3c9d1e5b-key"
"""The API key of every test; no artefact may hold it."""

API_KEY = SecretStr(KEY)

PASSWORD = "canary-pass-93ab"  # noqa: S105  made up
"""The password of every proxy; no artefact may hold it."""

CANARY = "canary-metadata-5d1f"
"""A metadata value of every row that `write_rows` writes; no ledger and no report may hold it."""

WITHOUT_UVLOOP = "import sys; sys.modules['uvloop'] = None; from bulksync.cli import main; main()"
"""Runs the program on asyncio's own loop, as where uvloop is not installed."""


@dataclass(frozen=True, slots=True)
class Done:
    """What a process came to."""

    code: int
    stdout: str
    stderr: str


def command(*arguments: object, loop: str = "uvloop") -> list[str]:
    """Return the call of the program on one of the two event loops."""
    program = ["-m", "bulksync"] if loop == "uvloop" else ["-c", WITHOUT_UVLOOP]
    return [sys.executable, *program, *(str(argument) for argument in arguments)]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return a clean environment: a key, no configuration of the user's, no BULKSYNC_ variables.

    Public authorities sign for nobody on the loopback; to read them all would take a tenth of each start.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BULKSYNC_")}
    ours = {"FEATHER_API_KEY": KEY, "XDG_CONFIG_HOME": str(folder / "no-config"), "COLUMNS": "120"}
    return kept | ours | {"SSL_CERT_FILE": os.devnull} | variables


def bulksync(
    *arguments: object,
    folder: Path,
    stdin: bytes | None = None,
    loop: str = "uvloop",
    variables: Mapping[str, str] | None = None,
    timeout: float = 60,
) -> Done:
    """Run the program in *folder* to its end."""
    done = subprocess.run(
        command(*arguments, loop=loop),
        cwd=folder,
        env=environment(folder, **(variables or {})),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


@contextmanager
def started(
    *arguments: object, folder: Path, loop: str = "uvloop", variables: Mapping[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Start the program in *folder* and yield its process; it is killed if it still runs at the end."""
    process = subprocess.Popen(
        command(*arguments, loop=loop),
        cwd=folder,
        env=environment(folder, **(variables or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def rows_of(report: Path, delimiter: str = ",") -> list[dict[str, str]]:
    """Return the lines of a CSV report."""
    with report.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file, delimiter=delimiter))


def execution(number: int) -> str:
    """Return the id of a made-up execution."""
    return f"00000000-0000-4000-8000-{number:012x}"


WORKFLOW = "11111111-1111-4111-8111-111111111111"


def write_rows(
    path: Path, numbers: Sequence[int], status: str = "COMPLETED", turns: Sequence[int] | None = None
) -> Path:
    """Write an input with one row for each execution's number, in this order, each with metadata of its own.

    *turns* say what the metadata holds, so that some rows may say the same.
    """
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["workflowId", "executionId", "status", "metadata"])
        writer.writerows(
            [WORKFLOW, execution(number), status, f'{{"turn": {turn}, "note": "{CANARY}"}}']
            for turn, number in zip(turns or range(len(numbers)), numbers, strict=True)
        )
    return path

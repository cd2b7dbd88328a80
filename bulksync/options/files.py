"""Decide the paths of a run's files: the defaults, and no two files with the same path."""

import os
from dataclasses import dataclass
from pathlib import Path

from bulksync.errors import StorageError, UsageError
from bulksync.options.models import ReportOptions, RunOptions
from bulksync.text import name_of

STDIN = STDOUT = Path("-")
"""Stands for stdin or stdout on the command line."""

REPLACED = ("output", "retry_file", "rejected_file", "summary", "html", "metrics_file")
"""Options that name a file which is replaced by a rename."""


def check_files(input_path: Path | None, options: ReportOptions) -> None:
    """Raise UsageError if an option names a file that must not be replaced, or a ledger with an unusable name.

    Raises StorageError if the ledger is not a regular file. As root, the rename would even replace /dev/null for
    everyone.
    """
    named = {"--" + name.replace("_", "-"): getattr(options, name) for name in REPLACED}
    ledger, before = getattr(options, "ledger", None), getattr(options, "save_before", None)
    source = Path() if input_path == STDIN else input_path  # the files of stdin are in the current folder
    for what, path in {"the input": source, "--ledger": ledger, "--save-before": before, **named}.items():
        if path is not None and path != STDOUT:
            check_name(path, what)
    for what, path in named.items():
        if path is not None and path != STDOUT and (os.path.islink(path) or not is_free_or_plain(path)):
            raise UsageError(f"{what} {path} is not a plain file", "name another: what is there would be replaced")
    check_rows_files(options)
    if ledger is not None and not is_free_or_plain(ledger):
        raise StorageError(f"the ledger {ledger} is not a plain file", "name another with --ledger")


def check_rows_files(options: ReportOptions) -> None:
    """Raise UsageError if a file of rows is named like a workbook, a format that is never written."""
    for what, path in {"--retry-file": options.retry_file, "--rejected-file": options.rejected_file}.items():
        if path is not None and path.suffix.lower() in (".xlsx", ".xlsm"):
            raise UsageError(f"{what} {path}: rows of a workbook are written as CSV", "give it a name in .csv")


def is_free_or_plain(path: Path) -> bool:
    """Return whether a path is unused or a regular file."""
    return os.path.isfile(path) or not os.path.exists(path)


def check_name(path: Path, what: str) -> None:
    """Raise UsageError for a path that cannot be made absolute or represented as text."""
    try:
        str(path.resolve()).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{what} {name_of(path)}: its name, or that of its folder, is not UTF-8",
            "rename it, or set PYTHONUTF8=1 if only the locale is not UTF-8",
        ) from None
    except RuntimeError:
        raise UsageError(f"{what} {path} is a link to itself", "name a file") from None
    except OSError:
        raise UsageError("the working directory does not exist any more", "change to one that does") from None


@dataclass(frozen=True, slots=True)
class Files:
    """The paths of a run's files; *spool* holds the copy of stdin, *states* the states read from executions.

    *before* is where their states before a run are saved, if at all. Without *output* there is no report, without
    *ledger* a temporary one.
    """

    output: Path | None
    ledger: Path | None
    spool: Path
    states: Path
    before: Path | None = None


def files_for(input_path: Path, options: RunOptions, what: str = "report.csv") -> Files:
    """Decide the paths of a run's output *what* and ledger. Raises UsageError if two files would have the same path."""
    beside = Path(f"stdin.{what}") if input_path == STDIN else beside_it(input_path, what)
    output = options.output or beside
    anchor = beside if output == STDOUT else output
    ledger = options.ledger or beside_it(anchor, "ledger")
    tell_apart(None if input_path == STDIN else input_path, output, ledger, options)
    return Files(output, ledger, beside_it(ledger, "stdin"), beside_it(anchor, "states"), options.save_before)


def tell_apart(input_path: Path | None, output: Path, ledger: Path, options: ReportOptions) -> None:
    """Raise UsageError if two files would have the same path."""
    taken: dict[Path, str] = {} if input_path is None else {input_path.resolve(): "the input"}
    for path, what in (
        (output, "--output"),
        (ledger, "--ledger"),
        (options.retry_file, "--retry-file"),
        (options.rejected_file, "--rejected-file"),
        (options.summary, "--summary"),
        (options.html, "--html"),
        (options.metrics_file, "--metrics-file"),
        (getattr(options, "save_before", None), "--save-before"),
    ):
        if path is None or path == STDOUT:
            continue
        if (other := taken.setdefault(path.resolve(), what)) != what:
            raise UsageError(f"{what} {path} is {other} too", "give each file a name of its own")


def beside_it(path: Path, what: str) -> Path:
    """Return *path* with `.what` appended; the caller checks that it is a file."""
    return path.parent / f"{path.name}.{what}"

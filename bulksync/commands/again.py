"""Tell the user how to fix and rerun rows, with the exact commands."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bulksync.commands.call import command_line
from bulksync.reader.source import Format, format_of
from bulksync.text import quoted

OF_THIS_RUN = frozenset(
    {
        "-o",
        "--output",
        "--retry-file",
        "--rejected-file",
        "--summary",
        "--html",
        "--metrics-file",
        "--min-rows",
        "--limit",
        "--save-before",
    }
)
"""Options whose values only apply to the run of the whole input."""

FLAGS_OF_THIS_RUN = frozenset({"--resend", "--restart", "--retry-rejected", "--only-changed", "--overwrite"})

OF_A_WORKBOOK = frozenset({"--format", "--sheet"})
"""Options that are wrong for rows from a workbook, which are written as CSV."""


def fixing(arguments: Sequence[str], source: Path, kind: Format, *, ledger: Path | None, rejected: Path | None) -> str:
    """Return how to export a run's rejected and invalid rows, unless *rejected* already has them, and how to run them.

    *arguments* are those of the run, whose input is *source*; empty if a Python program called, for which commands
    are of no use.
    """
    if not arguments or (rejected is None and ledger is None):
        return f"fix the rows in {quoted(str(rejected))}, and run them as a new file" if rejected else ""
    path = rejected or beside(source, kind)
    step = f"fix the rows in {quoted(str(path))}, then run them: {command_for(arguments, source, path, kind)}"
    if rejected:
        return step
    command = f"bulksync report {quoted(str(ledger))} --rejected-file {quoted(str(path))}"
    return f"get the rejected and invalid rows as a file: {command}; {step}"


def beside(source: Path, kind: Format) -> Path:
    """Return a name for the file of an input's rejected rows."""
    plain = source.with_suffix("") if source.suffix.lower() == ".gz" else source
    if source == Path("-"):
        plain = Path("stdin")
    suffix = plain.suffix if format_of(plain) == kind != "xlsx" else f".{written_as(kind)}"
    return plain.with_name(f"{plain.stem}.rejected{suffix}")


def command_for(arguments: Sequence[str], source: Path, path: Path, kind: Format) -> str:
    """Return the command that runs the rejected rows at *path* with the options of the run of *source*."""
    words = [*(str(path) if Path(word) == source else word for word in kept(arguments, kind))]
    if format_of(path) != written_as(kind) and "--format" not in words:
        words += ["--format", written_as(kind)]
    return command_line([*words, "--rejected-file", str(next_name(path))])


def kept(arguments: Sequence[str], kind: Format) -> Iterator[str]:
    """Yield the arguments of a command that also apply to other rows."""
    dropped = OF_THIS_RUN | (OF_A_WORKBOOK if kind == "xlsx" else frozenset())
    is_value = False
    for word in arguments:
        if is_value:
            is_value = False
        elif word in dropped:
            is_value = True
        elif word.partition("=")[0] not in dropped | FLAGS_OF_THIS_RUN:
            yield word


def written_as(kind: Format) -> Format:
    """Return the format in which rows of an input are written back."""
    return "csv" if kind == "xlsx" else kind


def next_name(path: Path) -> Path:
    """Return the name of the file for rows rejected again: rejected-2.csv, then rejected-3.csv."""
    plain = Path(path.stem) if path.suffix.lower() == ".gz" else Path(path.name)
    number = re.fullmatch(r"(.*)-(\d+)", plain.stem)
    numbered = f"{number[1]}-{int(number[2]) + 1}" if number else f"{plain.stem}-2"
    return path.with_name(numbered + path.name.removeprefix(plain.stem))

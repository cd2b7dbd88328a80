"""The help: every option has its place and its words, and every example is a call that exists."""

import re
import shlex
from pathlib import Path

import cyclopts
import pytest
from cyclopts import Parameter

from bulksync import cli
from bulksync.commands import help as manual
from bulksync.options.models import RunOptions
from tests.support.program import bulksync

CONTRACT = """
output format delimiter encoding base-url api-key-file api-key-command rate max-in-flight timeout connect-timeout
max-attempts max-retry-after max-outage max-failures max-duration drain on-invalid resend retry-rejected restart
overwrite sandbox limit lock-wait quiet log-format stats proxy ca-file keepalive dry-run ledger keep-runs retry-file
summary allow-http allow-status echo-metadata guard-formulas html metrics-file only-changed progress quota quota-name
processes cluster min-workers tls-dir
"""
"""The options that people may rely on."""

LATER = {
    "quota", "quota-name", "processes", "cluster", "min-workers", "tls-dir",
}  # fmt: skip
"""Those that a later version brings."""

EPILOGUES = {name: text for name, text in vars(manual).items() if name.startswith("HOW_TO") or name == "FIRST_STEPS"}


def examples() -> list[str]:
    """Return every call that the help shows."""
    lines = [line.strip() for text in EPILOGUES.values() for line in text.splitlines()]
    found = [re.search(r"\bbulksync (?!COMMAND)[^>|()]*", line) for line in lines]
    return [match[0].strip() for match in found if match]


@pytest.mark.parametrize("call", examples())
def test_examples_are_calls_that_exist(call: str) -> None:
    """What the help shows is understood by the command line, options and values."""
    command, bound, _ = cli.app.parse_args(shlex.split(call)[1:], exit_on_error=False, print_error=False)
    assert command.__name__ == call.split()[1]
    assert bound.arguments or command.__name__ in ("sandbox", "schema")


def test_a_wrong_example_would_be_found() -> None:
    """The parser refuses what is no call."""
    for call in ("run rows.csv --nope", "run rows.csv --rate five", "rnu rows.csv"):
        with pytest.raises(cyclopts.CycloptsError):
            cli.app.parse_args(call.split(), exit_on_error=False, print_error=False)


def test_every_option_has_a_text_and_a_section() -> None:
    """No option stands in the help without words, or outside the sections."""
    parameters = {
        name: [mark for mark in field.metadata if isinstance(mark, Parameter)]
        for name, field in RunOptions.model_fields.items()
    }
    assert {name for name, marks in parameters.items() if not any(mark.help for mark in marks)} == set()
    assert {name for name, marks in parameters.items() if not any(mark.group for mark in marks)} == set()


def test_every_option_of_the_contract_exists() -> None:
    """What people may rely on is there, but for what is known to come later."""
    options = {name.replace("_", "-") for name in RunOptions.model_fields}
    assert set(CONTRACT.split()) - options - LATER == set()


@pytest.mark.parametrize(
    "command", ["", "run", "check", "report", "verify", "history", "sandbox", "init", "completion"]
)
@pytest.mark.parametrize("width", [80, 120])
def test_the_help_fits(command: str, width: int, tmp_path: Path) -> None:
    """The help stays within the terminal, and its examples are not broken, at 80 columns and at 120."""
    shown = bulksync(*command.split(), "--help", folder=tmp_path, variables={"COLUMNS": str(width)}).stdout
    assert max(map(len, shown.splitlines())) <= width
    epilogue = manual.FIRST_STEPS if not command else EPILOGUES.get(f"HOW_TO_{command.upper()}", manual.HOW_TO_COMPLETE)
    assert shown.rstrip().endswith(epilogue.rstrip())

"""What is wrong with a call is said in our own words, with the help of the command that was called."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cyclopts import CycloptsError

from bulksync.cli import COMMANDS, app, called
from bulksync.errors import UsageError
from bulksync.options.mistakes import wrong_call


def refused(arguments: list[str]) -> tuple[str, str]:
    """Return what is said of a wrong call, and what to do next."""
    sys.argv = ["bulksync", *arguments]
    try:
        app.meta(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        wrong = wrong_call(error, COMMANDS, called(arguments))
        return wrong.what, wrong.next_step
    except UsageError as error:
        return error.what, error.next_step
    raise AssertionError("the call is not refused")


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody's configuration, before a call and after it, and a folder with an input."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    monkeypatch.setattr(sys, "argv", [])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rows.csv").touch()
    yield
    app.config = None


@pytest.mark.parametrize(
    ("call", "message", "command"),
    [
        ("run", "run: INPUT is missing", "run"),
        ("verify rows.csv", "verify: REPORT is missing", "verify"),
        ("run rows.csv --limit", "run: --limit needs a value", "run"),
        ("run rows.csv -qo", "run: -o needs a value", "run"),
        ("--config", "bulksync: --config needs a value", ""),
        ("rnu rows.csv", "there is no command 'rnu'; did you mean run?", ""),
        ("--nope", "there is no option --nope", ""),
        ("run rows.csv --max-retry", "run has no option --max-retry; did you mean --max-retry-after?", "run"),
        ("check rows.csv --api-key-file key", "check has no option --api-key-file", "check"),
        ("run rows.csv --no-quiet", "run has no option --no-quiet; did you mean --quiet?", "run"),
        ("run rows.csv -qx", "run has no option -x", "run"),
        ("run rows.csv other.csv", "run takes no further argument: other.csv", "run"),
        ("history a.ledger b c", "history takes no further argument: b c", "history"),
        ("run rows.csv --limit 1 --limit 2", "--limit is given more than once", "run"),
        ("run rows.csv --quiet=maybe", "--quiet: 'maybe' is neither true nor false", "run"),
        ("run rows.csv --max-in-flight x", "--max-in-flight: 'x' is not a whole number", "run"),
        ("run rows.csv --max-in-flight 1.5", "--max-in-flight: '1.5' is not a whole number", "run"),
        ("run rows.csv --max-in-flight 0", "--max-in-flight: must be at least 1, not 0", "run"),
        ("run rows.csv --timeout 0s", "--timeout: must be more than 0, not 0s", "run"),
        ("sandbox --port 70000", "--port: must be at most 65535, not 70000", "sandbox"),
        ("sandbox --unknown-rate x", "--unknown-rate: 'x' is not a number", "sandbox"),
        ("run rows.csv --on-invalid go", "--on-invalid: must be 'abort' or 'skip', not 'go'", "run"),
        ("check rows.csv --rate 5x", "--rate: '5x' is not a rate: write 10/s, 600/m or unlimited", "check"),
        ("completion csh", "SHELL: must be bash, zsh or fish, not 'csh'", "completion"),
        ("run rows.csv --resend --only-changed", "--only-changed and --resend exclude each other: give one", "run"),
        (
            "run rows.csv --limit 0 --drain x",
            "--drain: 'x' is not a duration: write 30s, 15m or 2h; --limit: must be at least 1, not 0",
            "run",
        ),
    ],
)
def test_a_wrong_call(call: str, message: str, command: str) -> None:
    """What is wrong stands in one line, without a word of the library's; the help named is that of the command."""
    said, step = refused(call.split())
    assert sorted(said.split("; ")) == sorted(message.split("; "))
    assert step == f"see: bulksync {command} --help".replace("  ", " ")


@pytest.mark.parametrize("call", ["run --nope", "run --nope rows.csv", "run --nope=3 rows.csv", "run -z"])
def test_a_wrong_option_is_no_input(call: str) -> None:
    """As an input may be `-`, a mistyped option before it could be taken for it."""
    option = call.split()[1].partition("=")[0]
    assert refused(call.split()) == (f"run has no option {option}", "see: bulksync run --help")


def test_an_input_may_begin_with_a_hyphen(tmp_path: Path) -> None:
    """A file that is there is an input, whatever its name."""
    (tmp_path / "-x.csv").touch()
    assert app.parse_args(["check", "-x.csv"])[1].args == (Path("-x.csv"),)


def test_where_a_wrong_value_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable is named as such, and what stands in a file with its path."""
    monkeypatch.setenv("BULKSYNC_MAX_IN_FLIGHT", "x")
    (configured := Path("config.toml")).write_text('max-attempts = 0\non-invalid = "go"\n')
    configured.chmod(0o600)
    said, _ = refused(["run", "rows.csv", "--config", "config.toml", "--drain", "never"])
    assert sorted(said.split("; ")) == [
        "--drain: 'never' is not a duration: write 30s, 15m or 2h",
        "BULKSYNC_MAX_IN_FLIGHT: 'x' is not a whole number",
        "config.toml: max-attempts: must be at least 1, not 0",
        "config.toml: on-invalid: must be 'abort' or 'skip', not 'go'",
    ]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("sandbox = {a = 1}", "config.toml: sandbox is a table, and not a value"),
        ("[rate]\nx = 1", "config.toml: rate is a table, and not a value"),
        ("nope = 1", "config.toml: no such option: nope"),
        ("[profile.prod]\nnope = 1", "config.toml [profile.prod]: no such option: nope"),
        ("[profile.prod.rate]\nnope = 1", "config.toml [profile.prod]: rate is a table, and not a value"),
        ("[profile]\nrate = '1/s'", "config.toml: profile is not a table of profiles"),
        ("profile = 'prod'", "config.toml: profile is not a table of profiles"),
    ],
)
def test_a_wrong_line_of_a_file(line: str, message: str) -> None:
    """What is no value of an option is refused with the file's name."""
    (configured := Path("config.toml")).write_text(line)
    configured.chmod(0o600)
    assert refused(["run", "rows.csv", "--config", "config.toml"])[0] == message


def test_a_list_where_one_value_belongs() -> None:
    """A list is no value of an option that takes one; the library finds that out before anything is parsed."""
    (configured := Path("config.toml")).write_text("timeout = [1]")
    configured.chmod(0o600)
    assert refused(["run", "rows.csv", "--config", "config.toml"])[0] == "config.toml: timeout: '[1]' cannot be read"

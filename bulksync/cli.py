"""The command line: arguments in, exit code out; the only module that prints or exits."""

# Commands import what they need themselves: --version and --help must not wait for aiohttp.

import errno
import gc
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from io import TextIOWrapper
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import cyclopts.config
from cyclopts import App, CycloptsError, Parameter
from pydantic import SecretStr

from bulksync import __version__
from bulksync.commands import help as manual
from bulksync.commands.call import changed_command, command_line, repeated_command
from bulksync.console.log import keep_secret, say_to_stderr, teller, write_to_stderr
from bulksync.errors import BulksyncError, StorageError, UsageError, leaves, ungrouped
from bulksync.options.config import configured
from bulksync.options.files import STDIN, STDOUT, Files, beside_it, check_files, files_for
from bulksync.options.mistakes import wrong_call
from bulksync.options.models import (
    MESSAGES,
    CheckOptions,
    FetchOptions,
    InputOptions,
    RenderOptions,
    RunOptions,
    SandboxOptions,
    VerifyOptions,
)
from bulksync.options.target import check_notify, place_of, target_for
from bulksync.options.values import show_rate
from bulksync.text import name_of, quoted

if TYPE_CHECKING:
    from bulksync.commands.job import Job
    from bulksync.commands.verb import Verb
    from bulksync.console.closing import Ending
    from bulksync.console.terminal import Terminal
    from bulksync.model import Preview, Tell
    from bulksync.reader.source import Source

T = TypeVar("T")

Shell = Literal["bash", "zsh", "fish"]

FEWEST_FILES = 20
"""Minimum number of open files for a run of one request at a time."""


def check_input(_: object, path: Path) -> None:
    """Raise UsageError for a mistyped option: as `-` is stdin, an input may begin with a hyphen."""
    if path != STDIN and str(path).startswith("-") and not path.exists():
        command = called(sys.argv[1:])
        raise UsageError(f"{command} has no option {str(path).partition('=')[0]}", f"see: bulksync {command} --help")


INPUT = Parameter(
    allow_leading_hyphen=True,
    validator=check_input,
    help="CSV, TSV or JSON lines, also .gz; - is stdin, with --format",
)
VERBOSE = Parameter(
    name=["--verbose", "-v"], count=True, show_default=False, group=MESSAGES, help="More detail; -vv logs every attempt"
)
CONFIG = Parameter(
    group=MESSAGES,
    env_var="BULKSYNC_CONFIG",
    show_env_var=False,
    help="Options as TOML [default: config.toml in ~/.config/bulksync]",
)
PROFILE = Parameter(
    group=MESSAGES,
    metavar="NAME",
    env_var="BULKSYNC_PROFILE",
    show_env_var=False,
    help="Use the options under [profile.NAME] in config.toml too",
)
JSON = Parameter(negative="", show_default=False, help="Output JSON")
LEDGER = Parameter(help="The .ledger file next to the report")
ALL = Parameter(name="*")

app = App(
    name="bulksync", version=__version__, help=manual.HELP, help_epilogue=manual.FIRST_STEPS, help_format="plaintext"
)


@app.command(sort_key=1, help_epilogue=manual.HOW_TO_RUN)
def run(
    input: Annotated[Path, INPUT],  # noqa: A002  the word in the usage line
    /,
    *,
    options: Annotated[RunOptions, ALL] = RunOptions(),  # noqa: B008  frozen
    verbose: Annotated[int, VERBOSE] = 0,
) -> int:
    """Validate all rows, send each as one rate-limited PUT, and write a report; run it again to send what is left."""
    from bulksync.commands.update import UPDATE

    return answered(lambda: run_to_the_end(input, options, verbose, UPDATE, "report.csv"), options.log_format)


def run_to_the_end(path: Path, options: RunOptions, verbose: int, verb: "Verb", output: str) -> int:
    """Run a *verb* and show its result. Raises BulksyncError if no report was written.

    *output* is the default suffix of the file that it writes.
    """
    if options.notify:
        check_notify(options.notify, allow_http=options.allow_http)
    terminal = terminal_of_stderr()
    say = terminal.say if terminal else say_to_stderr
    with failures_notified(path, options):
        check_files(path, options)
        files = files_for(path, options, output)  # first, as metrics must not be written over another file
        with failures_measured(None if options.dry_run else options.metrics_file):
            job = job_for(path, options, files, terminal, verb)
            if options.dry_run:
                return rehearse(job)
            from bulksync.commands.run import run as execute

            tell = teller(options.log_format, quiet=options.quiet, verbosity=verbose, say=say)
            warn_of_password(options, tell)
            ending = on_loop(lambda: execute(job, tell))
    notified(options, ending.summary.as_json(), say)
    code = ending.run.exit_code or 0
    if options.log_format == "json" and (code or not options.quiet):
        tell = teller("json", quiet=False, verbosity=verbose, say=say_to_stderr)  # --quiet only applies if all is well
        notes = [ending.note] if ending.note else []
        tell("ended", note=ending.note, notes=notes, **ending.summary.as_json())
    elif code or not options.quiet:
        show_ending(ending, files, terminal)
    return code


def job_for(path: Path, options: RunOptions, files: Files, terminal: "Terminal | None", verb: "Verb") -> "Job":
    """Return the job for a call of `bulksync run`, or of another *verb*. Raises UsageError if it cannot be started."""
    from bulksync.commands.job import Job
    from bulksync.options.quota import password_of

    need_format(path, options)
    keep_secret(password_of(options.quota))
    return Job(
        input=path,
        options=options,
        files=files,
        target=target_for(options),
        key=SecretStr("sandbox") if options.sandbox else api_key(options),
        command=repeated_command(sys.argv[1:]),
        arguments=tuple(sys.argv[1:]),
        terminal=terminal if shows_live(options) else None,
        verb=verb,
    )


def warn_of_password(options: RunOptions, tell: "Tell") -> None:
    """Warn if the password of a shared quota is on the command line, where other users can see it."""
    from bulksync.options.quota import password_of

    password = password_of(options.quota)
    if password and any(password in argument for argument in sys.argv):
        tell("password seen")


def rehearse(job: "Job") -> int:
    """Validate the input of a job, and do nothing else."""
    say_to_stderr(f"bulksync: dry run: nothing is sent to {job.target}")
    if job.options.only_changed:
        say_to_stderr(
            "bulksync: what --only-changed would leave out is recorded in the ledger, which a dry run does not read"
        )
    return look_over(job.input, job.options, job.options.on_invalid)


def show_ending(ending: "Ending", files: Files, terminal: "Terminal | None") -> None:
    """Print the closing summary: as a table on a terminal wide enough for one, else as lines."""
    from bulksync.console.closing import ending_lines, ending_parts, first_lines

    if terminal is None or not terminal.is_wide:
        for line in ending_lines(ending, files):
            say_to_stderr(line)
        return
    from bulksync.console.table import closing_table

    for line in first_lines(ending):
        say_to_stderr(line)
    terminal.print(closing_table(ending_parts(ending, files)))


@app.command(help_epilogue=manual.HOW_TO_FETCH)
def fetch(
    input: Annotated[Path, INPUT],  # noqa: A002  the word in the usage line
    /,
    *,
    options: Annotated[FetchOptions, ALL] = FetchOptions(),  # noqa: B008  frozen
    verbose: Annotated[int, VERBOSE] = 0,
) -> int:
    """Read each execution with one rate-limited GET, and write a state file: running that file puts them back."""
    from bulksync.commands.fetch import FETCH

    return answered(lambda: run_to_the_end(input, options, verbose, FETCH, "state.jsonl"), options.log_format)


@app.command(sort_key=2, help_epilogue=manual.HOW_TO_CHECK)
def check(
    input: Annotated[Path, INPUT],  # noqa: A002  the word in the usage line
    /,
    *,
    options: Annotated[CheckOptions, ALL] = CheckOptions(),  # noqa: B008  frozen
    json: Annotated[bool, JSON] = False,
) -> int:
    """Validate all rows and send nothing: counts, every error with row and line, how long sending takes."""
    return look_over(input, options, json=json)


def look_over(path: Path, options: RunOptions | CheckOptions, on_invalid: str = "abort", *, json: bool = False) -> int:
    """Validate an input and print the result; return the code with which a run would exit before sending."""
    from bulksync.commands.check import check_code, checked
    from bulksync.console.lines import check_json, check_lines, invalid_line, request_lines
    from bulksync.text import spell

    need_format(path, options)
    with source_of(path, options) as source, checked(source, options) as (found, invalid):
        requests = requests_of(source, options)
        if json:
            print(check_json(found, invalid, requests))
        else:
            for request in requests:
                print("\n".join(request_lines(request)))
            for row in invalid:
                print(invalid_line(row))
            for note in found["notes"]:
                print(f"note: {note}")
            takes = spell(found["secondsAtRate"])
            print("\n".join(check_lines(found, takes=takes, rate=show_rate(options.rate))))
        code = check_code(found, on_invalid)
        if found["invalid"] and code != 7:
            say_to_stderr(f"bulksync: invalid rows that the run would leave out: {found['invalid']:,}")
        return code


def requests_of(source: "Source", options: RunOptions | CheckOptions) -> "list[Preview]":
    """Return the requests that `--show` asks for."""
    if not isinstance(options, CheckOptions) or not options.show:
        return []
    from bulksync.commands.requests import first_requests  # here, as other checks must not wait for aiohttp

    return on_loop(lambda: first_requests(source, options))


@app.command(help_epilogue=manual.HOW_TO_REPORT)
def report(
    ledger: Annotated[Path, LEDGER],
    /,
    *,
    options: Annotated[RenderOptions, ALL] = RenderOptions(),  # noqa: B008  frozen
) -> int:
    """Render the report of a run again, from its ledger; or print what moved since an earlier run."""
    from bulksync.commands.report import print_moves, render_again
    from bulksync.console.lines import diff_lines

    if options.diff:
        for line in diff_lines(*print_moves(ledger, options)):
            say_to_stderr(f"bulksync: {line}")
        return 0
    check_files(options.input, options)
    found, output, note = render_again(ledger, options)
    say_to_stderr(f"bulksync: run {found.name} of {found.input}, {found.rows:,} rows: {output}")
    if note:
        say_to_stderr(f"bulksync: {note}")
    return 0


@app.command(help_epilogue=manual.HOW_TO_VERIFY)
def verify(
    input: Annotated[Path, INPUT],  # noqa: A002  the word in the usage line
    report: Annotated[Path, Parameter(help="Its report, CSV or JSON lines")],
    /,
    *,
    options: Annotated[VerifyOptions, ALL] = VerifyOptions(),  # noqa: B008  frozen
    json: Annotated[bool, JSON] = False,
    verbose: Annotated[int, VERBOSE] = 0,
) -> int:
    """Audit a report: every input row has exactly one line, ids agree, nothing contradicts itself; --live asks too."""
    from bulksync.commands.verify import audit, facts
    from bulksync.console.lines import as_json
    from bulksync.text import counted, listed

    need_format(input, options)
    with source_of(input, options) as source:
        found = audit(source, report)
        if options.live and not found.wrong:
            return ask_server(source, report, options, verbose, json=json)
    if json:
        print(as_json(facts(found, source, report)))
        return 11 if found.wrong else 0
    for problem in found.wrong:
        print(problem)
    verdict = counted(len(found.wrong), "discrepancy", "discrepancies") if found.wrong else "OK, no discrepancies"
    counts = [counted(found.rows, "row"), counted(found.lines, "report line"), listed(found.outcomes)]
    print(f"{', '.join(filter(None, counts))}: {verdict}")
    return 11 if found.wrong else 0


def ask_server(source: "Source", report: Path, options: VerifyOptions, verbose: int, *, json: bool) -> int:
    """Run `verify --live`. Raises BulksyncError if the server cannot be queried."""
    from bulksync.commands import live
    from bulksync.commands.run import run as execute

    found, wanted = live.Found(), live.gather(source, report)
    chosen = live.sample(wanted, options.sample)
    ledger, target = options.ledger or beside_it(report, "ledger"), target_for(options)
    tell = teller(options.log_format, quiet=options.quiet, verbosity=verbose, say=say_to_stderr)
    with tempfile.TemporaryDirectory(prefix="bulksync-") as folder:
        again = repeated_command(sys.argv[1:])
        job = live.job_for(
            source, chosen, found, options, Path(folder), target=target, key=api_key(options), command=again
        )
        summary = on_loop(lambda: execute(job, tell)).summary
    if options.output:
        live.write_differences(options.output, found.differences)
    print(live.live_json(found, len(chosen)) if json else "\n".join(live.live_lines(found, len(chosen))))
    if options.settle and found.applied:
        count = live.settle(ledger, source, target, found.applied)
        say_to_stderr(f"bulksync: settled as updated: {count:,}; next: bulksync report {quoted(str(ledger))}")
    if summary.stopped:
        say_to_stderr(f"bulksync: stopped: {summary.stopped}")
        say_to_stderr(f"bulksync: next: {summary.next_step}")
    return live.live_code(summary.exit_code or 0, found)


@app.command(help_epilogue=manual.HOW_TO_HISTORY)
def history(ledger: Annotated[Path, LEDGER], /, *, json: Annotated[bool, JSON] = False) -> int:
    """Show the runs in a ledger, one line each, oldest first."""
    from bulksync.commands.report import history_of
    from bulksync.console.lines import history_json, history_line
    from bulksync.text import counted

    runs, size = history_of(ledger)
    if json:
        print(history_json(ledger, runs, size))
        return 0
    for one in runs:
        print(history_line(one))
    say_to_stderr(f"bulksync: {ledger}: {counted(len(runs), 'run')} kept, {size / 1e6:,.1f} MB")
    return 0


@app.command(help_epilogue=manual.HOW_TO_SANDBOX)
def sandbox(*, options: Annotated[SandboxOptions, ALL] = SandboxOptions()) -> int:  # noqa: B008  frozen
    """Serve a local emulation of the API, until interrupted."""
    from bulksync.commands.sandbox import serve_sandbox

    def ready(url: str) -> None:
        print(url, flush=True)
        say_to_stderr(f"bulksync: sandbox at {url}; what it saw: {url}/_sandbox/log; end it with Ctrl-C")

    on_loop(lambda: serve_sandbox(options, ready))
    return 0


@app.command(help_epilogue=manual.HOW_TO_INIT)
def init(folder: Annotated[Path, Parameter(help="Where to write them [default: here]")] = Path(), /) -> int:
    """Write a sample input, a configuration with every option, and a line for cron; nothing is overwritten."""
    from bulksync.commands.init import begin

    rows, config, crontab = begin(folder, Path(sys.executable).with_name("bulksync"))
    say_to_stderr(f"bulksync: written: {rows} (a sample), {config} (every option, as a comment), {crontab}")
    say_to_stderr(f"bulksync: next: bulksync run {quoted(str(rows))} --sandbox")
    return 0


@app.command(help_epilogue=manual.HOW_TO_COMPLETE)
def completion(shell: Annotated[Shell, Parameter(help="The shell that the script is for")], /) -> int:
    """Print a script that completes commands, options and files in a shell."""
    print(app.generate_completion(shell=shell))
    return 0


@app.command(help_epilogue=manual.HOW_TO_READ_SCHEMAS)
def schema() -> int:
    """Print the JSON Schema of the summary, and of a line of the JSON report, as one JSON document."""
    from bulksync.commands.schema import schema_json

    print(schema_json())
    return 0


COMMANDS = [name for name in app if not name.startswith("-")]


@app.meta.default
def launch(
    *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    config: Annotated[Path | None, CONFIG] = None,
    profile: Annotated[str | None, PROFILE] = None,
) -> int:
    """Read the configuration: flags, then `BULKSYNC_*` variables, then the profile, then the rest of the file."""
    need_open_files()
    file = config or own_configuration(os.environ)
    app.config = [
        cyclopts.config.Env("BULKSYNC_", command=False),
        *(
            cyclopts.config.Dict(values, use_commands_as_keys=False, allow_unknown=True, source=place)
            for place, values in configured(file, required=config is not None, profile=profile).items()
        ),
    ]
    code = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
    return code if isinstance(code, int) else 0


def own_configuration(environment: Mapping[str, str]) -> Path | None:
    """Return the path of the user's configuration; None for a user without a home."""
    if folder := environment.get("XDG_CONFIG_HOME"):
        return Path(folder) / "bulksync" / "config.toml"
    try:
        return Path.home() / ".config" / "bulksync" / "config.toml"
    except RuntimeError:
        return None


def main() -> None:
    """Run the program and exit with the code that tells the caller what to do next."""
    occupy_standard_streams()
    keep_secret(os.environ.get("FEATHER_API_KEY", ""))  # in case it is given in the wrong place
    print_whatever_the_locale()
    code = answered(printed, style_asked(sys.argv[1:], os.environ))
    leave(code if isinstance(code, int) else 0)


def printed() -> object:
    """Run the command and flush stdout while a failure to write it can still be reported."""
    code: object = app.meta(exit_on_error=False, print_error=False, result_action="return_value")
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def answered(call: Callable[[], T], style: Literal["text", "json"]) -> T | int:
    """Return the result of *call*, or, if it fails, report the error and return the exit code."""
    try:
        return call()
    except CycloptsError as error:
        return failed(wrong_call(error, COMMANDS, called(sys.argv[1:])), style)
    except BulksyncError as error:
        return failed(error, style)
    except BrokenPipeError:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  so that nothing is flushed into the closed pipe at exit
        return 0
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        known = refused_by_system(error)
        return internal(error, style) if known is None else failed(known, style)
    except Exception as error:  # noqa: BLE001  the last stop: a message, never a bare traceback
        return internal(error, style)


def refused_by_system(error: OSError) -> StorageError | None:
    """Return our error for a file, or stdout, that the system rejects where no command expects it."""
    if isinstance(error.filename, str | bytes):
        again = "check the path and its permissions, then run the same command again"
        return StorageError(f"{name_of(os.fsdecode(error.filename))}: {error.strerror}", again, again=True)
    if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF):
        return None
    sys.stdout = open(os.devnull, "w")  # noqa: SIM115  so that nothing is flushed there once more at exit
    return StorageError(f"stdout cannot be written: {error.strerror}", "free space, then run it again")


@contextmanager
def failures_measured(path: Path | None) -> Iterator[None]:
    """If a run fails before its report, write failure metrics to *path*, so that stale ones do not hide it."""
    try:
        yield
    except BaseException as error:
        if path is not None:
            from bulksync.report.metrics import write_metrics

            with suppress(BulksyncError):  # of two errors, the first one is reported
                write_metrics(path, None, exit_code=code_for(error), now=time.time())
        raise


@contextmanager
def failures_notified(path: Path, options: RunOptions) -> Iterator[None]:
    """If a run fails before its report, post the reason in the form of a summary."""
    try:
        yield
    except BaseException as error:
        ours = error if isinstance(error, BulksyncError) else None
        facts = {
            "input": name_of(path),
            "exitCode": code_for(error),
            "stopped": type(error).__name__ if ours is None else ours.what,  # a bug's text could hold anything
            "nextStep": "" if ours is None else steps_after(ours),
        }
        notified(options, facts, say_to_stderr)
        raise


def notified(options: RunOptions, summary: Mapping[str, Any], say: Callable[[str], None]) -> None:
    """Post a summary to the `--notify` URL; a failure to do so is logged, and changes nothing else."""
    if options.notify is None or options.dry_run:
        return
    from bulksync.commands.notify import notify

    try:
        reason = on_loop(lambda: notify(options, summary))
    except BulksyncError as error:
        reason = error.what
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001  whatever it is, the run has ended as it has
        reason = type(error).__name__
    if reason:
        tell = teller(options.log_format, quiet=options.quiet, verbosity=0, say=say)
        tell("not notified", url=place_of(options.notify), reason=reason)


def code_for(error: BaseException) -> int:
    """Return the exit code for the error that ended the program."""
    if isinstance(error, BulksyncError):
        return error.exit_code
    return 130 if isinstance(error, KeyboardInterrupt) else 1


def occupy_standard_streams() -> None:
    """Reopen closed standard streams, so that no ledger or socket gets descriptor 2 and receives messages."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
    if sys.stdin is None:
        sys.stdin = open(os.devnull)  # noqa: SIM115  nothing to read, until the process ends


def need_open_files() -> None:
    """Raise UsageError if the process may open too few files to import what it needs and to report errors later."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit < FEWEST_FILES:
        raise UsageError(f"only {limit} files may be open at once", "raise it: ulimit -n 256")


def print_whatever_the_locale() -> None:
    """Escape characters that stdout's encoding lacks, as stderr does, instead of failing."""
    if isinstance(sys.stdout, TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def leave(code: int) -> None:
    """Exit; immediately after a signal, as a thread may still be waiting for stdin."""
    if code > 128:
        for stream in (sys.stdout, sys.stderr):
            if stream is not None:
                stream.flush()
        os._exit(code)
    sys.exit(code)


def collect_garbage_seldom() -> None:
    """Look for cycles every 50,000 new objects instead of every 700: rows make none, and looking cost 15 % of a run."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


def on_loop(function: Callable[[], Awaitable[T]]) -> T:
    """Run *function* on an event loop, uvloop's if available; an error alone in its groups is raised by itself."""
    import anyio

    collect_garbage_seldom()
    with ungrouped():
        return anyio.run(function, backend_options={"use_uvloop": find_spec("uvloop") is not None})


def failed(error: BulksyncError, style: Literal["text", "json"]) -> int:
    """Print what failed and what to do next; return the exit code."""
    steps = steps_after(error)
    tell = teller(style, quiet=True, verbosity=0, say=say_to_stderr)
    tell("failed", error=error.what, nextStep=steps, exitCode=error.exit_code)
    if steps and style == "text":
        say_to_stderr(f"bulksync: next: {steps}")
    return error.exit_code


def steps_after(error: BulksyncError) -> str:
    """Return what to do after an error, with the exact command if it is to be run again."""
    again = repeated_command(sys.argv[1:]) if error.again else ""
    if error.adding:
        again = changed_command(sys.argv[1:], *error.adding)
    return ": ".join(part for part in (error.next_step, again) if part)


def style_asked(arguments: list[str], environment: Mapping[str, str]) -> Literal["text", "json"]:
    """Return the message format that a command line asks for, even if it is invalid."""
    asked = [after for flag, after in pairwise([*arguments, ""]) if flag == "--log-format"]
    asked += [token.partition("=")[2] for token in arguments if token.startswith("--log-format=")]
    return "json" if (asked or [environment.get("BULKSYNC_LOG_FORMAT", "text")])[-1] == "json" else "text"


def internal(error: BaseException, style: Literal["text", "json"]) -> int:
    """Report an internal error as a bug, with the traceback if `-v` asks for it."""
    verbosity = any(token.startswith(("-v", "--verbose")) for token in sys.argv[1:])
    steps = f"please report this as a bug; for the traceback: {command_line(sys.argv[1:])} -v"
    tell = teller(style, quiet=True, verbosity=int(verbosity), say=say_to_stderr)
    causes = "; ".join(f"{type(cause).__name__}: {cause}" for cause in leaves(error))
    tell("fault", error=causes, nextStep=steps, exitCode=1, exc_info=error)
    if style == "text":
        say_to_stderr(f"bulksync: next: {steps}")
    return 1


def called(arguments: list[str]) -> str:
    """Return the command that was called; empty if there was none."""
    return next((word for word in arguments if word in COMMANDS), "")


def api_key(options: RunOptions) -> SecretStr:
    """Return the API key from where the options say; disables core dumps from now on."""
    from bulksync.client.key import read_key

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    key = read_key(os.environ, options.api_key_file, options.api_key_command)
    keep_secret(key.get_secret_value())  # `--api-key-command "echo KEY"` has it in the command that messages repeat
    return key


def terminal_of_stderr() -> "Terminal | None":
    """Return the terminal on stderr; None if it is not one, or cannot move its cursor."""
    if sys.stderr is None or not sys.stderr.isatty() or os.environ.get("TERM") in (None, "", "dumb", "unknown"):
        return None
    from bulksync.console.terminal import Terminal

    return Terminal(write_to_stderr)


def shows_live(options: RunOptions) -> bool:
    """Return whether to show live progress: with `--quiet` or JSON only if asked for, and not inside a report."""
    if options.output == STDOUT and sys.stdout is not None and sys.stdout.isatty():
        return False
    by_default = options.log_format == "text" and not options.quiet
    return by_default if options.progress is None else options.progress


def need_format(path: Path, options: InputOptions) -> None:
    """Raise UsageError if the format of stdin is not given."""
    if path == STDIN and options.format is None:
        raise UsageError("stdin has no extension to tell its format by", "add --format csv (or tsv, jsonl)")


@contextmanager
def source_of(path: Path, options: InputOptions) -> Iterator["Source"]:
    """Yield the input, from a private copy if it comes from stdin."""
    from bulksync.reader.source import spool
    from bulksync.sender.plan import locate_input

    with tempfile.TemporaryDirectory(prefix="bulksync-") as folder:
        name = name_of(path)
        if path == STDIN:
            path, name = Path(folder) / "stdin", "stdin"
            spool(sys.stdin.buffer, path)
        yield locate_input(options, path, name)


if __name__ == "__main__":
    main()

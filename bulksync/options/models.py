"""All options: one frozen model defines flags, `BULKSYNC_*` variables and `config.toml` keys."""

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Group, Parameter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from bulksync.options.quota import parse_quota
from bulksync.options.values import (
    Duration,
    Flag,
    Pairs,
    PositiveDuration,
    Rate,
    Size,
    parse_failures,
    parse_statuses,
)

# The help's sections, in the order in which users need them

INPUT = Group.create_ordered("Input")
OUTPUT = Group.create_ordered("Output")
TARGET = Group.create_ordered("Target and key")
PACE = Group.create_ordered("Rate and timeouts", help="TIME is 500ms, 30s, 15m or 2h.")
FAILURES = Group.create_ordered("Failures")
STOPPING = Group.create_ordered("Stopping")
REPEATING = Group.create_ordered(
    "Resuming and re-running", help="The same command again sends only what is not done yet."
)
MESSAGES = Group.create_ordered("Messages and configuration")


class InputOptions(BaseModel):
    """How to read the input: must be the same for `run`, `check` and every later pass over the file."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    format: Annotated[
        Literal["csv", "tsv", "jsonl", "xlsx"] | None,
        Parameter(group=INPUT, help="Format of the input [default: by its extension]"),
    ] = None
    delimiter: Annotated[
        str | None,
        Parameter(group=INPUT, metavar="CHAR", help="Delimiter of the CSV input [default: detected from the header]"),
    ] = None
    encoding: Annotated[
        str | None,
        Parameter(
            group=INPUT, metavar="NAME", help="Encoding of the input [default: UTF-8, or what its byte order mark says]"
        ),
    ] = None
    tsv_escapes: Annotated[
        Flag,
        Parameter(group=INPUT, help=r"Read \t, \n, \\ and \N (no value) in cells, as mysql and psql write them"),
    ] = False
    allow_status: Annotated[
        tuple[str, ...] | None,
        BeforeValidator(parse_statuses),
        Parameter(
            group=INPUT,
            metavar="A,B",
            help="Refuse rows whose status is not one of these, e.g. CREATED,PAUSED",
            negative="",
            consume_multiple=False,
        ),
    ] = None
    map: Annotated[
        Pairs,
        Parameter(
            group=INPUT, metavar="FIELD=COLUMN", help="Send this column as that field, e.g. metadata.firstName=Vorname"
        ),
    ] = ()
    set: Annotated[
        Pairs, Parameter(group=INPUT, metavar="FIELD=VALUE", help="Give every row a value, e.g. status=COMPLETED")
    ] = ()
    sheet: Annotated[
        str | None, Parameter(group=INPUT, metavar="NAME|N", help="Sheet of an .xlsx workbook [default: the first]")
    ] = None
    min_rows: Annotated[
        int, Field(ge=0), Parameter(group=INPUT, metavar="N", help="Refuse an input with fewer rows (exit 7)")
    ] = 0
    rate: Annotated[
        Rate,
        Parameter(group=PACE, help="Rate limit: 10/s (or 10), 600/m or unlimited; evenly spaced, retries included"),
    ] = 10.0


class ReportOptions(BaseModel):
    """What is written for people, and where."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    output: Annotated[
        Path | None,
        Parameter(
            group=OUTPUT,
            name=["--output", "-o"],
            allow_leading_hyphen=True,
            help="Report, .csv or .jsonl; - is stdout [default: INPUT.report.csv]",
        ),
    ] = None
    retry_file: Annotated[
        Path | None, Parameter(group=OUTPUT, help="Write the rows still to be done, exactly as they are in the input")
    ] = None
    rejected_file: Annotated[
        Path | None,
        Parameter(group=OUTPUT, help="Write the rejected and invalid rows, with error and detail, to fix and run"),
    ] = None
    summary: Annotated[Path | None, Parameter(group=OUTPUT, help="Write counts, rates and timings as JSON")] = None
    html: Annotated[
        Path | None, Parameter(group=OUTPUT, help="Write an HTML report with charts and the unfinished rows")
    ] = None
    metrics_file: Annotated[
        Path | None, Parameter(group=OUTPUT, help="Write metrics for node_exporter's textfile collector, NAME.prom")
    ] = None
    echo_metadata: Annotated[Flag, Parameter(group=OUTPUT, help="Echo the metadata columns in the report too")] = False
    guard_formulas: Annotated[
        Flag, Parameter(group=OUTPUT, help="Guard echoed columns against spreadsheet formulas too")
    ] = False
    overwrite: Annotated[Flag, Parameter(group=OUTPUT, help="Replace a report that this ledger did not write")] = False


class TargetOptions(BaseModel):
    """The API to send to: must be the same for `run` and for showing its requests."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: Annotated[str, Parameter(group=TARGET, metavar="URL", help="prod, sandbox, or the API's URL")] = "prod"
    allow_http: Annotated[Flag, Parameter(group=TARGET, help="Allow plain http to other hosts than this one")] = False


class CheckOptions(InputOptions, TargetOptions):
    """The options of `bulksync check`."""

    show: Annotated[
        int,
        Field(ge=0),
        Parameter(
            group=OUTPUT, metavar="N", show_default=False, help="Show the first N requests as a run would send them"
        ),
    ] = 0


class RunOptions(InputOptions, ReportOptions, TargetOptions):
    """The options of `bulksync run`."""

    notify: Annotated[
        str | None,
        Parameter(group=OUTPUT, metavar="URL", help="Post the summary as JSON to this URL when the run has ended"),
    ] = None
    api_key_file: Annotated[
        Path | None, Parameter(group=TARGET, help="Read the API key from this private file [default: $FEATHER_API_KEY]")
    ] = None
    api_key_command: Annotated[
        str | None, Parameter(group=TARGET, metavar="COMMAND", help="Read the API key from this command's output")
    ] = None
    sandbox: Annotated[
        Flag, Parameter(group=TARGET, help="Send to an emulated API on this host: no key, no network")
    ] = False

    quota: Annotated[
        str | None,
        BeforeValidator(parse_quota),
        Field(repr=False),
        Parameter(
            group=PACE,
            metavar="own|host|URL",
            help="Who shares --rate, unless it is unlimited: this process, your runs on this host, or all runs that use"
            " the same redis://HOST (rediss://, unix://) [default: host]",
        ),
    ] = None
    quota_name: Annotated[
        str | None,
        Field(min_length=1),
        Parameter(group=PACE, metavar="NAME", help="Share one quota between all keys and URLs that use this name"),
    ] = None
    max_in_flight: Annotated[
        int, Field(ge=1, le=10_000), Parameter(group=PACE, metavar="N", help="Concurrent requests")
    ] = 32
    timeout: Annotated[
        PositiveDuration,
        Parameter(group=PACE, help="Timeout of one attempt, from the write to the last byte of the answer"),
    ] = 30.0
    max_answer: Annotated[
        Size, Parameter(group=PACE, help="Largest answer that is read: 4MiB, 512KiB, 10MB or a number of bytes")
    ] = 4 * 1024 * 1024
    connect_timeout: Annotated[
        PositiveDuration, Parameter(group=PACE, help="Connect timeout: DNS, TCP, proxy and TLS together")
    ] = 5.0
    keepalive: Annotated[Duration, Parameter(group=PACE, help="How long an idle connection may be reused")] = 10.0
    proxy: Annotated[
        str | None, Parameter(group=TARGET, metavar="URL", help="Proxy URL; variables such as https_proxy are not read")
    ] = None
    ca_file: Annotated[
        Path | None, Parameter(group=TARGET, help="Trust these certificates instead of the system's")
    ] = None
    client_cert: Annotated[
        Path | None, Parameter(group=TARGET, help="Certificate (PEM) to show to a server that asks for one")
    ] = None
    client_key: Annotated[
        Path | None, Parameter(group=TARGET, help="Its private key, not encrypted [default: in --client-cert]")
    ] = None

    max_attempts: Annotated[
        int, Field(ge=1, le=100), Parameter(group=FAILURES, metavar="N", help="Requests for one row in one run")
    ] = 5
    max_retry_after: Annotated[
        Duration, Parameter(group=FAILURES, help="Stop when the server asks to wait longer than this")
    ] = 300.0
    max_outage: Annotated[
        Duration, Parameter(group=FAILURES, help="Stop after the server has been unreachable this long")
    ] = 900.0
    max_failures: Annotated[
        str,
        BeforeValidator(parse_failures),
        Parameter(
            group=FAILURES, metavar="N|P%", help="Stop after N, or P% of 100 rows or more, rejected, failed or unknown"
        ),
    ] = "50%"
    accept_refusals: Annotated[
        Flag,
        Parameter(
            group=FAILURES, help="Treat refusals before the first success as the rows' own, not as a wrong key or URL"
        ),
    ] = False
    max_duration: Annotated[PositiveDuration | None, Parameter(group=STOPPING, help="Stop sending after this time")] = (
        None
    )
    drain: Annotated[
        Duration, Parameter(group=STOPPING, help="How long requests in flight may finish after a stop")
    ] = 30.0
    limit: Annotated[
        int | None, Field(ge=1), Parameter(group=STOPPING, metavar="N", help="Send at most N rows this time")
    ] = None

    on_invalid: Annotated[
        Literal["abort", "skip"], Parameter(group=INPUT, help="With invalid rows: send nothing, or send the others")
    ] = "abort"
    save_before: Annotated[
        Path | None,
        Parameter(
            group=OUTPUT,
            help="Read each execution before its first update, and save its state here: bulksync run FILE.jsonl undoes",
        ),
    ] = None
    only_changed: Annotated[
        Flag,
        Parameter(group=REPEATING, help="Leave out rows whose payload the ledger knows as the last one acknowledged"),
    ] = False
    resend: Annotated[Flag, Parameter(group=REPEATING, help="Send every row again, updated ones too")] = False
    retry_rejected: Annotated[Flag, Parameter(group=REPEATING, help="Send rejected rows again")] = False
    restart: Annotated[Flag, Parameter(group=REPEATING, help="Start a new run instead of resuming the latest")] = False
    dry_run: Annotated[
        Flag, Parameter(group=TARGET, name=["--dry-run", "-n"], help="Validate only; send and write nothing")
    ] = False

    ledger: Annotated[
        Path | None, Parameter(group=REPEATING, help="Ledger: state kept between runs [default: OUTPUT.ledger]")
    ] = None
    keep_runs: Annotated[
        int, Field(ge=1), Parameter(group=REPEATING, metavar="N", help="Runs whose rows the ledger keeps")
    ] = 30
    lock_wait: Annotated[
        Duration, Parameter(group=REPEATING, help="How long to wait for another run on the same ledger")
    ] = 0.0

    quiet: Annotated[Flag, Parameter(group=MESSAGES, name=["--quiet", "-q"], help="No output on success")] = False
    log_format: Annotated[
        Literal["text", "json"],
        Parameter(group=MESSAGES, help="Log format: lines for people, or one JSON object per line"),
    ] = "text"
    progress: Annotated[
        bool | None,
        Parameter(
            group=MESSAGES,
            help="Live progress, on terminals only; kill -USR1 PID makes any run print its progress",
        ),
    ] = None
    stats: Annotated[
        Duration,
        Parameter(group=MESSAGES, help="How often to log progress where there is no live display; 0s is never"),
    ] = 30.0

    @model_validator(mode="after")
    def _fit_together(self) -> "RunOptions":
        if self.api_key_file and self.api_key_command:
            raise ValueError("--api-key-file and --api-key-command exclude each other: give one")
        if self.sandbox and self.base_url != "prod":
            raise ValueError("--sandbox and --base-url exclude each other: give one")
        if self.save_before and self.save_before.suffix.lower() not in (".jsonl", ".ndjson"):
            raise ValueError("--save-before is written as JSON lines: give it a name that ends in .jsonl")
        if self.client_key and not self.client_cert:
            raise ValueError("--client-key goes with --client-cert: give both")
        if self.only_changed and self.resend:
            raise ValueError("--only-changed and --resend exclude each other: give one")
        return self


LEFT_OUT = Parameter(parse=False)
"""Marks an option that a command does not have."""


class FetchOptions(RunOptions):
    """The options of `bulksync fetch`: those of a run, except the ones that only apply to updates."""

    output: Annotated[
        Path | None,
        Parameter(
            group=OUTPUT,
            name=["--output", "-o"],
            allow_leading_hyphen=True,
            help="State file, .jsonl or .csv; - is stdout [default: INPUT.state.jsonl]",
        ),
    ] = None
    retry_file: Annotated[Path | None, LEFT_OUT] = None
    echo_metadata: Annotated[bool, LEFT_OUT] = False
    guard_formulas: Annotated[bool, LEFT_OUT] = False
    only_changed: Annotated[bool, LEFT_OUT] = False
    save_before: Annotated[Path | None, LEFT_OUT] = None


class VerifyOptions(RunOptions):
    """The options of `bulksync verify`: how to read the input and, with --live, how to query the server."""

    live: Annotated[
        Flag,
        Parameter(group=OUTPUT, help="Ask the server too: does it hold what the last acknowledged rows asked for?"),
    ] = False
    sample: Annotated[
        int | None, Field(ge=1), Parameter(group=OUTPUT, metavar="N", help="Ask about N executions [default: all]")
    ] = None
    settle: Annotated[
        Flag, Parameter(group=REPEATING, help="Let the ledger know unknown rows as updated that the server has applied")
    ] = False
    output: Annotated[
        Path | None,
        Parameter(group=OUTPUT, name=["--output", "-o"], allow_leading_hyphen=True, help="Write differences as CSV"),
    ] = None
    rate: Annotated[Rate, Parameter(group=PACE, help="Quota for --live: 10/s, 600/m or unlimited")] = 10.0
    retry_file: Annotated[Path | None, LEFT_OUT] = None
    summary: Annotated[Path | None, LEFT_OUT] = None
    html: Annotated[Path | None, LEFT_OUT] = None
    metrics_file: Annotated[Path | None, LEFT_OUT] = None
    echo_metadata: Annotated[bool, LEFT_OUT] = False
    guard_formulas: Annotated[bool, LEFT_OUT] = False
    overwrite: Annotated[bool, LEFT_OUT] = False
    only_changed: Annotated[bool, LEFT_OUT] = False
    save_before: Annotated[Path | None, LEFT_OUT] = None
    resend: Annotated[bool, LEFT_OUT] = False
    retry_rejected: Annotated[bool, LEFT_OUT] = False
    restart: Annotated[bool, LEFT_OUT] = False
    dry_run: Annotated[bool, LEFT_OUT] = False
    sandbox: Annotated[bool, LEFT_OUT] = False
    limit: Annotated[int | None, LEFT_OUT] = None
    max_failures: Annotated[str, LEFT_OUT] = "100%"
    on_invalid: Annotated[Literal["abort", "skip"], LEFT_OUT] = "abort"
    keep_runs: Annotated[int, LEFT_OUT] = 30

    @model_validator(mode="after")
    def _live_options(self) -> "VerifyOptions":
        if not self.live and (self.sample or self.settle or self.output):
            raise ValueError("--sample, --settle and --output go with --live: give both")
        return self


class RenderOptions(ReportOptions):
    """The options of `bulksync report`."""

    run: Annotated[
        str | None, Parameter(group=INPUT, metavar="NAME", help="Name of an older run [default: the latest]")
    ] = None
    input: Annotated[Path | None, Parameter(group=INPUT, help="Where the input is now [default: where it was]")] = None
    diff: Annotated[
        Flag,
        Parameter(group=OUTPUT, help="Print instead, as CSV, the rows whose disposition changed since an earlier run"),
    ] = False

    since: Annotated[
        Path | None,
        Parameter(
            group=OUTPUT, help="With --diff: since the latest run in this other ledger, as of a run before a fetch"
        ),
    ] = None

    @model_validator(mode="after")
    def _fit_together(self) -> "RenderOptions":
        if self.since and not self.diff:
            raise ValueError("--since goes with --diff: give both")
        if self.diff and self.output is not None:
            raise ValueError("--diff prints to stdout and --output names a report: give one")
        return self


class SandboxOptions(BaseModel):
    """The options of `bulksync sandbox`."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    port: Annotated[int, Field(ge=0, le=65535), Parameter(help="Port of this host; 0 is any free one")] = 8099
    key: Annotated[
        str | None, Field(repr=False), Parameter(help="The only API key that is accepted [default: any]")
    ] = None
    rate: Annotated[Rate, Parameter(help="Requests above this in any second get 429")] = 10.0
    latency: Annotated[Duration, Parameter(help="Shortest time to an answer")] = 0.0
    latency_max: Annotated[Duration, Parameter(help="Longest time to an answer")] = 0.0
    faults: Annotated[str, Parameter(help="What goes wrong, and how often: server_error=0.05,hang=0.01")] = ""
    unknown_rate: Annotated[float, Field(ge=0, le=1), Parameter(help="Share of executions that get 404")] = 0.0
    only_seen: Annotated[Flag, Parameter(help="Answer 404 to a GET of an execution that no PUT has reached")] = False
    replaces_metadata: Annotated[
        Flag, Parameter(help="Let a PUT replace the metadata; the API does that or merges it, nobody says which")
    ] = False
    drift: Annotated[Duration, Parameter(help="How often dispositions change by themselves; 0s is never")] = 0.0
    seed: Annotated[int, Parameter(help="The same seed, the same answers and faults")] = 0
    log_file: Annotated[Path | None, Parameter(help="Append every request and its answer as JSON lines")] = None

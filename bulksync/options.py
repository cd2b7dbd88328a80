"""What a caller may choose: one frozen model gives flags, `BULKSYNC_*` variables and `config.toml` keys at once."""

import ipaddress
import math
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from cyclopts import Group, Parameter
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from bulksync.errors import StorageError, UsageError
from bulksync.text import name_of

BASE_URLS = {"prod": "https://prod.featherhq.com", "sandbox": "https://sandbox.featherhq.com"}
"""The API's two addresses by name; source: shared notes on the API page and on Feather's own n8n node."""

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f:.]+(?:%\w+)?")
"""A name or an address; anything else would mean one host to us and another to the client."""


def parse_duration(value: object) -> object:
    """Read `30s`, `15m`, `2h` or `500ms` as seconds; ValueError otherwise, numbers pass."""
    if not isinstance(value, str):
        return value
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)(ms|s|m|h)", value.strip(), re.ASCII):
        unit = 0.001 if match[2] == "ms" else UNITS[match[2]]
        return float(match[1]) * unit
    raise ValueError(f"{value!r} is not a duration: write 30s, 15m or 2h")


def show_duration(seconds: object) -> str:
    """Write seconds the way `parse_duration` reads them, in the largest unit that stays whole."""
    if not isinstance(seconds, int | float):
        return "none"
    unit = next((unit for unit in ("h", "m") if seconds >= UNITS[unit] and seconds % UNITS[unit] == 0), "s")
    return f"{seconds / UNITS[unit]:.12g}{unit}"


def parse_size(value: object) -> object:
    """Read `4MiB`, `512KiB`, `10MB` or `1000000` as bytes; ValueError otherwise, numbers pass."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?(?:([KMG])(I?)B|B)?", value.strip().upper(), re.ASCII)
    if match and (match[2] or "." not in match[1]):
        return int(float(match[1]) * (1024 if match[3] else 1000) ** (" KMG".index(match[2] or " ")))
    raise ValueError(f"{value!r} is not a size: write 4MiB, 512KiB, 10MB or a number of bytes")


def show_size(size: object) -> str:
    """Write bytes the way `parse_size` reads them, in the largest unit that stays whole."""
    if not isinstance(size, int):
        return "none"
    units = [("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024), ("GB", 10**9), ("MB", 10**6), ("KB", 1000)]
    unit, factor = next(((unit, factor) for unit, factor in units if size and size % factor == 0), ("", 1))
    return f"{size // factor}{unit}"


def parse_rate(value: object) -> object:
    """Read `10/s`, `600/m` or `unlimited` as requests per second (infinity for the last); ValueError otherwise."""
    if not isinstance(value, str):
        return value
    if value.strip() == "unlimited":
        return math.inf
    match = re.fullmatch(r"(\d+(?:\.\d+)?)/(s|m|h)", value.strip(), re.ASCII)
    if match and float(match[1]) > 0:
        return float(match[1]) / UNITS[match[2]]
    raise ValueError(f"{value!r} is not a rate: write 10/s, 600/m or unlimited")


def show_rate(rate: object) -> str:
    """Write requests per second the way `parse_rate` reads them."""
    if not isinstance(rate, int | float) or math.isinf(rate):
        return "unlimited"
    unit = next((unit for unit in ("s", "m") if rate * UNITS[unit] >= 1), "h")
    return f"{rate * UNITS[unit]:.12g}/{unit}"


def parse_failures(value: object) -> object:
    """Check that a failure budget reads `N` or `P%`; ValueError otherwise."""
    text = str(value).strip() if isinstance(value, int | str) else ""
    if re.fullmatch(r"\d+|\d+(?:\.\d+)?%", text, re.ASCII):
        return text
    raise ValueError(f"{value!r} is not a number of rows: write 50 or 10%")


def parse_quota(value: object) -> object:
    """Check that a quota reads `own`, `host` or the URL of a Redis; ValueError, which never repeats a password."""
    text = value.strip() if isinstance(value, str) else ""
    if text in ("own", "host") or not isinstance(value, str):
        return text or value
    try:
        parts = urlsplit(text)
        is_there = parts.path if parts.scheme == "unix" else parts.hostname and parts.port != 0
    except ValueError:
        is_there = None
    if not is_there or parts.scheme not in ("redis", "rediss", "unix"):
        raise ValueError("it is not a quota: write own, host, redis://HOST, rediss://HOST or unix://PATH")
    if {"username", "password"} & set(parse_qs(parts.query)):
        raise ValueError("user and password stand before the host: redis://USER:PASSWORD@HOST")
    return text


def parse_statuses(value: object) -> object:
    """Read `A,B`, once or several times, as a tuple of words; ValueError where one is in no row's alphabet."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    words = tuple(word.strip() for text in texts for word in str(text).split(",") if word.strip())
    if wrong := next((word for word in words if not word.isascii()), None):
        raise ValueError(f"{wrong!a} is not a status: write COMPLETED,FAILED")
    return words


Duration = Annotated[
    float, BeforeValidator(parse_duration), Field(ge=0), Parameter(show_default=show_duration, metavar="TIME")
]
PositiveDuration = Annotated[Duration, Field(gt=0)]
Size = Annotated[
    int, BeforeValidator(parse_size), Field(ge=1, le=2**30), Parameter(show_default=show_size, metavar="SIZE")
]
Rate = Annotated[float, BeforeValidator(parse_rate), Field(gt=0), Parameter(show_default=show_rate, metavar="RATE")]
Flag = Annotated[bool, Parameter(negative="", show_default=False)]

# The help's sections, in the order in which one asks for them

INPUT = Group.create_ordered("Input")
OUTPUT = Group.create_ordered("Output")
TARGET = Group.create_ordered("Target and key")
PACE = Group.create_ordered("Pace and patience", help="TIME is 500ms, 30s, 15m or 2h.")
FAILURES = Group.create_ordered("Failures")
STOPPING = Group.create_ordered("Stopping")
REPEATING = Group.create_ordered("Repeating", help="The same command again sends only what is not done yet.")
MESSAGES = Group.create_ordered("Messages and settings")


class InputOptions(BaseModel):
    """How to read the input: what `run`, `check` and every later look at the same file must agree on."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    format: Annotated[
        Literal["csv", "tsv", "jsonl"] | None,
        Parameter(group=INPUT, help="Format of the input [default: by its extension]"),
    ] = None
    delimiter: Annotated[
        str | None,
        Parameter(group=INPUT, metavar="CHAR", help="Delimiter of the CSV input [default: read off the header line]"),
    ] = None
    encoding: Annotated[
        str | None,
        Parameter(
            group=INPUT, metavar="NAME", help="Encoding of the input [default: UTF-8, or what its byte order mark says]"
        ),
    ] = None
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
    rate: Annotated[
        Rate, Parameter(group=PACE, help="Quota: 10/s, 600/m or unlimited; evenly spaced, retries included")
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
        Path | None, Parameter(group=OUTPUT, help="Write the rows still to be done, as they stand in the input")
    ] = None
    summary: Annotated[Path | None, Parameter(group=OUTPUT, help="Write counts, rates and timings as JSON")] = None
    html: Annotated[Path | None, Parameter(group=OUTPUT, help="Write a page with pictures and the rows not done")] = (
        None
    )
    metrics_file: Annotated[
        Path | None, Parameter(group=OUTPUT, help="Write metrics for node_exporter's textfile collector, NAME.prom")
    ] = None
    echo_metadata: Annotated[Flag, Parameter(group=OUTPUT, help="Echo the metadata columns in the report too")] = False
    guard_formulas: Annotated[
        Flag, Parameter(group=OUTPUT, help="Guard echoed columns against spreadsheet formulas too")
    ] = False
    overwrite: Annotated[Flag, Parameter(group=OUTPUT, help="Replace a report that this ledger did not write")] = False


class RunOptions(InputOptions, ReportOptions):
    """Everything that `bulksync run` may be told."""

    base_url: Annotated[str, Parameter(group=TARGET, metavar="URL", help="prod, sandbox, or the API's URL")] = "prod"
    allow_http: Annotated[Flag, Parameter(group=TARGET, help="Allow plain http to other hosts than this one")] = False
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
            help="Who shares --rate, unless it is unlimited: this process, this user's runs on this host, or all that"
            " use one redis://HOST (rediss://, unix://) [default: host]",
        ),
    ] = None
    quota_name: Annotated[
        str | None,
        Field(min_length=1),
        Parameter(group=PACE, metavar="NAME", help="Share it between the keys and targets that have this name"),
    ] = None
    max_in_flight: Annotated[
        int, Field(ge=1, le=10_000), Parameter(group=PACE, metavar="N", help="Requests at once")
    ] = 32
    timeout: Annotated[
        PositiveDuration, Parameter(group=PACE, help="For one attempt, from its write to the last byte of the answer")
    ] = 30.0
    max_answer: Annotated[
        Size, Parameter(group=PACE, help="Largest answer that is read: 4MiB, 512KiB, 10MB or a number of bytes")
    ] = 4 * 1024 * 1024
    connect_timeout: Annotated[
        PositiveDuration, Parameter(group=PACE, help="For opening a connection: DNS, TCP, proxy and TLS together")
    ] = 5.0
    keepalive: Annotated[Duration, Parameter(group=PACE, help="How long an idle connection may be used again")] = 10.0
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
    max_retry_after: Annotated[Duration, Parameter(group=FAILURES, help="Stop when the server asks to wait longer")] = (
        300.0
    )
    max_outage: Annotated[Duration, Parameter(group=FAILURES, help="Stop when the server was away for longer")] = 900.0
    max_failures: Annotated[
        str,
        BeforeValidator(parse_failures),
        Parameter(
            group=FAILURES, metavar="N|P%", help="Stop after N, or P% of 100 rows or more, rejected, failed or unknown"
        ),
    ] = "50%"
    accept_refusals: Annotated[
        Flag,
        Parameter(group=FAILURES, help="Take refusals before the first success as the rows' own faults"),
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
    only_changed: Annotated[
        Flag,
        Parameter(group=REPEATING, help="Leave out rows whose payload the ledger knows as the last one acknowledged"),
    ] = False
    resend: Annotated[Flag, Parameter(group=REPEATING, help="Send every row again, updated ones too")] = False
    retry_rejected: Annotated[Flag, Parameter(group=REPEATING, help="Send rejected rows again")] = False
    restart: Annotated[Flag, Parameter(group=REPEATING, help="Begin a new run instead of continuing the latest")] = (
        False
    )
    dry_run: Annotated[
        Flag, Parameter(group=TARGET, name=["--dry-run", "-n"], help="Validate, and do nothing else")
    ] = False

    ledger: Annotated[Path | None, Parameter(group=REPEATING, help="Memory across runs [default: OUTPUT.ledger]")] = (
        None
    )
    keep_runs: Annotated[
        int, Field(ge=1), Parameter(group=REPEATING, metavar="N", help="Runs whose rows the ledger keeps")
    ] = 30
    lock_wait: Annotated[
        Duration, Parameter(group=REPEATING, help="How long to wait for another run on the same ledger")
    ] = 0.0

    quiet: Annotated[Flag, Parameter(group=MESSAGES, name=["--quiet", "-q"], help="Say nothing when all is well")] = (
        False
    )
    log_format: Annotated[
        Literal["text", "json"], Parameter(group=MESSAGES, help="Messages for people or for programs")
    ] = "text"
    progress: Annotated[
        bool | None,
        Parameter(
            group=MESSAGES,
            help="Live progress, on terminals only; any run, a quiet one too, says how far it is at kill -USR1 PID",
        ),
    ] = None
    stats: Annotated[
        Duration,
        Parameter(group=MESSAGES, help="How often to say how far the run is, without live progress; 0s is never"),
    ] = 30.0

    @model_validator(mode="after")
    def _fit_together(self) -> "RunOptions":
        if self.api_key_file and self.api_key_command:
            raise ValueError("--api-key-file and --api-key-command exclude each other: give one")
        if self.sandbox and self.base_url != "prod":
            raise ValueError("--sandbox and --base-url exclude each other: give one")
        if self.client_key and not self.client_cert:
            raise ValueError("--client-key goes with --client-cert: give both")
        if self.only_changed and self.resend:
            raise ValueError("--only-changed and --resend exclude each other: give one")
        return self


class RenderOptions(ReportOptions):
    """What `bulksync report` may be told."""

    run: Annotated[
        str | None, Parameter(group=INPUT, metavar="NAME", help="Name of an older run [default: the latest]")
    ] = None
    input: Annotated[
        Path | None, Parameter(group=INPUT, help="Where the input stands now [default: where it stood]")
    ] = None
    diff: Annotated[
        Flag,
        Parameter(group=OUTPUT, help="Print, instead, the rows whose disposition moved since an earlier run, as CSV"),
    ] = False

    @model_validator(mode="after")
    def _fit_together(self) -> "RenderOptions":
        if self.diff and self.output is not None:
            raise ValueError("--diff prints to stdout and --output names a report: give one")
        return self


class SandboxOptions(BaseModel):
    """What `bulksync sandbox` may be told."""

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
    seed: Annotated[int, Parameter(help="The same seed, the same answers and faults")] = 0
    log_file: Annotated[Path | None, Parameter(help="Append every request and its answer as JSON lines")] = None


NO_FILE = Path("-")
"""Stands for stdin or stdout."""

REPLACED = ("output", "retry_file", "summary", "html", "metrics_file")
"""Options that name a file which is written anew, by a rename."""


def check_files(input_path: Path | None, options: ReportOptions) -> None:
    """Raise UsageError where a call names a file that it must not replace, or one with a name that no ledger keeps.

    StorageError where the ledger is no file. Root's rename would take even /dev/null away from everyone.
    """
    named = {"--" + name.replace("_", "-"): getattr(options, name) for name in REPLACED}
    ledger = getattr(options, "ledger", None)
    source = Path() if input_path == NO_FILE else input_path  # what comes by stdin has its files in this folder
    for what, path in {"the input": source, "--ledger": ledger, **named}.items():
        if path is not None and path != NO_FILE:
            check_name(path, what)
    for what, path in named.items():
        if path is not None and path != NO_FILE and (os.path.islink(path) or not is_free_or_plain(path)):
            raise UsageError(f"{what} {path} is not a plain file", "name another: what is there would be replaced")
    if ledger is not None and not is_free_or_plain(ledger):
        raise StorageError(f"the ledger {ledger} is not a plain file", "name another with --ledger")


def is_free_or_plain(path: Path) -> bool:
    """Whether a path leads to nothing yet, or to a plain file."""
    return os.path.isfile(path) or not os.path.exists(path)


def check_name(path: Path, what: str) -> None:
    """Raise UsageError for a path that cannot be made absolute, or not written as text."""
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


def target_of(base_url: str, *, allow_http: bool) -> str:
    """Return the API's base URL without a trailing slash; UsageError where it could leak the key or mislead.

    https only, http for this host or with *allow_http*; no user, query or fragment.
    """
    url = BASE_URLS.get(base_url, base_url).rstrip("/")
    if any(mark in url for mark in "@?#") or ".." in unquote(url):
        raise UsageError("--base-url must have no user, query, fragment or `..`", "write https://HOST")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UsageError(f"--base-url {base_url!r} is not a URL: {error}", "write https://HOST") from None
    is_plain = HOST.fullmatch(host or "") and re.fullmatch(r"[\x21-\x7e]+", url)
    if parts.scheme not in ("https", "http") or not host or not is_plain:
        raise UsageError(f"--base-url {base_url!r} is not a URL", "write prod, sandbox or https://HOST")
    if parts.scheme == "http" and not (allow_http or _is_loopback(host)):
        raise UsageError(
            f"--base-url {url} would send the API key in clear text", "write https://, or add --allow-http"
        )
    return f"{parts.scheme}://{authority_of(parts)}{parts.path}".rstrip("/")


def authority_of(parts: SplitResult) -> str:
    """Return host and port of a URL as everybody would write them: in lower case, without what is the default."""
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    is_default = parts.port in (None, {"http": 80, "https": 443}[parts.scheme])
    return f"{host}" if is_default else f"{host}:{parts.port}"


def target_for(options: RunOptions) -> str:
    """Return where a run sends its rows; UsageError where that could leak the key or mislead."""
    if options.sandbox:
        return "sandbox"
    target = target_of(options.base_url, allow_http=options.allow_http)
    if options.proxy is not None:
        check_proxy(target, options.proxy, allow_http=options.allow_http)
    return target


def check_proxy(target: str, proxy: str, *, allow_http: bool) -> None:
    """Raise UsageError where a proxy is no URL, or would get the API key in clear text for a plain http *target*."""
    host = proxy_host(proxy)
    if allow_http or not target.startswith("http://"):
        return
    if not _is_loopback(host):
        raise UsageError(
            "--proxy would carry the API key in clear text to another host",
            "use an https:// target, or add --allow-http",
        )


def proxy_host(proxy: str) -> str:
    """Return the host of a proxy; UsageError, which does not repeat the URL, as it may hold a password."""
    try:
        parts = urlsplit(proxy)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or parts.scheme not in ("http", "https") or re.search(r"\s", proxy):
        raise UsageError(
            "--proxy is not the URL of an HTTP proxy",
            "write http://HOST:PORT; in a user or password before the host, %2F for / and %40 for @",
        )
    return host


def wrong_options(error: ValidationError) -> str:
    """Say in one line which options are wrong, and why."""
    said = []
    for problem in error.errors(include_url=False, include_context=False, include_input=False):
        option = "--" + str(problem["loc"][0]).replace("_", "-") + ": " if problem["loc"] else ""
        said.append(option + problem["msg"].removeprefix("Value error, "))
    return "; ".join(said)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def read_configuration(path: Path, *, required: bool) -> dict[str, Any]:
    """Read option names and values from a TOML file; {} where a file that is not *required* is missing.

    UsageError where others may write the file (it could name the target or a command), on bad TOML and on a key
    that is no option.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o022 or status.st_uid not in (0, os.geteuid()):
                raise UsageError(f"{path} can be written by others, so it is not read", f"chmod go-w {path}")
            values = tomllib.load(file)
    except FileNotFoundError:
        if required:
            raise UsageError(f"{path} does not exist", "check --config") from None
        return {}
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read: {error}", "mend the file, or name another with --config") from None
    known = {name.replace("_", "-") for name in RunOptions.model_fields}
    if unknown := sorted(name for name in values if name.replace("_", "-") not in known):
        raise UsageError(f"{path}: no such option: {', '.join(unknown)}", "see: bulksync run --help")
    return values

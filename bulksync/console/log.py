"""Log messages of a running program: one line for people, or one JSON object for programs, on stderr."""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from datetime import UTC, datetime
from functools import cache, partial
from string import Formatter
from typing import Any, Literal

import orjson

from bulksync.model import Tell
from bulksync.text import counted, listed, without_passwords

EVENTS: dict[str, tuple[int, str]] = {
    "note": (logging.WARNING, "{text}"),
    "sending": (logging.INFO, "sending {rows:row} to {target} at {rate}, about {about}"),
    "fetching": (logging.INFO, "fetching {rows:execution} from {target} at {rate}, about {about}"),
    "saving before": (
        logging.INFO,
        "each execution is read before its first update, which takes a turn more; its state is saved in {path}",
    ),
    "sending a stream": (logging.INFO, "sending rows to {target} at {rate} as they come"),
    "columns": (logging.INFO, "columns sent: {sent}; only echoed: {echoed}"),
    "acknowledged already": (
        logging.WARNING,
        "{known:,} of {rows:row} are already acknowledged with the same payload; to leave them out: {command}",
    ),
    "superseded": (
        logging.WARNING,
        "rows skipped because a later run has updated their executions (--resend sends them): {rows:,}",
    ),
    "continuing": (logging.INFO, "resuming run {name}, started with {begun}; once it is done, {begun} starts another"),
    "unknown statuses": (logging.WARNING, "unknown statuses (will be sent anyway): {statuses}"),
    "ended": (logging.INFO, "{outcomes}"),
    "few files": (logging.WARNING, "{allowed} concurrent requests, not the {asked} asked for: ulimit -n is {files}"),
    "planned": (
        logging.DEBUG,
        "{due:,} of {rows:,} rows to send, {invalid:,} invalid, after {seconds:.1f}s; to {report} and {ledger}",
    ),
    "sharing": (logging.DEBUG, "sharing the rate with other runs: {quota}"),
    "not sharing": (logging.WARNING, "the rate applies to this run alone: the quota file cannot be used: {reason}"),
    "shared rate": (logging.INFO, "sharing the quota with a run at {others:.4g}/s; this one keeps to {own:.4g}/s"),
    "quota": (logging.WARNING, "paused, nothing is sent: {reason}"),
    "password seen": (logging.WARNING, "other users of this host can see the password in --quota; set BULKSYNC_QUOTA"),
    "progress": (logging.INFO, "{text}"),
    "asked": (logging.INFO, "{text}"),
    "hold": (logging.WARNING, "waiting {wait:.1f}s, until {until:%H:%M:%S}: {reason}"),
    "stopping": (logging.WARNING, "stopping; waiting for requests in flight (Ctrl-C again to cancel them): {reason}"),
    "retry": (logging.DEBUG, "row {row} (line {line}): {reason}; attempt {attempt}, again in {wait:.1f}s"),
    "attempt": (logging.DEBUG - 5, "row {row} (line {line}): {reason} after {duration:.3f}s"),
    "not notified": (logging.ERROR, "{url} (--notify) did not take the summary: {reason}"),
    "failed": (logging.ERROR, "{error}"),
    "fault": (logging.ERROR, "internal error: {error}"),
    "internal error": (logging.ERROR, "row {row} (line {line}): internal error: {error}"),
}
"""Each event's level and its text for people."""


class Sentence(Formatter):
    """Formats events; `{rows:row}` is the number with its noun, singular for one; counts by word are listed."""

    def format_field(self, value: Any, format_spec: str) -> Any:
        """Format one field, see string.Formatter."""
        if isinstance(value, Mapping):
            return listed(value)
        return counted(value, format_spec) if format_spec in NOUNS else super().format_field(value, format_spec)


NOUNS = frozenset({"row", "execution"})
SENTENCE = Sentence()

ANSWERS = frozenset({"asked"})
"""Logged even with --quiet, as the user asked for it."""

LOGGER = logging.getLogger("bulksync")
LOGGER.addHandler(logging.NullHandler())  # or else warnings would go to the stderr of the importing program

SECRETS: set[str] = set()
"""API keys of this process, redacted from everything it logs."""

SHORTEST_SECRET = 8
"""Minimum length of a redacted key: shorter ones are tests', and redacting them would make messages unreadable."""

LEVELS = (logging.INFO, logging.DEBUG, logging.DEBUG - 5)
"""Minimum level logged without `-v`, with one, and with two."""


def teller(style: Literal["text", "json"], *, quiet: bool, verbosity: int, say: Callable[[str], None]) -> Tell:
    """Return a function that takes an event's name and fields and logs it if its level is high enough."""
    least = logging.ERROR if quiet else LEVELS[min(verbosity, len(LEVELS) - 1)]
    log = cache(partial(logger, style, say))

    def tell(event: str, **fields: Any) -> None:
        level, _ = EVENTS[event]
        if not verbosity:
            fields.pop("exc_info", None)  # only users who ask for traces get them
        if level >= least or event in ANSWERS:
            getattr(log(), logging.getLevelName(max(level, logging.DEBUG)).lower())(event, **fields)

    return tell


def logger(style: Literal["text", "json"], say: Callable[[str], None]) -> Any:
    """Return the structlog logger that writes events in a *style* and passes them to *say*."""
    # Only here, as these imports take 50 ms, wasted if nothing is logged.
    import structlog
    from structlog.tracebacks import ExceptionDictTransformer

    render = for_programs if style == "json" else for_people
    # For programs, without the values of variables: one of them is the API key.
    traces = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))
    trace = traces if style == "json" else structlog.processors.format_exc_info
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True, key="time")
    return structlog.wrap_logger(
        Line(say),
        wrapper_class=structlog.BoundLogger,
        processors=[structlog.processors.add_log_level, stamp, trace, render],
    )


def to_logging(event: str, /, written: Callable[[str], str] = str, **fields: Any) -> None:
    """Log an event to `logging`, under the name `bulksync`, for a Python caller.

    *written* rewrites text meant for the command line for such a caller.
    """
    level, template = EVENTS[event]
    if LOGGER.isEnabledFor(level):
        LOGGER.log(level, "%s", written(SENTENCE.vformat(template, (), fields)))


def for_people(_: object, __: str, fields: MutableMapping[str, Any]) -> str:
    """Render an event as a line for people."""
    _, template = EVENTS[fields["event"]]
    trace = f"\n{fields['exception']}" if "exception" in fields else ""
    return f"bulksync: {SENTENCE.vformat(template, (), fields)}{trace}"


def for_programs(_: object, __: str, fields: MutableMapping[str, Any]) -> str:
    """Render an event as one line of JSON, its times in UTC."""
    said = {name: json_value(value) for name, value in fields.items()}
    return orjson.dumps(said, default=str, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS).decode()


def json_value(value: object) -> object:
    """Return a value's JSON form: UTC for a time, escapes for the bytes of a name that is not UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return value.astimezone(UTC) if isinstance(value, datetime) else value


def keep_secret(key: str) -> None:
    """Redact a key from everything logged from now on."""
    if len(key) >= SHORTEST_SECRET:
        SECRETS.add(key)


def blanked(text: str) -> str:
    """Return a text with this process's keys and passwords in URLs replaced by ***."""
    for secret in SECRETS:
        text = text.replace(secret, "***")
    return without_passwords(text)


class Line:
    """The logger that structlog writes to: every level is one line passed to *say*."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.debug = self.info = self.warning = self.error = say


def say_to_stderr(text: str) -> None:
    """Write a line to stderr."""
    write_to_stderr(text + "\n")


def write_to_stderr(text: str) -> None:
    """Write to stderr at once; a closed stderr is ignored and is no reason to stop."""
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(blanked(text))
        sys.stderr.flush()
    except (OSError, ValueError):
        sys.stderr = None

"""The options of `bulksync run` as keywords of `sync`: their types for the type checker, their names in messages."""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal, TypedDict, get_args

from bulksync.errors import BulksyncError
from bulksync.options.mistakes import as_flag
from bulksync.options.models import RunOptions

TextPath = str | os.PathLike[str]
Time = float | str
"""Seconds, or text such as "30s", "15m" or "2h"."""

OF_THE_TERMINAL = frozenset({"dry_run", "quiet", "log_format", "notify"})
"""Options about the terminal, or about what a Python caller learns anyway: only for the command line."""


class Keywords(TypedDict, total=False):
    """The options of `bulksync run`, as `bulksync run --help` describes them."""

    format: Literal["csv", "tsv", "jsonl", "xlsx"] | None
    delimiter: str | None
    encoding: str | None
    tsv_escapes: bool
    allow_status: Sequence[str] | None
    map: Mapping[str, str] | Sequence[str]
    set: Mapping[str, str] | Sequence[str]
    sheet: str | None
    min_rows: int
    rate: float | str
    output: TextPath | None
    retry_file: TextPath | None
    rejected_file: TextPath | None
    summary: TextPath | None
    html: TextPath | None
    metrics_file: TextPath | None
    echo_metadata: bool
    guard_formulas: bool
    overwrite: bool
    base_url: str
    allow_http: bool
    api_key_file: TextPath | None
    api_key_command: str | None
    sandbox: bool
    quota: str | None
    quota_name: str | None
    max_in_flight: int
    timeout: Time
    max_answer: int | str
    connect_timeout: Time
    keepalive: Time
    proxy: str | None
    ca_file: TextPath | None
    client_cert: TextPath | None
    client_key: TextPath | None
    max_attempts: int
    max_retry_after: Time
    max_outage: Time
    max_failures: int | str
    accept_refusals: bool
    max_duration: Time | None
    drain: Time
    limit: int | None
    on_invalid: Literal["abort", "skip"]
    save_before: TextPath | None
    only_changed: bool
    resend: bool
    retry_rejected: bool
    restart: bool
    ledger: TextPath | None
    keep_runs: int
    lock_wait: Time
    progress: bool | None
    stats: Time


@contextmanager
def in_python() -> Iterator[None]:
    """Make errors refer to keyword arguments instead of flags."""
    try:
        yield
    except BulksyncError as error:
        error.what, error.next_step = for_python(error.what), for_python(error.next_step)
        error.args = (error.what,)
        raise


def as_keyword(name: str) -> str:
    """Return an option as it is written in Python."""
    return f"{name}="


def for_python(text: str) -> str:
    """Return a message with each command-line flag rewritten as a keyword argument."""
    return FLAG.sub(lambda found: keyword(NAMES[found[1]], found[2] or ""), text)


def keyword(name: str, value: str) -> str:
    """Return an option with the value that followed it, if any: `on_invalid='skip'`, `restart=True`, `ledger=`."""
    annotation = RunOptions.model_fields[name].annotation
    words = [word for kind in (annotation, *get_args(annotation)) for word in get_args(kind)]
    if annotation is bool:
        return f"{name}=True{value}"
    given = value.strip()
    if given in words or given[:1].isdigit():
        return f"{name}={given if given.isdigit() else repr(given)}"
    return f"{name}={value}"


NAMES = {as_flag(name): name for name in RunOptions.model_fields}
FLAG = re.compile(f"({'|'.join(sorted(NAMES, key=len, reverse=True))})(?![a-z-])( [a-z0-9%/]+)?")

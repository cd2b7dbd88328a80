"""Tests of `bulksync.options`."""

import math
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bulksync.errors import UsageError
from bulksync.options.config import read_configuration
from bulksync.options.models import RenderOptions, RunOptions
from bulksync.options.target import target_for, target_of
from bulksync.options.values import (
    parse_duration,
    parse_failures,
    parse_rate,
    parse_size,
    parse_statuses,
    show_duration,
    show_rate,
    show_size,
)
from tests.support.program import bulksync, write_rows

# Durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30),
        ("15m", 900),
        ("2h", 7200),
        ("500ms", 0.5),
        ("1.5s", 1.5),
        ("0.5h", 1800),
        ("0s", 0),
        (" 5s ", 5),
        ("1000000h", 3.6e9),
    ],
)
def test_reads_a_duration(text: str, seconds: float) -> None:
    """A number and a unit make a duration in seconds."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "30", "s", "-5s", "+5s", "5 s", "5S", "5d", "1h30m", "1e3s", ".5s", "1,5s", "\u0665s", "inf"],
)
def test_refuses_what_is_no_duration(text: str) -> None:
    """Whatever has no unit, a sign or another spelling is refused, and the message says what to write."""
    with pytest.raises(ValueError, match=r"is not a duration: write 30s, 15m or 2h$"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "0.5s"), (59, "59s"), (60, "1m"), (90, "90s"), (5400, "90m"), (7200, "2h"), (None, "none")],
)
def test_shows_a_duration(seconds: float | None, text: str) -> None:
    """A duration is written in the largest unit that stays whole; none is `none`."""
    assert show_duration(seconds) == text


@given(st.integers(0, 10**11))
def test_a_duration_survives_being_shown(seconds: int) -> None:
    """What is shown can be given."""
    assert parse_duration(show_duration(seconds)) == seconds


# Rates


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("10/s", 10),
        ("600/m", 10),
        ("36000/h", 10),
        ("0.5/s", 0.5),
        (" 7/s ", 7),
        ("unlimited", math.inf),
        ("10", 10),
        (" 10.5 ", 10.5),
        (10, 10),
        (10.5, 10.5),
        (1e-7, 1e-7),
        (math.inf, math.inf),
    ],
)
def test_reads_a_rate(text: object, rate: float) -> None:
    """A number and a unit make a rate in requests per second; without a unit, as text or number, it is per second."""
    assert RunOptions.model_validate({"rate": text}).rate == rate


def test_a_bare_rate_is_the_same_wherever_it_is_given(tmp_path: Path) -> None:
    """As a flag, a variable and a key of the configuration, `10.5` is 10.5 requests per second."""
    write_rows(tmp_path / "rows.csv", [1])
    path = configuration(tmp_path, "rate = 10.5\n")
    said = [
        bulksync("check", "rows.csv", *flags, folder=tmp_path, variables=variables)
        for flags, variables in (
            (("--rate", "10.5"), {}),
            ((), {"BULKSYNC_RATE": "10.5"}),
            (("--config", path), {}),
            (("--rate", "630/m"), {}),
        )
    ]
    assert {(done.code, "at 10.5/s" in done.stdout, done.stderr) for done in said} == {(0, True, "")}


@pytest.mark.parametrize(
    "text",
    [
        "", "/s", "0", "0/s", "0.0/m", "-1/s", "10/d", "10 /s", "1e3/s", "\u0665/s",
        0, -1, 0.0, math.nan, -math.inf, True, None, [10],
    ],
)  # fmt: skip
def test_refuses_what_is_no_rate(text: object) -> None:
    """Whatever is nothing, or is spelled another way, is refused, and the message says what to write."""
    with pytest.raises(ValueError, match=r"is not a rate: write 10/s, 600/m or unlimited$"):
        parse_rate(text)


@pytest.mark.parametrize(
    ("rate", "text"),
    [(10, "10/s"), (0.5, "30/m"), (2.5, "2.5/s"), (1 / 3600, "1/h"), (1234567, "1234567/s"), (math.inf, "unlimited")],
)
def test_shows_a_rate(rate: float, text: str) -> None:
    """A rate is written in the smallest unit that brings one request or more."""
    assert show_rate(rate) == text


@given(st.integers(1, 10**6), st.sampled_from("smh"))
def test_a_rate_survives_being_shown(number: int, unit: str) -> None:
    """What is shown can be given."""
    rate = parse_rate(f"{number}/{unit}")
    assert parse_rate(show_rate(rate)) == pytest.approx(rate)


# Failure budgets


@pytest.mark.parametrize(
    ("value", "text"), [("50", "50"), ("50%", "50%"), ("0.5%", "0.5%"), (" 5 ", "5"), (7, "7"), (0, "0")]
)
def test_reads_a_failure_budget(value: object, text: str) -> None:
    """A budget is a number of rows or a share of them."""
    assert parse_failures(value) == text


@pytest.mark.parametrize("value", ["", "-5", "5.5", "%", "5 %", "all", "1e3", "\u0665", -1, 5.5, True, None])
def test_refuses_what_is_no_failure_budget(value: object) -> None:
    """Anything else is refused, and the message says what to write."""
    with pytest.raises(ValueError, match=r"is not a number of rows: write 50 or 10%$"):
        parse_failures(value)


# Statuses


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("A,B", ("A", "B")),
        (" A , ,B,", ("A", "B")),
        (["A,B", "C"], ("A", "B", "C")),
        (("A",), ("A",)),
        ("", ()),
        (None, None),
    ],
)
def test_reads_statuses(value: object, words: object) -> None:
    """Statuses stand between commas, and the option may be repeated."""
    assert parse_statuses(value) == words


# RunOptions


def test_options_that_exclude_each_other() -> None:
    """Two sources of the key, two targets, or two orders that contradict each other are refused."""
    for options, message in (
        ({"api_key_file": "k", "api_key_command": "c"}, "--api-key-file and --api-key-command exclude each other"),
        ({"sandbox": True, "base_url": "sandbox"}, "--sandbox and --base-url exclude each other"),
        ({"only_changed": True, "resend": True}, "--only-changed and --resend exclude each other"),
    ):
        with pytest.raises(ValidationError, match=f"{message}: give one"):
            RunOptions.model_validate(options)


def test_a_difference_is_no_report() -> None:
    """--diff prints, so a report's name beside it is a mistake."""
    with pytest.raises(ValidationError, match="--diff prints to stdout and --output names a report: give one"):
        RenderOptions(diff=True, output=Path("r.csv"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_in_flight", 0),
        ("max_attempts", 0),
        ("timeout", "0s"),
        ("connect_timeout", "0s"),
        ("max_duration", "0s"),
        ("drain", "-1s"),
        ("max_outage", math.nan),
        ("limit", 0),
        ("keep_runs", 0),
        ("on_invalid", "ignore"),
        ("no_such_option", 1),
    ],
)
def test_refuses_values_out_of_bounds(name: str, value: object) -> None:
    """What would send nothing, or is no option, is refused."""
    with pytest.raises(ValidationError):
        RunOptions.model_validate({name: value})


def test_errors_hide_what_was_given() -> None:
    """An option's value may be a secret given by mistake, and is not shown."""
    with pytest.raises(ValidationError) as caught:
        RunOptions.model_validate({"max_in_flight": "canary-secret"})
    assert "canary-secret" not in str(caught.value)


# target_of


@pytest.mark.parametrize(
    ("base_url", "target"),
    [
        ("prod", "https://prod.featherhq.com"),
        ("sandbox", "https://sandbox.featherhq.com"),
        ("https://api.example.com", "https://api.example.com"),
        ("https://api.example.com/", "https://api.example.com"),
        ("https://api.example.com:8443/base/", "https://api.example.com:8443/base"),
        ("https://my_service", "https://my_service"),
        ("http://localhost:8099", "http://localhost:8099"),
        ("http://127.0.0.1:8099", "http://127.0.0.1:8099"),
        ("http://127.9.9.9", "http://127.9.9.9"),
        ("http://[::1]:80", "http://[::1]"),
        ("HTTPS://API.Example.COM:443/Base", "https://api.example.com/Base"),
        ("HTTP://LocalHost:8099/", "http://localhost:8099"),
    ],
)
def test_target_of(base_url: str, target: str) -> None:
    """A name or a URL is the API's base URL, without a slash at its end; http is allowed for this host."""
    assert target_of(base_url, allow_http=False) == target


@pytest.mark.parametrize(
    ("base_url", "message"),
    [
        ("", "is not a URL"),
        ("Prod", "is not a URL"),
        ("api.example.com", "is not a URL"),
        ("//api.example.com", "is not a URL"),
        ("ftp://api.example.com", "is not a URL"),
        ("file:///etc/passwd", "is not a URL"),
        ("https://", "is not a URL"),
        ("https:///path", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://host:port", "is not a URL"),
        ("https://host:99999", "is not a URL"),
        ("https://ho st", "is not a URL"),
        ("https://host/\n", "is not a URL"),
        ("https://host\x00", "is not a URL"),
        ("https://häst.example", "is not a URL"),
        ("https://good.example\\evil.example", "is not a URL"),
        ("https://good.example;evil.example", "is not a URL"),
        ("https://go%6fd.example", "is not a URL"),
        ("https://user@host", "must have no user"),
        ("https://user:secret@host", "must have no user"),
        ("https://@host", "must have no user"),
        ("https://host/a@b", "must have no user"),
        ("https://host?a=b", "must have no user"),
        ("https://host?", "must have no user"),
        ("https://host#a", "must have no user"),
        ("https://host/#", "must have no user"),
        ("https://host/a/../b", "must have no user"),
        ("https://host/%2e%2E/b", "must have no user"),
        ("http://api.example.com", "in clear text"),
        ("http://127.0.0.1.example.com", "in clear text"),
        ("http://localhost.example.com", "in clear text"),
        ("http://0.0.0.0", "in clear text"),
        ("http://192.168.0.1", "in clear text"),
        ("http://2130706433", "in clear text"),
        ("http://[::2]", "in clear text"),
    ],
)
def test_refuses_a_target_that_could_leak_or_mislead(base_url: str, message: str) -> None:
    """A URL that is none, names a user, a query or a fragment, climbs, or would send the key in clear is refused."""
    with pytest.raises(UsageError, match=message):
        target_of(base_url, allow_http=False)


def test_a_refused_url_does_not_show_its_password() -> None:
    """The message about a user in the URL does not repeat it, whatever else is wrong with the URL."""
    for url in ("https://user:canary-secret@host", "user:canary-secret@host", "https://user:canary-secret@[::1"):
        with pytest.raises(UsageError) as caught:
            target_of(url, allow_http=False)
        assert "canary-secret" not in caught.value.what + caught.value.next_step


def test_http_can_be_allowed() -> None:
    """Clear text to another host needs a flag, and the flag allows nothing else."""
    assert target_of("http://api.example.com", allow_http=True) == "http://api.example.com"
    with pytest.raises(UsageError, match="is not a URL"):
        target_of("ftp://api.example.com", allow_http=True)


# read_configuration


def configuration(folder: Path, content: str | bytes, mode: int = 0o600) -> Path:
    """Write a configuration file."""
    path = folder / "config.toml"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    path.chmod(mode)
    return path


def test_reads_a_configuration(tmp_path: Path) -> None:
    """Names are options with `-` or `_`, values are TOML's."""
    path = configuration(tmp_path, 'rate = "5/s"\nmax-in-flight = 8\nmax_attempts = 3\nresend = true\n')
    expected = {"rate": "5/s", "max-in-flight": 8, "max_attempts": 3, "resend": True}
    assert read_configuration(path, required=True) == expected


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o444, 0o400])
def test_others_may_read_a_configuration(tmp_path: Path, mode: int) -> None:
    """It holds no secret, so that others may see it."""
    assert read_configuration(configuration(tmp_path, "limit = 1", mode), required=True) == {"limit": 1}


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666, 0o664])
def test_others_may_not_write_a_configuration(tmp_path: Path, mode: int) -> None:
    """A file in which others could name the target or a command is refused, with the command that mends it."""
    path = configuration(tmp_path, "limit = 1", mode)
    with pytest.raises(UsageError) as caught:
        read_configuration(path, required=False)
    assert (caught.value.what, caught.value.next_step) == (
        f"{path} can be written by others, so it is not read",
        f"chmod go-w {path}",
    )


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    """The user's own file may be missing, one that was named may not."""
    path = tmp_path / "config.toml"
    assert read_configuration(path, required=False) == {}
    with pytest.raises(UsageError, match=r"config\.toml does not exist$"):
        read_configuration(path, required=True)


@pytest.mark.parametrize("content", ["limit", "limit = ", b"\xff\xfe", b"limit = 1 # \xe9", "a = 1\na = 2"])
def test_refuses_a_configuration_that_is_no_toml(tmp_path: Path, content: str | bytes) -> None:
    """What is not TOML is refused with the place, not with a traceback."""
    with pytest.raises(UsageError, match=r"config\.toml cannot be read: "):
        read_configuration(configuration(tmp_path, content), required=False)


def test_refuses_a_folder_as_configuration(tmp_path: Path) -> None:
    """A folder is no file."""
    tmp_path.chmod(0o700)
    with pytest.raises(UsageError, match="cannot be read"):
        read_configuration(tmp_path, required=True)


def test_refuses_unknown_names(tmp_path: Path) -> None:
    """A name that is no option is refused, all of them at once: a misspelled limit must not send a million rows."""
    path = configuration(tmp_path, 'limits = 5\nrate = "1/s"\napi_key = "canary-secret"\n')
    with pytest.raises(UsageError) as caught:
        read_configuration(path, required=False)
    assert caught.value.what == f"{path}: no such option: api_key, limits"


def test_target_for() -> None:
    """A run goes to the sandbox, or where its options say; a proxy elsewhere must not get the key in clear text."""
    assert target_for(RunOptions(sandbox=True)) == "sandbox"
    assert target_for(RunOptions(base_url="sandbox")) == "https://sandbox.featherhq.com"
    with pytest.raises(UsageError, match="--proxy would carry the API key in clear text"):
        target_for(RunOptions(base_url="http://127.0.0.1:9", proxy="http://proxy.example:3128"))


# samples/config.toml

SAMPLE = Path(__file__).parent.parent.parent / "samples" / "config.toml"

OF_ONE_CALL = {
    "output", "retry-file", "rejected-file", "sheet", "summary",
    "html", "metrics-file", "overwrite", "format", "delimiter", "encoding",
    "tsv-escapes", "sandbox", "limit", "resend", "save-before", "retry-rejected", "restart", "dry-run",
}  # fmt: skip
"""Options that say something about one input or one call, so that nobody wants them for every run."""


def test_the_sample_configuration_shows_the_defaults(tmp_path: Path) -> None:
    """Without its # each line is an option with its default, or with an example where it has none."""
    text = SAMPLE.read_text()
    assert tomllib.loads(text) == {}
    settings = re.findall(r"^# ([a-z-]+ = .*)$", text, re.MULTILINE)
    config = tmp_path / "config.toml"
    config.write_text("\n".join(settings))
    config.chmod(0o600)
    values = read_configuration(config, required=True)
    fields = {name.replace("_", "-"): field.default for name, field in RunOptions.model_fields.items()}
    examples = {line.split(" ")[0] for line in settings if "# example" in line}
    assert set(fields) - set(values) == OF_ONE_CALL
    assert examples == {name for name in values if fields[name] is None}
    chosen = RunOptions.model_validate(
        {name.replace("-", "_"): value for name, value in values.items() if name not in examples}
    )
    assert chosen == RunOptions()
    for name in examples:
        with_it = {"client_cert": values["client-cert"]} if name == "client-key" else {}
        RunOptions.model_validate(with_it | {name.replace("-", "_"): values[name]})


@pytest.mark.parametrize(
    ("text", "size", "shown"),
    [
        ("4MiB", 4 * 1024**2, "4MiB"),
        ("512KiB", 512 * 1024, "512KiB"),
        ("1000000", 1_000_000, "1MB"),
        ("10MB", 10_000_000, "10MB"),
        ("1GiB", 1024**3, "1GiB"),
        ("1.5 MiB", 3 * 512 * 1024, "1536KiB"),
        ("64kb", 64_000, "64KB"),
        (" 1001 B", 1_001, "1001"),
    ],
)
def test_a_size(text: str, size: int, shown: str) -> None:
    """A size is bytes, or has a unit of 1000 or 1024; it is shown in a way that is read again."""
    assert (parse_size(text), show_size(size), parse_size(shown)) == (size, shown, size)
    assert RunOptions.model_validate({"max_answer": text}).max_answer == size


@pytest.mark.parametrize(
    "text", ["", "MiB", "-1", "1.5", "4M", "4 mebibytes", "1e6", "0", "2GiB", "\u0664MiB", "1,000"]
)
def test_what_is_no_size(text: str) -> None:
    """Whatever else is given as a size is refused."""
    with pytest.raises(ValidationError):
        RunOptions.model_validate({"max_answer": text})

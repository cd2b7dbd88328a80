"""The options of `sync`: the type checker knows what the model takes, and messages speak of arguments."""

import subprocess
import sys
import types
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BeforeValidator

from bulksync.errors import UsageError
from bulksync.options.keywords import OF_THE_TERMINAL, Keywords, TextPath, for_python, in_python
from bulksync.options.models import RunOptions
from bulksync.options.values import (
    parse_duration,
    parse_failures,
    parse_pairs,
    parse_rate,
    parse_size,
    parse_statuses,
)

ROOT = Path(__file__).parent.parent.parent

READS_TEXT = {parse_rate, parse_duration, parse_size}
"""What reads an option that is a number from text as well."""


def expected(name: str) -> Any:
    """Return the type that an option of the model takes in Python."""
    field = RunOptions.model_fields[name]
    kinds: set[Any] = set()
    for kind in options_of(field.annotation):
        inner, *notes = get_args(kind) if get_origin(kind) is Annotated else (kind,)
        readers = {note.func for note in (*field.metadata, *notes) if isinstance(note, BeforeValidator)}
        kinds.update(taken(inner, readers))
    return kinds


def options_of(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, else the type alone."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def taken(kind: Any, readers: set[Any]) -> tuple[Any, ...]:
    """Return what may be given for a type of the model."""
    if kind is Path:
        return get_args(TextPath)
    if parse_statuses in readers and kind is not type(None):
        return (Sequence[str],)
    if parse_pairs in readers:
        return (Mapping[str, str], Sequence[str])
    if parse_failures in readers:
        return (int, str)
    return (kind, str) if readers & READS_TEXT and kind in (int, float) else (kind,)


def test_every_option_is_a_keyword() -> None:
    """The typed keywords have the names of the model, but for those about a terminal."""
    assert set(Keywords.__annotations__) | OF_THE_TERMINAL == set(RunOptions.model_fields)
    assert Keywords.__required_keys__ == frozenset()


@pytest.mark.parametrize("name", list(Keywords.__annotations__))
def test_a_keyword_takes_what_the_model_takes(name: str) -> None:
    """Each keyword has the model's type: a number that is read from text may be text, a path text or a path."""
    assert set(options_of(get_type_hints(Keywords)[name])) == expected(name)


CHECKED = """
from pathlib import Path
from bulksync import sync

sync("rows.csv", rate=10, timeout="30s", output=Path("out.csv"), on_invalid="skip", max_failures="5%", limit=None)
sync([{"workflowId": "w"}], rate="600/m")
sync("rows.csv", rate=[10])
sync("rows.csv", on_invalid="ignore")
sync("rows.csv", nope=1)
sync(7)
"""


def test_mypy_sees_mistakes(tmp_path: Path) -> None:
    """A caller's type checker finds a wrong name, value or argument, and nothing in a call that is right."""
    (tmp_path / "program.py").write_text(CHECKED)
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--hide-error-context", "--no-pretty",
         "--follow-imports=silent", "program.py"],
        cwd=tmp_path, env={"MYPYPATH": str(ROOT), "PATH": ""}, capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert [(line.split(":")[1], line.rpartition("[")[2]) for line in lines] == [
        ("7", "arg-type]"),
        ("8", "arg-type]"),
        ("9", "call-arg]"),
        ("10", "arg-type]"),
    ], done.stdout + done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("--api-key-file and --ca-file exclude each other", "api_key_file= and ca_file= exclude each other"),
        ("or add --lock-wait 10m", "or add lock_wait='10m'"),
        ("with --on-invalid skip the valid rows are sent", "with on_invalid='skip' the valid rows are sent"),
        ("name it: --format csv (or tsv)", "name it: format='csv' (or tsv)"),
        ("(--resend sends them)", "(resend=True sends them)"),
        ("--limit 5 was reached", "limit=5 was reached"),
        ("more than --max-failures 50%", "more than max_failures='50%'"),
        ("name another with --ledger: one", "name another with ledger=: one"),
        ("see: bulksync run --help", "see: bulksync run --help"),
    ],
)
def test_messages_speak_of_arguments(text: str, said: str) -> None:
    """What a message says of a flag is said of the keyword argument, its value as Python writes it."""
    assert for_python(text) == said
    with pytest.raises(UsageError) as caught, in_python():
        raise UsageError(text, text)
    assert (str(caught.value), caught.value.what, caught.value.next_step) == (said, said, said)


def test_the_type_of_literals() -> None:
    """A literal of the model is the same literal here."""
    assert get_type_hints(Keywords)["on_invalid"] == Literal["abort", "skip"]

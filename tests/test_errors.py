"""Every message that ends a run has one shape: what happened and where, and what to do next."""

import ast
from collections.abc import Iterator

import pytest

from bulksync import errors
from bulksync.errors import BulksyncError, InputError, StorageError, UsageError, leaves, ungrouped
from tests.support.imports import FILES

KINDS = {"UsageError", "InputError", "StorageError", "LockedError"}

WITHOUT_NEXT_STEP = {
    "changed after it was validated": "ends the run by a stop, whose exit code has a next step",
    "has changed since the run read it": "a note in the report's closing lines",
}
"""Parts of messages that are not shown by themselves."""


def raised() -> Iterator[tuple[str, list[str]]]:
    """Return every place that makes an error of ours, and the words of its arguments."""
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in KINDS:
                yield f"{path.name}:{node.lineno}", [words(argument) for argument in node.args]


def words(argument: ast.expr) -> str:
    """Return the text of an argument, … for what is put in."""
    if isinstance(argument, ast.Constant):
        return str(argument.value)
    if isinstance(argument, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in argument.values)
    return "…"


@pytest.mark.parametrize(("place", "texts"), [pytest.param(*found, id=found[0]) for found in raised()])
def test_messages_have_one_shape(place: str, texts: list[str]) -> None:
    """What happened is a phrase, then comes the next step; neither begins like a sentence or ends like one."""
    is_told_elsewhere = any(part in texts[0] for part in WITHOUT_NEXT_STEP)
    assert len(texts) == 2 or is_told_elsewhere, "no next step"
    for text in texts:
        first = text.split(" ")[0]
        assert text == text.strip()
        assert not text.endswith(".")
        assert first[:1] in "…-$`" or first.isupper() or first[:1].islower() or first in ("JSON", "NUL")


def test_exit_codes() -> None:
    """Each kind of error has the exit code of the contract."""
    kinds = {name: kind.exit_code for name, kind in vars(errors).items() if name in KINDS}
    assert kinds == {"UsageError": 2, "InputError": 7, "StorageError": 8, "LockedError": 9}


def test_an_error_of_ours_comes_alone() -> None:
    """One that was raised in groups of tasks comes out by itself; together with a fault it stays with it."""
    ours = StorageError("full", "free space")
    with pytest.raises(StorageError) as caught, ungrouped():
        raise ExceptionGroup("outer", [ExceptionGroup("inner", [ours])])
    assert caught.value is ours
    both = ExceptionGroup("outer", [ours, ValueError("a fault")])
    with pytest.raises(ExceptionGroup) as group, ungrouped():
        raise both
    assert list(leaves(group.value)) == [ours, both.exceptions[1]]


def test_what_an_error_says() -> None:
    """As text it is what happened; the next step stands beside it."""
    error: BulksyncError = UsageError("it is wrong", "mend it")
    assert (str(error), error.what, error.next_step, error.again) == ("it is wrong", "it is wrong", "mend it", False)
    assert InputError("cannot read it").next_step == ""

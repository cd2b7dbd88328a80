"""Recognize what a Python program may pass as rows: a path, a data frame, a collection of dicts, or a stream of them.

Frames are recognized by their methods, so that neither pandas nor polars has to be installed. Anything with a length is
a collection: all of it is validated before the first request. Anything else is a stream, sent as it arrives.
"""

import os
from collections.abc import AsyncIterable, Iterable, Iterator, Mapping
from itertools import chain
from typing import Any, Protocol, TypeGuard

AT_ONCE = 1_000
"""Rows of a frame converted to dicts at a time."""


class Frame(Protocol):
    """A data frame of pandas or polars."""

    def __len__(self) -> int: ...

    @property
    def columns(self) -> Any:
        """The names of the columns."""

    def to_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the values converted to another form."""


Rows = str | os.PathLike[str] | Frame | Iterable[Mapping[str, Any]] | AsyncIterable[Mapping[str, Any]]
"""The path of an input, or its rows: `workflowId`, `executionId`, `status`, `metadata` or `metadata.x`."""


def check_rows(rows: object) -> None:
    """Raise TypeError if *rows* cannot be the rows of a run."""
    if isinstance(rows, Mapping):
        raise TypeError("rows is a single dict: give a list of dicts, sync([row])")
    if isinstance(rows, bytes | bytearray):
        raise TypeError("rows is bytes: give a path as text or as a Path, or the rows as dicts")
    if isinstance(rows, str) and (not rows.strip() or rows.lstrip()[0] in "{[" or "\n" in rows):
        raise TypeError("rows is text that is not a path: give a path, or the rows as dicts")
    if is_path(rows) or isinstance(rows, AsyncIterable) or is_frame(rows):
        return
    if not isinstance(rows, Iterable):
        hint = ": collect() it first" if hasattr(rows, "collect") else ""
        raise TypeError(f"rows is {type(rows).__name__}, not a path, a data frame or an iterable of dicts{hint}")
    if isinstance(rows, list | tuple):
        check_first(next(iter(rows), None))


def check_first(row: object) -> None:
    """Raise TypeError if the first item shows that the iterable does not yield rows."""
    if isinstance(row, str | bytes):
        raise TypeError(f"rows gives text, such as {row[:40]!r}, not dicts: were column names or lines iterated over?")


def is_path(rows: object) -> TypeGuard[str | os.PathLike[str]]:
    """Return whether rows are given as a file's path."""
    return isinstance(rows, str | os.PathLike)


def is_frame(rows: object) -> bool:
    """Return whether rows are a data frame of pandas or polars."""
    return is_pandas(rows) or (hasattr(rows, "iter_rows") and hasattr(rows, "to_dicts"))


def is_pandas(frame: object) -> bool:
    """Return whether a frame is converted to dicts by `to_dict(orient="records")`."""
    return hasattr(frame, "to_dict") and hasattr(frame, "itertuples")


def is_stream(rows: object) -> bool:
    """Return whether the number of rows cannot be known in advance."""
    return not is_path(rows) and not hasattr(rows, "__len__")


def dicts(rows: Any) -> Iterator[Any]:
    """Yield the rows of a frame (in slices) or of an iterable. Raises TypeError if they are not rows."""
    if not is_frame(rows):
        yield from checked(iter(rows))
    elif is_pandas(rows):
        if not rows.columns.is_unique:
            raise TypeError("rows is a data frame with two columns of the same name: rename one of them")
        for start in range(0, len(rows), AT_ONCE):
            yield from rows.iloc[start : start + AT_ONCE].to_dict(orient="records")
    else:
        yield from rows.iter_rows(named=True)


def checked(rows: Iterator[Any]) -> Iterator[Any]:
    """Yield rows. Raises TypeError if the first is not a row."""
    for first in rows:
        check_first(first)
        yield from chain((first,), rows)

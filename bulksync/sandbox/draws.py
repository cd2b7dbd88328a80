"""Deterministic pseudo-random draws: numbers, choices and IDs that depend only on a name."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

SIZE = 512  # bytes drawn at once, enough for an execution of three steps


class Draws:
    """A stream of draws that is the same on every machine and in every run for the same *name*."""

    __slots__ = ("_at", "_bytes")

    def __init__(self, *name: object) -> None:
        self._bytes = hashlib.shake_128("/".join(map(str, name)).encode()).digest(SIZE)
        self._at = 0

    def _take(self, count: int) -> bytes:
        taken = self._bytes[self._at : self._at + count]
        if len(taken) < count:
            raise IndexError(f"more than {SIZE} bytes drawn from one name")
        self._at += count
        return taken

    def below(self, end: int) -> int:
        """Return a whole number from 0 to *end* - 1."""
        return int.from_bytes(self._take(4), "big") % end

    def share(self) -> float:
        """Return a number from [0, 1)."""
        return int.from_bytes(self._take(4), "big") / 2**32

    def choice(self, among: Sequence[T]) -> T:
        """Return one of *among*."""
        return among[self.below(len(among))]

    def id(self) -> str:
        """Return an ID that looks like a random UUID."""
        text = self._take(16).hex()
        return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"

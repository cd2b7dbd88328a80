"""Text to physical lines: split at line feeds only, none of them too long to hold."""

from collections.abc import Iterable, Iterator
from typing import Self

from bulksync.reader.record import ROW_LIMIT, Flaw


class TooLarge(Exception):  # noqa: N818 - it ends a row, which is no error of ours
    """A row is over the limit; *quotes* counts those in a line that was let go for its length, None if none was."""

    def __init__(self, quotes: int | None = None) -> None:
        super().__init__(quotes)
        self.quotes = quotes


class Lines:
    """Hands out physical lines, counts them from 1, and remembers those *taken* since the row began.

    Iterating raises TooLarge, and goes on after it, when they or one line are over the limit.
    """

    def __init__(self, lines: Iterable[str | TooLarge]) -> None:
        self._lines = iter(lines)
        self._size = 0
        self.number = 0
        self.ended = False
        self.taken: list[str] = []

    def start_row(self) -> None:
        """Forgets the lines of the row before."""
        self.taken = []
        self._size = 0

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        line = next(self._lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.number += 1
        if isinstance(line, TooLarge):
            raise line
        self.taken.append(line)
        self._size += size(line)
        if self._size > ROW_LIMIT:
            raise TooLarge
        return line


def split(blocks: Iterable[str]) -> Iterator[str | TooLarge]:
    """Lines with their line feed; in place of one over the limit stands a TooLarge. A last Ctrl-Z is dropped."""
    rest, lost = "", None  # *lost*: the quotes in what was already let go of the line being read
    for block in blocks:
        *lines, rest = (rest + block).split("\n")
        for line in lines:
            yield _measured(line + "\n", lost)
            lost = None
        if len(rest) > ROW_LIMIT:
            rest, lost = "", (lost or 0) + rest.count('"')
    rest = rest.removesuffix("\x1a")
    if rest or lost is not None:
        yield _measured(rest, lost)


def _measured(line: str, lost: int | None) -> str | TooLarge:
    if lost is None and (len(line) * 4 <= ROW_LIMIT or size(line) <= ROW_LIMIT):
        return line
    return TooLarge((lost or 0) + line.count('"'))


def size(text: str) -> int:
    """How many bytes *text* has in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def flawed(raw: str, line: int, encoding: str) -> Flaw | None:
    """What makes the lines *raw*, the first of which is *line*, no text: an undecodable byte or a NUL."""
    if raw.isascii() and "\0" not in raw:
        return None
    try:
        raw.encode()
        at, what = raw.find("\0"), "is NUL"
    except UnicodeEncodeError as error:
        at, what = error.start, f"is not valid {encoding.upper()}"
        if encoding == "utf-8":
            what = f"(0x{ord(raw[at]) - 0xDC00:02X}) {what}; {_cause(raw, at)}"
    if at < 0:
        return None
    before, unit = raw[raw.rfind("\n", 0, at) + 1 : at], "byte" if encoding == "utf-8" else "character"
    place = (size(before) if encoding == "utf-8" else len(before)) + 1
    return Flaw("encoding_invalid", f"{unit} {place} of line {line + raw.count(chr(10), 0, at)} {what}")


def _cause(raw: str, at: int) -> str:
    """What wrote a byte that is not UTF-8; ED and A0 to BF behind it are half of a character as CESU-8 has it."""
    if raw[at] == "\udced" and "\udca0" <= raw[at + 1 : at + 2] <= "\udcbf":
        return "it is half a character, as CESU-8 (Oracle, Java) writes them; export the file as UTF-8"
    return "if the whole file is like this, give --encoding cp1252"

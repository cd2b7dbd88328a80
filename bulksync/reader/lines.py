"""Split text into physical lines: at line feeds only, and none too long to hold in memory."""

from collections.abc import Iterable, Iterator
from typing import Self

from bulksync.reader.record import ROW_LIMIT, Flaw


class TooLarge(Exception):  # noqa: N818 - it ends a row, which is no error of ours
    """Raised when a row is over the limit; *quotes* counts those in a line dropped for its length, None if none was."""

    def __init__(self, quotes: int | None = None) -> None:
        super().__init__(quotes)
        self.quotes = quotes


class Lines:
    """Hands out physical lines, counts them from 1, and remembers those *taken* since the row began.

    Iteration raises TooLarge when these lines together, or a single line, exceed the limit; it can be continued
    after that.
    """

    def __init__(self, lines: Iterable[str | TooLarge]) -> None:
        self._lines = iter(lines)
        self._size = 0
        self.number = 0
        self.ended = False
        self.taken: list[str] = []

    def start_row(self) -> None:
        """Forget the lines of the previous row."""
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
    """Yield lines with their line feed; one over the limit is replaced by a TooLarge. A final Ctrl-Z is dropped."""
    rest, lost = "", None  # *lost*: quotes in the part of the current line already dropped
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
    """Return the size of *text* in UTF-8 bytes."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def flawed(raw: str, line: int, encoding: str) -> Flaw | None:
    """Return the flaw in the lines *raw*, the first being *line*: an undecodable byte or a NUL."""
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
    """Explain where a non-UTF-8 byte came from; ED followed by A0 to BF is half a character in CESU-8."""
    if raw[at] == "\udced" and "\udca0" <= raw[at + 1 : at + 2] <= "\udcbf":
        return "it is half a character, as CESU-8 (Oracle, Java) writes them; export the file as UTF-8"
    return "if the whole file is like this, give --encoding cp1252"

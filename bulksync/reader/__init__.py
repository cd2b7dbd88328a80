"""Reads the input: every row becomes a `Row` to send or an `InvalidRow` that says why not, and none gets lost.

A file passes `source` (which file, read how), `decoding` (bytes to text), `lines` (text to
physical lines), `header` and `delimited` or `jsonl`
(lines to cells) and `validation` (cells to a row).
"""

from bulksync.reader.header import known_name
from bulksync.reader.input import Input, open_input
from bulksync.reader.jsonl import FLAW
from bulksync.reader.jsontext import Number, dumps, parse
from bulksync.reader.record import NESTING_LIMIT, Flaw, Layout, Record
from bulksync.reader.source import Format, Source, fingerprint, locate, spool

__all__ = [
    "FLAW",
    "NESTING_LIMIT",
    "Flaw",
    "Format",
    "Input",
    "Layout",
    "Number",
    "Record",
    "Source",
    "dumps",
    "fingerprint",
    "known_name",
    "locate",
    "open_input",
    "parse",
    "spool",
]

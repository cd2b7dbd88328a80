"""Reads the input: every row becomes a `Row` to send or an `InvalidRow` that says why not, and none gets lost.

A file passes `source` (which file, read how), `decoding` (bytes to text), `lines` (text to
physical lines), `header` and `delimited` or `jsonl`
(lines to cells) and `validation` (cells to a row).
"""

from bulksync.reader.input import Input, open_input
from bulksync.reader.record import Layout, Record
from bulksync.reader.source import Format, Source, fingerprint, locate, spool

__all__ = ["Format", "Input", "Layout", "Record", "Source", "fingerprint", "locate", "open_input", "spool"]

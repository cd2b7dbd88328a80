"""Reads the input: every row becomes a `Row` to send or an `InvalidRow` that says why not, and none gets lost.

A file passes `source` (which file, read how), `decoding` (bytes to text), `lines` (text to physical lines), `header`
and `delimited` or `jsonl` (lines to cells) and `validation` (cells to a row). For the sender and everything above it.
"""

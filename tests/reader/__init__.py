"""Tests of `bulksync.reader`."""

"""Tests of `bulksync.options`."""

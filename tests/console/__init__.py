"""Tests of `bulksync.console`."""

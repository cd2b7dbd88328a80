"""Tests of `bulksync.sender`."""

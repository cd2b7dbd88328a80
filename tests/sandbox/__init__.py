"""Tests of `bulksync.sandbox`."""

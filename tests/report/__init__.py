"""Tests of `bulksync.report`."""

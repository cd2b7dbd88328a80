"""Tests of `bulksync.quota`."""

"""Tests of `bulksync.ledger`."""

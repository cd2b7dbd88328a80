"""Tests of `bulksync.commands`."""

"""Tests of `bulksync.client`."""

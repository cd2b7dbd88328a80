"""The quota: when the next request may be written. For the sender."""

"""The quota: when the next request may be written, by this process or by all that share it. For the sender."""

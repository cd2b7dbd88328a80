"""Send thousands to millions of workflow execution updates to a rate-limited API, losing and reordering nothing."""

__version__ = "0.1.0"

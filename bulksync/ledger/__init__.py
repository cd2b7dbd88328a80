"""The memory across runs, one SQLite file: written before the report, and the truth that the report shows."""

from bulksync.ledger.backlog import Backlog
from bulksync.ledger.store import Run, Store, timestamp
from bulksync.ledger.writer import Ledger, open_ledger

__all__ = ["Backlog", "Ledger", "Run", "Store", "open_ledger", "timestamp"]

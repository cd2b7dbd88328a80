"""A ledger's file, changed behind its back."""

from typing import Any

from bulksync.ledger.store import Store


def execute(store: Store, statement: str) -> list[tuple[Any, ...]]:
    """Carry out one statement of SQL on the store's own connection."""
    with store.transaction() as db:
        return db.execute(statement).fetchall()

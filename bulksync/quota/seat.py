"""The names of quotas and seats: who shares a rate, and what only one process at a time may send."""

import socket
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Seat:
    """What one process at a time may send, and its holder: the same ledger is the same holder, even after a kill."""

    run: str
    holder: str


def seat_for(target: str, digest: str, ledger: Path | None) -> Seat:
    """Return the seat of a run against *target*, of the input with this digest, recorded in *ledger*.

    The ledger's lock keeps a second process out; a ledger in memory, or one recreated at the same path, is another
    holder.
    """
    run = blake2b(f"{target} {digest}".encode(), digest_size=16).hexdigest()
    if ledger is None:
        return Seat(run, uuid4().hex)
    file = ledger.stat()
    place = f"{socket.gethostname()} {file.st_dev} {file.st_ino}"
    return Seat(run, blake2b(place.encode(), digest_size=16).hexdigest())


def name_for(target: str, key: str, quota_name: str | None, host: str = "") -> str:
    """Return the name of a quota: that of a key at a target, or of a *quota_name* that combines several.

    The name contains the key only as a digest of a digest. *host* distinguishes hosts whose users share a home
    directory.
    """
    if quota_name is not None:
        return blake2b(f"{host} name {quota_name}".encode(), digest_size=16).hexdigest()
    secret = blake2b(key.encode(), digest_size=32).digest()
    return blake2b(f"{host} {target}".encode(), key=secret, digest_size=16).hexdigest()

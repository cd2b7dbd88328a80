"""The names of quotas and seats: who shares a rate, and what one process at a time may send."""

import socket
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Seat:
    """What one process at a time may send, and who that is: the same ledger is the same holder, also after a kill."""

    run: str
    holder: str


def seat_for(target: str, digest: str, ledger: Path | None) -> Seat:
    """Return the seat of a run against *target*, of the input with this digest, that is recorded in *ledger*.

    The ledger's lock keeps a second process from it; one in memory, or at the same path but created anew, is another.
    """
    run = blake2b(f"{target} {digest}".encode(), digest_size=16).hexdigest()
    if ledger is None:
        return Seat(run, uuid4().hex)
    file = ledger.stat()
    place = f"{socket.gethostname()} {file.st_dev} {file.st_ino}"
    return Seat(run, blake2b(place.encode(), digest_size=16).hexdigest())


def name_for(target: str, key: str, quota_name: str | None, host: str = "") -> str:
    """Return the name of a quota: of a key at a target, or, where a *quota_name* joins several, of that.

    The key goes into it by a digest of a digest. *host* tells hosts apart whose users share a home.
    """
    if quota_name is not None:
        return blake2b(f"{host} name {quota_name}".encode(), digest_size=16).hexdigest()
    secret = blake2b(key.encode(), digest_size=32).digest()
    return blake2b(f"{host} {target}".encode(), key=secret, digest_size=16).hexdigest()

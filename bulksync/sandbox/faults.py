"""The faults that the sandbox injects: deterministic pseudo-random, or scripted by a test.

fault                     applied   the client sees
server_error              no        500
unavailable               no        503
unavailable_retry_after   no        503 with Retry-After: 1
reset_before              no        the connection reset
reset_after               yes       the connection reset
hang                      no        nothing, until it disconnects
truncated                 yes       a 200 that ends halfway through its body
not_json                  no        200 text/html, like a proxy's login page
redirect                  no        307 to another origin
wrong_id                  no        a 200 that names another execution
oversized                 yes       a 200 with a body over 64 KiB
late_apply                later     the connection closed
"""

from dataclasses import dataclass, fields

OK = "ok"
"""No fault."""


@dataclass(frozen=True, slots=True)
class Faults:
    """The share of requests (0 to 1) for each fault; raises ValueError if they add up to more than 1."""

    server_error: float = 0.0
    unavailable: float = 0.0
    unavailable_retry_after: float = 0.0
    reset_before: float = 0.0
    reset_after: float = 0.0
    hang: float = 0.0
    truncated: float = 0.0
    not_json: float = 0.0
    redirect: float = 0.0
    wrong_id: float = 0.0
    oversized: float = 0.0
    late_apply: float = 0.0

    def __post_init__(self) -> None:
        rates = {name: getattr(self, name) for name in NAMES}
        for name, rate in rates.items():
            if not 0 <= rate <= 1:
                raise ValueError(f"fault {name}: {rate} is not between 0 and 1")
        if sum(rates.values()) > 1 + 1e-9:
            raise ValueError(f"the faults add up to {sum(rates.values()):g}, which is more than 1")


NAMES = tuple(field.name for field in fields(Faults))

APPLYING = frozenset({OK, "reset_after", "truncated", "oversized"})
"""Faults (or none) whose update is applied before the request is answered."""


def pick(faults: Faults, share: float) -> str:
    """Return the fault at *share* (0 up to 1) when the rates are laid end to end; beyond them, `ok`."""
    for name in NAMES:
        share -= getattr(faults, name)
        if share < 0:
            return name
    return OK


def parse_faults(text: str) -> Faults:
    """Parse `reset_after=0.05,server_error=0.1`; raises ValueError with the reason and the known names."""
    rates: dict[str, float] = {}
    for part in text.split(",") if text.strip() else ():
        name, _, rate = (word.strip() for word in part.partition("="))
        if name not in NAMES:
            raise ValueError(f"unknown fault {name!r}; known are {', '.join(NAMES)}")
        if name in rates:
            raise ValueError(f"fault {name} is given twice")
        rates[name] = _rate(name, rate)
    return Faults(**rates)


def _rate(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"fault {name}: {text!r} is not a number between 0 and 1; write {name}=0.05") from None

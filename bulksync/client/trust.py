"""Whom TLS trusts, and who we are to it: certificates of authorities, and our own where the server wants one."""

import shlex
import ssl
import stat
from dataclasses import dataclass
from pathlib import Path

from bulksync.errors import UsageError


@dataclass(frozen=True, slots=True)
class Trust:
    """Files of PEM certificates: the authorities, the system's by default, and the client's own with its key."""

    ca_file: Path | None = None
    client_cert: Path | None = None
    client_key: Path | None = None


SYSTEM = Trust()


def tls(trust: Trust) -> ssl.SSLContext:
    """Return a verifying TLS context; UsageError where a file cannot be read or used."""
    try:
        context = ssl.create_default_context(cafile=trust.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(
            f"--ca-file {trust.ca_file} cannot be used: {error}", "name a file of PEM certificates"
        ) from None
    if trust.client_cert is not None:
        present(context, trust.client_cert, trust.client_key)
    return context


def present(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Let a context show a certificate, whose key may stand in the same file; UsageError where it cannot."""
    what = f"--client-cert {certificate}" if key is None else f"--client-cert {certificate} and --client-key {key}"
    private = key or certificate
    try:
        if stat.S_IMODE(private.stat().st_mode) & 0o077:
            raise UsageError(
                f"others may read or write {private}, so it is not used", f"chmod 600 {shlex.quote(str(private))}"
            )
        # OpenSSL would ask for the password on the terminal; an empty one opens nothing.
        context.load_cert_chain(certificate, key, password="")
    except OSError as error:  # an SSLError is one
        reason = (
            error.strerror if not isinstance(error, ssl.SSLError) else SSL_REASONS.get(error.reason or "", error.reason)
        )
        step = "name PEM files that belong together, the key unencrypted"
        raise UsageError(f"{what} cannot be used: {reason or 'no PEM certificate and key in it'}", step) from None


SSL_REASONS = {
    "KEY_VALUES_MISMATCH": "the key is another certificate's",
    "NO_START_LINE": "a certificate or its key is missing",
    "BAD_DECRYPT": "the key is encrypted",
    "BAD_PASSWORD_READ": "the key is encrypted",
}
"""OpenSSL's words, in ours."""

"""TLS: the certificates we trust, the one we present, and the meaning of a server's alerts."""

import os
import re
import shlex
import ssl
from collections.abc import Callable
from pathlib import Path

from bulksync.client.private import CREDENTIALS, read_secret
from bulksync.errors import UsageError

ABOUT_CERTIFICATES = ("CERTIFICATE", "HANDSHAKE_FAILURE", "UNKNOWN_CA", "ACCESS_DENIED")
"""Parts of alert names sent because a client certificate is missing or wrong (RFC 8446 §6.2)."""

OPTIONS = "give --client-cert and --client-key"
CERTIFICATE_WANTED = f"the server asks for a client certificate: {OPTIONS}"


def tls(ca_file: Path | None, client_cert: Path | None = None, client_key: Path | None = None) -> ssl.SSLContext:
    """Return a verifying TLS context that trusts *ca_file*, or the system; raises UsageError if a file cannot be used.

    It presents *client_cert* to servers that ask; without *client_key* the private key is in the same file.
    """
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--ca-file {ca_file} cannot be used: {error}", "name a file of PEM certificates") from None
    if client_key is not None and client_cert is None:
        raise UsageError("--client-key needs a certificate", "name it with --client-cert")
    if client_cert is not None:
        load_identity(context, client_cert, client_key or client_cert)
    return context


def load_identity(context: ssl.SSLContext, cert: Path, key: Path) -> None:
    """Make a context present a client certificate; raises UsageError if it cannot."""
    option = "--client-cert" if key == cert else "--client-key"
    if "PRIVATE KEY-----" not in read_secret(key, option, os.environ.get(CREDENTIALS)):
        raise UsageError(f"{key} contains no private key", "name a PEM file with --client-key")
    if "-----BEGIN CERTIFICATE-----" not in read_text(cert):
        raise UsageError(f"--client-cert {cert} contains no certificate", "name a PEM file with --client-cert")
    try:
        context.load_cert_chain(cert, key, password=encrypted(key))
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"--client-cert {cert} cannot be used: {flaw_of(error, key)}", f"check {key}") from None


def read_text(file: Path) -> str:
    """Read a certificate file; raises UsageError if it cannot be read."""
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise UsageError(f"{file} cannot be read: {error.strerror}", "check --client-cert") from None


def encrypted(key: Path) -> Callable[[], str]:
    """Return a password callback for OpenSSL, so that it does not prompt on the terminal."""

    def refuse() -> str:
        decrypt = f"openssl pkey -in {shlex.quote(str(key))} -out plain.key && chmod 600 plain.key"
        raise UsageError(f"the private key in {key} is encrypted", decrypt)

    return refuse


def flaw_of(error: OSError, key: Path) -> str:
    """Describe what is wrong with a certificate and its key."""
    if "KEY_VALUES_MISMATCH" in str(error):
        return f"the private key in {key} belongs to another certificate"
    return os.strerror(error.errno) if not isinstance(error, ssl.SSLError) and error.errno else str(error)


def alert_of(error: BaseException | None) -> str:
    """Return the name of the TLS alert that ended a connection, such as `CERTIFICATE_REQUIRED`; empty if none.

    aiohttp keeps only the text of OpenSSL's error, which contains the name in brackets.
    """
    text = str(error.args[-1]) if error is not None and error.args else ""
    match = re.search(r"\[SSL: \w+?_ALERT_(\w+)\]", text)
    return match[1] if match else ""


def alert_text(alert: str, *, has_cert: bool) -> str:
    """Describe an alert, depending on whether a client certificate was presented (*has_cert*)."""
    if alert == "CERTIFICATE_REQUIRED":
        return f"TLS: {CERTIFICATE_WANTED}"
    said = alert.replace("_", " ").lower()
    if not any(part in alert for part in ABOUT_CERTIFICATES):
        return f"TLS: the server broke off: {said}"
    if has_cert:
        return f"TLS: the server refused the client certificate: {said}"
    return f"TLS: the server refused the connection: {said}; if it asks for a client certificate: {OPTIONS}"

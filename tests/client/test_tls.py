"""Client certificates, and the alerts of servers that want one."""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
import uvloop
from aiohttp import ClientConnectionError

from bulksync.client.tls import CERTIFICATE_WANTED, OPTIONS, alert_of, alert_text
from bulksync.errors import UsageError
from bulksync.model import Reply
from tests.support.clients import ACKNOWLEDGED, client, granted, paced, row
from tests.support.fault_server import Authority, acknowledgement, authority, message, openssl
from tests.support.thread_server import Server, Talk, listening

LOOPS = pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
REFUSED = "TLS: the server refused the connection"
Run = Callable[[Coroutine[Any, Any, Any]], Any]


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Found the authority that both sides trust."""
    return authority(tmp_path_factory.mktemp("tls") / "trusted")


def wants_certificate(trusted: Authority, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """Return what a server needs that lets nobody in without a certificate of that authority."""
    context = trusted.tls()
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(trusted.certificate)
    context.maximum_version = version
    return context


def answer(talk: Talk, _: Server) -> None:
    """Acknowledge every request."""
    while True:
        talk.write(message(acknowledgement(talk.read())))


async def reply_of(url: str, **options: Any) -> Reply | None:
    """Put one row."""
    async with paced(url, **options) as put:
        return await put(row(1), granted)


@pytest.mark.fault("A5", "a client certificate is asked for")
@LOOPS
def test_a_certificate_that_is_asked_for(run: Run, trusted: Authority) -> None:
    """TLS 1.3 asks for a client certificate after the handshake; who has none is told the options."""
    with listening(answer, wants_certificate(trusted)) as server:
        told = Reply(None, "tls_failed", f"TLS: {CERTIFICATE_WANTED}")
        assert run(reply_of(server.url, ca_file=trusted.certificate)) == told
    assert server.requests == []


@pytest.mark.fault("A5", "an alert that comes a round trip later")
@LOOPS
def test_a_refusal_from_far_away(run: Run, trusted: Authority) -> None:
    """Where the alert takes its time the first request waits for it, as the two would cross, and a reset follow."""
    context = wants_certificate(trusted)

    def refuse(talk: Talk, _: Server) -> None:
        received, written = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(received, written, server_side=True)
        for seconds in (0.06, 0.03):  # a server that is far away: hello, then what it says of the client's last word
            with contextlib.suppress(ssl.SSLWantReadError):
                tls.do_handshake()
            talk.write(written.read())
            received.write(talk.connection.recv(65536))
            time.sleep(seconds)
        with pytest.raises(ssl.SSLError, match="did not return a certificate"):
            tls.do_handshake()
        talk.write(written.read())

    with listening(refuse) as server:
        told = Reply(None, "tls_failed", f"TLS: {CERTIFICATE_WANTED}")
        url = server.url.replace("http:", "https:")
        assert run(reply_of(url, ca_file=trusted.certificate)) == told


@pytest.mark.fault("A5", "TLS 1.2 says less")
@LOOPS
def test_tls_1_2_says_less(run: Run, trusted: Authority) -> None:
    """TLS 1.2 refuses without a reason, which is told as a guess."""
    with listening(answer, wants_certificate(trusted, ssl.TLSVersion.TLSv1_2)) as server:
        told = Reply(
            None, "tls_failed", f"{REFUSED}: handshake failure; if it asks for a client certificate: {OPTIONS}"
        )
        assert run(reply_of(server.url, ca_file=trusted.certificate)) == told


@pytest.mark.fault("A5", "--client-cert and --client-key")
@LOOPS
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
@pytest.mark.parametrize("is_one_file", [True, False], ids=["one file", "two files"])
def test_a_certificate_that_is_shown(
    run: Run, version: ssl.TLSVersion, is_one_file: bool, trusted: Authority, tmp_path: Path
) -> None:
    """With `--client-cert`, the key in it or in `--client-key`, such a server lets us in."""
    context = wants_certificate(trusted, version)
    cert, key = identity(trusted, tmp_path)
    if is_one_file:
        key.write_text(key.read_text() + cert.read_text())
        files = {"client_cert": key}
    else:
        files = {"client_cert": cert, "client_key": key}
    with listening(answer, context) as server:
        assert run(reply_of(server.url, ca_file=trusted.certificate, **files)) == ACKNOWLEDGED


@pytest.mark.fault("A5", "a certificate of somebody else")
@LOOPS
def test_a_certificate_that_is_refused(run: Run, trusted: Authority, tmp_path: Path) -> None:
    """A client certificate that the server does not trust is told as that."""
    context = wants_certificate(trusted)
    cert, key = identity(authority(tmp_path / "other"), tmp_path)
    with listening(answer, context) as server:
        refused = Reply(None, "tls_failed", "TLS: the server refused the client certificate: unknown ca")
        files = {"client_cert": cert, "client_key": key}
        assert run(reply_of(server.url, ca_file=trusted.certificate, **files)) == refused


def identity(of: Authority, folder: Path) -> tuple[Path, Path]:
    """Return a certificate that an authority signed, and its key."""
    of.tls("DNS:client")
    cert, key = folder / "client.pem", folder / "client.key"
    cert.write_bytes((of.folder / "server.pem").read_bytes())
    key.write_bytes((of.folder / "server.key").read_bytes())
    key.chmod(0o600)
    return cert, key


@pytest.mark.parametrize(
    ("alert", "has_cert", "text"),
    [
        ("CERTIFICATE_REQUIRED", False, f"TLS: {CERTIFICATE_WANTED}"),
        (
            "BAD_CERTIFICATE",
            False,
            f"{REFUSED}: bad certificate; if it asks for a client certificate: {OPTIONS}",
        ),
        ("BAD_CERTIFICATE", True, "TLS: the server refused the client certificate: bad certificate"),
        ("INTERNAL_ERROR", False, "TLS: the server broke off: internal error"),
    ],
)
def test_what_an_alert_means(alert: str, has_cert: bool, text: str) -> None:
    """An alert about certificates names the option; others are told in their own words."""
    assert alert_text(alert, has_cert=has_cert) == text


def test_an_alert_is_found_in_the_text() -> None:
    """The name of an alert stands in the text that aiohttp keeps; other errors of TLS, or of the system, are none."""
    assert (
        alert_of(OSError(1, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 (_ssl.c:2580)")) == "CERTIFICATE_REQUIRED"
    )
    assert alert_of(OSError(1, "[SSL: SSLV3_ALERT_HANDSHAKE_FAILURE] sslv3 (_ssl.c:1006)")) == "HANDSHAKE_FAILURE"
    lost = ClientConnectionError("Connection lost: [SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca (_ssl.c:2580)")
    assert alert_of(lost) == "UNKNOWN_CA"
    assert alert_of(OSError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")) == ""
    assert [alert_of(error) for error in (None, OSError(), TimeoutError("x"), ConnectionResetError(104, "reset"))] == [
        ""
    ] * 4


# Files that cannot be used


async def refusal(**options: Any) -> tuple[str, str]:
    """Return what a call is told that cannot begin."""
    with pytest.raises(UsageError) as raised:
        async with client("https://api.example", **options):
            pass
    return raised.value.what, raised.value.next_step


@pytest.mark.fault("A5", "certificate files that cannot be used")
async def test_files_that_cannot_be_used(trusted: Authority, tmp_path: Path) -> None:
    """A file that is missing, empty, another's or of another kind is told before anything is sent."""
    cert, key = identity(trusted, tmp_path)
    missing, empty, other = tmp_path / "missing", tmp_path / "empty", tmp_path / "other.key"
    empty.touch(0o600)
    openssl(tmp_path, "ecparam", "-genkey", "-name", "prime256v1", "-out", "other.key")
    other.chmod(0o600)
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nxxxx\n-----END CERTIFICATE-----\n")
    check = "check --client-"
    assert await refusal(client_cert=missing) == (
        f"{missing} cannot be read: No such file or directory",
        check + "cert",
    )
    assert await refusal(client_cert=cert, client_key=missing) == (
        f"{missing} cannot be read: No such file or directory",
        check + "key",
    )
    assert await refusal(client_cert=cert, client_key=empty) == (
        f"{empty} contains no private key",
        "name a PEM file with --client-key",
    )
    assert await refusal(client_cert=empty, client_key=key) == (
        f"--client-cert {empty} contains no certificate",
        "name a PEM file with --client-cert",
    )
    assert await refusal(client_cert=cert, client_key=other) == (
        f"--client-cert {cert} cannot be used: the private key in {other} belongs to another certificate",
        f"check {other}",
    )
    assert (await refusal(client_cert=broken, client_key=key))[0].startswith(f"--client-cert {broken} cannot be used: ")
    assert await refusal(client_key=key) == ("--client-key needs a certificate", "name it with --client-cert")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644], ids=oct)
async def test_a_private_key_is_private(mode: int, trusted: Authority, tmp_path: Path) -> None:
    """A private key that others may read is refused like the API key's file, in `--client-cert` too."""
    cert, key = identity(trusted, tmp_path)
    key.chmod(mode)
    told = (f"others may read or write {key}, so it is not used", f"chmod 600 {key}")
    assert await refusal(client_cert=cert, client_key=key) == told
    assert await refusal(client_cert=key) == told


async def test_an_encrypted_key_is_not_asked_about(trusted: Authority, tmp_path: Path) -> None:
    """A private key with a password ends the call with the command that takes it off, and no prompt."""
    cert, _ = identity(trusted, tmp_path)
    openssl(tmp_path, "pkcs8", "-topk8", "-in", "client.key", "-out", "locked.key", "-passout", "pass:secret")
    locked = tmp_path / "locked.key"
    locked.chmod(0o600)
    said, step = await refusal(client_cert=cert, client_key=locked)
    assert said == f"the private key in {locked} is encrypted"
    assert step.startswith(f"openssl pkey -in {locked} ")

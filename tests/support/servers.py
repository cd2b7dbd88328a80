"""Servers that we did not write: started with a configuration of the test's own, ended by their process id."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep

import pytest

PATIENCE = 10.0
"""Seconds that a server may take until it listens."""


def program(name: str, package: str = "") -> str:
    """Return the path of a program of Debian's *package* (of its name); without it the test skips, and fails in CI."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    if path is None:
        reason = f"{name} is missing: apt-get install {package or name}"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def free_port() -> int:
    """Return a port of this host that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def listening(command: list[str], port: int, log: Path) -> Iterator[None]:
    """Run a server until the block ends; what it says goes to *log*."""
    with log.open("ab") as said:
        server = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
    try:
        until = monotonic() + PATIENCE
        while not answers(port):
            assert server.poll() is None, log.read_text()
            assert monotonic() < until, f"{command[0]} does not listen"
            sleep(0.01)
        yield
    finally:
        server.terminate()
        server.wait(PATIENCE)


def answers(port: int) -> bool:
    """Whether somebody listens on a port of this host."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


NGINX = """
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 256; }}
http {{
    log_format requests '$status $limit_req_status $connection $uri';
    access_log {folder}/access.log requests;
    default_type application/json;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    limit_req_status 429;
    map $uri $workflow {{ "~^/api/v1/workflow/(?<w>[^/]+)/execution/[^/]+$" $w; }}
    map $uri $execution {{ "~^/api/v1/workflow/[^/]+/execution/(?<e>[^/]+)$" $e; }}
    {outside}
    server {{
        listen 127.0.0.1:{port} {listen};
        {inside}
        location @answer {{
            return 200 '{{"id": "$execution", "workflowId": "$workflow", "status": "COMPLETED"}}';
        }}
    }}
}}
"""
"""`return` comes before `limit_req` in nginx's phases, `try_files` behind it: hence the answer's own location."""

ANSWER = "location / { try_files /none @answer; }"


@contextmanager
def nginx(folder: Path, port: int, *, outside: str = "", listen: str = "", inside: str = ANSWER) -> Iterator[Path]:
    """Serve the API's page with nginx, and yield its access log: status, limit's word, connection, path."""
    home = folder / "nginx"
    home.mkdir()
    configuration = home / "nginx.conf"
    configuration.write_text(NGINX.format(folder=home, port=port, outside=outside, listen=listen, inside=inside))
    # One process that writes nothing outside its folder, whoever runs the tests.
    alone = "daemon off; master_process off;"
    command = [program("nginx"), "-p", str(home), "-e", "stderr", "-c", str(configuration), "-g", alone]
    with listening(command, port, home / "said"):
        yield home / "access.log"


TINYPROXY = """
Port {port}
Listen 127.0.0.1
Allow 127.0.0.1
Timeout 30
LogFile "{log}"
LogLevel Connect
{more}
"""


@contextmanager
def tinyproxy(folder: Path, port: int, *, more: str = "") -> Iterator[Path]:
    """Serve as an HTTP proxy with tinyproxy, and yield its log."""
    home = folder / "tinyproxy"
    home.mkdir()
    log, configuration = home / "proxy.log", home / "tinyproxy.conf"
    configuration.write_text(TINYPROXY.format(port=port, log=log, more=more))
    with listening([program("tinyproxy"), "-d", "-c", str(configuration)], port, home / "said"):
        yield log


def certificate(folder: Path, host: str) -> tuple[Path, Path]:
    """Make a certificate for a host with OpenSSL, and return it and its key."""
    public, private = folder / "tls.pem", folder / "tls-private.pem"
    kind = ("-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2")
    name = ("-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}")
    command = [program("openssl"), "req", *kind, *name, "-keyout", str(private), "-out", str(public)]
    subprocess.run(command, check=True, capture_output=True, timeout=30)
    return public, private


@contextmanager
def redis(folder: Path, port: int, *options: str) -> Iterator[Path]:
    """Serve an empty Redis, which keeps nothing on disk unless *options* say so, and yield its log."""
    log = folder / f"redis-{port}.log"
    command = [program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    with listening([*command, "--save", "", "--appendonly", "no", *options], port, log):
        yield log

"""The rows that everyone sends, and the server that they send them to."""

import csv
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks.cost import environment
from tests.benchmarks.sink import HEAD, MIDDLE, TAIL
from tests.support.program import execution


def write_rows(path: Path, rows: int) -> None:
    """Write an input of so many rows, each of an execution of its own."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["workflowId", "executionId", "status", "metadata", "leadName"])
        for row in range(rows):
            workflow = f"11111111-1111-4111-8111-{row % 7:012x}"
            # Keys in no order, as real ones come.
            key = execution((row * 2_654_435_761) % 2**48)
            writer.writerow([workflow, key, "COMPLETED", f'{{"leadId": "L-{row}", "attempt": 2}}', f"Lead {row}"])


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(command: Sequence[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Start a server and end it by its own id."""
    running = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield running
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(10)


def nginx() -> str | None:
    """Return where nginx is; None where it is not."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


def nginx_configuration(port: int, folder: Path) -> str:
    """Return a configuration that answers the API page's body for the ids of the path."""
    page = f"{HEAD}$2{MIDDLE}$1{TAIL}".replace("'", "")
    return f"""
worker_processes 1; daemon off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{ worker_connections 1024; }}
http {{
    access_log off; keepalive_requests 100000000; default_type application/json;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port};
        location ~ ^/api/v1/workflow/([^/]+)/execution/([^/]+)$ {{ return 200 '{page}'; }}
    }}
}}
"""


@contextmanager
def server(folder: Path) -> Iterator[tuple[str, str]]:
    """Yield the URL of a fast server, and its name: nginx where it is installed, else our own sink."""
    port = free_port()
    program, command = nginx(), [sys.executable, "-m", "tests.benchmarks.sink", str(port), "3600"]
    if program:
        (folder / "nginx.conf").write_text(nginx_configuration(port, folder))
        command = [program, "-p", str(folder), "-c", str(folder / "nginx.conf")]
    with process(command, port):
        yield f"http://127.0.0.1:{port}", "nginx" if program else "our own sink (nginx is not installed)"

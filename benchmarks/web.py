"""The web server as the stack starts it, for a benchmark or a test, over the database of scratch.py
or of a running stack."""

import contextlib
import socket
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from config.stack.__main__ import web
from config.stack.supervisor import Service, Supervisor

ROOT = Path(__file__).resolve().parents[1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def web_service(
    port: int, *, workers: int, environment: Mapping[str, str] | None = None
) -> Service:
    """The stack's web server with so many worker processes; without an environment: this one's."""
    service = web("127.0.0.1", port)
    service.command = [*service.command, f"--workers={workers}"]  # the last one said counts
    service.run_as = {"env": environment and dict(environment), "cwd": ROOT}
    return service


@contextlib.contextmanager
def served(*, workers: int = 2) -> Iterator[str]:
    """The address of a web server of its own, which is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="closer-web-") as folder:
        port = free_port()
        supervisor = Supervisor(logs=Path(folder), process_list=Path(folder) / "processes.json")
        try:
            supervisor.start(web_service(port, workers=workers))
            yield f"http://127.0.0.1:{port}"
        finally:
            supervisor.stop()

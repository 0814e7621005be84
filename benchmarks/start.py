"""Seconds from the demo's command to its link: the first time, and going on with the same data.

Installation is not in it: `time make setup` in a fresh clone measures that.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time


def run() -> list[dict]:
    data = tempfile.mkdtemp(prefix="closer-bench-")
    try:
        first = _seconds_to_link(data)
        again = [_seconds_to_link(data) for _ in range(3)]
    finally:
        shutil.rmtree(data, ignore_errors=True)
    return [
        {
            "first s": round(first, 1),
            "again s (of 3)": [round(each, 1) for each in again],
            "first / again": round(first / sorted(again)[1], 1),
        }
    ]


def _seconds_to_link(data: str) -> float:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    inherited = {"DATABASE_URL", "CELERY_BROKER_URL", "CLOSER_URL", "LOG_LEVEL"}
    environment = {k: v for k, v in os.environ.items() if k not in inherited}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "config.stack", "--port", str(port)],
        env={**environment, "CLOSER_DATA": data},
        stderr=subprocess.PIPE,
        text=True,
    )
    seconds = None
    for line in process.stderr:
        if "Judge pairs" in line:
            seconds = time.perf_counter() - started
            time.sleep(1)  # as a person would, before Ctrl-C
            process.send_signal(signal.SIGINT)
    process.wait()
    assert seconds is not None, "the demo did not start"
    return seconds

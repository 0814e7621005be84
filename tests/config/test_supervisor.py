"""The supervisor keeps processes running, and ends them all."""

import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from config.stack.supervisor import Service, StartFailed, Supervisor, end_leftovers


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(logs=tmp_path / "logs", process_list=tmp_path / "processes.json")
    yield made
    made.stop()


def python(code: str, name: str = "program", **options) -> Service:
    return Service(name, [sys.executable, "-c", code], **{"is_ready": lambda: True, **options})


def until(condition, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_what_dies_is_started_again(supervisor):
    service = python("import time; time.sleep(60)")
    supervisor.start(service)
    supervisor.watch()
    first = service.process.pid
    os.kill(first, signal.SIGKILL)
    until(lambda: service.process.pid != first and service.process.poll() is None)


def test_a_program_that_ends_at_once_fails_the_start_with_its_last_words(supervisor):
    service = python("raise SystemExit('no such disk')", is_ready=lambda: False)
    with pytest.raises(StartFailed, match="no such disk"):
        supervisor.start(service)


def test_the_next_starts_only_when_the_one_before_is_ready(supervisor, tmp_path):
    flag = tmp_path / "ready"
    slow = python(
        "import pathlib, time\n"
        f"time.sleep(0.5); pathlib.Path({str(flag)!r}).touch(); time.sleep(60)",
        is_ready=flag.exists,
    )
    supervisor.start(slow)
    assert flag.exists()


def test_stopping_ends_children_of_children_too(supervisor, tmp_path):
    noted = tmp_path / "child"
    service = python(
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"pathlib.Path({str(noted)!r}).write_text(str(child.pid))\n"
        "time.sleep(60)",
        is_ready=lambda: noted.exists() and noted.read_text() != "",
    )
    supervisor.start(service)
    child = psutil.Process(int(noted.read_text()))
    supervisor.stop()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(sys.platform != "linux", reason="sessions share processors on Linux")
def test_who_is_nice_is_so_beside_other_sessions_too(supervisor):
    service = python("import time; time.sleep(60)", niceness=5)
    supervisor.start(service)
    pid = service.process.pid
    assert psutil.Process(pid).nice() == 5
    group = Path(f"/proc/{pid}/autogroup")
    assert not group.exists() or group.read_text().endswith("nice 5\n")


def test_leftovers_are_ended_but_not_a_stranger_with_a_reused_number(tmp_path):
    listed = tmp_path / "processes.json"
    killed = Supervisor(logs=tmp_path / "logs", process_list=listed)
    service = python("import time; time.sleep(60)")
    killed.start(service)
    process = psutil.Process(service.process.pid)
    noted = listed.read_text()

    listed.write_text(noted.replace(str(service.started), str(service.started - 1000)))
    end_leftovers(listed)
    assert process.is_running(), "started at another time, so it is somebody else's"

    listed.write_text(noted)
    end_leftovers(listed)
    service.process.wait(10)
    assert not listed.exists()

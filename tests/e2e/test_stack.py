"""The stack itself: it starts from nothing, stops cleanly, goes on, and says what is in the way."""

import contextlib
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

import psutil
import pytest

from config.stack import embedded
from tests.e2e.conftest import ROOT, Stack, own_folder, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("stack")]


def processes_over(data) -> list[str]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            mentions = [*process.cmdline(), process.environ().get("CLOSER_DATA", "")]
            if process.status() != "zombie" and any(str(data) in each for each in mentions):
                found.append(" ".join(process.cmdline()))
    return found


def is_running(pid: int) -> bool:
    # Where nobody reaps orphans, an ended one stays as a zombie.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


@pytest.fixture(scope="module")
def running(prepared):
    """A stack that tests leave as they find it."""
    with own_folder() as folder:
        yield Stack(folder, prepared=prepared).start()


def test_ctrl_c_stops_everything_and_a_second_start_goes_on_with_the_same_data(
    data_folder, photographs, prepared
):
    stack = Stack(data_folder, prepared=prepared).start()
    stack.manage("import_images", str(photographs), "--collection", "mine")
    assert stack.stop() == 0
    assert processes_over(data_folder) == []

    again = Stack(data_folder).start()
    assert again.sql("SELECT count(*) FROM codecs_registry_sourceimage") == [(3,)]
    assert again.stop() == 0

    fresh = Stack(data_folder).start("--fresh")
    assert fresh.sql("SELECT count(*) FROM codecs_registry_sourceimage") == [(0,)]
    [aside] = data_folder.glob("before-*")
    assert (aside / "postgres" / "PG_VERSION").exists(), "judgments are put aside, not deleted"
    assert fresh.stop() == 0


def test_what_a_killed_supervisor_left_running_is_ended_at_the_next_start(data_folder, prepared):
    stack = Stack(data_folder, prepared=prepared).start()
    os.kill(stack.process.pid, signal.SIGKILL)
    stack.process.wait()
    orphan = stack.pid("postgres")
    assert is_running(orphan)

    again = Stack(data_folder, port=stack.port).start()
    assert not is_running(orphan)
    assert again.stop() == 0
    assert processes_over(data_folder) == []


def test_an_occupied_port_is_named_with_the_way_out(data_folder):
    with socket.socket() as occupant:
        occupant.bind(("127.0.0.1", 0))
        occupant.listen()
        port = occupant.getsockname()[1]
        message = Stack(data_folder, port=port).refuses()
    assert f"port {port} is not free" in message
    assert f"make demo PORT={port + 1}" in message
    assert "Traceback" not in message


def test_a_second_stack_over_the_same_data_says_that_one_is_running(running):
    message = Stack(running.data).refuses()
    assert f"running already over {running.data}, at {running.url}" in message


def test_servers_that_the_environment_names_are_used_and_left_running(
    running, data_folder, photographs
):
    guest = Stack(data_folder)
    host = embedded.database(running.data)["HOST"]
    guest.environment |= {
        "DATABASE_URL": f"postgres://closer@/closer?host={host}",
        "CELERY_BROKER_URL": embedded.broker_url(running.data),
        "SECRET_KEY": "one that is brought along " * 3,
    }
    assert "SECRET_KEY: with DATABASE_URL" in guest.refuses(without="SECRET_KEY")
    assert "FRESH takes away the files" in guest.refuses("--fresh")

    guest.start()
    guest.manage("import_images", str(photographs))
    assert running.sql("SELECT count(*) FROM codecs_registry_sourceimage") == [(3,)]
    assert not (data_folder / "postgres").exists()
    assert guest.stop() == 0
    assert running.answers()


def test_a_command_without_a_database_says_how_to_start_one(data_folder):
    result = Stack(data_folder).manage("export_dataset", "x", str(data_folder / "out"), check=False)
    assert result.returncode != 0
    assert "make demo" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_it_runs_as_an_ordinary_user(data_folder):
    shutil.chown(data_folder, "nobody", "nogroup")
    needed = {ROOT, Path(sys.executable).resolve()}  # of a clone by root in root's own home
    for folder in needed | {parent for each in needed for parent in each.parents}:
        if not folder.stat().st_mode & 0o005:
            pytest.skip(f"{folder} is closed to other users")
    stack = Stack(data_folder)
    stack.environment["HOME"] = str(data_folder)
    stack.process = stack.launch("--no-demo", user="nobody", group="nogroup", extra_groups=[])
    wait_for(lambda: "Closer runs at" in stack.said() or stack.process.poll() is not None)
    assert stack.process.poll() is None, stack.said()
    owners = {psutil.Process(stack.pid(name)).username() for name in ("postgres", "web", "worker")}
    assert owners == {"nobody"}
    assert stack.stop() == 0


def test_an_address_that_this_stack_cannot_serve_is_refused(data_folder):
    assert "this stack speaks http" in Stack(data_folder).refuses("--url", "https://lab.example")


def test_the_sockets_of_a_very_long_data_folder_stay_short(tmp_path):
    deep = tmp_path / ("a" * 60) / ("b" * 60)
    assert len(str(embedded.broker_socket(deep))) < 100

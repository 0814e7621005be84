"""The whole of Closer, started as its users start it, with data of its own."""

import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import httpx
import psycopg
import pytest
from django.conf import settings as configured
from PIL import Image

from config.stack import embedded
from config.stack.supervisor import end_leftovers
from tests import factories
from tests.e2e.browser import find_chromium

ROOT = Path(__file__).resolve().parents[2]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, *, seconds: float = 180.0):
    """What `condition` returns, as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (result := condition()):
        assert time.monotonic() < deadline, f"still not so after {seconds} s: {condition}"
        time.sleep(0.05)
    return result


def toml(value) -> str:
    """A value as TOML writes it inline."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(each)}' for key, each in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return json.dumps(value, ensure_ascii=False)


class Stack:
    """A running `python -m config.stack` and what tests do with it."""

    launched: ClassVar[list[tuple[Path, subprocess.Popen]]] = []

    def __init__(
        self, data: Path, *, port: int | None = None, prepared: Path | None = None
    ) -> None:
        """prepared : a database that was migrated already, to begin from."""
        self.data = data
        if prepared:
            copy(prepared, data / "postgres")
        self.port = port or free_port()
        self.url = f"http://localhost:{self.port}"
        self.process: subprocess.Popen | None = None
        self.stderr = data / f"stderr-{self.port}"
        inherited = {"DATABASE_URL", "CELERY_BROKER_URL", "CLOSER_URL", "DJANGO_SETTINGS_MODULE"}
        self.environment = {k: v for k, v in os.environ.items() if k not in inherited}
        self.environment["CLOSER_DATA"] = str(data)
        # Addresses with signed tokens that a test makes are then this stack's, too.
        self.environment["SECRET_KEY"] = configured.SECRET_KEY

    def start(self, *arguments: str) -> "Stack":
        """Start it without the demo's studies, and wait until its pages answer."""
        self.process = self.launch("--no-demo", *arguments)
        wait_for(lambda: "Closer runs at" in self.said() or self.process.poll() is not None)
        assert self.process.poll() is None, self.said()
        return self

    def launch(self, *arguments: str, **options) -> subprocess.Popen:
        command = [sys.executable, "-m", "config.stack", "--port", str(self.port), *arguments]
        with self.stderr.open("w") as stderr:
            process = subprocess.Popen(
                command, cwd=ROOT, env=self.environment, stderr=stderr, text=True, **options
            )
        self.launched.append((self.data, process))
        return process

    def said(self) -> str:
        """What the last start printed."""
        return self.stderr.read_text()

    def refuses(self, *arguments: str, without: str = "") -> str:
        """Start it where it cannot start; returns what it says of that."""
        kept = self.environment
        self.environment = {name: kept[name] for name in kept if name != without}
        assert self.launch("--no-demo", *arguments).wait(30) in (1, 3)
        self.environment = kept
        return self.said()

    def stop(self) -> int:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(60)
        return self.process.returncode

    def answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def manage(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess:
        result = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or result.returncode == 0, result.stderr
        return result

    def sql(self, query: str, *values) -> list[tuple]:
        with self._database() as connection:
            return connection.execute(query, values).fetchall()

    def sql_do(self, statement: str, *values) -> None:
        with self._database() as connection:
            connection.execute(statement, values)

    def _database(self) -> psycopg.Connection:
        settings = embedded.database(self.data)
        return psycopg.connect(
            host=settings["HOST"], user=settings["USER"], dbname=settings["NAME"]
        )

    def pid(self, service: str) -> int:
        listed = json.loads((embedded.run_folder(self.data) / "processes.json").read_text())
        return listed[service]["pid"]

    def launch_study(self, name: str, folder: Path, *, wait: bool = True, **keys) -> dict:
        """Launch a study of the pictures in a folder; returns what `launch_study --json` says."""
        settings = {"name": name, "images": str(folder), "codecs": ["jpeg", "webp"], **keys}
        file = self.data / f"{name}.toml"
        file.write_text("".join(f"{key} = {toml(settings[key])}\n" for key in settings))
        options = [] if wait else ["--no-wait"]
        return json.loads(self.manage("launch_study", str(file), "--json", *options).stdout)

    def make_researcher(self) -> tuple[str, str]:
        name, password = "ada", "a long password"
        if not self.sql("SELECT 1 FROM auth_user WHERE username = %s", name):  # else prepared
            self.environment["DJANGO_SUPERUSER_PASSWORD"] = password
            self.manage(
                "createsuperuser", "--noinput", f"--username={name}", "--email=a@example.org"
            )
        return name, password


def copy(source: Path, target: Path) -> None:
    """A folder with its owners, which shutil leaves behind."""
    subprocess.run(["/bin/cp", "-a", source, target], check=True)


@contextlib.contextmanager
def own_folder() -> Iterator[Path]:
    """A folder under the system's temporary one, short enough for sockets. At the end the stacks
    over it are stopped, also those that a failing test left running, and it is deleted."""
    folder = Path(tempfile.mkdtemp(prefix="closer-stack-"))
    try:
        yield folder
    finally:
        for data, process in Stack.launched:
            if data.is_relative_to(folder):
                if process.poll() is None:
                    process.send_signal(signal.SIGINT)
                    process.wait(60)
                end_leftovers(embedded.run_folder(data) / "processes.json")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def data_folder():
    with own_folder() as folder:
        yield folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory, worker_id) -> Path:
    """The database's folder as the first start of a stack leaves it, with a researcher: making and
    migrating one takes longer than all else of a start. All processes of a run share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base if worker_id == "master" else base.parent
    with (shared / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / "prepared").exists():
            with own_folder() as folder:
                running = Stack(folder).start()
                running.make_researcher()
                assert running.stop() == 0
                copy(folder / "postgres", shared / "copying")
                (shared / "copying").rename(shared / "prepared")
    return shared / "prepared"


@pytest.fixture
def stack(data_folder, prepared):
    return Stack(data_folder, prepared=prepared).start()


@pytest.fixture(scope="session")
def shared_stack(prepared):
    """For modules whose tests keep to studies of their own: starting one takes seconds."""
    with own_folder() as folder:
        running = Stack(folder, prepared=prepared).start()
        running.make_researcher()
        yield running


@pytest.fixture(scope="session")
def photographs(tmp_path_factory) -> Path:
    """A folder of three small pictures."""
    folder = tmp_path_factory.mktemp("photographs")
    for seed in range(3):
        Image.fromarray(factories.pixels(160, 120, seed=seed)).save(folder / f"photo{seed}.png")
    return folder


@pytest.fixture(scope="module")  # its event loop would keep Django's tests from their database
def browser():
    from playwright.sync_api import sync_playwright

    executable = find_chromium()
    if executable is None:
        pytest.fail("There is no Chromium; 'make test' installs one.")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(
            executable_path=executable, args=["--no-sandbox", "--disable-gpu"]
        )
        yield started
        started.close()


@pytest.fixture
def page(browser):
    """A page of a new browser profile; an error in its console fails the test."""
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    opened = context.new_page()
    errors = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert errors == []

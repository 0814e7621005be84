"""`python -m config.stack`: the whole of Closer on one machine, as `make demo` runs it."""

import argparse
import fcntl
import os
import signal
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

from config import processes
from config.checks import refuse_unsafe
from config.stack import embedded
from config.stack.supervisor import Service, StartFailed, Supervisor, end_leftovers

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
BASE_DIR = Path(__file__).resolve().parent.parent.parent


class CannotStart(Exception):
    """What is in the way, and how to mend it."""


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201


def main() -> int:
    options = parse_arguments()
    data = Path(os.environ.get("CLOSER_DATA") or BASE_DIR / "var").resolve()
    # All as Ctrl-C does, also where a shell started us with Ctrl-C ignored.
    for each in STOP_SIGNALS:
        signal.signal(each, signal.default_int_handler)
    try:
        with only_stack_over(data):
            return run(options, data)
    except (CannotStart, StartFailed, ImproperlyConfigured) as error:
        say(f"Closer cannot start: {error}")
        return 1
    except KeyboardInterrupt:
        return 130


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m config.stack", description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument(
        "--url",
        default=os.environ.get("CLOSER_URL"),
        help="where others reach it, such as http://lab-pc:8000; it then serves all networks",
    )
    parser.add_argument("--images", type=_folder, help="photographs for the demo's study")
    parser.add_argument("--fresh", action="store_true", help="put all data aside first")
    parser.add_argument("--no-demo", action="store_true", help="start with no study of its own")
    return parser.parse_args()


def _folder(name: str) -> Path:
    return Path(name).expanduser()  # not every shell does it behind IMAGES=


class only_stack_over:  # noqa: N801  (a context manager, used as a statement)
    """Holds the data folder's lock: two stacks over the same data would fight."""

    def __init__(self, data: Path) -> None:
        self.data = data

    def __enter__(self) -> None:
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            run_folder = embedded.make_run_folder(self.data)
        except OSError as error:
            raise CannotStart(f"{error}.") from None
        self.lock = (run_folder / "lock").open("w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(
                f"it is running already over {self.data}, at {embedded.running_url(self.data)}. "
                "Stop that one, or set CLOSER_DATA to another folder."
            ) from None

    def __exit__(self, *_: object) -> None:
        self.lock.close()


def run(options: argparse.Namespace, data: Path) -> int:
    started = time.monotonic()
    run_folder = embedded.run_folder(data)
    url = options.url or f"http://localhost:{options.port}"
    if urlsplit(url).scheme != "http":
        raise CannotStart(f"{url}: this stack speaks http; for https see docs/running.md.")
    is_local = urlsplit(url).hostname in ("localhost", "127.0.0.1")
    host = "127.0.0.1" if is_local else "0.0.0.0"  # noqa: S104  (asked for by --url)
    end_leftovers(run_folder / "processes.json")
    check_port(host, options.port)
    if options.fresh:
        start_over(data)
    os.environ["CLOSER_DATA"] = str(data)
    os.environ["CLOSER_URL"] = url
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    refuse_unsafe()

    supervisor = Supervisor(logs=data / "logs", process_list=run_folder / "processes.json")
    try:
        supervisor.start(*servers(data))
        supervisor.watch()
        migrate(data)
        supervisor.start(web(host, options.port))
        supervisor.start(worker(), trainer())  # nobody waits for them
        (run_folder / "url").write_text(url)
        if options.no_demo:
            say(f"\n  Closer runs at {url}\n  Ctrl-C stops it.\n")
        else:
            prepare_demo(options.images, url, f"http://127.0.0.1:{options.port}", started)
        threading.Event().wait()
    except KeyboardInterrupt:
        say("\nStopping ...")
    finally:
        for each in STOP_SIGNALS:  # a second Ctrl-C leaves nothing half-stopped
            signal.signal(each, signal.SIG_IGN)
        supervisor.stop()
        (run_folder / "url").unlink(missing_ok=True)
    say("Stopped. The next start goes on from here.")
    return 0


def check_port(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OverflowError:
            raise CannotStart("PORT is a number from 1 to 65535.") from None
        except OSError as error:
            raise CannotStart(
                f"port {port} is not free ({error.strerror}). "
                f"Choose another: make demo PORT={port + 1}"
            ) from None


def start_over(data: Path) -> None:
    """Put aside what the stack made: judgments took people's time, and are theirs to delete."""
    if os.environ.get("DATABASE_URL"):
        raise CannotStart("FRESH takes away the files that the database of DATABASE_URL speaks of.")
    if not (data / "postgres").exists():
        return
    aside = data / time.strftime("before-%Y%m%d-%H%M%S")
    aside.mkdir()
    for name in ("postgres", "blobs", "logs"):
        if (data / name).exists():
            (data / name).rename(aside / name)
    say(f"Starting over. What was there before is in {aside}; delete it if nobody needs it.")


def servers(data: Path) -> list[Service]:
    """PostgreSQL and Valkey, unless the environment names servers that run already."""
    services = []
    if not os.environ.get("DATABASE_URL"):
        embedded.prepare_postgres(data)
        services.append(
            Service(
                "postgres",
                embedded.postgres_command(data),
                lambda: embedded.postgres_answers(data),
                stop_signal=signal.SIGINT,  # "fast": ends sessions, loses nothing
                run_as=embedded.as_account(embedded.postgres_account()),
            )
        )
    if not os.environ.get("CELERY_BROKER_URL"):
        services.append(
            Service("valkey", embedded.valkey_command(data), lambda: embedded.valkey_answers(data))
        )
    return services


def migrate(data: Path) -> None:
    if not os.environ.get("DATABASE_URL"):
        embedded.create_database(data)
    import django
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.executor import MigrationExecutor

    django.setup()
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0)


def worker() -> Service:
    # One process a core; beat rides along, since this stack has one worker only.
    command = processes.by_this_python(processes.worker("encode", "analyse"))
    command += ["--beat", "--without-mingle"]
    command += [f"--hostname=stack-{os.getpid()}@%h", f"--concurrency={os.cpu_count() or 1}"]
    return Service("worker", command, is_ready=lambda: True)


def trainer() -> Service:
    # Apart from the worker, and nice: where others want a core too, it has a quarter of one.
    command = processes.by_this_python(processes.worker("train"))
    command += [*processes.TRAINER_LOAD, "--without-mingle", "--without-gossip"]
    command += [f"--hostname=trainer-{os.getpid()}@%h"]
    return Service("trainer", command, is_ready=lambda: True, niceness=5)


def web(host: str, port: int) -> Service:
    command = processes.by_this_python(processes.WEB)
    command += [f"--bind={host}:{port}"]
    command += [] if os.environ.get("WEB_CONCURRENCY") else ["--workers=2"]
    return Service("web", command, is_ready=lambda: serves(f"http://127.0.0.1:{port}/healthz"))


def serves(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310
            return response.status == 200
    except (urllib.error.URLError, OSError):
        return False


def prepare_demo(images: Path | None, url: str, here: str, started: float) -> None:
    from django.urls import reverse

    from evaluation import demo
    from evaluation.simulation import SimulationFailed

    try:
        prepared = demo.prepare(images=images, say=say)
    except demo.DemoFailed as error:
        raise StartFailed(str(error)) from None
    password = (
        f"password  {prepared.password}   (shown this once)"
        if prepared.password
        else "password  as printed at the first start; 'manage.py changepassword' sets a new one"
    )
    say(
        f"""
  Closer is ready, {time.monotonic() - started:.1f} s after the start.

  Judge pairs     {url}{reverse("welcome", args=[prepared.study.campaign.token])}
  See results     {url}{reverse("studies")}
                  name      {prepared.username}
                  {password}

  Ctrl-C stops it; 'make demo' goes on from here; 'make demo FRESH=1' starts over.
"""
    )
    try:
        count = demo.simulate_example(prepared.example, url=here)
    except SimulationFailed as error:
        say(f"The simulated example stays without judgments: {error}")
    else:
        if count:
            say(f"  Simulated annotators have judged the example: {count} judgments.")


if __name__ == "__main__":
    sys.exit(main())

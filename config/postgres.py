"""PostgreSQL's own programs, run on the database of this installation."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from django.db import connection

from config.stack import embedded

# What libpq's variables are called, by the connection's parameters.
VARIABLES = {
    "host": "PGHOST",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "dbname": "PGDATABASE",
    "service": "PGSERVICE",
    "passfile": "PGPASSFILE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
}


class ProgramFailed(Exception):
    """A program is missing, too old, or said no; the message is one line."""


def program(name: str) -> Path:
    """pg_dump or pg_restore, of a version that is no older than the server's: the one that comes
    with Closer, else the one on PATH. Raises ProgramFailed."""
    wanted = connection.pg_version // 10000
    tried = []
    for path in _candidates(name):
        version = _major_version(path)
        if version >= wanted:
            return path
        tried.append(f"{path} is of version {version}")
    if not tried:
        tried = ["there is none"]
    raise ProgramFailed(
        f"The server is PostgreSQL {wanted}, and {name} must not be older: {'; '.join(tried)}. "
        f"Install PostgreSQL's client programs of version {wanted} or later (Debian: "
        f"postgresql-client-{wanted}) and have them on PATH."
    )


def _candidates(name: str) -> list[Path]:
    # The package has an account of its own run its programs, so that others may pass to them.
    with_closer = embedded.postgres_program(name)
    on_path = shutil.which(name)
    found = [with_closer] if with_closer.exists() else []
    return [*found, Path(on_path)] if on_path else found


@cache
def _major_version(path: Path) -> int:
    said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\(PostgreSQL\) (\d+)", said.stdout)
    return int(number[1]) if number else 0


def run(name: str, *arguments: str | Path, every_second: Callable[[], None] = lambda: None) -> None:
    """Run a program on this installation's database. Raises ProgramFailed with what it said."""
    parameters = connection.get_connection_params()
    variables = {
        variable: str(parameters[key]) for key, variable in VARIABLES.items() if parameters.get(key)
    }
    with tempfile.TemporaryFile("w+", errors="replace") as said:
        with subprocess.Popen(
            [program(name), *arguments],
            env={"PATH": "/usr/bin:/bin", "PGAPPNAME": "closer", "LC_ALL": "C", **variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
        ) as process:
            try:
                while True:
                    try:
                        process.wait(timeout=1)
                        break
                    except subprocess.TimeoutExpired:
                        every_second()
            except BaseException:
                process.terminate()
                raise
        said.seek(0)
        lines = [line.strip() for line in said if line.strip()]
    if process.returncode:
        told = next((line for line in lines if "error:" in line), lines[-1] if lines else "")
        raise ProgramFailed(told or f"{name} ended with {process.returncode}")

"""Settings: safe in production as they stand, and clear about what is missing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("CLOSER_", "DATABASE"))}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_deployment_check_is_content_with_a_labs_settings(tmp_path):
    result = manage(
        *("check", "--deploy", "--fail-level", "WARNING"),
        CLOSER_DATA=str(tmp_path),
        CLOSER_URL="https://closer.example.org",
        DATABASE_URL="postgres://closer:secret@db.example.org/closer",
        SECRET_KEY="k3y" * 20 + "abcdefghijklmnop",
    )
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


def test_the_deployment_check_is_content_with_the_defaults(tmp_path):
    result = manage("check", "--deploy", "--fail-level", "WARNING", CLOSER_DATA=str(tmp_path))
    assert result.returncode == 0, result.stderr


def test_servers_of_ones_own_need_a_key_of_ones_own(tmp_path):
    result = manage(
        "check", CLOSER_DATA=str(tmp_path), DATABASE_URL="postgres://x@localhost/x", SECRET_KEY=""
    )
    assert result.returncode != 0
    assert "Set SECRET_KEY to a long random string" in result.stderr


def test_a_database_that_is_no_postgresql_is_refused(tmp_path):
    result = manage(
        "check", CLOSER_DATA=str(tmp_path), DATABASE_URL="sqlite:///db", SECRET_KEY="x" * 60
    )
    assert result.returncode != 0
    assert "must name a PostgreSQL database" in result.stderr


def test_the_embedded_key_is_made_once_and_is_nobody_elses_to_read(tmp_path):
    from config.stack import embedded

    key = embedded.secret_key(tmp_path)
    assert embedded.secret_key(tmp_path) == key
    assert len(key) >= 64
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir()] == ["secret_key"]


@pytest.mark.parametrize("command", ["codecs", "encode"])
def test_commands_that_need_no_database_run_without_one(command, tmp_path):
    arguments = {"codecs": [], "encode": ["--help"]}[command]
    result = manage(command, *arguments, CLOSER_DATA=str(tmp_path))
    assert result.returncode == 0, result.stderr

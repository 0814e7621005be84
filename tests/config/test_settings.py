"""Settings: safe in production as they stand, and clear about what is missing."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.checks import run_checks

from config.checks import TAG
from config.environment import CHAPTERS, VARIABLES, Environment, as_markdown
from config.storage import blob_storage
from tests.e2e.conftest import wait_for

ROOT = Path(__file__).resolve().parents[2]
SAFE = {
    "DATABASE_URL": "postgres://closer:wHo-kn0ws-it@db.example.org/closer",
    "CELERY_BROKER_URL": "redis://valkey.example.org/0",
    "SECRET_KEY": "k3y" * 20 + "abcdefghijklmnop",
}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return start("manage.py", *arguments, **environment)


def start(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Start a program of Closer's by Python, with these settings and no others."""
    inherited = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_the_deployment_check_is_content_with_a_labs_settings(tmp_path):
    result = manage(
        *("check", "--deploy", "--fail-level", "WARNING"),
        CLOSER_DATA=str(tmp_path),
        CLOSER_URL="https://closer.example.org",
        **SAFE,
    )
    assert result.returncode == 0, result.stderr
    assert "no issues" in result.stdout


def test_the_deployment_check_is_content_with_the_defaults(tmp_path):
    result = manage("check", "--deploy", "--fail-level", "WARNING", CLOSER_DATA=str(tmp_path))
    assert result.returncode == 0, result.stderr


def test_a_database_of_ones_own_needs_a_key_and_a_broker_of_ones_own(tmp_path):
    result = manage(
        "check", CLOSER_DATA=str(tmp_path), DATABASE_URL="postgres://x@localhost/x", SECRET_KEY=""
    )
    assert result.returncode != 0
    assert result.stderr == (
        "SECRET_KEY: with DATABASE_URL, set it to a long random string.\n"
        "CELERY_BROKER_URL: with DATABASE_URL, name a Redis or Valkey server, too.\n"
    )


def test_with_https_a_proxy_is_believed_since_nothing_else_ends_it(tmp_path):
    """Else all visitors had its address, and who mistypes passwords would shut out all."""

    def believed(**environment: str) -> str:
        ask = "from django.conf import settings; print(settings.REST_FRAMEWORK['NUM_PROXIES'])"
        here = {"CLOSER_DATA": str(tmp_path), "DJANGO_SETTINGS_MODULE": "config.settings"}
        return start("-c", ask, **here, **SAFE, **environment).stdout.strip()

    assert believed(CLOSER_URL="https://closer.example.org") == "1"
    assert believed(CLOSER_URL="https://closer.example.org", CLOSER_PROXIES="2") == "2"
    assert believed(CLOSER_URL="http://lab-pc") == "0"


def test_it_answers_to_its_address_and_to_this_machine_whatever_else_is_allowed(tmp_path):
    ask = "from django.conf import settings; print(*settings.ALLOWED_HOSTS)"
    result = start(
        *("-c", ask),
        DJANGO_SETTINGS_MODULE="config.settings",
        CLOSER_DATA=str(tmp_path),
        CLOSER_URL="https://closer.example.org",
        ALLOWED_HOSTS="web, other.example.org",
        **SAFE,
    )
    names = "localhost 127.0.0.1 [::1] closer.example.org web other.example.org"
    assert result.stdout.strip() == names, result.stderr


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


UNREADABLE = {
    "CLOSER_URL": "closer.example.org",
    "DATABASE_URL": "postgres://closer:pass/word@db.example.org/closer",
    "CELERY_BROKER_URL": "amqp://guest@localhost",
    "CLOSER_PROXIES": "one",
    "CLOSER_WEBHOOK_PRIVATE": "maybe",
    "CLOSER_API_RATE": "600 a minute",
    "LOG_LEVEL": "chatty",
}
UNSAFE = {
    **SAFE,
    "CLOSER_URL": "http://closer.example.org",
    "DATABASE_URL": "postgres://closer:postgres@db.example.org/closer",
    "SECRET_KEY": "changeme",
    "ALLOWED_HOSTS": "*",
}
SERVER = ("-m", "gunicorn", "config.wsgi", "--bind=127.0.0.1:0", "--preload", "--no-control-socket")
PROGRAMS = {
    "web": SERVER,
    "worker": ("-m", "celery", "-A", "config", "worker"),
    "scheduler": ("-m", "celery", "-A", "config", "beat"),
    "migrate": ("manage.py", "migrate"),
    "stack": ("-m", "config.stack"),
}


def test_all_that_cannot_be_read_is_told_at_once_and_no_secret_with_it(tmp_path):
    result = manage("check", CLOSER_DATA=str(tmp_path), **UNREADABLE)
    told = dict(line.split(": ", 1) for line in result.stderr.splitlines())
    assert set(told) == {*UNREADABLE, "SECRET_KEY"}
    assert told["CLOSER_PROXIES"] == "'one': it is no whole number from 0 on."
    assert "word" not in told["DATABASE_URL"].replace("password", "")
    assert "guest" not in told["CELERY_BROKER_URL"]
    assert result.returncode == 1


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_program_starts_with_what_is_unsafe_and_each_tells_all_of_it(name, tmp_path):
    program = PROGRAMS[name]
    environment = {"CLOSER_DATA": str(tmp_path), **UNSAFE}
    result = start(*program, **environment)
    assert result.returncode == 3
    lines = result.stderr.splitlines()
    lines = lines[lines.index("Closer does not start with these settings:") + 1 :]
    subjects = ["SECRET_KEY is", "CLOSER_URL is http", "ALLOWED_HOSTS has *", "The database's"]
    assert [line[: len(each)] for line, each in zip(lines, subjects, strict=True)] == subjects
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize("name", ["web", "worker", "scheduler"])
def test_no_program_starts_with_what_cannot_be_read(name, tmp_path):
    result = start(*PROGRAMS[name], CLOSER_DATA=str(tmp_path), CLOSER_PROXIES="one", **SAFE)
    assert result.returncode != 0
    assert "CLOSER_PROXIES: 'one': it is no whole number from 0 on." in result.stderr
    assert "Traceback" not in result.stderr


def test_the_scheduler_begins_in_a_folder_that_is_not_there_yet(tmp_path):
    new = tmp_path / "new"
    environment = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    process = subprocess.Popen(
        [sys.executable, *PROGRAMS["scheduler"], "--pidfile="],
        cwd=ROOT,
        env={**environment, "CLOSER_DATA": str(new)},
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(lambda: list(new.glob("beat-schedule*")), seconds=30)
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("name", ["web", "scheduler", "migrate"])
def test_a_folder_that_cannot_be_made_is_named(name, tmp_path):
    (tmp_path / "file").touch()
    result = start(*PROGRAMS[name], CLOSER_DATA=str(tmp_path / "file" / "data"), **SAFE)
    assert result.returncode == 3
    assert f"CLOSER_DATA: {tmp_path / 'file' / 'data'} cannot be written" in result.stderr
    assert "Traceback" not in result.stderr


def in_bucket(endpoint: str) -> dict:
    return {"STORAGES": {"blobs": blob_storage("s3://bucket/prefix", endpoint=endpoint)}}


@pytest.mark.parametrize(
    ("where", "told"),
    [
        ("s3://closer-blobs", ("closer-blobs", "")),
        ("s3://closer.blobs/lab/1/", ("closer.blobs", "lab/1")),
        ("/srv/blobs", Path("/srv/blobs")),
        ("s3://", "it is neither"),
        ("s3://Bucket", "it is neither"),
        ("gs://bucket", "it is neither"),
        ("s3://bucket/a b", "it is neither"),
    ],
)
def test_blobs_lie_in_a_folder_or_in_a_bucket(where, told):
    given = Environment({"CLOSER_BLOBS": where})
    read = given.read("CLOSER_BLOBS", Path("/default"))
    if isinstance(told, str):
        assert told in given.problems[0]
        return
    options = blob_storage(read)["OPTIONS"]
    if isinstance(told, Path):
        assert options == {"location": told}
    else:
        assert (options["bucket_name"], options["location"]) == told


@pytest.mark.parametrize(
    ("changed", "refused"),
    [
        ({}, []),
        ({"DEBUG": True}, ["E001"]),
        ({"SECRET_KEY": "django-insecure-" + "k3y4z" * 12}, ["E002"]),
        ({"SECRET_KEY": "x" * 60}, ["E002"]),
        ({"SECRET_KEY_FALLBACKS": ["short"]}, ["E003"]),
        ({"CLOSER_URL": "http://closer.example.org"}, ["E004"]),
        ({"CLOSER_URL": "http://closer.example.org", "CLOSER_PLAIN_HTTP": True}, []),
        ({"CLOSER_URL": "http://lab-pc:8000", "ALLOWED_HOSTS": ["lab-pc"]}, []),
        ({"CLOSER_URL": "http://192.168.1.7", "ALLOWED_HOSTS": ["192.168.1.7"]}, []),
        ({"CLOSER_URL": "http://8.8.8.8", "ALLOWED_HOSTS": ["8.8.8.8"]}, ["E004"]),
        ({"ALLOWED_HOSTS": ["*"]}, ["E005"]),
        ({"SESSION_COOKIE_SECURE": False}, ["E007"]),
        ({"OIDC_ISSUER": "http://id.example.org"}, ["E010"]),
        ({"OIDC_ISSUER": "https://id.example.org"}, []),
        (in_bucket("http://s3.example.org"), ["E013"]),
        (in_bucket("http://minio:9000"), []),
        (in_bucket("https://s3.example.org") | {"CLOSER_ACCEL_REDIRECT": "/blobs"}, ["E012"]),
        (in_bucket(""), []),
    ],
)
def test_what_is_unsafe_is_refused_and_what_is_safe_is_not(changed, refused, settings):
    settings.CLOSER_URL, settings.ALLOWED_HOSTS = (
        "https://closer.example.org",
        ["closer.example.org"],
    )
    settings.SESSION_COOKIE_SECURE = settings.CSRF_COOKIE_SECURE = True
    settings.SECRET_KEY, settings.DEBUG = SAFE["SECRET_KEY"], False
    for name, value in changed.items():
        setattr(settings, name, value)
    found = run_checks(tags=[TAG])
    assert [each.id for each in found] == [f"closer.{number}" for number in refused]
    assert all(each.hint for each in found)


@pytest.mark.parametrize(
    ("host", "password", "is_refused"),
    [
        ("db.example.org", "postgres", True),
        ("db.example.org", "", True),
        ("db.example.org", "wHo-kn0ws-it", False),
        ("localhost", "postgres", False),
        ("/run/postgresql", "", False),
    ],
)
def test_a_password_that_everybody_tries_first_is_refused(host, password, is_refused, monkeypatch):
    from django.conf import settings

    database = {**settings.DATABASES["default"], "HOST": host, "PASSWORD": password}
    monkeypatch.setitem(settings.DATABASES, "default", database)
    assert ("closer.E009" in [each.id for each in run_checks(tags=[TAG])]) == is_refused


def test_an_empty_variable_is_one_that_is_not_set():
    here = Environment({"CLOSER_KEEP_CONTACTS_DAYS": "", "CLOSER_API_RATE": " "})
    read = here.read("CLOSER_KEEP_CONTACTS_DAYS"), here.read("CLOSER_API_RATE")
    assert read == (365, "600/min")
    assert here.problems == []


def test_the_document_lists_every_variable_as_the_code_has_it():
    document = (ROOT / "docs" / "settings.md").read_text()
    assert as_markdown() in document, "write it anew: manage.py settings --markdown"


def test_every_variable_that_the_code_reads_is_declared():
    read = re.compile(r"""(?:environ(?:\.get)?[\[(]|VARIABLE = )"([A-Z_]+)\"""")
    packages = ("config", "projects", "codecs_registry", "annotation", "evaluation", "perceptual")
    found = {
        name
        for package in packages
        for path in (ROOT / package).rglob("*.py")
        for name in read.findall(path.read_text())
    }
    # Of other programs: Django's, torch's launcher's, the shell's.
    others = {"DJANGO_SETTINGS_MODULE", "PROMETHEUS_MULTIPROC_DIR", "RANK", "WORLD_SIZE"}
    others |= {"LOCAL_RANK", "PATH"}
    assert found - others <= set(VARIABLES)
    assert len(VARIABLES) == sum(map(len, CHAPTERS.values()))


def test_the_command_shows_what_is_set_and_no_secret(tmp_path):
    result = manage("settings", CLOSER_DATA=str(tmp_path), **SAFE)
    assert f"= {tmp_path}" in result.stdout
    assert "(secret)" in result.stdout
    assert not any(value in result.stdout for value in SAFE.values())

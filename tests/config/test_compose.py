"""docker-compose.yml: what it says, and that what it starts works, started here without Docker."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg
import pytest
import redis
import yaml
from compose_spec import PyCompose
from django.conf import settings
from PIL import Image

from config import healthcheck, processes
from config.environment import VARIABLES
from config.stack.supervisor import Service, Supervisor
from tests import factories
from tests.e2e.conftest import free_port, wait_for

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name for name, each in SERVICES.items() if each["image"].startswith("closer:")}
DATABASE = "closer_compose"
GIVEN = {"SECRET_KEY": secrets.token_urlsafe(64), "POSTGRES_PASSWORD": "x1"}


def filled(text: str, **given: str) -> str:
    """With what is given in place of `${NAME...}`, or its default."""

    def value(found: re.Match) -> str:
        return {**GIVEN, **given}.get(found[1], found[2] or "")

    return re.sub(r"\$\{(\w+)(?::\?[^}]*|:?-([^}]*))?\}", value, text)


# --- what it says ---------------------------------------------------------------------------------


def test_it_follows_the_compose_specification():
    """By another reader of it, as `docker compose config` would find."""
    told = json.loads(filled(json.dumps(COMPOSE), CLOSER_URL="https://closer.example.org"))
    assert set(PyCompose.from_json(json.dumps(told)).service_names()) == set(SERVICES)
    told["services"]["web"]["healthchek"] = {}
    with pytest.raises(ValueError, match="healthchek"):
        PyCompose.from_json(json.dumps(told))


def test_docker_itself_reads_it():
    asked = ["docker", "compose", "--file", ROOT / "docker-compose.yml"]
    if not shutil.which("docker") or subprocess.run([*asked, "version"], check=False).returncode:
        pytest.skip("there is no docker with its compose plugin here")
    given = {**GIVEN, "CLOSER_URL": "https://closer.example.org", "CLOSER_TLS": "tls a b"}
    told = subprocess.run(
        [*asked, "config", "--format", "json"],
        env={**os.environ, **given},
        check=True,
        capture_output=True,
    )
    read = json.loads(told.stdout)["services"]
    assert set(read) == set(SERVICES)
    assert read["encoder"]["environment"]["SECRET_KEY"] == GIVEN["SECRET_KEY"]
    assert read["proxy"]["environment"]["CLOSER_TLS"] == "tls a b"


def test_it_starts_the_programs_that_everything_else_starts():
    assert set(processes.PROCESSES) == OURS
    for name, command in processes.PROCESSES.items():
        assert tuple(SERVICES[name]["command"]) == command
    default = re.search(r"^CMD (\[\"gunicorn.*\])$", DOCKERFILE, re.MULTILINE)
    assert tuple(yaml.safe_load(default[1])) == processes.WEB


def test_every_queue_has_a_worker_of_its_own():
    words = [word for name in OURS for word in SERVICES[name]["command"]]
    taken = [word.removeprefix("--queues=") for word in words if word.startswith("--queues=")]
    assert sorted(taken) == sorted(processes.QUEUES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_may_no_more_than_it_needs(name):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    is_built = "build" in service  # the Dockerfile says who runs those
    assert is_built or service["user"] not in ("root", "0")
    assert service["tmpfs"]
    assert "healthcheck" in service or name == "migrate"
    assert ("ports" in service) == (name == "proxy"), "nobody passes the proxy"
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_what_holds_data_is_reached_from_inside_alone(name):
    assert SERVICES[name]["networks"] == ["inside"]
    assert COMPOSE["networks"]["inside"]["internal"] is True


def test_images_are_pinned_and_run_as_nobody_special():
    bases = re.findall(r"^FROM (\S+) AS (\w+)$", DOCKERFILE, re.MULTILINE)
    assert [target for _, target in bases] == ["proxy", "closer"]
    pinned = [base for base, _ in bases]
    pinned += [each["image"] for each in SERVICES.values() if "build" not in each]
    for image in pinned:
        assert re.search(r":\d+\.\d+(\.\d+)?(-\w+)*(@sha256:[0-9a-f]{64})?$", image), image
    stages = re.split(r"^FROM .*$", DOCKERFILE, flags=re.MULTILINE)[1:]
    for stage in stages:
        users = re.findall(r"^USER (\S+)$", stage, re.MULTILINE)
        assert users[-1:] == ["10001:10001"]
        assert "curl" not in stage
    targets = {each["build"]["target"] for each in SERVICES.values() if "build" in each}
    assert targets == {"proxy", "closer"}


def test_no_secret_is_built_into_an_image_or_kept_in_the_repository():
    for name in (".dockerignore", ".gitignore"):
        told = {line.strip("/") for line in (ROOT / name).read_text().splitlines()}
        assert {".env", "closer.env", "tls"} <= told  # where docs/running.md has keys written
    assert not re.search(r"^(ARG|ENV) .*(KEY|PASSWORD|TOKEN)", DOCKERFILE, re.MULTILINE)


def test_all_that_is_built_into_the_image_before_the_rest_is_there():
    """`pip install -e .` finds every package that pyproject.toml names."""
    before = DOCKERFILE.split("RUN pip install")[0]
    copied = set(re.findall(r"^COPY (\w+) \1$", before, re.MULTILINE))
    packages = {each.parent.name for each in ROOT.glob("*/apps.py")} | {"perceptual"}
    assert packages <= copied


def test_it_sets_what_is_a_setting_and_asks_for_what_has_no_default():
    set_here = SERVICES["web"]["environment"]
    assert set(set_here) <= set(VARIABLES)
    text = (ROOT / "docker-compose.yml").read_text()
    assert set(re.findall(r"\$\{(\w+):\?", text)) == {*GIVEN, "CLOSER_URL"}
    secret = {name for name, each in VARIABLES.items() if each.is_secret}
    for name in secret & set(set_here):
        value = set_here[name]
        assert "${" in value or name == "CELERY_BROKER_URL", f"{name} is written in the file"


def test_migrations_come_first_and_once():
    assert SERVICES["migrate"]["restart"] == "no"
    for name in OURS - {"migrate"}:
        needs = SERVICES[name]["depends_on"]
        assert needs["migrate"]["condition"] == "service_completed_successfully"
    assert SERVICES["proxy"]["depends_on"]["web"]["condition"] == "service_healthy"


RUNNING = (ROOT / "docs" / "running.md").read_text()


def test_the_document_lists_the_programs_as_they_are():
    for command in processes.PROCESSES.values():
        assert f"\n{' '.join(command)}\n" in RUNNING


@pytest.mark.parametrize("name", [".env", "closer.env"])
def test_what_the_document_has_one_write_is_taken_by_every_program(name, tmp_path):
    """Its lines for settings, run as they stand."""
    lines = re.search(rf"^\(umask 077; test -e {name} .*?^END$", RUNNING, re.DOTALL | re.MULTILINE)
    written = tmp_path / name
    subprocess.run(["sh", "-ec", lines[0]], cwd=tmp_path, check=True)  # noqa: S607
    first = written.read_text()
    subprocess.run(["sh", "-ec", lines[0]], cwd=tmp_path, check=True)  # noqa: S607
    assert written.read_text() == first, "another password would shut out the database"
    assert written.stat().st_mode & 0o077 == 0
    told = dict(line.split("=", 1) for line in first.splitlines())
    if name == ".env":
        assert {*GIVEN, "CLOSER_URL"} <= set(told)
        told |= {
            key: filled(value, **told) for key, value in SERVICES["web"]["environment"].items()
        }
    here = {**told, "CLOSER_DATA": str(tmp_path)}
    asked = processes.by_this_python(("python", "manage.py", "check", "--tag", "closer"))
    inherited = {k: v for k, v in os.environ.items() if k not in VARIABLES}
    subprocess.run(asked, cwd=ROOT, env={**inherited, **here}, check=True, capture_output=True)


# --- that it works --------------------------------------------------------------------------------


@dataclass
class Installation:
    """The programs of docker-compose.yml, started from the same commands, with the same variables
    but for where servers and files are."""

    folder: Path
    supervisor: Supervisor | None
    services: dict[str, Service]
    bind: str
    url: str
    database: str = DATABASE

    def environment(self, name: str) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if k not in VARIABLES}
        return {**inherited, **environment_of(name, self)}

    def run(self, *command: str, name: str = "migrate", check: bool = True):
        result = subprocess.run(
            processes.by_this_python(command),
            cwd=ROOT,
            env=self.environment(name),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert not check or result.returncode == 0, result.stderr
        return result

    def check(self, name: str) -> subprocess.CompletedProcess:
        """The health check of a service, as the container would run it."""
        kind, *command = SERVICES[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.run(*command, name=name, check=False)

    def log(self, name: str) -> str:
        return (self.folder / "logs" / f"{name}.log").read_text()


def environment_of(name: str, made: Installation) -> dict[str, str]:
    told = {
        key: filled(value, CLOSER_URL=made.url)
        for key, value in SERVICES[name]["environment"].items()
    }
    here = settings.DATABASES["default"]
    return told | {
        "DATABASE_URL": f"postgres://{here['USER']}@/{made.database}?host={here['HOST']}",
        "CELERY_BROKER_URL": f"{settings.CELERY_BROKER_URL}?virtual_host=1",
        "CLOSER_DATA": str(made.folder),
        "CLOSER_BIND": made.bind,
        "CLOSER_HEARTBEAT": str(made.folder / f"heartbeat-{name}"),
        "WEB_CONCURRENCY": "2",
    }


def sql(statement: str) -> None:
    here = settings.DATABASES["default"]
    with psycopg.connect(
        host=here["HOST"], user=here["USER"], dbname="postgres", autocommit=True
    ) as connection:
        connection.execute(statement)


@contextlib.contextmanager
def own_database(name: str) -> Iterator[None]:
    """An empty one beside that of the tests, on their server."""
    if "DATABASE_URL" in os.environ or "CELERY_BROKER_URL" in os.environ:
        pytest.skip("it makes a database of its own beside the embedded one")
    sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
    sql(f"CREATE DATABASE {name}")
    try:
        yield
    finally:
        sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@pytest.fixture(scope="module")
def installation(tmp_path_factory):
    folder = tmp_path_factory.mktemp("installation")
    supervisor = Supervisor(logs=folder / "logs", process_list=folder / "processes.json")
    bind, url = f"127.0.0.1:{free_port()}", f"http://localhost:{free_port()}"
    made = Installation(folder, supervisor, {}, bind, url)
    queues = redis.Redis.from_url(settings.CELERY_BROKER_URL.replace("redis+socket", "unix"), db=1)
    with own_database(DATABASE):
        queues.flushdb()
        try:
            made.run(*processes.MIGRATE)
            for name in sorted(OURS - {"migrate"}):
                made.services[name] = Service(
                    name,
                    processes.by_this_python(processes.PROCESSES[name]),
                    is_ready=lambda: True,
                    run_as={"env": made.environment(name), "cwd": ROOT},
                )
            supervisor.start(*made.services.values())
            wait_for(lambda: made.check("web").returncode == 0, seconds=60)
            yield made
        finally:
            supervisor.stop()
            queues.flushdb()


pytestmark = pytest.mark.xdist_group("compose")


def test_a_database_that_was_never_migrated_is_told_in_a_line(tmp_path, django_db_setup):
    made = Installation(tmp_path, None, {}, "127.0.0.1:0", "http://localhost", "closer_empty")
    with own_database(made.database):
        result = made.run("python", "manage.py", "verify_storage", "--quick", check=False)
    assert result.returncode == 1
    [line] = result.stderr.splitlines()
    assert "'manage.py migrate' first, or restore a backup" in line


@pytest.mark.stack
def test_every_health_check_passes_while_its_program_does_its_work(installation):
    for name in sorted(OURS - {"migrate"}):
        wait_for(lambda name=name: installation.check(name).returncode == 0, seconds=60)


@pytest.mark.stack
def test_workers_take_all_queues_and_what_the_scheduler_sends(installation):
    def metrics() -> str:
        return httpx.get(f"http://{installation.bind}/prometheus").text

    wait_for(lambda: "choose_pairs" in metrics() and "look_for_work" in metrics(), seconds=60)
    found = metrics()
    for task in ("evaluation.tasks.choose_pairs", "evaluation.metric_tasks.look_for_work"):
        assert f'closer_task_seconds_count{{state="SUCCESS",task="{task}"}}' in found
    assert 'closer_up{part="broker"} 1.0' in found
    assert "FAILURE" not in found


@pytest.mark.stack
def test_requests_to_all_processes_of_a_web_server_are_counted_together(installation):
    def asked() -> float:
        found = httpx.get(f"http://{installation.bind}/prometheus").text
        name = 'closer_request_seconds_count{method="GET",status="200",view="healthz"} '
        return sum(float(line[len(name) :]) for line in found.splitlines() if line.startswith(name))

    before = asked()
    for _ in range(40):  # each over a connection of its own, so that both processes have some
        httpx.get(f"http://{installation.bind}/healthz")
    assert [asked() for _ in range(5)] == [before + 40] * 5


@pytest.mark.stack
def test_logs_are_json_and_name_no_address(installation):
    httpx.get(f"http://{installation.bind}/judge/nobodys-link/?who=ada@example.org")
    wait_for(lambda: '"status": 404' in installation.log("web"), seconds=10)
    for name in ("web", "encoder", "scheduler"):
        lines = [line for line in installation.log(name).splitlines() if line.startswith("{")]
        assert lines
        assert "127.0.0.1" not in "".join(lines)
        assert "nobodys-link" not in "".join(lines)


@pytest.mark.stack
def test_the_proxy_sends_what_closer_lets_it_send_and_nothing_else(
    installation, tmp_path, monkeypatch
):
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("there is no caddy here")
    (tmp_path / "photographs").mkdir()
    Image.fromarray(factories.pixels(64, 48)).save(tmp_path / "photographs" / "sea.png")
    installation.run("python", "manage.py", "import_images", str(tmp_path / "photographs"))
    password = secrets.token_urlsafe()
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    installation.run(
        *("python", "manage.py", "createsuperuser", "--noinput"),
        *("--username=ada", "--email=ada@example.org"),
    )
    own = {
        "CLOSER_URL": installation.url,
        "CLOSER_WEB": installation.bind,
        "CLOSER_FILES": str(installation.folder),
        "CLOSER_HTTP_PORT": str(free_port()),
        "CLOSER_HTTPS_PORT": str(free_port()),
        "CLOSER_PROXY_HEALTH_PORT": str(free_port()),
        "CLOSER_TLS": "",
    }
    assert set(SERVICES["proxy"]["environment"]) <= set(own)
    folders = {name: str(tmp_path) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    process = subprocess.Popen(
        [caddy, "run", "--config", "Caddyfile", "--adapter", "caddyfile"],
        cwd=ROOT,
        env={**os.environ, **own, **folders},
        stderr=subprocess.DEVNULL,
    )
    health = f"http://127.0.0.1:{own['CLOSER_PROXY_HEALTH_PORT']}/"
    try:
        wait_for(lambda: _answers(health), seconds=20)
        with httpx.Client(base_url=installation.url) as browser:
            form = browser.get("/sign-in").text
            token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
            signed_in = browser.post(
                "/sign-in",
                data={"username": "ada", "password": password, "csrfmiddlewaretoken": token[1]},
            )
            assert signed_in.status_code == 302
            page = browser.get("/images").text
            number = re.search(r"/images/(\d+)/", page)[1]
            sent = browser.get(f"/images/{number}/original.png")
            assert sent.status_code == 200
            assert sent.headers["content-type"] == "image/png"
            assert "immutable" in sent.headers["cache-control"]
            assert len(sent.headers["x-request-id"]) == 36
            assert "x-accel-redirect" not in sent.headers
            stored = next(installation.folder.glob("blobs/*/*.png"))
            assert sent.content == stored.read_bytes()
            address = f"/{stored.relative_to(installation.folder)}"
            direct = httpx.get(
                f"http://{installation.bind}/images/{number}/original.png",
                cookies=dict(browser.cookies),
            )
            assert direct.headers["x-accel-redirect"] == address
            assert direct.content == b""
        stranger = httpx.Client(base_url=installation.url)
        assert stranger.get(f"/images/{number}/original.png").status_code == 302
        named = {"X-Accel-Redirect": address}
        hidden = ("/prometheus", "/readyz", "/healthz", "/blobs/", "/beat-schedule", address)
        for each in hidden:
            assert stranger.get(each, headers=named).status_code == 404, each
        chosen = "chosen-by-a-stranger"
        forged = {"X-Request-ID": chosen, "X-Forwarded-For": "127.0.0.1"}
        assert stranger.get("/sign-in", headers=forged).headers["x-request-id"] != chosen
        stranger.close()
    finally:
        process.terminate()
        process.wait(20)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url).status_code == 200
    except httpx.TransportError:
        return False


def test_the_proxy_takes_a_certificate_of_ones_own():
    caddy = shutil.which("caddy")
    if caddy is None:
        pytest.skip("there is no caddy here")
    own = {"CLOSER_URL": "https://lab.example", "CLOSER_TLS": "tls /tls/cert.pem /tls/key.pem"}
    told = subprocess.run(
        [caddy, "adapt", "--config", "Caddyfile", "--adapter", "caddyfile"],
        cwd=ROOT,
        env={**os.environ, **own},
        check=True,
        capture_output=True,
    )
    [named] = json.loads(told.stdout)["apps"]["tls"]["certificates"]["load_files"]
    assert (named["certificate"], named["key"]) == ("/tls/cert.pem", "/tls/key.pem")


@pytest.mark.stack
def test_a_worker_that_is_told_to_end_is_gone_from_the_list(installation):
    queues = redis.Redis.from_url(settings.CELERY_BROKER_URL.replace("redis+socket", "unix"), db=1)

    def known() -> set[str]:
        return {name.decode().split("@")[0] for name in queues.hkeys("closer:workers")}

    wait_for(lambda: known() == set(processes.QUEUES), seconds=30)
    encoder = installation.services["encoder"].process
    encoder.send_signal(signal.SIGTERM)
    encoder.wait(60)
    assert known() == {"analyse", "train"}


def test_a_silent_worker_and_a_web_server_that_is_not_there_are_unwell(tmp_path):
    heartbeat = tmp_path / "heartbeat"
    assert "no heartbeat" in healthcheck.problem_of_worker(str(heartbeat))
    heartbeat.touch()
    assert healthcheck.problem_of_worker(str(heartbeat)) == ""
    os.utime(heartbeat, (time.time() - 90,) * 2)
    assert "silent for 90 s" in healthcheck.problem_of_worker(str(heartbeat))
    assert "does not answer" in healthcheck.problem_of_web(f"127.0.0.1:{free_port()}")

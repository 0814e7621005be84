"""What watches an installation sees, and what it must never see."""

import io
import json
import logging
import time
from datetime import timedelta
from ipaddress import ip_network

import pytest
from celery.contrib.testing.worker import start_worker
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from annotation import serving
from annotation.models import Assignment
from codecs_registry import blobs, clock
from codecs_registry.models import Reconstruction
from config import broker, metrics
from config.celery import app
from config.logs import FORMS, OfRequest, request_id, without_people
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(params=["json", "text"])
def logged(request):
    """All that is logged meanwhile, as either form writes it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(FORMS[request.param]())
    handler.addFilter(OfRequest())
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    yield stream.getvalue
    root.removeHandler(handler)
    root.setLevel(level)


# --- logs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "is_taken"),
    [
        ("5f1c2b0e-0d1a-4c55-9b1e-2b8a0f6f3f11", True),
        ("short", False),
        ("ada@example.org-and-more", False),
        ("192.168.100.200", False),
        ("two\nlines-of-it", False),
        ("x" * 65, False),
    ],
)
def test_a_request_keeps_the_id_that_a_proxy_gave_it_if_it_is_one(client, sent, is_taken):
    answer = client.get("/healthz", headers={"X-Request-ID": sent})
    assert (answer["X-Request-ID"] == sent) == is_taken
    assert len(answer["X-Request-ID"]) >= 8


def test_every_request_has_an_id_of_its_own(client):
    ids = {client.get("/healthz")["X-Request-ID"] for _ in range(3)}
    assert len(ids) == 3
    assert request_id.get() == ""


def test_a_log_tells_nobodys_link_address_query_or_e_mail(logged):
    annotator = factories.annotator(factories.study().campaign)
    judge = reverse("judge", args=[annotator.token])
    token = judge.split("/")[2]
    client = Client(
        raise_request_exception=False,
        headers={
            "User-Agent": "Ada's own browser",
            "X-Forwarded-For": "203.0.113.7",
            "Referer": f"https://example.org{judge}",
        },
        REMOTE_ADDR="2001:db8::7",
    )
    sent = "who=ada@example.org&PROLIFIC_PID=5f1c2b0e"
    client.get(f"{judge}?{sent}")
    client.post(reverse("next-assignments", args=[annotator.token]), QUERY_STRING=sent)
    client.get(f"/nowhere/ada@example.org/203.0.113.7?{sent}")
    client.get(f"/set-password/MQ/c5x-{'0' * 32}/?{sent}")
    client.post(reverse("login"), {"username": "ada@example.org", "password": "hush-hush"})
    logging.getLogger("django.request").error("%s from 203.0.113.7 by ada@example.org", judge)
    found = logged()
    assert len(found.splitlines()) >= 6
    for secret in (
        *(token, token.split(".")[0], annotator.token, "203.0.113.7", "2001:db8", "ada@", "Ada's"),
        *("5f1c2b0e", "c5x-", "hush", "nowhere", "PROLIFIC"),
    ):
        assert secret not in found
    assert "judge/<token:token>/" in found


def test_an_error_is_logged_with_its_reason_and_no_one_in_it(logged, monkeypatch):
    def broken() -> None:
        raise RuntimeError("Key (email)=(ada@example.org) of 203.0.113.7 exists")

    monkeypatch.setattr("config.health.PARTS", {"database": broken})
    client = Client(raise_request_exception=False)
    answer = client.get("/readyz", headers={"X-Request-ID": "of-this-request"})
    assert answer.status_code == 500
    found = logged()
    assert "RuntimeError: Key (email)=(...@...) of (address) exists" in found
    assert "of-this-request" in found


@given(address=st.ip_addresses())
def test_no_address_is_left_in_a_text(address):
    assert str(address) not in without_people(f"from {address}, at 12:34:56: [{address}]")


@given(address=st.emails())
def test_no_e_mail_address_is_left_in_a_text(address):
    assert address not in without_people(f"mail to {address} failed")


@pytest.mark.parametrize(
    "text", ["took 12:34:56 h", "std::vector", "closer 1.2.3", "a: b:c", "2026-11-30 16:42:01,123"]
)
def test_what_is_nobodys_stays(text):
    assert without_people(text) == text


def test_json_logs_are_an_object_a_line_with_the_fields_of_a_request(client):
    record = logging.LogRecord("closer.requests", logging.INFO, "", 0, "two\nlines", (), None)
    record.fields = {"status": 200, "ms": 1.5}
    OfRequest().filter(record)
    line = FORMS["json"]().format(record)
    event = json.loads(line)
    assert "\n" not in line
    assert event.pop("time").endswith("+00:00")
    assert event == {
        "level": "INFO",
        "logger": "closer.requests",
        "message": "two\nlines",
        "status": 200,
        "ms": 1.5,
    }


def test_a_task_has_the_id_of_the_request_that_sent_it_and_is_timed():
    seen = []
    queue = f"noted-{time.time_ns()}"
    name = f"tests.{queue}"

    @app.task(name=name)
    def noted(fail: bool) -> None:
        seen.append(request_id.get())
        if fail:
            raise ValueError("on purpose")

    token = request_id.set("of-this-request")
    noted.apply_async([False], queue=queue)
    request_id.reset(token)
    noted.apply_async([True], queue=queue)
    with start_worker(app, pool="solo", queues=[queue], perform_ping_check=False, loglevel=50):
        until = time.monotonic() + 20
        while len(broker.task_times().keys() & {(name, "SUCCESS"), (name, "FAILURE")}) < 2:
            assert time.monotonic() < until
            time.sleep(0.02)
    assert seen == ["of-this-request", ""]
    times = broker.task_times()[(name, "FAILURE")]
    assert sum(times.buckets) == 1
    assert times.seconds > 0


def test_a_worker_logs_what_the_settings_say_and_not_what_it_was_told(monkeypatch):
    monkeypatch.setattr(type(app.log), "_setup", False)
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    app.log.setup_logging_subsystem(loglevel=logging.CRITICAL)
    assert (root.level, root.handlers) == (level, handlers)


# --- health ---------------------------------------------------------------------------------------


def test_it_is_ready_when_all_its_parts_answer(client):
    answer = client.get("/readyz")
    parts = dict.fromkeys(("database", "migrations", "broker", "storage"), "ok")
    assert (answer.status_code, answer.json()) == (200, {"ready": True, **parts})


def test_it_is_not_ready_without_a_broker_and_says_so(client, settings, tmp_path):
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/none.sock"
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["broker"] == "does not answer (ConnectionError)"
    assert answer.json()["database"] == "ok"
    assert str(tmp_path) not in answer.content.decode()


def test_it_is_not_ready_when_nothing_can_be_stored(client, settings, tmp_path):
    (tmp_path / "blobs").write_text("a file where the folder should be")
    blobs_there = {**settings.STORAGES["blobs"], "OPTIONS": {"location": tmp_path / "blobs"}}
    settings.STORAGES = {**settings.STORAGES, "blobs": blobs_there}
    with pytest.raises(OSError, match="exists"):
        blobs.try_writing()
    assert client.get("/readyz").json()["storage"] == "does not answer (FileExistsError)"


def test_it_is_not_ready_before_it_is_migrated(client, monkeypatch):
    monkeypatch.setattr("config.health._is_migrated", False)
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM django_migrations WHERE app = 'annotation'")
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "manage.py migrate" in answer.json()["migrations"]


def test_asking_for_health_needs_no_https(client, settings):
    settings.SECURE_SSL_REDIRECT = True
    assert [client.get(page).status_code for page in ("/healthz", "/readyz", "/prometheus")] == [
        *(200, 200, 200)
    ]
    assert client.get(reverse("login")).status_code == 301


# --- metrics --------------------------------------------------------------------------------------


def scraped(client, **headers: str) -> dict[str, float]:
    """The samples of /prometheus, by name and labels."""
    answer = client.get("/prometheus", headers=headers)
    assert answer.status_code == 200, answer.content
    lines = answer.content.decode().splitlines()
    return {
        name: float(value)
        for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    }


def test_metrics_count_requests_judgments_leases_and_failures(client):
    before = scraped(client)
    study = factories.study()
    annotator = factories.annotator(study.campaign)
    held = serving.lease(annotator, now=clock.now())
    serving.judge(held[0], answer="left", response_ms=900, viewing={}, now=clock.now())
    failed = Reconstruction.objects.first()
    Reconstruction.objects.filter(id=failed.id).update(state="failed", error="no memory")
    client.get("/nowhere")
    after = scraped(client)

    def grown(name: str) -> float:
        return after[name] - before.get(name, 0.0)

    assert grown("closer_judgments_total") == 1
    assert grown("closer_leases_total") == len(held)
    assert after["closer_leases_live"] == len(held) - 1
    assert after[f'closer_reconstructions_failed{{codec="{failed.codec}"}}'] == 1
    assert after['closer_studies{state="open"}'] == 1
    label = '{method="GET",status="404",view="(file)"}'
    assert grown(f"closer_request_seconds_count{label}") == 1
    assert after['closer_up{part="database"}'] == after['closer_up{part="broker"}'] == 1
    assert 'closer_queue_messages{queue="encode"}' in after


def test_leases_that_ended_are_counted_when_they_are_found(client):
    annotator = factories.annotator(factories.study().campaign)
    now = clock.now()
    held = serving.lease(annotator, now=now - 2 * serving.LEASE)
    before = scraped(client).get("closer_leases_expired_total", 0.0)
    serving.lease(annotator, now=now + timedelta(seconds=1))
    assert scraped(client)["closer_leases_expired_total"] == before + len(held)


@pytest.mark.parametrize(
    ("token", "headers", "address", "status"),
    [
        ("", {}, "127.0.0.1", 200),
        ("", {}, "::1", 200),
        ("", {}, "203.0.113.7", 403),
        ("", {"X-Forwarded-For": "127.0.0.1"}, "127.0.0.1", 403),
        ("", {"X-Forwarded-Proto": "https"}, "127.0.0.1", 403),
        ("a long token for it", {}, "127.0.0.1", 403),
        ("a long token for it", {"Authorization": "Bearer another"}, "127.0.0.1", 403),
        ("a long token for it", {"Authorization": "Bearer ümläut"}, "127.0.0.1", 403),
        ("a long token for it", {"Authorization": "Bearer a long token for it"}, "8.8.8.8", 200),
    ],
)
def test_metrics_are_for_who_has_the_token_or_asks_from_here(
    client, settings, token, headers, address, status
):
    settings.CLOSER_METRICS_TOKEN = token
    answer = client.get("/prometheus", headers=headers, REMOTE_ADDR=address)
    assert answer.status_code == status


def test_networks_that_may_read_metrics_are_named(client, settings):
    settings.CLOSER_METRICS_FROM = [ip_network("10.0.0.0/8")]
    assert client.get("/prometheus", REMOTE_ADDR="10.1.2.3").status_code == 200
    assert client.get("/prometheus", REMOTE_ADDR="127.0.0.1").status_code == 403


def test_metrics_are_there_without_a_broker(client, settings, tmp_path):
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/none.sock"
    found = scraped(client)
    assert found['closer_up{part="broker"}'] == 0
    assert found['closer_up{part="database"}'] == 1
    assert "closer_judgments_total" in found


def test_a_scrape_reads_no_table_that_grows_with_judgments(client):
    factories.study()
    with CaptureQueriesContext(connection) as queries:
        scraped(client)
    plans = []
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # the tables of a test are too small
        for query in queries.captured_queries:
            if query["sql"].startswith("SELECT"):
                cursor.execute(f"EXPLAIN {query['sql']}")
                plans.append("\n".join(line for (line,) in cursor.fetchall()))
    of_rows = [plan for plan in plans if "annotation_judgment" in plan]
    assert of_rows == []
    of_leases = [plan for plan in plans if Assignment._meta.db_table in plan]
    assert len(of_leases) == 1
    assert "assignment_lease_ends" in of_leases[0]
    assert any("reconstruction_failed" in plan for plan in plans)
    assert any("reconstruction_next" in plan for plan in plans)


def test_methods_that_nobody_knows_make_no_names_of_their_own(client):
    client.generic("BREW", "/healthz")
    found = scraped(client)
    assert not any("BREW" in name for name in found)
    assert any('method="other"' in name for name in found)
    assert set(metrics.METHODS) >= {"GET", "POST"}

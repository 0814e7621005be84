"""The administrator's page of operations: what it shows, what it has tried again, who may."""

import json
import os
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest
from celery.contrib.testing.worker import start_worker
from django.urls import reverse

from annotation.models import Export
from codecs_registry import blobs, clock
from codecs_registry.models import Reconstruction
from codecs_registry.tasks import encode_owed
from config import broker, operations
from config.celery import app
from evaluation.metric_models import DifferenceMap, ReconstructionScore, TrainingRun
from evaluation.models import Study
from evaluation.webhook_models import Delivery
from evaluation.webhooks import make_webhook, send_test
from projects.access import default_project
from projects.models import AuditEntry
from tests import factories
from tests.evaluation.test_pages import text_of
from tests.metric_factories import metric, stored_version

pytestmark = pytest.mark.django_db
PAGE = "/operations"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def administrator(client, django_user_model):
    made = django_user_model.objects.create_superuser("root")
    client.force_login(made)
    return made


@pytest.fixture
def queues(settings):
    """A part of the broker that other tests leave alone, empty; a connection to it, to send by."""
    number = 2 + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:])
    url = settings.CELERY_BROKER_URL
    is_socket = url.startswith("redis+socket:")
    own = f"{url}?virtual_host={number}" if is_socket else f"{url.rpartition('/')[0]}/{number}"
    settings.CELERY_BROKER_URL = own
    broker.client().flushdb()
    with app.connection_for_write(own) as connection:
        yield connection
    broker.client().flushdb()


@pytest.fixture
def of_each_kind() -> dict[str, object]:
    """One that failed of each kind, and what it is afterwards."""
    study: Study = factories.study()
    first, second = study.reconstructions.order_by("id")[:2]
    version = stored_version(metric=metric(), is_in_service=True)
    hook = make_webhook(default_project(), "https://example.org/told", ["study.opened"], by=None)
    Reconstruction.objects.filter(id=first.id).update(state="failed", error="it has no memory")
    ReconstructionScore.objects.create(
        version=version, reconstruction=second, reason="it is too small"
    )
    DifferenceMap.objects.create(version=version, reconstruction=second, reason="it is too small")
    Export.objects.create(
        campaign=study.campaign,
        format="csv",
        population="people",
        requested_at=factories.NOW,
        name="export-1",
        state="failed",
        error="the disk is full",
    )
    TrainingRun.objects.create(
        name="next", population="people", settings={}, state="failed", error="it has no pairs"
    )
    told = send_test(hook)
    Delivery.objects.filter(id=told.id).update(state="failed", problem="503", attempts=9)
    return {
        "encodes": Reconstruction.objects.filter(state="waiting"),
        "distances": ReconstructionScore.objects.filter(reason=""),
        "maps": DifferenceMap.objects.filter(reason="", picture=""),
        "exports": Export.objects.filter(state="waiting", error=""),
        "trainings": TrainingRun.objects.filter(state="queued", attempts=0),
        "deliveries": Delivery.objects.filter(state="waiting", attempts=0),
    }


def page(client, **options):
    response = client.get(PAGE, **options)
    assert response.status_code == 200
    return text_of(response)


def test_it_is_the_administrators_alone(client, researcher):
    assert client.get(PAGE).status_code == 302
    client.force_login(researcher)
    assert client.get(PAGE).status_code == 404
    assert client.post(reverse("operations-retry", args=["encodes"])).status_code == 404
    assert client.post(reverse("operations-free", args=["encodes"])).status_code == 404
    assert "Operations" not in text_of(client.get(reverse("studies")))


def test_an_administrator_is_led_there_and_reads_that_nothing_failed(client, administrator, queues):
    assert f'href="{PAGE}"' in client.get(reverse("studies")).content.decode()
    told = page(client)
    assert "Nothing. Encodes, distances" in told
    assert "No worker has told of itself" in told
    assert "Stuck" not in told


def test_what_failed_is_listed_with_its_reason_and_tried_again(client, administrator, of_each_kind):
    told = page(client)
    for reason in ("no memory", "too small", "disk is full", "no pairs", "503", "example.org"):
        assert reason in told
    assert "/told" not in told, "addresses of webhooks hold secrets"
    assert set(of_each_kind) == set(operations.KINDS)
    for name, after in of_each_kind.items():
        if name != "distances":
            assert after.count() == 0
        answer = client.post(reverse("operations-retry", args=[name]), follow=True)
        assert "1 tried again" in text_of(answer)
        assert operations.KINDS[name].rows().count() == 0
        assert name == "distances" or after.count() == 1
    assert AuditEntry.objects.filter(actor=administrator, project=None).count() == len(of_each_kind)
    again = client.post(reverse("operations-retry", args=["exports"]), follow=True)
    assert "nothing to try again" in text_of(again)


def test_one_of_several_is_tried_again_and_workers_are_told(
    client, administrator, monkeypatch, django_capture_on_commit_callbacks
):
    sent = []
    monkeypatch.setattr(encode_owed, "delay", lambda: sent.append(1))
    study = factories.study()
    study.reconstructions.update(state="failed", error="it has no memory")
    one = study.reconstructions.first()
    with django_capture_on_commit_callbacks(execute=True):
        client.post(reverse("operations-retry", args=["encodes"]), {"id": one.id})
    assert list(Reconstruction.objects.filter(state="waiting")) == [one]
    assert sent == [1]


@pytest.mark.parametrize("sent", ["one", "-1", "1;2", "²"])
def test_what_is_no_number_of_a_row_is_not_found(client, administrator, sent):
    address = reverse("operations-retry", args=["encodes"])
    assert client.post(address, {"id": sent}).status_code == 404
    assert client.post(reverse("operations-retry", args=["nonsense"])).status_code == 404
    assert client.post(reverse("operations-free", args=["deliveries"])).status_code == 404
    assert client.get(address).status_code == 405


def test_what_lost_its_worker_is_stuck_and_can_be_freed(client, administrator, monkeypatch):
    monkeypatch.setattr(encode_owed, "delay", lambda: None)
    study = factories.study()
    ended = clock.now() - timedelta(minutes=5)
    first, second, third = study.reconstructions.order_by("id")[:3]
    held = {"state": "encoding", "worker": "away:1:2", "lease_ends": ended}
    Reconstruction.objects.filter(id=first.id).update(**held, attempts=1)
    Reconstruction.objects.filter(id=second.id).update(**held, attempts=3)
    lives = held | {"lease_ends": clock.now() + timedelta(seconds=20)}
    Reconstruction.objects.filter(id=third.id).update(**lives, attempts=1)
    told = page(client)
    assert "Stuck" in told
    assert "away" in told
    client.post(reverse("operations-free", args=["encodes"]))
    states = [Reconstruction.objects.get(id=each.id).state for each in (first, second, third)]
    assert states == ["waiting", "failed", "encoding"]
    assert "Stuck" not in page(client)
    assert "Its worker died 3 times" in page(client)


def test_queues_tell_how_many_wait_and_for_how_long(client, administrator, queues):
    for _ in range(3):
        encode_owed.apply_async(connection=queues)
    message = json.loads(broker.client().rpop("encode"))
    message["headers"][broker.SENT_AT] -= 600
    broker.client().rpush("encode", json.dumps(message))
    found = {each.name: each for each in operations.background().queues}
    assert (found["encode"].depth, found["train"].depth, found["train"].oldest_s) == (3, 0, None)
    assert 600 <= found["encode"].oldest_s < 660
    assert "10 min" in page(client)


def test_a_worker_tells_that_it_lives_and_what_it_does(queues):
    queue = f"told-{time.time_ns()}"
    with start_worker(
        app,
        pool="solo",
        queues=[queue],
        perform_ping_check=False,
        without_heartbeat=False,
        loglevel=50,
    ):
        until = time.monotonic() + 20
        while not broker.workers():
            assert time.monotonic() < until
            time.sleep(0.02)
        (found,) = broker.workers()
        assert (found.queues, found.is_silent, found.doing) == ([queue], False, [])


def test_a_worker_that_was_killed_is_shown_as_silent_and_forgotten_after_a_day(
    client, administrator, queues, monkeypatch
):
    broker.note_worker("encoder@a", ["encode"], [("codecs_registry.tasks.encode_owed", 3.0)])
    assert "lives" in page(client)
    now = time.time()
    monkeypatch.setattr(broker, "now", lambda: now + 120)
    told = page(client)
    assert "silent for 2 min" in told
    assert "encode_owed" in told
    monkeypatch.setattr(broker, "now", lambda: now + 25 * 3600)
    assert broker.workers() == []
    assert broker.client().hlen(broker.WORKERS) == 0


def test_it_works_while_the_broker_is_down(client, administrator, settings, tmp_path, of_each_kind):
    settings.CELERY_BROKER_URL = f"redis+socket://{tmp_path}/none.sock"
    told = page(client)
    assert "Nothing is lost" in told
    assert "no memory" in told
    assert "Database" in told


def test_it_asks_by_itself_and_is_answered_only_when_something_moved(client, administrator, queues):
    first = client.get(PAGE).content.decode()
    asks = re.search(r'hx-get="([^"]+)"', first)[1]
    frozen = operations.storage()
    with pytest.MonkeyPatch.context() as patch:  # the database grows by itself
        patch.setattr(operations, "storage", lambda: frozen)
        part = client.get(asks, headers=HTMX)
        asks = re.search(r'hx-get="([^"]+)"', part.content.decode())[1] if part.content else asks
        assert client.get(asks, headers=HTMX).status_code == 204
        encode_owed.apply_async(connection=queues)
        moved = client.get(asks, headers=HTMX)
    assert moved.status_code == 200
    assert "<html" not in moved.content.decode()


def test_storage_is_counted_whole_where_it_is_small_and_estimated_where_it_is_not(
    settings, tmp_path, monkeypatch
):
    there = {**settings.STORAGES["blobs"], "OPTIONS": {"location": tmp_path}}
    settings.STORAGES = {**settings.STORAGES, "blobs": there}
    for number in range(600):
        blobs.put(b"%d" % number * 10, ".bin")
    exact = operations.storage()
    files = [each for each in Path(tmp_path).rglob("*") if each.is_file()]
    assert exact.blobs == len(files) == 600
    assert exact.blob_bytes == sum(each.stat().st_size for each in files)
    assert not exact.is_estimate
    assert 0 < exact.free_bytes < exact.total_bytes
    monkeypatch.setattr(operations, "FEW", 10)
    about = operations.storage()
    assert about.is_estimate
    assert about.blobs == pytest.approx(600, rel=0.5)

"""Webhooks: what is told to whom, signed, again and again until it arrives; and to nobody within.

The receiver is a web server of this machine, which CLOSER_WEBHOOK_PRIVATE allows here.
"""

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

import closer
from codecs_registry import clock
from codecs_registry.encoding import reconstructions_finished
from codecs_registry.models import Reconstruction
from evaluation import launching, public_http, webhook_tasks, webhooks
from evaluation.changes import NotAllowed
from evaluation.public_http import NoAnswer, NotPublic, is_public, post
from evaluation.webhook_models import Delivery, Event, Webhook
from evaluation.webhooks import CLAIM, MOST_ATTEMPTS, deliver_next, signature, wait_after
from projects.access import default_project
from projects.models import AuditEntry
from tests import factories
from tests.at_once import at_once, committed_rows

State = Delivery.State


class Receiver:
    """A web server that keeps what it is sent, and answers the status that it is told to."""

    def __init__(self) -> None:
        self.got: list[tuple[dict, bytes]] = []
        self.status = 200
        self.headers: dict[str, str] = {}
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers), body))
                self.send_response(receiver.status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(b"x" * 100_000)  # more than is read

            def log_message(self, *args: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/told"
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    @property
    def events(self) -> list[str]:
        return [json.loads(body)["event"] for _, body in self.got]


@pytest.fixture
def receiver(settings, monkeypatch) -> Iterator[Receiver]:
    settings.CLOSER_WEBHOOK_PRIVATE = True
    monkeypatch.setattr(webhook_tasks.deliver, "delay", lambda: None)  # no worker listens
    made = Receiver()
    yield made
    made.close()


def webhook(receiver: Receiver, *events: str) -> Webhook:
    return webhooks.make_webhook(default_project(), receiver.url, events or Event.values, by=None)


def deliver_all() -> None:
    while deliver_next(now=clock.now()):
        pass


# --- what is told ---------------------------------------------------------------------------------


@pytest.mark.django_db
def test_a_study_that_opens_and_closes_is_told_signed_and_in_the_projects_name(receiver):
    hook = webhook(receiver, Event.OPENED, Event.CLOSED)
    study = factories.study()
    launching.close(study)
    with pytest.raises(NotAllowed):
        launching.close(study)  # it is closed already: nothing happens
    deliver_all()
    assert receiver.events == ["study.opened", "study.closed"]
    headers, body = receiver.got[0]
    told = json.loads(body)
    assert told["project"] == default_project().slug
    assert told["data"]["study"] == study.slug
    assert told["data"]["url"].endswith(f"/api/v1/studies/{study.slug}")
    assert headers["Closer-Delivery"] == told["id"]
    assert closer.verify_signature(hook.secret, headers["Closer-Signature"], body)


@pytest.mark.django_db
def test_only_what_was_asked_for_is_told_and_nothing_to_one_that_is_stopped(receiver):
    hook = webhook(receiver, Event.CLOSED)
    study = factories.study()
    webhooks.change_webhook(hook, {"is_active": False}, by=None)
    launching.close(study)
    assert not Delivery.objects.exists()


@pytest.mark.django_db
def test_failed_encodes_are_told_once_all_is_tried_and_once_again_after_a_retry(receiver):
    webhook(receiver, Event.ENCODING_FAILED)
    study = factories.study(ready=False)
    made = list(study.reconstructions.order_by("id"))

    def finish(state: str, *some: Reconstruction) -> None:
        for each in some:
            Reconstruction.objects.filter(id=each.id).update(
                state=state, error="too small", finished_at=clock.now()
            )
            sent = {"sender": Reconstruction, "reconstruction_ids": [each.id]}
            reconstructions_finished.send(**sent)
            reconstructions_finished.send(**sent)

    finish("failed", *made[:-1])
    assert not Delivery.objects.exists()  # one is being made still
    finish("failed", made[-1])
    (told,) = Delivery.objects.all()
    assert told.payload["data"]["failed"] == told.payload["data"]["total"] == 4
    assert told.payload["data"]["reason"] == "too small"
    launching.retry_encoding(study)
    finish("failed", *made)
    assert Delivery.objects.count() == 2


@pytest.mark.django_db
def test_judgments_are_counted_once_each_and_told_at_most_once_a_minute(receiver):
    webhook(receiver, Event.JUDGMENTS)
    study = factories.study(sources=3)
    now = clock.now()
    assert webhooks.announce_judgments(now=now) == 0
    factories.judge_all(factories.annotator(study.campaign), now=now)
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True), now=now)
    assert webhooks.announce_judgments(now=now) == 1
    factories.judge_all(factories.annotator(study.campaign), now=now)
    assert webhooks.announce_judgments(now=now + timedelta(seconds=59)) == 0
    later = now + timedelta(seconds=61)
    assert webhooks.announce_judgments(now=later) == 1
    assert webhooks.announce_judgments(now=later + timedelta(seconds=61)) == 0
    first, second = (each.payload["data"] for each in Delivery.objects.order_by("id"))
    assert first["new"] == {"people": 3, "simulated": 3}
    assert second["new"] == {"people": 3, "simulated": 0}
    assert second["total"] == {"people": 6, "simulated": 3}


# --- that it arrives ------------------------------------------------------------------------------


@pytest.mark.django_db
def test_what_is_refused_is_sent_again_with_the_same_id_until_it_is_taken(receiver):
    delivery = webhooks.send_test(webhook(receiver))
    receiver.status = 500
    now = clock.now()
    assert deliver_next(now=now)
    assert not deliver_next(now=now)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.response_status) == ("waiting", 1, 500)
    assert delivery.problem == "it answered 500"
    assert delivery.next_try_at > now
    receiver.status = 204
    assert deliver_next(now=delivery.next_try_at)
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts, delivery.problem) == ("delivered", 2, "")
    assert len({headers["Closer-Delivery"] for headers, _ in receiver.got}) == 1


@pytest.mark.django_db
def test_what_nobody_takes_is_given_up_and_can_be_sent_again_by_hand(receiver, as_researcher):
    hook = webhook(receiver)
    delivery = webhooks.send_test(hook)
    receiver.status = 404
    for _ in range(MOST_ATTEMPTS):
        assert deliver_next(now=clock.now() + timedelta(days=9))
    assert not deliver_next(now=clock.now() + timedelta(days=99))
    delivery.refresh_from_db()
    assert delivery.state == State.FAILED
    receiver.status = 200
    slug = default_project().slug
    page = as_researcher.get(reverse("webhooks", args=[slug])).content.decode()
    assert "it answered 404" in page
    as_researcher.post(reverse("send-again", args=[slug, hook.id, delivery.id]))
    deliver_all()
    delivery.refresh_from_db()
    assert delivery.state == State.DELIVERED


@given(st.integers(1, MOST_ATTEMPTS))
def test_waits_grow_fourfold_by_chance_and_end_at_a_day_and_a_half(attempts):
    wait = wait_after(attempts)
    whole = min(timedelta(seconds=10) * 4 ** (attempts - 1), timedelta(hours=24))
    assert whole / 2 <= wait <= whole * 1.5


@pytest.mark.django_db
def test_what_a_killed_worker_was_sending_is_sent_when_its_claim_ends(receiver):
    webhooks.send_test(webhook(receiver))
    now = clock.now()
    assert webhooks._claim(now) is not None  # and then it is killed
    assert not deliver_next(now=now)
    assert deliver_next(now=now + CLAIM)
    assert receiver.events == ["test"]


def test_of_many_workers_one_sends_each_delivery(receiver, django_db_setup, django_db_blocker):
    with committed_rows(django_db_blocker):
        hook = webhook(receiver)
        wanted = {str(webhooks.send_test(hook).event_id) for _ in range(4)}
        now = clock.now()
        at_once(lambda _: [deliver_next(now=now) for _ in range(4)], 3)
        sent = [headers["Closer-Delivery"] for headers, _ in receiver.got]
        assert sorted(sent) == sorted(wanted)


@pytest.mark.django_db
def test_old_deliveries_are_forgotten_but_for_those_that_wait_and_the_last_of_a_kind(receiver):
    hook = webhook(receiver)
    deliveries = [webhooks.send_test(hook) for _ in range(3)]
    deliver_all()
    waiting = webhooks.send_test(hook)
    long_ago = clock.now() - timedelta(days=31)
    Delivery.objects.update(made_at=long_ago)
    Delivery.objects.filter(id=waiting.id).update(id=1)  # older than all of them
    assert webhooks.forget_old(now=clock.now()) == 2
    assert set(Delivery.objects.values_list("id", flat=True)) == {1, deliveries[-1].id}


# --- signatures -----------------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["body", "secret", "time", "mark", ""])
def test_a_signature_holds_for_one_body_one_secret_and_a_while(change):
    at = clock.now() - timedelta(seconds=400 if change == "time" else 0)
    header = signature("secret", b"{}", at=at)
    if change == "mark":
        header = header.replace("v1=", "v1=0")
    body = b"[]" if change == "body" else b"{}"
    secret = "another" if change == "secret" else "secret"
    assert closer.verify_signature(secret, header, body) == (change == "")


# --- who may not be called ------------------------------------------------------------------------

WITHIN = [
    *("127.0.0.1", "127.8.9.10", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1"),  # noqa: S104
    *("169.254.169.254", "100.64.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"),
    *("::1", "::", "fe80::1", "fe80::1%eth0", "fc00::1", "ff02::1", "::ffff:127.0.0.1"),
    *("::ffff:8.8.8.8", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:db8::1"),
]


@pytest.mark.parametrize("address", WITHIN)
def test_an_address_within_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700:4700::1111"])
def test_an_address_of_the_internet_is_public(address):
    assert is_public(address)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "url",
    [
        *("http://127.0.0.1/x", "http://localhost/x", "http://[::1]/x", "http://127.1/x"),
        *("http://0x7f000001/x", "http://2130706433/x", "http://[::ffff:127.0.0.1]/x"),
        *("ftp://example.org/", "file:///etc/passwd", "http://u:p@example.org/", "http:///x"),
        *("http://example.org/ x", "http://example.org\n/x", "http://a:99999/"),
    ],
)
def test_a_webhook_that_leads_within_is_not_made_nor_called(url, settings):
    settings.CLOSER_WEBHOOK_PRIVATE = False
    with pytest.raises(webhooks.CannotKeep):
        webhooks.make_webhook(default_project(), url, [Event.OPENED], by=None)
    with pytest.raises(NotPublic):
        post(url, b"{}", {})


@pytest.mark.django_db
def test_a_name_that_leads_within_later_is_not_followed_there(receiver, settings):
    """The address is looked at when it is called: what a name led to before says nothing."""
    delivery = webhooks.send_test(webhook(receiver))
    settings.CLOSER_WEBHOOK_PRIVATE = False
    deliver_next(now=clock.now())
    delivery.refresh_from_db()
    assert "not on the public network" in delivery.problem
    assert receiver.got == []


def test_the_connection_is_made_to_the_address_that_was_looked_at(receiver, monkeypatch):
    """However often a name is resolved, and to whatever: it is resolved once."""
    asked = []
    resolve = socket.getaddrinfo

    def once(host, port, *args, **kwargs):
        asked.append(host)
        return resolve("127.0.0.1" if len(asked) == 1 else "192.0.2.1", port, *args, **kwargs)

    monkeypatch.setattr(public_http.socket, "getaddrinfo", once)
    port = receiver.server.server_port
    assert post(f"http://told.example:{port}/told", b"{}", {}) == 200
    assert asked == ["told.example"]
    assert receiver.got[0][0]["Host"] == f"told.example:{port}"


def test_redirects_are_not_followed(receiver):
    other = Receiver()
    try:
        receiver.status, receiver.headers = 307, {"Location": other.url}
        assert post(receiver.url, b"{}", {}) == 307
        assert other.got == []
    finally:
        other.close()


def test_a_host_that_answers_a_byte_at_a_time_is_hung_up_on(settings, monkeypatch):
    settings.CLOSER_WEBHOOK_PRIVATE = True
    monkeypatch.setattr(public_http, "TOTAL_S", 0.5)
    is_over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection:
                for _ in range(80):
                    try:
                        connection.sendall(b"H")
                    except OSError:
                        return
                    if is_over.wait(0.1):
                        return

        thread = threading.Thread(target=drip)
        thread.start()
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            post(f"http://127.0.0.1:{server.getsockname()[1]}/", b"{}", {})
        is_over.set()
        thread.join()
    assert time.monotonic() - began < 4  # and not the eight seconds that it goes on


def test_who_does_not_speak_tls_is_no_receiver(receiver):
    with pytest.raises(NoAnswer):
        post(receiver.url.replace("http:", "https:"), b"{}", {})


# --- the page -------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_one_makes_stops_and_removes_a_webhook_on_its_page(receiver, as_researcher):
    page = reverse("webhooks", args=[default_project().slug])
    assert "None yet" in as_researcher.get(page).content.decode()
    made = as_researcher.post(page, {"url": receiver.url, "events": ["study.opened"]})
    hook = Webhook.objects.get()
    assert hook.secret in made.content.decode()
    assert hook.secret not in as_researcher.get(page).content.decode()
    again = as_researcher.post(page, {"url": receiver.url, "events": ["study.opened"]})
    assert again.status_code == 422
    as_researcher.post(reverse("test-webhook", args=[default_project().slug, hook.id]))
    webhook_tasks.deliver()
    assert receiver.events == ["test"]
    change = reverse("change-webhook", args=[default_project().slug, hook.id])
    for wanted, is_active in (("stop", False), ("go on", True)):
        as_researcher.post(change, {"change": wanted})
        assert Webhook.objects.get().is_active == is_active
    as_researcher.post(change, {"change": "remove"})
    assert not Webhook.objects.exists()
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"made a webhook", "changed a webhook", "removed a webhook"} <= actions

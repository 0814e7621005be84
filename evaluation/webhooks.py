"""Telling other programs what happens in a project: at least once, signed, at addresses they named.

    announce ---> waiting --deliver (Celery)--> delivered
                    ^  |  refused: again later
                    '--'  MOST_ATTEMPTS times: failed

The database is the queue, as it is for encoding: a message that is lost costs seconds, and what a
killed worker was sending is sent again when its claim ends. So a receiver may be told twice, and
knows by the event's id.
"""

import hashlib
import hmac
import json
import random
import secrets
import uuid
from collections.abc import Iterable
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, Max, Q
from django.urls import reverse

from annotation.models import Judgment, Purpose
from codecs_registry import clock
from codecs_registry.models import Reconstruction
from evaluation.models import PEOPLE, SIMULATED, Study
from evaluation.public_http import NoAnswer, NotPublic, check_url, post, public_addresses
from evaluation.webhook_models import TEST, Delivery, Event, Webhook
from projects import audit
from projects.models import Project

MOST_ATTEMPTS = 9
FIRST_WAIT = timedelta(seconds=10)  # then four times as long each time: in all nearly two days
LONGEST_WAIT = timedelta(hours=24)
CLAIM = timedelta(seconds=60)  # longer than any attempt takes
JUDGMENTS_EVERY = timedelta(minutes=1)
KEPT = timedelta(days=30)  # deliveries that are over
MOST_A_PROJECT = 20

State = Delivery.State
MOVES = {Study.State.OPEN: Event.OPENED, Study.State.CLOSED: Event.CLOSED}


class CannotKeep(Exception):
    """A webhook that is refused; `field` and the message say why."""

    def __init__(self, field: str, problem: str) -> None:
        self.field = field
        super().__init__(problem)


# --- webhooks -------------------------------------------------------------------------------------


def make_webhook(project: Project, url: str, events: Iterable[str], *, by) -> Webhook:
    """Raises CannotKeep if the address is not public, is there already, or is one too many."""
    _check(url)
    if project.webhooks.count() >= MOST_A_PROJECT:
        raise CannotKeep("url", f"A project has at most {MOST_A_PROJECT} webhooks.")
    try:
        with transaction.atomic():
            made = Webhook.objects.create(
                project=project,
                url=url,
                events=sorted(set(events)),
                secret=f"whsec_{secrets.token_urlsafe(32)}",
                made_by=by,
            )
            _record("made a webhook", made, by=by, events=made.events)
            return made
    except IntegrityError:
        raise CannotKeep("url", "There is a webhook with this address already.") from None


def change_webhook(webhook: Webhook, changes: dict, *, by) -> None:
    """Change its url, events or is_active. Raises CannotKeep as make_webhook does."""
    if "url" in changes:
        _check(changes["url"])
    if "events" in changes:
        changes = changes | {"events": sorted(set(changes["events"]))}
    for name, value in changes.items():
        setattr(webhook, name, value)
    try:
        with transaction.atomic():
            webhook.save(update_fields=list(changes))
            told = {name: value for name, value in changes.items() if name != "url"}
            _record("changed a webhook", webhook, by=by, **told)
    except IntegrityError:
        raise CannotKeep("url", "There is a webhook with this address already.") from None


@transaction.atomic
def remove_webhook(webhook: Webhook, *, by) -> None:
    _record("removed a webhook", webhook, by=by)
    webhook.delete()


def _record(action: str, webhook: Webhook, *, by, **details: object) -> None:
    # Of its address the host alone: the rest is often a secret, and viewers read the log.
    host = urlsplit(webhook.url).hostname
    audit.record(action, f"{webhook.id} at {host}", by=by, project=webhook.project, **details)


def _check(url: str) -> None:
    try:
        parts = check_url(url)
        public_addresses(parts.hostname, parts.port or 443)
    except NotPublic as error:
        raise CannotKeep("url", f"This {error}.") from None
    except NoAnswer:
        pass  # its name may be known later


# --- events ---------------------------------------------------------------------------------------


def study_moved(study: Study, state: str) -> None:
    """Tell that a study is in another state now; within the transaction that moves it."""
    if state in MOVES:
        announce(MOVES[state], study, state=str(state))


def analysis_ready(study: Study, **data: object) -> None:
    """Tell that an analysis of a study can be fetched; `data` says which."""
    announce(Event.ANALYSED, study, **data)


def announce(event: Event, study: Study, *, event_id: uuid.UUID | None = None, **data) -> int:
    """Note an event for each webhook of the study's project that wants it; returns for how many.

    event_id : where something could be noticed twice, one that is the same both times.
    """
    wanted = study.project.webhooks.filter(is_active=True, events__contains=[event])
    event_id = event_id or uuid.uuid4()
    return sum(_note(webhook, event, study, event_id, data) for webhook in wanted)


def send_test(webhook: Webhook) -> Delivery:
    """Have a webhook sent an event that means nothing."""
    event_id = uuid.uuid4()
    _note(webhook, TEST, None, event_id, {"message": "This is a test."})
    return webhook.deliveries.get(event_id=event_id)


def send_again(delivery: Delivery) -> None:
    """Have what was delivered, or given up, sent once more, with the same id."""
    Delivery.objects.filter(id=delivery.id).update(
        state=State.WAITING, attempts=0, next_try_at=clock.now()
    )
    _wake_on_commit()


def _note(
    webhook: Webhook, event: str, study: Study | None, event_id: uuid.UUID, data: dict
) -> bool:
    now = clock.now()
    about = {"study": study.slug, "name": study.name, "url": _address(study)} if study else {}
    _, is_new = Delivery.objects.get_or_create(
        webhook=webhook,
        event_id=event_id,
        defaults={
            "event": event,
            "study": study,
            "next_try_at": now,
            "payload": {
                "id": str(event_id),
                "event": str(event),
                "at": now.isoformat(),
                "project": webhook.project.slug,
                "data": about | data,
            },
        },
    )
    if is_new:
        _wake_on_commit()
    return is_new


def _address(study: Study) -> str:
    return settings.CLOSER_URL + reverse("api-study", args=[study.slug])


def _wake_on_commit() -> None:
    from evaluation.webhook_tasks import deliver

    # A broker that does not answer costs seconds: the scheduler looks for what is due, too.
    transaction.on_commit(lambda: deliver.delay(), robust=True)


def announce_failures(reconstruction_ids: list[int]) -> None:
    """Tell of studies to whose stimuli these belong, and which wait for nothing but a retry."""
    wanted = Study.objects.filter(
        n_tasks=None,
        reconstructions__in=reconstruction_ids,
        project__webhooks__events__contains=[Event.ENCODING_FAILED],
    )
    for study in wanted.select_related("project").distinct():
        failed = study.reconstructions.filter(state=Reconstruction.State.FAILED)
        counts = study.encoding_progress()
        if not counts["failed"] or counts["failed"] + counts["ready"] != counts["total"]:
            continue
        last = failed.aggregate(at=Max("finished_at"))["at"]
        announce(
            Event.ENCODING_FAILED,
            study,
            event_id=uuid.uuid5(uuid.NAMESPACE_URL, f"{study.id}/failed/{last}"),
            failed=counts["failed"],
            total=counts["total"],
            first=str(failed.first()),
            reason=failed.first().error[:500],
        )


def announce_judgments(*, now: datetime) -> int:
    """Tell of the judgments that came since it was told last, study by study; returns how often."""
    told = 0
    wanted = Webhook.objects.filter(is_active=True, events__contains=[Event.JUDGMENTS])
    for webhook in wanted.select_related("project"):
        for study in webhook.project.studies.filter(n_tasks__isnull=False):
            told += _announce_judgments(webhook, study, now=now)
    return told


def _announce_judgments(webhook: Webhook, study: Study, *, now: datetime) -> bool:
    before = webhook.deliveries.filter(study=study, event=Event.JUDGMENTS).order_by("-id").first()
    if before and before.made_at > now - JUDGMENTS_EVERY:
        return False
    after = before.payload["data"]["last_judgment"] if before else 0
    new = Judgment.objects.filter(campaign=study.campaign_id, id__gt=after)
    if before is None:
        newest = new.order_by("-id").first()
        if newest is None or newest.judged_at < webhook.made_at:
            return False  # without reading all that came before the webhook
        new = new.filter(judged_at__gte=webhook.made_at)
    new = new.filter(assignment__purpose=Purpose.MEASURE)
    simulated = Q(assignment__annotator__is_simulated=True)
    found = new.aggregate(
        last=Max("id"),
        people=Count("id", filter=~simulated),
        simulated=Count("id", filter=simulated),
    )
    if found["last"] is None:
        return False
    event_id = uuid.uuid5(uuid.NAMESPACE_URL, f"{webhook.id}/{study.id}/{found['last']}")
    data = {
        "new": {PEOPLE: found["people"], SIMULATED: found["simulated"]},
        "total": study.judgment_counts(),
        "last_judgment": found["last"],
    }
    return _note(webhook, Event.JUDGMENTS, study, event_id, data)


# --- deliveries -----------------------------------------------------------------------------------


def deliver_next(*, now: datetime) -> bool:
    """Send what is due longest; returns whether anything was. Any number of workers may call it."""
    delivery = _claim(now)
    if delivery is None:
        return False
    body = json.dumps(delivery.payload, separators=(",", ":")).encode()
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "Closer",
        "Closer-Event": delivery.event,
        "Closer-Delivery": str(delivery.event_id),
        "Closer-Signature": signature(delivery.webhook.secret, body, at=clock.now()),
    }
    status, problem = None, ""
    try:
        status = post(delivery.webhook.url, body, headers)
    except (NotPublic, NoAnswer) as error:
        problem = str(error)
    if status is not None and not 200 <= status < 300:
        problem = f"it answered {status}"
    _settle(delivery, status, problem[:1000], now=clock.now())
    return True


def signature(secret: str, body: bytes, *, at: datetime) -> str:
    """What Closer-Signature says: when it was signed, and the HMAC-SHA-256 of "time.body"."""
    moment = str(int(at.timestamp()))
    mac = hmac.new(secret.encode(), moment.encode() + b"." + body, hashlib.sha256)
    return f"t={moment},v1={mac.hexdigest()}"


def _claim(now: datetime) -> Delivery | None:
    """The next that is due, for CLAIM: who claims it and dies leaves it to the next."""
    due = Delivery.objects.filter(
        state=State.WAITING, next_try_at__lte=now, webhook__is_active=True
    )
    # One whose worker died each time, whatever it died of.
    due.filter(attempts__gte=MOST_ATTEMPTS).update(state=State.FAILED)
    with transaction.atomic():
        found = (
            due.select_for_update(of=("self",), skip_locked=True)
            .select_related("webhook")
            .order_by("next_try_at", "id")
            .first()
        )
        if found:
            found.attempts += 1
            found.next_try_at = now + CLAIM
            found.save(update_fields=["attempts", "next_try_at"])
    return found


def _settle(delivery: Delivery, status: int | None, problem: str, *, now: datetime) -> None:
    changes: dict[str, object] = {"response_status": status, "problem": problem}
    if not problem:
        changes |= {"state": State.DELIVERED, "delivered_at": now}
    elif delivery.attempts >= MOST_ATTEMPTS:
        changes |= {"state": State.FAILED}
    else:
        changes |= {"next_try_at": now + wait_after(delivery.attempts)}
    # One whose claim ended meanwhile is another worker's; what that one finds out stands.
    mine = Delivery.objects.filter(id=delivery.id, attempts=delivery.attempts)
    mine.update(**changes)


def wait_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts: four times as long each time, and by chance from a
    half to one and a half of it, so that what failed together does not come back together."""
    longest = min(FIRST_WAIT * 4 ** (attempts - 1), LONGEST_WAIT)
    return longest * random.uniform(0.5, 1.5)  # noqa: S311 (no secret)


def forget_old(*, now: datetime) -> int:
    """Delete deliveries that were over long ago, but for the last of each kind: the next counts
    from it."""
    over = Delivery.objects.exclude(state=State.WAITING).filter(made_at__lt=now - KEPT)
    last = (
        Delivery.objects.order_by()
        .values("webhook", "study", "event")
        .annotate(last=Max("id"))
        .values("last")
    )
    return over.exclude(id__in=last).delete()[0]

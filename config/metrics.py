"""/prometheus: what Prometheus asks for, cheap at any number of judgments.

Requests are counted by the processes of one web server, in files that prometheus_client's
multiprocess mode adds up (config/gunicorn.py): counting them anywhere else would make each wait for
it. All else comes from the database and the broker when it is asked for, so that it is the same
whichever web server is asked, and true across processes and hosts. Nothing is counted row by row
that grows with judgments: the sequences of their ids say how many there were, partial indexes hold
the few rows that are under way.
"""

import hmac
import ipaddress
import logging
import os
from collections.abc import Iterator

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import Count
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from annotation.models import Assignment, Export, Judgment
from annotation.serving import leases_ended
from codecs_registry import clock, encoding
from codecs_registry.models import Encode, Reconstruction
from config import broker
from evaluation import training_runs
from evaluation.models import Study
from evaluation.webhook_models import Delivery

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Real-IP", "Via")

OF_PROCESS = CollectorRegistry()
REQUESTS = Histogram(
    "closer_request_seconds",
    "How long requests took, of this web server",
    ["view", "method", "status"],
    buckets=BUCKETS_S,
    registry=OF_PROCESS,
)
LEASES_ENDED = Counter(
    "closer_leases_expired",
    "Leases whose end a request to this web server found to be past, unanswered",
    registry=OF_PROCESS,
)
logger = logging.getLogger(__name__)


def note_request(view: str, method: str, status: int, seconds: float) -> None:
    REQUESTS.labels(view, method, status).observe(seconds)


@receiver(leases_ended)
def note_leases_ended(*, count: int, **_: object) -> None:
    LEASES_ENDED.inc(count)


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """All of it as Prometheus reads it, for who has the token or asks from a known address."""
    if not _may_read(request):
        told = "This takes CLOSER_METRICS_TOKEN, or an address of CLOSER_METRICS_FROM.\n"
        return HttpResponse(told, status=403, content_type="text/plain")
    own = OF_PROCESS
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        own = CollectorRegistry()
        MultiProcessCollector(own)
    shared = CollectorRegistry()
    shared.register(Shared())
    body = generate_latest(own) + generate_latest(shared)
    return HttpResponse(body, content_type=CONTENT_TYPE_LATEST)


def _may_read(request: HttpRequest) -> bool:
    given = request.headers.get("Authorization", "").removeprefix("Bearer ").encode()
    token = settings.CLOSER_METRICS_TOKEN.encode()
    if token:
        return hmac.compare_digest(given, token)
    if any(name in request.headers for name in FORWARDED):
        return False  # through a proxy, whose address says nothing about who asks
    try:
        address = ipaddress.ip_address(request.META.get("REMOTE_ADDR", ""))
    except ValueError:
        return False
    return any(address in network for network in settings.CLOSER_METRICS_FROM)


class Shared(Collector):
    """What the database and the broker know. A part that does not answer is left out, and closer_up
    says which."""

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("closer_up", "Whether a part answers", labels=["part"])
        for part, ask in (("database", _of_database), ("broker", _of_broker)):
            try:
                found = list(ask())
            except (DatabaseError, OSError, *broker.Unreachable) as error:
                logger.warning("%s does not answer: %s", part, error)
                up.add_metric([part], 0)
            else:
                up.add_metric([part], 1)
                yield from found
        yield up


def _of_database() -> Iterator[Metric]:
    now = clock.now()
    yield CounterMetricFamily(
        "closer_judgments", "Judgments ever given, withdrawn ones too", value=_ever(Judgment)
    )
    yield CounterMetricFamily(
        "closer_leases", "Questions ever leased to annotators", value=_ever(Assignment)
    )
    yield GaugeMetricFamily(
        "closer_leases_live",
        "Questions that annotators hold now, unanswered",
        value=live_leases(now=now).count(),
    )
    yield CounterMetricFamily(
        "closer_encodes", "Files ever made by codecs, of searches too", value=_ever(Encode)
    )
    owed = GaugeMetricFamily(
        "closer_owed", "Work that the database holds for workers", labels=["kind"]
    )
    for kind, rows in owed_rows().items():
        owed.add_metric([kind], rows.count())
    yield owed
    failed = GaugeMetricFamily(
        "closer_reconstructions_failed",
        "Reconstructions that could not be made, until somebody has them tried again",
        labels=["codec"],
    )
    for codec, count in failed_by_codec().items():
        failed.add_metric([codec], count)
    yield failed
    studies = GaugeMetricFamily("closer_studies", "Studies by state", labels=["state"])
    for state in Study.State:
        studies.add_metric([state], Study.objects.filter(Study.in_state(state)).count())
    yield studies


def _of_broker() -> Iterator[Metric]:
    depth = GaugeMetricFamily(
        "closer_queue_messages", "Messages that wait in the broker", labels=["queue"]
    )
    for queue, count in broker.depths().items():
        depth.add_metric([queue], count)
    yield depth
    times = HistogramMetricFamily(
        "closer_task_seconds", "How long tasks took, of all workers", labels=["task", "state"]
    )
    for (name, end), known in sorted(broker.task_times().items()):
        so_far, buckets = 0, []
        for bound, count in zip((*map(str, broker.BUCKETS_S), "+Inf"), known.buckets, strict=True):
            so_far += count
            buckets.append((bound, so_far))
        times.add_metric([name, end], buckets, sum_value=known.seconds)
    yield times


def live_leases(*, now):
    """Served by the index assignment_lease_ends, which holds no answered one by its time."""
    return Assignment.objects.filter(holds_place=True, lease_ends__gt=now)


def owed_rows() -> dict:
    """What waits or is worked on, by kind: few rows, in partial indexes or small tables."""
    work = encoding.WORK, training_runs.WORK
    reconstructions, trainings = (
        each.model.objects.filter(state__in=[each.waiting, each.held]) for each in work
    )
    State = Export.State  # noqa: N806  (as the model calls it)
    return {
        "reconstructions": reconstructions,
        "trainings": trainings,
        "exports": Export.objects.filter(state__in=[State.WAITING, State.MAKING]),
        "deliveries": Delivery.objects.filter(state=Delivery.State.WAITING),
    }


def failed_by_codec() -> dict[str, int]:
    failed = Reconstruction.objects.filter(state=Reconstruction.State.FAILED).order_by()
    return dict(failed.values_list("codec").annotate(n=Count("id")))


def _ever(model) -> int:
    """How many rows were ever inserted: the last id that its sequence gave out."""
    sequence = "pg_get_serial_sequence(%s, 'id')::regclass"
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT coalesce(pg_sequence_last_value({sequence}), 0)",
            [model._meta.db_table],
        )
        return cursor.fetchone()[0]

"""What an administrator looks after: queues, workers, storage, and work that failed or is stuck."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

from django.db import connection, transaction
from django.db.models import QuerySet

from annotation import exports
from annotation.models import Export
from annotation.tasks import wake_exporters
from codecs_registry import blobs, clock, encoding
from codecs_registry.leases import Work
from codecs_registry.models import Reconstruction
from codecs_registry.tasks import wake_encoders
from config import broker
from evaluation import metric_tasks, training_runs, webhook_tasks, webhooks
from evaluation.metric_models import DifferenceMap, ReconstructionScore
from evaluation.models import TrainingRun
from evaluation.webhook_models import Delivery
from projects import audit

SHOWN = 20  # of each kind that failed
STUCK_AFTER = timedelta(minutes=1)  # workers look for such every ten seconds
SAMPLED = 16  # of the 256 folders of blobs: their names are digests, so that all are alike
FEW = 2000


# --- queues, workers, storage ---------------------------------------------------------------------


@dataclass(frozen=True)
class Queue:
    """oldest_s : for how long the message that is next has waited; None: there is none."""

    name: str
    depth: int
    oldest_s: float | None
    workers: int


@dataclass(frozen=True)
class Background:
    """problem : why the broker tells nothing of queues and workers; empty if it does."""

    queues: list[Queue] = field(default_factory=list)
    workers: list[broker.Worker] = field(default_factory=list)
    problem: str = ""


def background() -> Background:
    try:
        depths, oldest = broker.depths(), broker.oldest_waits_s(now=broker.now())
        workers = broker.workers()
    except broker.Unreachable as error:
        return Background(problem=type(error).__name__)
    queues = [
        Queue(
            name,
            depth,
            oldest[name],
            sum(name in each.queues and not each.is_silent for each in workers),
        )
        for name, depth in depths.items()
    ]
    return Background(queues, workers)


@dataclass(frozen=True)
class Storage:
    """blobs, blob_bytes : None where blobs are in no folder of this machine; of many, estimates
    from a sixteenth of them.   free_bytes, total_bytes : of the file system that they are on."""

    database_bytes: int
    blobs: int | None = None
    blob_bytes: int | None = None
    is_estimate: bool = False
    free_bytes: int | None = None
    total_bytes: int | None = None

    @property
    def is_short(self) -> bool:
        return self.free_bytes is not None and self.free_bytes < 0.1 * self.total_bytes


def storage() -> Storage:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        database_bytes = cursor.fetchone()[0]
    folder = blobs.folder()
    if folder is None or not folder.is_dir():
        return Storage(database_bytes)
    usage = shutil.disk_usage(folder)
    names = [f"{number:02x}" for number in range(256)]
    count, size = _files_in(folder, names[::SAMPLED])
    is_estimate = count * SAMPLED > FEW
    if is_estimate:
        count, size = count * SAMPLED, size * SAMPLED
    else:
        count, size = _files_in(folder, names)
    return Storage(database_bytes, count, size, is_estimate, usage.free, usage.total)


def _files_in(folder: Path, names: list[str]) -> tuple[int, int]:
    """How many files are in these folders of a folder, and their size together, in bytes."""
    count = size = 0
    for name in names:
        try:
            for each in (folder / name).iterdir():
                count, size = count + 1, size + each.stat().st_size
        except OSError:  # no such folder yet, or a file that was being written
            continue
    return count, size


# --- what failed ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Failure:
    id: int
    what: str
    reason: str
    at: datetime | None


@dataclass(frozen=True)
class Kind:
    """A kind of work that can fail.

    rows : those that failed.   retry : has such rows tried again, and returns how many.
    wake : tells workers to look.
    """

    name: str
    title: str
    rows: Callable[[], QuerySet]
    tell: Callable[..., Failure]
    retry: Callable[[QuerySet], int]
    wake: Callable[[], None]


def _failed(work: Work) -> Callable[[], QuerySet]:
    def rows() -> QuerySet:
        return work.model._default_manager.filter(state=work.failed).order_by("-id")

    return rows


def _encode(each: Reconstruction) -> Failure:
    return Failure(each.id, str(each), each.error, each.finished_at)


def _distance(each: ReconstructionScore) -> Failure:
    return Failure(each.id, f"{each.reconstruction}, by {each.version}", each.reason, None)


def _map(each: DifferenceMap) -> Failure:
    return Failure(each.id, f"{each.reconstruction}, by {each.version}", each.reason, each.asked_at)


def _export(each: Export) -> Failure:
    return Failure(each.id, each.name, each.error, each.finished_at)


def _training(each: TrainingRun) -> Failure:
    return Failure(each.id, each.name, each.error, each.finished_at)


def _delivery(each: Delivery) -> Failure:
    # Of an address the host alone: the rest is often a secret.
    host = each.webhook.url.split("/")[2]
    return Failure(each.id, f"{each.event} to {host}", each.problem, each.made_at)


def _send_again(rows: QuerySet) -> int:
    found = list(rows)
    for each in found:
        webhooks.send_again(each)
    return len(found)


KINDS = {
    each.name: each
    for each in (
        Kind(
            "encodes",
            "Encodes",
            lambda: _failed(encoding.WORK)().select_related("source"),
            _encode,
            encoding.WORK.retry,
            wake_encoders,
        ),
        Kind(
            "distances",
            "Distances by the metric in service",
            lambda: ReconstructionScore.objects.filter(
                distance=None, version__is_in_service=True
            ).select_related("version", "reconstruction__source"),
            _distance,
            lambda rows: rows.delete()[0],  # what has none is owed one
            lambda: metric_tasks.wake(metric_tasks.score_reconstructions),
        ),
        Kind(
            "maps",
            "Maps of differences",
            lambda: DifferenceMap.objects.exclude(reason="").select_related(
                "version", "reconstruction__source"
            ),
            _map,
            lambda rows: rows.update(reason=""),
            lambda: metric_tasks.wake(metric_tasks.draw_differences),
        ),
        Kind(
            "exports",
            "Exports",
            _failed(exports.WORK),
            _export,
            exports.WORK.retry,
            wake_exporters,
        ),
        Kind(
            "trainings",
            "Trainings of the metric",
            _failed(training_runs.WORK),
            _training,
            training_runs.WORK.retry,
            lambda: metric_tasks.wake(metric_tasks.train_next),
        ),
        Kind(
            "deliveries",
            "Deliveries to webhooks",
            lambda: Delivery.objects.filter(state=Delivery.State.FAILED).select_related("webhook"),
            _delivery,
            _send_again,
            webhook_tasks.deliver.delay,
        ),
    )
}


@dataclass(frozen=True)
class Failures:
    kind: Kind
    count: int
    shown: list[Failure]


def failures() -> list[Failures]:
    """By kind, those of which some failed, with the newest of them."""
    found = []
    for kind in KINDS.values():
        count = kind.rows().count()
        if count:
            shown = [kind.tell(each) for each in kind.rows()[:SHOWN]]
            found.append(Failures(kind, count, shown))
    return found


@transaction.atomic
def try_again(kind: Kind, row_id: int | None, *, by) -> int:
    """Have one that failed, or all of its kind, tried again; returns how many that is."""
    rows = kind.rows() if row_id is None else kind.rows().filter(id=row_id)
    ids = list(rows.order_by("id").values_list("id", flat=True))
    count = kind.retry(rows.model._default_manager.filter(id__in=ids))
    if count:
        audit.record("had what failed tried again", kind.title, by=by, project=None, n=count)
        # A broker that does not answer costs time: workers look for work by themselves.
        transaction.on_commit(kind.wake, robust=True)
    return count


# --- what is stuck --------------------------------------------------------------------------------


WORKS = {
    "encodes": encoding.WORK,
    "exports": exports.WORK,
    "trainings": training_runs.WORK,
}


@dataclass(frozen=True)
class Stuck:
    """Rows whose worker's lease ended more than STUCK_AFTER ago, and that nobody has taken up."""

    name: str
    title: str
    count: int
    since: datetime
    worker: str


def stuck(*, now: datetime) -> list[Stuck]:
    found = []
    for name, rows in _stuck_rows(now=now).items():
        oldest = rows.order_by("lease_ends").first()
        if oldest:
            host = oldest.worker.partition(":")[0]
            title = KINDS[name].title
            found.append(Stuck(name, title, rows.count(), oldest.lease_ends, host))
    return found


def _stuck_rows(*, now: datetime) -> dict[str, QuerySet]:
    return {
        name: work.model._default_manager.filter(state=work.held, lease_ends__lte=now - STUCK_AFTER)
        for name, work in WORKS.items()
    }


@transaction.atomic
def free_stuck(name: str, *, by) -> int:
    """Have what lost its worker wait for the next one; returns how many. What lost it too often
    fails, with that reason."""
    now = clock.now()
    if name == "encodes":
        encoding.give_up(now=now)  # which tells studies and webhooks
    count = WORKS[name].release_lost(now=now)
    if count:
        title = KINDS[name].title
        audit.record("freed what was stuck", title, by=by, project=None, n=count)
        transaction.on_commit(KINDS[name].wake, robust=True)
    return count

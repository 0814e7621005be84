"""From judgments to a new version of the metric, with nobody's hand in it.

    rule is due ---> run is asked for ---> claimed: snapshot of the judgments ---> training
                                                  ---> scores on what is held out ---> version
                                                  ---> promoted, or kept aside (promotion.py)

A run that is cut short goes on from its folder: the snapshot, what the backbone saw, the last
checkpoint.
"""

from __future__ import annotations

import contextlib
import csv
import logging
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import torch
from django.conf import settings as configured
from django.db import IntegrityError, transaction
from django.utils import timezone

from codecs_registry import blobs
from codecs_registry.leases import DATABASE_GONE, lease_kept
from evaluation import training_runs
from evaluation.distances import DistanceStore, distance_store, distances
from evaluation.metric_models import MetricVersion, RetrainingRule, TrainingRun
from evaluation.metric_scores import score_table
from evaluation.metric_versions import (
    VersionUnavailable,
    in_service,
    lock,
    metric_of,
    put_in_service,
)
from evaluation.populations import SIMULATED
from evaluation.promotion import Decision, decide
from evaluation.provenance import training_provenance
from evaluation.training_data import (
    HELD_OUT_SEED,
    HELD_OUT_SHARE,
    NothingToTrainOn,
    counts_by_study,
    gather,
    new_judgments,
    newest_judgment,
    write_snapshot,
)
from evaluation.training_runs import Stopped
from perceptual.backbones import BackboneUnavailable
from perceptual.lpips import LpipsComp, to_bytes
from perceptual.metric import Metric, MetricUnavailable
from perceptual.pairs import MANIFEST, Dataset, InvalidDataset, Pair, read_dataset, size
from perceptual.training import CannotTrain, Progress, Settings, Trained, train

NIGHT_HOUR = 3  # in the time zone of the settings
COMPARED = ("psnr", "ssim", "ms-ssim", "lpips-untrained", "lpips-alex", "lpips-vgg", "dists")
"""Beside it in the table of its scores, those that can run here; `score_metrics` has all."""
HARDEST = 12
NOTED_EVERY_S = 0.5
CANNOT = (NothingToTrainOn, CannotTrain, InvalidDataset, BackboneUnavailable, VersionUnavailable)
"""What a person must mend before a training can succeed."""

Tell = Callable[[Progress], None]
logger = logging.getLogger(__name__)


# --- when -----------------------------------------------------------------------------------------


def why_due(rule: RetrainingRule, *, now: datetime) -> str:
    """Why a rule wants a training now; empty if it does not."""
    if not rule.is_on or _runs(rule).exists():
        return ""
    last = rule.runs.first()
    new = new_judgments(rule)
    if rule.every_judgments and new >= rule.every_judgments:
        return f"{new} new judgments"
    settled = max(rule.changed_at, last.asked_at) if last else rule.changed_at
    if rule.is_nightly and new and settled < last_night(now):
        return "nightly"
    return ""


def last_night(now: datetime) -> datetime:
    """The moment, at or before now, of the last nightly training."""
    local = timezone.localtime(now)
    night = local.replace(hour=NIGHT_HOUR, minute=0, second=0, microsecond=0)
    return night if night <= local else night - timedelta(days=1)


def ask_for_due(*, now: datetime) -> list[TrainingRun]:
    """Ask for the trainings that rules want now."""
    asked = []
    for rule in RetrainingRule.objects.filter(is_on=True):
        if not why_due(rule, now=now):
            continue
        try:
            with transaction.atomic():
                asked.append(ask_by_rule(rule))
        except IntegrityError:  # training_run_once_a_rule: somebody else has asked
            continue
    return asked


def ask_by_rule(rule: RetrainingRule, *, by=None) -> TrainingRun:
    """Ask for the training that a rule describes, due or not. by : the researcher who asks.

    Raises IntegrityError if the rule's last training is not over.
    """
    return training_runs.request(
        Settings(**rule.settings), population=rule.population, rule=rule, asked_by=by
    )


def _runs(rule: RetrainingRule):
    return rule.runs.filter(state__in=[TrainingRun.State.QUEUED, TrainingRun.State.RUNNING])


# --- a training -----------------------------------------------------------------------------------


def perform(
    run: TrainingRun,
    *,
    tell: Tell = lambda progress: None,
    is_to_stop: Callable[[], bool] = lambda: False,
) -> MetricVersion:
    """Train what a claimed run asks for and make a version of it. The run is over then, whatever
    came of it, unless it was stopped or the database went away: then it waits.

    is_to_stop : asked now and then.

    Raises what CANNOT lists, with the run failed for that reason; Stopped; what DATABASE_GONE
    lists; and training_runs.LeaseLost.
    """
    folder = training_runs.folder_of(run)
    try:
        with lease_kept(training_runs.held(run)):
            version = _perform(run, folder, _Noting(run, tell, is_to_stop))
    except (Stopped, KeyboardInterrupt):
        training_runs.give_back(run)
        raise
    except training_runs.LeaseLost:
        raise
    except DATABASE_GONE:
        training_runs.WORK.let_go(training_runs.held(run))
        raise
    except CANNOT as error:
        training_runs.fail(run, str(error))
        shutil.rmtree(folder, ignore_errors=True)  # another try looks at the judgments anew
        raise
    except Exception as error:
        training_runs.fail(run, f"{type(error).__name__}: {error}")
        raise
    shutil.rmtree(folder, ignore_errors=True)
    return version


def _perform(run: TrainingRun, folder: Path, noting: _Noting) -> MetricVersion:
    noting.stage("judgments")
    dataset = _dataset_of(run, folder)
    settings = Settings(**run.settings)
    trained = train(
        dataset,
        settings,
        folder=folder,
        name=run.name,
        start=metric_of(run.start) if run.start else None,
        features=training_runs.components_file(),
        tell=noting,
    )
    noting.stage("scores")
    store = distance_store()
    version = _version_of(run, settings, dataset, trained, store)
    held_out = by_pixels(dataset.val, dataset.folder)
    _store(run, version, trained.metric, held_out, store)
    return version


class _Noting:
    """Writes down how far a run is, tells it, and ends it if it is to stop."""

    def __init__(self, run: TrainingRun, tell: Tell, is_to_stop: Callable[[], bool]) -> None:
        self.run = run
        self.tell = tell
        self.is_to_stop = is_to_stop
        self.noted_at = 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.epoch:
            self.add(asdict(progress.epoch))
        now = time.monotonic()
        if now - self.noted_at > NOTED_EVERY_S or progress.done == progress.total:
            training_runs.note(self.run, progress)
            self.noted_at = now
        self.tell(progress)
        if self.is_to_stop():
            raise Stopped

    def add(self, epoch: dict[str, Any]) -> None:
        """Epochs that a lost worker had done after its last checkpoint are done again."""
        curve = self.run.curve
        while curve and curve[-1]["number"] >= epoch["number"]:
            curve.pop()
        curve.append(epoch)

    def stage(self, name: str) -> None:
        training_runs.note_stage(self.run, name)
        if self.is_to_stop():
            raise Stopped


# --- its pairs ------------------------------------------------------------------------------------


def _dataset_of(run: TrainingRun, folder: Path) -> Dataset:
    if run.dataset:
        return only_of(run.population, read_dataset(Path(run.dataset)))
    snapshot = folder / "dataset"
    if not snapshot.exists():
        training_runs.note_newest(run, newest_judgment(run.population))
        write_snapshot(gather(run.population, run.study), snapshot)
    return read_dataset(snapshot)


def only_of(population: str, dataset: Dataset) -> Dataset:
    """The pairs that one population judged. Raises NothingToTrainOn if there are none."""
    wants_simulated = population == SIMULATED
    pairs = tuple(pair for pair in dataset.pairs if pair.is_simulated == wants_simulated)
    if not pairs:
        kind = "simulated judgments" if wants_simulated else "judgments by people"
        raise NothingToTrainOn(f"{dataset.folder} holds no {kind}")
    return Dataset(dataset.folder, pairs)


def by_pixels(pairs: Sequence[Pair], folder: Path) -> list[Pair]:
    """The pairs with their source images called by the SHA-256 of their pixels, where the folder's
    manifest knows it: that tells whether two versions saw the same ones."""
    known = _pixel_hashes(folder)
    return [replace(pair, content=known.get(pair.content, pair.content)) for pair in pairs]


def _pixel_hashes(folder: Path) -> dict[str, str]:
    manifest = folder / MANIFEST
    if not manifest.exists():
        return {}
    with manifest.open(newline="", encoding="utf-8-sig") as file:
        return {row["content"]: row["sha256"] for row in csv.DictReader(file) if row.get("sha256")}


# --- its version ----------------------------------------------------------------------------------


def _version_of(
    run: TrainingRun, settings: Settings, dataset: Dataset, trained: Trained, store: DistanceStore
) -> MetricVersion:
    """All of the new version but whether it is in service, not stored yet."""
    content = to_bytes(trained.metric)
    file = blobs.put(content, ".safetensors")
    seen = trained.metric.card.trained_on
    hashes = _pixel_hashes(dataset.folder)
    manifest = dataset.folder / MANIFEST
    version = MetricVersion(
        name=run.name,
        file=file,
        sha256=Path(file).stem,
        size_bytes=len(content),
        backbone=settings.backbone,
        variant=settings.variant,
        with_psnr=settings.with_psnr,
        settings=asdict(settings),
        parent=run.start,
        population=run.population,
        dataset_digest=dataset.digest,
        manifest=blobs.put(manifest.read_bytes(), ".csv") if manifest.exists() else "",
        trained_on=_trained_on(run, dataset),
        n_pairs=seen["pairs"],
        n_judgments=seen["votes"],
        split={
            kind: sorted({hashes.get(each, each) for each in seen[f"{kind}_contents"]})
            for kind in ("fitted", "watched", "held_out")
        },
        curve=[asdict(each) for each in trained.curve],
        provenance=training_provenance(),
    )
    if dataset.val:
        _add_scores(version, trained.metric, dataset.val, store)
        version.hardest = _hardest(trained.metric, by_pixels(dataset.val, dataset.folder), store)
    return version


def _trained_on(run: TrainingRun, dataset: Dataset) -> dict[str, Any]:
    if run.dataset:
        return {"folder": Path(run.dataset).name}
    return {
        "studies": counts_by_study(dataset.folder / MANIFEST),
        "held_out_share": HELD_OUT_SHARE,
        "held_out_seed": HELD_OUT_SEED,
    }


def _add_scores(
    version: MetricVersion, metric: LpipsComp, held_out: Sequence[Pair], store: DistanceStore
) -> None:
    metrics, unavailable = _compared()
    table = score_table(held_out, {**metrics, version.name: metric}, store, unavailable=unavailable)
    version.scores = table
    own = next(each for each in table["metrics"] if each["name"] == version.name)
    version.held_out_score, version.held_out_low = own["score"], own["low"]
    version.held_out_high = own["high"]
    if ceiling := table["human_ceiling"]:
        version.human_ceiling = ceiling["score"]
        version.ceiling_low, version.ceiling_high = ceiling["low"], ceiling["high"]


def _compared() -> tuple[dict[str, Metric], dict[str, str]]:
    """Metrics to stand beside a version in its table, the one in service among them."""
    metrics, unavailable = {}, {}
    for name in COMPARED:
        with contextlib.suppress(MetricUnavailable):
            metrics[name] = Metric.load(name)
    if present := in_service():
        try:
            metrics[present.name] = metric_of(present)
        except VersionUnavailable as error:
            unavailable[present.name] = str(error)
    return metrics, unavailable


def _hardest(
    metric: LpipsComp, held_out: Sequence[Pair], store: DistanceStore
) -> list[dict[str, Any]]:
    """The pairs on which the metric is surest of what most of those who judged did not choose."""
    if smallest_side(held_out) < metric.smallest_side:
        return []
    d0, d1 = torch.from_numpy(distances(held_out, metric, store)).float().unbind(1)
    with torch.inference_mode():
        sure = metric.preference(d0, d1).tolist()
    wrong = [
        (abs(p1 - pair.share), number)
        for number, (pair, p1) in enumerate(zip(held_out, sure, strict=True))
        if (d1[number] < d0[number]) != (pair.share > 0.5) and pair.share != 0.5
    ]
    found = sorted(wrong, key=lambda each: (-each[0], each[1]))[:HARDEST]
    return [
        _described(held_out[number], sure[number], float(d0[number]), float(d1[number]))
        for _, number in found
    ]


def smallest_side(pairs: Sequence[Pair]) -> int:
    """Of all pictures, in pixels."""
    return min(min(size(file)) for file in {pair.reference for pair in pairs})


def _described(pair: Pair, preference: float, d0: float, d1: float) -> dict[str, Any]:
    files = {"reference": pair.reference, "p0": pair.p0, "p1": pair.p1}
    return {
        "content": pair.content,
        "stratum": pair.stratum,
        "codecs": pair.codecs,
        "votes": pair.votes,
        "share": pair.share,
        "preference": preference,
        "distances": [d0, d1],
        "pictures": {
            name: blobs.put(file.read_bytes(), file.suffix) for name, file in files.items()
        },
    }


def _store(
    run: TrainingRun,
    version: MetricVersion,
    metric: LpipsComp,
    held_out: Sequence[Pair],
    store: DistanceStore,
) -> None:
    """Store the version, in service or not, and end its run: both or neither."""
    while version.pk is None:
        present = in_service()
        decision = decide(
            metric,
            is_simulated=version.is_simulated,
            held_out=held_out,
            present=present,
            store=store,
        )
        with transaction.atomic():
            lock()
            if in_service() != present:  # somebody has put another in service meanwhile
                continue
            _save(version, decision)
            training_runs.finish(run, version)


def _save(version: MetricVersion, decision: Decision) -> None:
    version.reason, version.comparison = decision.reason, decision.comparison
    version.save()
    if decision.is_promoted:
        put_in_service(version)


def sweep() -> None:
    """Delete the folders that a crash left of trainings that are over, or are no more."""
    for folder in (configured.CLOSER_DATA / "training").glob("run-*"):
        run = TrainingRun.objects.filter(id=folder.name.removeprefix("run-")).first()
        if run is None or run.state == TrainingRun.State.FINISHED:
            shutil.rmtree(folder, ignore_errors=True)

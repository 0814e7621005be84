"""From judgments to versions of the metric, with nobody's hand in it."""

import os
import socket
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import IntegrityError, OperationalError, transaction

from codecs_registry import blobs, clock
from codecs_registry.leases import LEASE
from evaluation import metric_tasks, retraining, training_runs
from evaluation.metric_models import MetricVersion, RetrainingRule, TrainingRun
from evaluation.metric_versions import in_service, load_version, put_in_service, versions
from evaluation.populations import PEOPLE, SIMULATED
from evaluation.retraining import ask_for_due, perform, why_due
from evaluation.training_data import NothingToTrainOn, gather, is_held_out, write_snapshot
from evaluation.training_runs import claim_next, request
from perceptual.lpips import load
from perceptual.pairs import read_dataset
from perceptual.training import CannotTrain, Progress
from tests import factories
from tests.metric_factories import (
    AVIF_FIRST,
    JPEG_FIRST,
    blobs_path,
    judge,
    judged_study,
    picture,
    quick,
    study,
)

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
State = TrainingRun.State


@pytest.fixture(autouse=True)
def own_data(settings, tmp_path, monkeypatch):
    """Trainings of a test keep their files to themselves, and nobody is told of work."""
    settings.CLOSER_DATA = tmp_path
    monkeypatch.setattr(metric_tasks, "wake", lambda task: None)


def train_one(population: str = PEOPLE, **asked) -> MetricVersion:
    request(quick(), population=population, **asked)
    return perform(claimed())


def claimed(worker: str = "here:1:1") -> TrainingRun:
    run = claim_next(worker=worker, now=clock.now())
    assert run is not None
    return run


def a_rule(**fields) -> RetrainingRule:
    return RetrainingRule.objects.create(
        **{"population": PEOPLE, "is_on": True, "every_judgments": 8, "settings": {}, **fields}
    )


# --- what is trained on ---------------------------------------------------------------------------


def test_a_source_image_is_held_out_by_its_pixels_alone_and_one_in_five_is():
    hashes = [f"{number:064x}" for number in range(2000)]
    held_out = [each for each in hashes if is_held_out(each)]
    assert 340 < len(held_out) < 460  # five standard deviations about 400
    assert held_out == [each for each in hashes if is_held_out(each)]


def test_judgments_of_all_studies_make_one_dataset_split_by_what_is_held_out():
    first = judged_study("Sea", trained=2, held_out=1)
    judged_study("Land", trained=1, held_out=1)
    gathered = gather(PEOPLE)
    assert {each.study for each in gathered} == {"Sea", "Land"}
    assert len(gathered) == 5
    for each in gathered:
        sha256 = each.pair.task.source.sha256
        assert each.pair.split == ("val" if is_held_out(sha256) else "train")
    assert len(gather(PEOPLE, first)) == 3


def test_new_judgments_on_a_picture_that_is_held_out_never_reach_training():
    sources = [factories.source_image(picture(held_out=each)) for each in (True, False, False)]
    judged_study("Sea", sources=sources)
    before = {each.pair.task.source_id: each.pair.split for each in gather(PEOPLE)}
    # The same pictures again beside many others, in another study.
    more = [factories.source_image(picture(held_out=False)) for _ in range(6)]
    judged_study("Land", sources=[*sources, *more])
    for each in gather(PEOPLE):
        place = before.get(each.pair.task.source_id, "train")
        assert each.pair.split == place


def test_gold_tasks_and_repeats_are_no_votes():
    sea = judged_study(trained=2, held_out=1)
    annotator = sea.campaign.annotators.first()
    factories.judge_gold(annotator, is_right=True)
    gathered = gather(PEOPLE)
    assert len(gathered) == 3
    assert {each.pair.votes for each in gathered} == {2}


def test_people_and_simulations_are_never_mixed():
    sea = judged_study()
    judge(sea, JPEG_FIRST, is_simulated=True)
    assert {each.pair.is_simulated for each in gather(PEOPLE)} == {False}
    assert {each.pair.is_simulated for each in gather(SIMULATED)} == {True}
    assert {each.pair.votes for each in gather(SIMULATED)} == {1}


def test_without_a_judgment_there_is_nothing_to_gather():
    study()
    with pytest.raises(NothingToTrainOn, match="nobody has judged any study yet"):
        gather(PEOPLE)


def test_a_snapshot_is_a_dataset_whose_pictures_are_the_stored_ones(tmp_path):
    judged_study()
    gathered = gather(PEOPLE)
    write_snapshot(gathered, tmp_path / "dataset")
    dataset = read_dataset(tmp_path / "dataset")
    assert len(dataset.pairs) == 6
    assert len(dataset.val) == 2
    assert {pair.votes for pair in dataset.pairs} == {2}
    assert {pair.content for pair in dataset.pairs} == {
        each.pair.task.source.sha256 for each in gathered
    }
    originals = {blobs.read(each.pair.task.source.png) for each in gathered}
    assert {pair.reference.read_bytes() for pair in dataset.pairs} == originals


# --- when -----------------------------------------------------------------------------------------


def test_a_rule_is_due_after_so_many_new_judgments_of_its_population():
    rule = a_rule(every_judgments=8)
    sea = study(trained=3, held_out=1)
    judge(sea, AVIF_FIRST, is_simulated=True)
    judge(sea, AVIF_FIRST)
    assert not why_due(rule, now=NOW)
    judge(sea, AVIF_FIRST)
    assert why_due(rule, now=NOW) == "8 new judgments"
    [run] = ask_for_due(now=NOW)
    assert run.rule == rule
    assert ask_for_due(now=NOW) == []  # it is asked for already


def test_after_a_training_only_later_judgments_are_new():
    rule = a_rule(every_judgments=4)
    sea = judged_study(trained=3, held_out=1)
    ask_for_due(now=NOW)
    perform(claimed())
    assert retraining.new_judgments(rule) == 0
    judge(sea, AVIF_FIRST)
    assert why_due(rule, now=NOW) == "4 new judgments"


def test_a_nightly_rule_is_due_once_a_night_if_something_is_new():
    rule = a_rule(every_judgments=None, is_nightly=True)
    RetrainingRule.objects.update(changed_at=NOW)
    rule.refresh_from_db()
    night = NOW.replace(hour=3, minute=5) + timedelta(days=1)
    assert not why_due(rule, now=night)  # nothing is new
    judged_study()
    assert not why_due(rule, now=NOW)
    assert why_due(rule, now=night) == "nightly"
    [run] = ask_for_due(now=night)
    TrainingRun.objects.update(asked_at=night, state=State.FAILED, error="no pictures")
    assert not why_due(rule, now=night + timedelta(hours=2))
    assert run.last_judgment > 0


def test_a_rule_that_is_off_is_never_due():
    judged_study()
    assert not why_due(a_rule(is_on=False, every_judgments=1), now=NOW)


def test_a_failed_training_is_not_asked_for_again_until_there_is_more():
    rule = a_rule(every_judgments=2)
    sea = judged_study(trained=1, held_out=1)
    ask_for_due(now=NOW)
    with pytest.raises(CannotTrain):
        perform(claimed())
    assert not why_due(rule, now=NOW)
    judge(sea, AVIF_FIRST)
    assert why_due(rule, now=NOW)


@pytest.mark.parametrize(
    "fields",
    [{"every_judgments": None}, {"every_judgments": 0}, {"population": "both"}],
)
def test_the_database_refuses_a_rule_that_makes_no_sense(fields):
    with pytest.raises(IntegrityError), transaction.atomic():
        a_rule(**fields)


# --- a training -----------------------------------------------------------------------------------


def test_a_version_says_what_made_it():
    sea = judged_study("Sea", trained=4, held_out=2)
    judge(sea, JPEG_FIRST)
    version = train_one()
    assert version.name == "closer-lpips-comp-1"
    assert (version.backbone, version.variant, version.with_psnr) == (
        *("efficientnet-lite0", "linear"),
        True,
    )
    assert (version.population, version.n_pairs, version.n_judgments) == (PEOPLE, 4, 12)
    counts = {"train_pairs": 4, "train_votes": 12, "held_out_pairs": 2, "held_out_votes": 6}
    assert version.trained_on["studies"] == {"Sea": counts}
    sources = set(sea.sources.values_list("sha256", flat=True))
    parts = [set(version.split[kind]) for kind in ("fitted", "watched", "held_out")]
    assert set().union(*parts) == sources
    assert sum(map(len, parts)) == len(sources)
    assert {each for each in sources if is_held_out(each)} == parts[2]
    # Two of three prefer AVIF: a metric that finds it closer agrees with two votes of three, and a
    # human with another with probability 1/3.
    assert version.held_out_score == pytest.approx(100 * 2 / 3)
    assert version.human_ceiling == pytest.approx(100 / 3)
    assert [each["number"] for each in version.curve] == list(range(1, 13))
    assert version.provenance["libraries"].keys() >= {"torch", "numpy"}
    manifest = blobs.read(version.manifest).decode()
    assert manifest.count("\n") == 1 + 6


def test_the_stored_file_is_the_metric(tmp_path):
    judged_study()
    version = train_one()
    content = blobs.read(version.file)
    assert version.sha256 == blobs_path(version.file).stem
    file = tmp_path / "metric.safetensors"
    file.write_bytes(content)
    assert load(file).card.name == version.name
    assert load_version(version.name).digest == load(file).digest
    assert versions() == [version.name]


def test_a_training_leaves_no_folder_and_keeps_what_the_backbone_saw():
    judged_study()
    version = train_one()
    assert not training_runs.folder_of(version.run).exists()
    assert training_runs.components_file().exists()


def test_what_the_database_was_away_for_waits_and_is_trained(monkeypatch):
    judged_study()
    run = request(quick(), population=PEOPLE)

    def away(*_):
        raise OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patch:
        patch.setattr(retraining, "_store", away)
        with pytest.raises(OperationalError):
            perform(claimed())
    run.refresh_from_db()
    assert (run.state, run.error) == (State.QUEUED, "")
    perform(claimed())
    run.refresh_from_db()
    assert run.state == State.FINISHED


def test_what_cannot_be_trained_fails_with_its_reason():
    judged_study(trained=1, held_out=1)
    run = request(quick(), population=PEOPLE)
    with pytest.raises(CannotTrain):
        perform(claimed())
    run.refresh_from_db()
    assert run.state == State.FAILED
    assert "pairs of 1 source images to train on are too few" in run.error
    assert not MetricVersion.objects.exists()


def test_a_failed_training_that_is_tried_again_sees_what_came_meanwhile():
    judged_study("Sea", trained=1, held_out=1)
    run = request(quick(), population=PEOPLE)
    with pytest.raises(CannotTrain):
        perform(claimed())
    judged_study("Land", trained=2, held_out=1)
    assert training_runs.retry(run)
    assert perform(claimed()).n_pairs == 3


def test_a_version_without_held_out_pictures_has_no_score_and_says_so():
    judged_study(trained=3, held_out=0)
    version = train_one()
    assert version.held_out_score is None
    assert version.scores is None
    assert version.is_in_service


def test_the_pairs_on_which_it_disagrees_most_are_kept_with_their_pictures():
    # Trained that less noise is closer; on the held-out pictures the annotators say otherwise.
    def contrary(assignment):
        is_held = is_held_out(assignment.task.source.sha256)
        return (JPEG_FIRST if is_held else AVIF_FIRST)(assignment)

    judged_study("Sea", contrary, contrary, trained=4, held_out=2)
    version = train_one()
    assert version.held_out_score == 0
    assert len(version.hardest) == 2
    worst = version.hardest[0]
    assert {*worst["codecs"]} == {"avif", "jpeg"}
    assert worst["share"] in (0, 1)
    assert all(blobs.exists(each) for each in worst["pictures"].values())


# --- one at a time, and after a crash -------------------------------------------------------------


def test_two_that_are_asked_for_at_once_run_one_after_the_other():
    judged_study()
    first, second = (request(quick(seed=seed), population=PEOPLE) for seed in (1, 2))
    assert (first.name, second.name) == ("closer-lpips-comp-1", "closer-lpips-comp-2")
    run = claimed("one:1:1")
    assert run == first
    assert claim_next(worker="two:2:2", now=clock.now()) is None
    perform(run)
    assert claimed("two:2:2") == second


def test_the_database_holds_to_one_training_at_a_time():
    for name in ("a", "b"):
        TrainingRun.objects.create(name=name, population=PEOPLE, settings={})
    fields = {"state": State.RUNNING, "worker": "w", "lease_ends": NOW}
    TrainingRun.objects.filter(name="a").update(**fields)
    with pytest.raises(IntegrityError, match="one_at_a_time"), transaction.atomic():
        TrainingRun.objects.filter(name="b").update(**fields)


def test_a_training_whose_worker_died_goes_on_from_the_same_snapshot():
    sea = judged_study(trained=4, held_out=2)
    run = request(quick(), population=PEOPLE)
    first = claimed("lost:1:1")

    def die(progress: Progress) -> None:
        if progress.stage == "epochs" and progress.done == 5:
            raise SystemExit  # as far as the training can tell, its process ends here

    with pytest.raises(SystemExit):
        perform(first, tell=die)
    judge(sea, JPEG_FIRST)  # after the snapshot
    assert claim_next(worker="new:2:2", now=clock.now()) is None  # its lease runs
    later = clock.now() + LEASE
    again = claim_next(worker="new:2:2", now=later)
    assert (again.id, again.attempts) == (run.id, 2)
    version = perform(again)
    assert version.n_judgments == 8
    assert MetricVersion.objects.count() == 1


def test_it_ends_with_the_very_file_that_it_would_have_made_undisturbed():
    judged_study(trained=4, held_out=2)
    request(quick(), population=PEOPLE, name="undisturbed")
    undisturbed = perform(claimed())
    request(quick(), population=PEOPLE, name="disturbed")

    def die(progress: Progress) -> None:
        if progress.stage == "epochs" and progress.done == 7:
            raise SystemExit

    with pytest.raises(SystemExit):
        perform(claimed(), tell=die)
    again = claim_next(worker="new:2:2", now=clock.now() + LEASE)
    disturbed = perform(again)
    weights = [load_version(each.name).weight for each in (undisturbed, disturbed)]
    assert weights[0].equal(weights[1])


def test_a_worker_that_lost_its_lease_makes_no_version():
    judged_study()
    request(quick(), population=PEOPLE)
    slow = claimed("slow:1:1")
    later = clock.now() + LEASE
    assert claim_next(worker="other:2:2", now=later)
    with pytest.raises(training_runs.LeaseLost):
        perform(slow)
    assert not MetricVersion.objects.exists()


def test_a_worker_that_is_to_stop_gives_its_training_back():
    judged_study()
    run = request(quick(), population=PEOPLE)
    stop = threading.Event()
    with pytest.raises(training_runs.Stopped):
        perform(claimed(), tell=lambda progress: stop.set(), is_to_stop=stop.is_set)
    run.refresh_from_db()
    assert (run.state, run.attempts, run.worker) == (State.QUEUED, 0, "")


def test_leases_of_dead_processes_of_this_host_end_at_once():
    judged_study()
    run = request(quick(), population=PEOPLE)
    gone = 2**22 + 1  # above the highest process id that Linux gives
    claimed(f"{socket.gethostname()}:{gone}:1")
    assert training_runs.WORK.release_dead(now=clock.now()) == 1
    assert claimed(f"{socket.gethostname()}:{os.getpid()}:1") == run


def test_a_training_that_loses_its_worker_too_often_fails():
    run = request(quick(), population=PEOPLE)
    now = clock.now()
    for _ in range(training_runs.MAX_ATTEMPTS):
        assert claim_next(worker="w:1:1", now=now)
        now += LEASE
    assert training_runs.is_owed(now=now), "somebody has to say that it failed"
    assert claim_next(worker="w:1:1", now=now) is None
    run.refresh_from_db()
    assert run.state == State.FAILED
    assert "may need more memory" in run.error


def test_progress_is_written_down_for_the_page():
    judged_study()
    run = request(quick(), population=PEOPLE)
    seen = []

    def look(progress: Progress) -> None:
        run.refresh_from_db()
        seen.append((run.stage, run.done, run.total))

    perform(claimed(), tell=look)
    assert ("features", 12, 12) in seen
    assert seen[-1] == ("epochs", 12, 12)


def test_folders_of_trainings_that_are_over_are_swept():
    judged_study()
    version = train_one()
    kept = training_runs.folder_of(request(quick(), population=PEOPLE))
    left = training_runs.folder_of(version.run)
    for folder in (kept, left):
        folder.mkdir(parents=True)
    retraining.sweep()
    assert (kept.exists(), left.exists()) == (True, False)


def test_tasks_train_all_that_waits_and_stop_at_what_cannot_be_trained():
    judged_study(trained=4, held_out=2)
    failing = request(quick(), population=SIMULATED)
    for _ in range(2):
        request(quick(), population=PEOPLE)
    metric_tasks.train_next()
    failing.refresh_from_db()
    assert failing.error == "no simulated annotator has judged any study yet"
    assert MetricVersion.objects.count() == 2
    metric_tasks.train_next()  # once more does no harm
    assert MetricVersion.objects.count() == 2


def test_what_is_due_is_asked_for_by_the_task_that_looks():
    judged_study()
    a_rule(every_judgments=1, settings={"epochs": 3})
    metric_tasks.look_for_work()
    metric_tasks.train_next()
    assert len(in_service().curve) == 3


# --- what is in service ---------------------------------------------------------------------------


def test_any_version_can_be_put_in_service_and_one_is_at_most():
    judged_study()
    first, second = train_one(), train_one()
    put_in_service(first)
    assert in_service() == first
    put_in_service(second)
    assert in_service() == second
    with pytest.raises(IntegrityError), transaction.atomic():
        MetricVersion.objects.update(is_in_service=True)


def test_a_training_may_begin_from_a_version():
    judged_study()
    parent = train_one()
    child = train_one(start=parent)
    assert child.parent == parent
    assert child.sha256 != parent.sha256

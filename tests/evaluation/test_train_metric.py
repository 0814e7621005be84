"""`manage.py train_metric`: what it makes, what it tells, and how it refuses."""

import json
import os
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from annotation.datasets import bapps_files, write_folder
from codecs_registry import clock
from evaluation import metric_tasks, training_runs
from evaluation.metric_models import MetricVersion, TrainingRun
from evaluation.metric_versions import in_service
from evaluation.populations import PEOPLE
from evaluation.training_data import gather, write_snapshot
from perceptual.training import Settings
from tests.metric_factories import AVIF_FIRST, judge, judged_study, study

BACKBONE = ["--backbone", "efficientnet-lite0"]
State = TrainingRun.State


@pytest.fixture(autouse=True)
def own_data(settings, tmp_path, monkeypatch):
    settings.CLOSER_DATA = tmp_path / "data"
    monkeypatch.setattr(metric_tasks, "wake", lambda task: None)


def train_metric(*arguments: object) -> tuple[str, str]:
    """What the command prints on stdout and on stderr."""
    out, err = StringIO(), StringIO()
    call_command(
        "train_metric", *map(str, arguments), *BACKBONE, "--epochs", "5", stdout=out, stderr=err
    )
    return out.getvalue(), err.getvalue()


def refused(*arguments: object) -> str:
    with pytest.raises(CommandError) as error:
        train_metric(*arguments)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.fixture
def dataset(tmp_path) -> Path:
    judged_study("Sea", trained=3, held_out=1)
    folder = tmp_path / "dataset"
    write_snapshot(gather(PEOPLE), folder)
    return folder


@pytest.mark.django_db
class TestTraining:
    def test_it_ends_by_printing_the_name_of_the_version_that_it_made(self, dataset):
        out, err = train_metric("--dataset", dataset)
        assert out == "closer-lpips-comp-1\n"
        assert "epoch 5 of at most 5: loss " in err
        assert "on what is watched" in err
        assert "s left" in err
        assert "Held-out score: 100.0 % (no interval)" in err
        version = MetricVersion.objects.get()
        assert version == in_service()
        assert version.trained_on == {"folder": "dataset"}
        assert version.run.state == State.FINISHED

    def test_a_study_is_trained_on_as_people_judged_it(self):
        sea = judged_study("Sea", trained=3, held_out=1)
        judged_study("Land", trained=3, held_out=1)
        judge(sea, AVIF_FIRST, is_simulated=True)
        out, _ = train_metric("--study", "sea", "--name", "sea-1")
        assert out == "sea-1\n"
        version = MetricVersion.objects.get()
        assert version.population == PEOPLE
        assert version.trained_on["studies"].keys() == {"Sea"}
        train_metric("--study", "sea", "--simulated")
        assert MetricVersion.objects.filter(population="simulated").count() == 1

    def test_json_describes_the_version(self, dataset):
        out, _ = train_metric("--dataset", dataset, "--json", "--no-psnr", "--seed", "3")
        described = json.loads(out)
        assert described["name"] == "closer-lpips-comp-1"
        assert described["held_out"] == {"score": 100.0, "low": None, "high": None}
        assert described["in_service"] is True
        assert described["page"].endswith("/metrics/versions/closer-lpips-comp-1/")
        version = MetricVersion.objects.get()
        assert (version.with_psnr, version.settings["seed"]) == (False, 3)

    def test_an_exported_dataset_knows_its_pictures_by_their_pixels(self, tmp_path):
        sea = judged_study("Sea", trained=3, held_out=2)
        write_folder(bapps_files(sea.campaign, provenance={}), tmp_path / "export")
        train_metric("--dataset", tmp_path / "export")
        split = MetricVersion.objects.get().split
        seen = {each for contents in split.values() for each in contents}
        assert seen == set(sea.sources.values_list("sha256", flat=True))

    def test_it_may_begin_from_a_version_and_with_named_weights(self, dataset):
        train_metric("--dataset", dataset, "--backbone-weights", "random", "--seed", "1")
        first = MetricVersion.objects.get()
        weights = ("--backbone-weights", "random", "--seed", "1")
        train_metric("--dataset", dataset, *weights, "--from", first.name)
        assert MetricVersion.objects.get(name="closer-lpips-comp-2").parent == first

    def test_after_it_was_interrupted_it_goes_on_with_the_same_version(self, dataset, monkeypatch):
        def interrupt(self, progress):
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr("evaluation.management.commands.train_metric.Command.tell", interrupt)
            assert refused("--dataset", dataset) == "Stopped; the same command goes on from here."
        run = TrainingRun.objects.get()
        assert (run.state, run.is_foreground) == (State.QUEUED, True)
        assert training_runs.claim_next(worker="w:1:1", now=clock.now()) is None
        out, err = train_metric("--dataset", dataset)
        assert "closer-lpips-comp-1 goes on where it was" in err
        assert out == "closer-lpips-comp-1\n"


@pytest.mark.django_db
class TestRefusals:
    def test_what_is_no_dataset(self, tmp_path):
        assert refused("--dataset", tmp_path / "none") == f"{tmp_path / 'none'} is not a folder"
        (tmp_path / "empty").mkdir()
        assert "holds no pairs" in refused("--dataset", tmp_path / "empty")

    def test_a_study_that_there_is_not_or_that_nobody_judged(self):
        assert "There is no study 'sea'" in refused("--study", "sea")
        sea = study(trained=2, held_out=0)
        assert refused("--study", "sea") == "People have not judged Sea yet"
        judge(sea, AVIF_FIRST, is_simulated=True)
        assert "but --simulated would find some" in refused("--study", "sea")

    def test_judgments_of_both_kinds_in_one_folder(self, tmp_path):
        sea = judged_study("Sea", trained=3, held_out=1)
        judge(sea, AVIF_FIRST, is_simulated=True)
        write_folder(bapps_files(sea.campaign, provenance={}), tmp_path / "export")
        assert "say --people or --simulated" in refused("--dataset", tmp_path / "export")
        out, _ = train_metric("--dataset", tmp_path / "export", "--people")
        assert out == "closer-lpips-comp-1\n"
        assert MetricVersion.objects.get().n_judgments == 6

    def test_too_little_to_train_on(self, tmp_path):
        judged_study("Sea", trained=1, held_out=1)
        assert "too few" in refused("--study", "sea")
        assert TrainingRun.objects.get().state == State.FAILED

    @pytest.mark.parametrize(
        ("arguments", "problem"),
        [
            (("--seed", "-1"), "--seed takes a whole number from 0 on"),
            (("--name", "My metric"), "'My metric' cannot be a version's name"),
            (("--name", "psnr"), "'psnr' is the name of another metric"),
            (("--from", "none"), "there is no version 'none' of the metric (there are: none yet)"),
            (("--backbone-weights", "/nowhere.pth"), "/nowhere.pth cannot be read"),
            (("--variant", "huge"), "argument --variant: invalid choice"),
        ],
    )
    def test_arguments_that_make_no_sense(self, dataset, arguments, problem):
        assert problem in refused("--dataset", dataset, *arguments)
        assert not TrainingRun.objects.exists()

    def test_a_name_that_is_taken(self, dataset):
        train_metric("--dataset", dataset, "--name", "ours")
        problem = refused("--dataset", dataset, "--name", "ours")
        assert problem == "there is a version or a training called 'ours' already"

    def test_a_training_that_another_process_is_at(self, dataset):
        settings = Settings(epochs=5)
        asked = {
            "population": PEOPLE,
            "dataset": str(dataset),
            "study": None,
            "start": None,
            "is_foreground": True,
        }
        run = training_runs.request(settings, **asked)
        training_runs.claim(run.id, worker=f"elsewhere:{os.getpid()}:1", now=clock.now())
        assert "is being trained already, by elsewhere:" in refused("--dataset", dataset)

"""From judgments to a metric in service and its scores in a study, on the whole stack."""

import os
import re
import signal
import subprocess
import sys

import httpx
import numpy as np
import pytest
from django.urls import reverse
from PIL import Image

from evaluation.simulation import SimulatedAnnotator
from tests import metric_factories
from tests.e2e.conftest import ROOT, Stack, own_folder, wait_for
from tests.perceptual.planted import blur_haters

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("metric-loop")]

TRAINED, HELD_OUT = 4, 2
TASKS = TRAINED + HELD_OUT  # two codecs at one bit rate: a pair of each picture
EPOCHS = 1500  # some seconds: there is time to kill the worker


@pytest.fixture(scope="module")
def stack(tmp_path_factory, prepared):
    photographs = tmp_path_factory.mktemp("photographs")
    pictures = metric_factories.pictures(trained=TRAINED, held_out=HELD_OUT)
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(photographs / f"photo{number}.png")
    with own_folder() as folder:
        running = Stack(folder, prepared=prepared).start()
        running.make_researcher()
        running.launch_study("Loop", photographs, bpp=[1.0], judgments_per_task=4)
        yield running


@pytest.fixture
def researcher(stack):
    """A browser without scripts in which the researcher is signed in."""
    with httpx.Client(base_url=stack.url, follow_redirects=True, timeout=30) as client:
        account = {"username": "ada", "password": "a long password"}
        assert "Studies" in press(client, reverse("login"), account).text
        yield client


def press(client: httpx.Client, address: str, fields: dict, *, page: str = "") -> httpx.Response:
    """Send the form of a page."""
    shown = client.get(page or address)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', shown.text)[1]
    return client.post(
        address,
        data={"csrfmiddlewaretoken": token, **fields},
        headers={"Referer": str(shown.url)},
    )


def set_rule(client: httpx.Client, population: str, *, every: int) -> None:
    rule = {"is_on": "on", "every_judgments": every}
    how = {"backbone": "efficientnet-lite0", "variant": "linear", "with_psnr": "on"}
    fields = {f"{population}-{name}": value for name, value in (rule | how).items()}
    done = press(
        client, reverse("retraining-rule", args=[population]), fields, page=reverse("metrics")
    )
    assert "The rule is kept." in done.text


def judge_as_people(stack, *, annotators: int) -> None:
    """As anybody does who has the link: the program shows no pass, so it counts as people."""
    [(token,)] = stack.sql("SELECT token FROM annotation_campaign")
    for number in range(annotators):
        with httpx.Client(base_url=stack.url, follow_redirects=True, timeout=30) as client:
            annotator = SimulatedAnnotator(client, np.random.default_rng(number))
            annotator.join(token, simulation_pass="")
            assert len(annotator.judge(TASKS).assignments) == TASKS


def simulate(stack, *, annotators: int, seed: int) -> None:
    count = ["--annotators", str(annotators), "--judgments", str(TASKS), "--seed", str(seed)]
    stack.manage("simulate_annotators", "loop", *count, "--url", stack.url)


def in_service(stack) -> str | None:
    found = stack.sql("SELECT name FROM evaluation_metricversion WHERE is_in_service")
    return found[0][0] if found else None


def newest_runs(stack) -> dict[str, tuple]:
    """By population its last run: state, attempts, when it began and ended, epochs so far."""
    found = stack.sql(
        """SELECT population, state, attempts, started_at, finished_at, jsonb_array_length(curve)
           FROM evaluation_trainingrun ORDER BY id"""
    )
    return {population: run for population, *run in found}


def test_judgments_become_a_metric_in_service_and_its_scores_with_no_hand_in_it(stack, researcher):
    set_rule(researcher, "simulated", every=2 * TASKS)
    simulate(stack, annotators=2, seed=1)
    assert wait_for(lambda: in_service(stack)) == "closer-lpips-comp-1"

    study = reverse("study", args=["loop"])
    told = "Distances in the tables below are by"
    wait_for(lambda: told in researcher.get(study).text)
    scores = stack.sql("SELECT distance FROM evaluation_reconstructionscore")
    assert len(scores) == 2 * TASKS
    assert all(distance > 0 for (distance,) in scores)
    assert "closer-lpips-comp-1" in researcher.get(reverse("metrics")).text

    # Two rules are due at once; the worker is killed in the middle of the first training.
    judge_as_people(stack, annotators=2)
    set_rule(researcher, "people", every=1000)
    stack.sql_do(
        """UPDATE evaluation_retrainingrule SET every_judgments = %s,
           settings = settings || jsonb_build_object('epochs', %s::int, 'patience', %s::int)
           WHERE population = 'people'""",
        *(TASKS, EPOCHS, EPOCHS),
    )
    simulate(stack, annotators=2, seed=2)
    wait_for(lambda: newest_runs(stack).get("people", [0])[-1])
    killed = stack.pid("trainer")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: stack.pid("trainer") != killed)
    wait_for(lambda: {state for state, *_ in newest_runs(stack).values()} == {"finished"})

    runs = newest_runs(stack)
    _, attempts, started, finished, epochs = runs["people"]
    assert (attempts, epochs) == (2, EPOCHS)
    _, _, other_started, other_finished, _ = runs["simulated"]
    assert finished <= other_started or other_finished <= started
    [(n_versions,)] = stack.sql("SELECT count(*) FROM evaluation_metricversion")
    assert n_versions == 3
    # What people judged counts for more than what was simulated, whichever came last.
    [(name,)] = stack.sql("SELECT name FROM evaluation_metricversion WHERE population = 'people'")
    assert in_service(stack) == name
    wait_for(lambda: name in researcher.get(study).text and told in researcher.get(study).text)


def test_a_training_by_command_goes_on_after_kill_9(stack):
    if not stack.sql("SELECT 1 FROM annotation_judgment LIMIT 1"):  # it is run by itself
        simulate(stack, annotators=2, seed=1)
    stack.sql_do("UPDATE evaluation_retrainingrule SET is_on = false")
    arguments = ["--study", "loop", "--simulated", "--backbone", "efficientnet-lite0"]
    arguments += ["--epochs", "700", "--name", "by-command"]
    first = command(stack, *arguments)
    wait_for(lambda: by_command(stack) and by_command(stack)[0][2] > 0)
    first.kill()
    first.communicate()
    assert by_command(stack)[0][0] == "running"
    again = command(stack, *arguments)
    out, err = again.communicate(timeout=180)
    assert out == "by-command\n", err
    assert "by-command goes on where it was" in err
    assert by_command(stack)[0][:2] == ("finished", 2)


def test_a_worse_version_is_kept_aside_by_the_worker_that_trained_it(stack, researcher, tmp_path):
    how = {"contents": 32, "pairs": 2, "is_simulated": False}
    for name, opposed in (("good", ""), ("bad", "train")):
        folder = blur_haters(tmp_path / name, opposed=opposed, **how)
        stack.manage("shell", "-c", ASK.format(name=name, folder=str(folder)))
        wait_for(lambda name=name: versions(stack).get(name))
        if name == "good":  # whatever was in service before
            address = reverse("put-in-service", args=[name])
            press(researcher, address, {}, page=reverse("metrics"))
    is_in_service, reason = versions(stack)["bad"]
    assert not is_in_service
    assert "scored lower" in reason
    assert in_service(stack) == "good"


ASK = """
from evaluation import metric_tasks, training_runs
from perceptual.training import Settings
settings = Settings(epochs=60, batch=16, decay=1.0)
training_runs.request(settings, population="people", dataset={folder!r}, name={name!r})
metric_tasks.wake(metric_tasks.look_for_work)
"""


def versions(stack) -> dict[str, tuple[bool, str]]:
    rows = stack.sql("SELECT name, is_in_service, reason FROM evaluation_metricversion")
    return {name: rest for name, *rest in rows}


def command(stack, *arguments: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "manage.py", "train_metric", *arguments],
        cwd=ROOT,
        env=stack.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def by_command(stack) -> list[tuple]:
    return stack.sql(
        """SELECT state, attempts, jsonb_array_length(curve) FROM evaluation_trainingrun
           WHERE name = 'by-command'"""
    )

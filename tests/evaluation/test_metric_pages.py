"""The researcher's pages of the metric: what they show in every state, and what they refuse."""

import io
from urllib.parse import quote

import numpy as np
import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from PIL import Image

from codecs_registry import blobs, clock
from codecs_registry.pictures import write_png
from codecs_registry.tasks import encode_owed
from evaluation import (
    difference_maps,
    measuring,
    metric_forms,
    metric_tasks,
    reconstruction_scores,
    training_runs,
)
from evaluation.difference_maps import draw
from evaluation.metric_api import PerUser
from evaluation.metric_models import (
    DifferenceMap,
    MetricVersion,
    ReconstructionScore,
    RetrainingRule,
    TrainingRun,
)
from evaluation.metric_versions import in_service
from evaluation.populations import PEOPLE, SIMULATED
from evaluation.retraining import perform
from evaluation.training_runs import claim_next, request
from perceptual.backbones import BACKBONES
from perceptual.training import VARIANTS, CannotTrain, Progress
from tests import factories
from tests.evaluation.test_pages import text_of
from tests.metric_factories import (
    AVIF_FIRST,
    JPEG_FIRST,
    judge,
    judged_study,
    metric,
    picture,
    quick,
    stored_version,
    study,
)

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
State = TrainingRun.State


@pytest.fixture(autouse=True)
def woken(settings, tmp_path, monkeypatch):
    """The tasks that were sent word; no worker listens."""
    settings.CLOSER_DATA = tmp_path
    monkeypatch.setattr(encode_owed, "delay", lambda: None)
    sent = []
    monkeypatch.setattr(metric_tasks, "wake", sent.append)
    return sent


def get(client, name: str, *arguments, status: int = 200, **options):
    response = client.get(reverse(name, args=arguments), **options)
    assert response.status_code == status
    return response


def post(client, name: str, *arguments, data=None, status: int = 302):
    response = client.post(reverse(name, args=arguments), data or {})
    assert response.status_code == status
    return response


def train_one(population: str = PEOPLE, **asked) -> MetricVersion:
    request(quick(**asked), population=population)
    return perform(claim_next(worker="here:1:1", now=clock.now()))


def by_hand(**fields) -> MetricVersion:
    return stored_version(metric=metric(), **{"is_in_service": True, **fields})


# --- who may see them -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "name", "arguments"),
    [
        ("get", "metrics", []),
        ("post", "retraining-rule", ["people"]),
        ("post", "train-now", ["people"]),
        ("get", "training", [1]),
        ("post", "training-retry", [1]),
        ("post", "training-discard", [1]),
        ("get", "metric", ["by-hand"]),
        ("post", "put-in-service", ["by-hand"]),
        ("post", "serve-bundled", []),
        ("get", "metric-file", ["by-hand"]),
        ("get", "metric-pairs", ["by-hand"]),
        ("get", "hardest-picture", ["by-hand", 0, "p0"]),
        ("get", "differences", ["sea", 1]),
        ("get", "difference-png", [1]),
        ("get", "scoring-progress", ["sea"]),
    ],
)
def test_an_outsider_is_asked_to_sign_in(client, method, name, arguments):
    address = reverse(name, args=arguments)
    response = getattr(client, method)(address)
    assert response.status_code == 302
    assert response.url == f"{reverse('login')}?next={quote(address)}"


@pytest.mark.parametrize("name", ["metric", "metric-file", "metric-pairs"])
def test_a_version_that_there_is_not_is_not_found(as_researcher, name):
    get(as_researcher, name, "no-such-version", status=404)


# --- the list -------------------------------------------------------------------------------------


def test_without_a_version_the_page_says_what_to_do_next(as_researcher):
    said = text_of(get(as_researcher, "metrics"))
    assert "No version yet" in said
    assert "manage.py train_metric" in said
    assert "Nobody has judged yet." in said
    assert "Metrics" in text_of(get(as_researcher, "studies"))


def test_the_version_that_comes_with_closer_is_put_in_service_where_there_is_none(
    as_researcher, woken
):
    study()
    assert "comes with Closer" in text_of(get(as_researcher, "metrics"))
    for _ in range(2):  # asked for twice, it is one
        post(as_researcher, "serve-bundled")
    present = in_service()
    assert present.name == "closer-lpips-comp"
    assert metric_tasks.score_reconstructions in woken
    while reconstruction_scores.score_next():
        pass
    assert ReconstructionScore.objects.exclude(distance=None).exists()
    said = text_of(get(as_researcher, "metric", present.name))
    assert "It comes with Closer" in said
    assert "Mostly simulated judgments." in said
    assert "closer-lpips-comp" in text_of(get(as_researcher, "metrics"))


def test_without_its_file_the_page_says_what_is_missing(as_researcher, monkeypatch, tmp_path):
    monkeypatch.setattr("perceptual.metric.BUNDLED_FILE", tmp_path / "none.safetensors")
    response = post(as_researcher, "serve-bundled")
    assert "none.safetensors is missing" in str(*get_messages(response.wsgi_request))
    assert in_service() is None


def test_versions_stand_with_their_scores_and_which_is_in_service(as_researcher):
    judged_study("Sea", AVIF_FIRST, AVIF_FIRST, JPEG_FIRST, trained=3, held_out=1)
    first, second = train_one(), train_one()
    response = get(as_researcher, "metrics")
    said = text_of(response)
    assert "In service: closer-lpips-comp-1" in said
    assert "66.7 %" in said  # two of three votes
    assert "33.3 %" in said  # the human ceiling
    assert '<td class="number">9</td><td class="number">3</td>' in response.content.decode()
    assert "<svg" in response.content.decode()
    post(as_researcher, "put-in-service", second.name)
    assert in_service() == second
    first.refresh_from_db()
    assert not first.is_in_service


def test_what_simulations_trained_stands_apart_and_says_so(as_researcher):
    sea = study(trained=3, held_out=1)
    judge(sea, AVIF_FIRST, AVIF_FIRST, is_simulated=True)
    version = train_one(SIMULATED)
    for response in (
        get(as_researcher, "metrics"),
        get(as_researcher, "metric", version.name),
    ):
        said = text_of(response)
        assert "Simulated judgments." in said
        assert "Human ceiling" not in said
    assert "Trained on what people judged" not in text_of(get(as_researcher, "metrics"))


# --- the rule -------------------------------------------------------------------------------------


def rule_fields(population: str = PEOPLE, **asked) -> dict:
    values = {"backbone": "efficientnet-lite0", "variant": "linear", "with_psnr": "on", **asked}
    return {f"{population}-{name}": value for name, value in values.items()}


def test_a_rule_is_kept_and_said(as_researcher, woken):
    fields = rule_fields(is_on="on", every_judgments="500", backbone="vgg16")
    post(as_researcher, "retraining-rule", PEOPLE, data=fields)
    rule = RetrainingRule.objects.get()
    assert (rule.population, rule.is_on, rule.every_judgments) == (PEOPLE, True, 500)
    assert rule.settings == {"backbone": "vgg16", "variant": "linear", "with_psnr": True}
    assert woken == [metric_tasks.look_for_work]
    page = get(as_researcher, "metrics").content.decode()
    assert 'value="500"' in page
    assert '<option value="vgg16" selected>' in page


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"is_on": "on"}, "Say when: after so many judgments, or every night."),
        ({"is_on": "on", "every_judgments": "0"}, "Counting begins at 1."),
        ({"every_judgments": "many"}, "Enter a whole number."),
        ({"backbone": "resnet"}, "Select a valid choice."),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_with_the_reason(as_researcher, fields, problem):
    response = post(
        as_researcher, "retraining-rule", PEOPLE, data=rule_fields(**fields), status=422
    )
    assert problem in text_of(response)
    assert not RetrainingRule.objects.exists()


def test_there_is_no_rule_for_both(as_researcher):
    post(as_researcher, "retraining-rule", "both", status=404)
    post(as_researcher, "train-now", "both", status=404)


def test_the_form_offers_the_backbones_and_variants_that_there_are():
    assert {name: each.label for name, each in BACKBONES.items()} == metric_forms.BACKBONES
    assert tuple(metric_forms.VARIANTS) == VARIANTS


def test_train_now_asks_once(as_researcher, woken):
    judged_study(trained=3, held_out=1)
    response = post(as_researcher, "train-now", PEOPLE)
    run = TrainingRun.objects.get()
    assert response.url == reverse("training", args=[run.id])
    assert woken == [metric_tasks.train_next]
    again = post(as_researcher, "train-now", PEOPLE)
    assert [str(each) for each in get_messages(again.wsgi_request)] == [
        "It is in training already."
    ]
    assert TrainingRun.objects.count() == 1


# --- a training -----------------------------------------------------------------------------------


def test_a_training_is_followed_from_waiting_to_its_version(as_researcher):
    judged_study(trained=3, held_out=1)
    run = request(quick(), population=PEOPLE)
    assert "Trainings are done one at a time." in text_of(get(as_researcher, "training", run.id))
    seen = []

    def look(progress: Progress) -> None:
        body = get(as_researcher, "training", run.id, headers=HTMX)
        assert b"<html" not in body.content
        assert b'hx-trigger="every 1s"' in body.content
        seen.append(text_of(body))

    version = perform(claim_next(worker="here:1:1", now=clock.now()), tell=look)
    assert "Looking at pictures: 2 of 8" in seen[0]
    assert "Epoch 12 of at most 12" in seen[-1]
    for figure in ("Cross-entropy, watched", "Score, watched", "Left, at most"):
        assert figure in seen[-1]
    done = get(as_researcher, "training", run.id)
    assert f"See {version.name}" in text_of(done)
    assert b"hx-trigger" not in done.content


def test_a_failed_training_says_why_and_can_be_tried_again_or_forgotten(as_researcher, woken):
    judged_study(trained=1, held_out=1)
    run = request(quick(), population=PEOPLE)
    with pytest.raises(CannotTrain):
        perform(claim_next(worker="here:1:1", now=clock.now()))
    for said in (get(as_researcher, "training", run.id), get(as_researcher, "metrics")):
        assert "pairs of 1 source images to train on are too few" in text_of(said)
    post(as_researcher, "training-retry", run.id)
    run.refresh_from_db()
    assert run.state == State.QUEUED
    assert woken == [metric_tasks.train_next]
    post(as_researcher, "training-discard", run.id)
    assert not TrainingRun.objects.exists()


def test_what_is_in_training_cannot_be_forgotten(as_researcher):
    run = request(quick(), population=PEOPLE)
    claim_next(worker="here:1:1", now=clock.now())
    response = post(as_researcher, "training-discard", run.id)
    assert response.url == reverse("training", args=[run.id])
    assert TrainingRun.objects.exists()


def test_the_list_follows_trainings_and_loads_anew_when_one_is_over(as_researcher):
    run = request(quick(), population=PEOPLE)
    page = get(as_researcher, "metrics").content.decode()
    assert f'hx-get="{reverse("metrics")}?runs={run.id}"' in page
    polled = get(as_researcher, "metrics", data={"runs": str(run.id)}, headers=HTMX)
    assert "closer-lpips-comp-1" in text_of(polled)
    assert b"<html" not in polled.content
    training_runs.discard(run)
    gone = get(as_researcher, "metrics", data={"runs": str(run.id)}, headers=HTMX)
    assert gone["HX-Refresh"] == "true"


# --- a version ------------------------------------------------------------------------------------


def test_the_page_of_a_version_has_its_table_split_curve_and_provenance(as_researcher):
    sea = judged_study("Sea", AVIF_FIRST, AVIF_FIRST, JPEG_FIRST, trained=3, held_out=1)
    version = train_one()
    response = get(as_researcher, "metric", version.name)
    said = text_of(response)
    assert "Promoted: it is the first version." in said
    assert "1 pairs of 1 source image" in said
    for row in ("PSNR", "SSIM", version.name, "Human ceiling"):
        assert row in said
    assert "Sea (9 votes on 3 pairs trained on, 3 votes on 1 pairs held out)" in said
    for source in sea.sources.all():
        assert source.name in said
    assert version.sha256 in said
    assert "torch 2." in said
    assert response.content.decode().count("<svg") == 2


def test_its_hardest_pairs_are_shown_with_pictures(as_researcher):
    def contrary(assignment):
        is_held = assignment.task.source.sha256 in held
        return (JPEG_FIRST if is_held else AVIF_FIRST)(assignment)

    made = study(trained=3, held_out=1)
    held = {each.sha256 for each in made.sources.all() if training_data_holds_out(each)}
    judge(made, contrary, contrary)
    version = train_one()
    response = get(as_researcher, "metric", version.name)
    assert "Where it disagrees most with people" in text_of(response)
    for side in ("reference", "p0", "p1"):
        shown = get(as_researcher, "hardest-picture", version.name, 0, side)
        content = b"".join(shown.streaming_content)
        assert Image.open(io.BytesIO(content)).size == (64, 64)
    get(as_researcher, "hardest-picture", version.name, 1, "p0", status=404)
    get(as_researcher, "hardest-picture", version.name, 0, "judge", status=404)


def training_data_holds_out(source) -> bool:
    from evaluation.training_data import is_held_out

    return is_held_out(source.sha256)


def test_a_version_that_nobody_measured_has_a_page_too(as_researcher):
    version = by_hand()
    said = text_of(get(as_researcher, "metric", version.name))
    assert "None of the judged source images is among the fifth that is held out" in said
    assert "the folder by hand" in said
    get(as_researcher, "metric-pairs", version.name, status=404)


def test_its_file_and_its_pairs_are_downloaded(as_researcher):
    judged_study(trained=3, held_out=1)
    version = train_one()
    file = get(as_researcher, "metric-file", version.name)
    assert b"".join(file.streaming_content) == blobs.read(version.file)
    assert "closer-lpips-comp-1.safetensors" in file["Content-Disposition"]
    pairs = get(as_researcher, "metric-pairs", version.name)
    assert b"".join(pairs.streaming_content).startswith(b"split,subset,file,content")


# --- scores of reconstructions --------------------------------------------------------------------


def test_the_version_in_service_scores_all_reconstructions_of_studies():
    sea = study(trained=2, held_out=1)
    factories.reconstruction(factories.source_image(), "jpeg")  # of no study
    assert reconstruction_scores.score_next() == 0  # nothing is in service
    version = by_hand()
    metric_tasks.score_reconstructions()
    assert not reconstruction_scores.is_owed()
    scores = ReconstructionScore.objects.filter(version=version)
    assert scores.count() == 6
    by_codec = reconstruction_scores.of_study(sea).mean["0.37"]
    (avif, n), (jpeg, _) = by_codec["avif"], by_codec["jpeg"]
    assert n == 3
    assert avif < jpeg  # it has less noise


def test_scoring_twice_or_after_another_version_is_put_in_service_does_no_harm():
    study(trained=1, held_out=1)
    by_hand()
    metric_tasks.score_reconstructions()
    metric_tasks.score_reconstructions()
    assert ReconstructionScore.objects.count() == 4
    MetricVersion.objects.update(is_in_service=False)
    stored_version("another", metric=metric(pixel_error_only=True), is_in_service=True)
    assert reconstruction_scores.is_owed()
    metric_tasks.score_reconstructions()
    assert ReconstructionScore.objects.count() == 8


def test_a_picture_that_is_too_small_has_the_reason_in_place_of_a_distance(as_researcher):
    sea = study(sources=[factories.source_image(factories.pixels(20, 20, seed=5))])
    by_hand()
    metric_tasks.score_reconstructions()
    found = reconstruction_scores.of_study(sea)
    assert found.is_complete
    assert found.mean == {}
    assert "sides of 32 pixels or more" in found.reasons[0]


def test_scores_stand_beside_those_of_people(as_researcher):
    sea = judged_study(trained=2, held_out=1)
    version = by_hand()
    waiting = text_of(get(as_researcher, "study", "sea"))
    assert "0 of 6 reconstructions are scored by by-hand" in waiting
    polled = get(as_researcher, "scoring-progress", "sea", headers=HTMX)
    assert "0 of 6 reconstructions" in text_of(polled)
    metric_tasks.score_reconstructions()
    assert get(as_researcher, "scoring-progress", "sea", headers=HTMX)["HX-Refresh"] == "true"
    response = get(as_researcher, "study", "sea")
    mean = reconstruction_scores.of_study(sea).mean["0.37"]
    for codec in ("avif", "jpeg"):
        assert f'<td class="number">{mean[codec][0]:.3f}</td>' in response.content.decode()
    assert f"Distances in the tables below are by {version.name}" in text_of(response)
    assert "Distance" in text_of(get(as_researcher, "stimuli", "sea"))


def test_without_a_metric_a_study_says_nothing_of_one(as_researcher):
    judged_study(trained=2, held_out=1)
    assert "Distance" not in text_of(get(as_researcher, "study", "sea"))
    assert "Distance" not in text_of(get(as_researcher, "stimuli", "sea"))


# --- where pictures differ ------------------------------------------------------------------------


def test_a_map_is_drawn_when_it_is_asked_for_and_kept(as_researcher, woken):
    sea = study(trained=1, held_out=1)
    version = by_hand()
    made = sea.reconstructions.first()
    assert "Draw where they differ" in text_of(get(as_researcher, "differences", "sea", made.id))
    post(as_researcher, "differences", "sea", made.id)
    assert woken == [metric_tasks.draw_differences]
    waiting = get(as_researcher, "differences", "sea", made.id)
    assert "by-hand is looking at it" in text_of(waiting)
    assert b'hx-trigger="every 1s"' in waiting.content
    metric_tasks.draw_differences()
    post(as_researcher, "differences", "sea", made.id)  # once more
    drawn = DifferenceMap.objects.get()
    assert (drawn.version, drawn.reconstruction) == (version, made)
    body = get(as_researcher, "differences", "sea", made.id, headers=HTMX)
    assert f"distance {drawn.distance:.4f}" in text_of(body)
    shown = get(as_researcher, "difference-png", drawn.id)
    content = b"".join(shown.streaming_content)
    assert Image.open(io.BytesIO(content)).size == (64, 64)


def test_a_map_is_bright_where_pictures_differ():
    original = np.full((8, 8, 3), 100, np.uint8)
    differences = np.zeros((8, 8))
    differences[2, 3] = 0.5
    drawn, largest = draw(differences, original)
    assert 0 < largest <= 0.5
    assert drawn[2, 3].min() > drawn[5, 5].max()
    nothing, largest = draw(np.zeros((8, 8)), original)
    assert largest == 0
    assert len(np.unique(nothing)) == 1


def test_a_map_that_cannot_be_drawn_says_why(as_researcher):
    sea = study(sources=[factories.source_image(factories.pixels(20, 20, seed=6))])
    by_hand()
    made = sea.reconstructions.first()
    post(as_researcher, "differences", "sea", made.id)
    assert difference_maps.make_next()
    assert not difference_maps.make_next()
    said = text_of(get(as_researcher, "differences", "sea", made.id))
    assert "by-hand cannot draw it" in said
    assert "sides of 32 pixels" in said


def test_without_a_version_in_service_nothing_is_drawn(as_researcher):
    sea = study(trained=1, held_out=1)
    made = sea.reconstructions.first()
    said = text_of(get(as_researcher, "differences", "sea", made.id))
    assert "No version of the metric is in service yet." in said
    post(as_researcher, "differences", "sea", made.id)
    assert not DifferenceMap.objects.exists()


# --- the endpoint ---------------------------------------------------------------------------------


def png(pixels, name: str = "picture.png") -> SimpleUploadedFile:
    return SimpleUploadedFile(name, write_png(pixels), content_type="image/png")


def measured(client, reference, distorted, *, status: int = 200, **more) -> dict:
    data = {"reference": reference, "distorted": distorted, **more}
    response = client.post(reverse("distance"), data)
    assert response.status_code == status, response.content
    return response.json()


def test_two_pictures_are_measured_by_the_version_in_service(as_researcher):
    version = by_hand()
    original = picture(held_out=False)
    noisy = np.clip(original.astype(int) + 9, 0, 255).astype(np.uint8)
    same = measured(as_researcher, png(original), png(original))
    assert same == {
        "distance": 0.0,
        "metric": "by-hand",
        "sha256": version.sha256,
        "width": 64,
        "height": 64,
    }
    assert measured(as_researcher, png(original), png(noisy))["distance"] > 0


def test_two_pictures_are_measured_by_a_version_that_is_named(as_researcher):
    by_hand()
    stored_version("another", metric=metric(pixel_error_only=True))
    original = picture(held_out=False)
    found = measured(as_researcher, png(original), png(original), metric="another")
    assert found["metric"] == "another"
    refused = measured(as_researcher, png(original), png(original), metric="none", status=404)
    assert "there is no version 'none'" in refused["detail"]


def test_without_a_version_in_service_the_endpoint_says_so(as_researcher):
    original = picture(held_out=False)
    refused = measured(as_researcher, png(original), png(original), status=409)
    assert refused["detail"] == "No version of the metric is in service yet."


def test_what_cannot_be_measured_is_refused_with_the_reason(as_researcher, monkeypatch):
    by_hand()
    original = png(picture(held_out=False))

    def refused(reference, distorted) -> dict:
        for each in (reference, distorted):
            each.seek(0)
        return measured(as_researcher, reference, distorted, status=400)

    no_picture = SimpleUploadedFile("a.png", b"hello")
    assert "is no picture" in refused(original, no_picture)["distorted"][0]
    damaged = SimpleUploadedFile("a.png", write_png(picture(held_out=False))[:300])
    assert "damaged" in refused(original, damaged)["distorted"][0]
    small = png(factories.pixels(20, 20))
    assert refused(original, small)["distorted"] == [
        "It is 20 x 20 pixels, and the reference 64 x 64."
    ]
    small_too = png(factories.pixels(20, 20))
    assert "takes sides of 32 or more" in refused(small, small_too)["reference"][0]
    monkeypatch.setattr(measuring, "MAX_PIXELS", 4000)
    assert "is 64 x 64 pixels, over 0.004 megapixels" in refused(original, damaged)["reference"][0]
    missing = as_researcher.post(reverse("distance"), {"reference": png(picture(held_out=False))})
    assert missing.status_code == 400
    assert missing.json() == {"distorted": ["No file was submitted."]}


def test_a_file_that_is_too_large_is_refused_before_it_is_read(as_researcher):
    address = reverse("distance")
    response = as_researcher.post(
        address, b"", content_type="multipart/form-data; boundary=x", CONTENT_LENGTH="90000000"
    )
    assert response.status_code == 413
    assert response.json()["detail"] == "Each picture may have 20 MB."


def test_the_endpoint_is_for_those_who_have_an_account(client, researcher):
    original = picture(held_out=False)
    by_hand()
    measured(client, png(original), png(original), status=403)
    import base64

    def basic(password: str) -> str:
        return "Basic " + base64.b64encode(f"researcher:{password}".encode()).decode()

    for password, status in (("a long password", 200), ("guess", 403)):
        data = {"reference": png(original), "distorted": png(original)}
        response = client.post(
            reverse("distance"), data, headers={"Authorization": basic(password)}
        )
        assert response.status_code == status
    assert client.get(reverse("distance")).status_code in (403, 405)


def test_the_endpoint_asks_those_who_ask_too_often_to_wait(as_researcher, monkeypatch):
    by_hand()
    monkeypatch.setattr(PerUser, "rate", "2/min")
    original = picture(held_out=False)
    for _ in range(2):
        measured(as_researcher, png(original), png(original))
    refused = measured(as_researcher, png(original), png(original), status=429)
    assert "throttled" in refused["detail"]

"""Launching: one study however often it is launched, open when its stimuli are complete."""

import io
import json
from collections import Counter
from decimal import Decimal
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.urls import reverse
from PIL import Image

from annotation.models import Campaign, Task
from annotation.stimuli import PNG, WEBP, delivered_bytes
from codecs_registry import encoding
from codecs_registry.codecs.base import EncodeFailed
from codecs_registry.codecs.webp import WebP
from codecs_registry.models import Collection, Reconstruction, SourceImage
from codecs_registry.tasks import encode_owed
from evaluation import demo, launching, tasks
from evaluation.models import Study
from evaluation.study_files import InvalidStudy, StudySpecification
from tests import factories

pytestmark = pytest.mark.django_db

State = Reconstruction.State


def specify(**fields) -> StudySpecification:
    return StudySpecification.from_mapping(
        {"name": "Sea", "images": "-", "codecs": ["jpeg", "webp"], "bpp": [1]} | fields
    )


def photo(path: Path, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(factories.pixels(seed=seed)).save(path)
    return path


def encode_all() -> None:
    while encoding.make_next() is not None:
        pass


def counts() -> tuple[int, ...]:
    models = (Study, Campaign, Task, Reconstruction, SourceImage)
    return tuple(model.objects.count() for model in models)


@pytest.fixture
def worker(monkeypatch):
    """Work is done while somebody waits for it, as a worker would."""

    def work(seconds):
        encode_all()
        launching.advance_all()

    monkeypatch.setattr("time.sleep", work)


# --- launching ------------------------------------------------------------------------------------


def test_a_study_is_launched_with_all_that_was_asked_for(researcher):
    sources = [factories.source_image() for _ in range(2)]
    asked = specify(
        bpp=[0.5, 1],
        judgments_per_task=5,
        judgments_per_annotator=7,
        seed=9,
        instructions="Look closely.",
    )
    study, is_new = launching.launch(asked, sources, by=researcher)
    assert is_new
    assert (study.slug, study.codecs, study.strata) == ("sea", ["jpeg", "webp"], ["0.5", "1.0"])
    assert study.launched_by == researcher
    assert set(study.sources.all()) == set(sources)
    assert study.reconstructions.count() == 2 * 2 * 2
    campaign = study.campaign
    assert (campaign.state, campaign.kind) == (Campaign.State.DRAFT, "2afc")
    assert (campaign.judgments_per_task, campaign.judgments_per_annotator) == (5, 7)
    assert (campaign.seed, campaign.instructions) == (9, "Look closely.")


def test_launching_twice_makes_one_study(django_capture_on_commit_callbacks):
    sources = [factories.source_image() for _ in range(2)]
    first, is_new = launching.launch(specify(), sources)
    before = counts()
    # In another order, and the same once more: it is the same study.
    again, is_new_again = launching.launch(
        specify(codecs=["webp", "jpeg", "webp"], bpp=["1.00"]), sources[::-1]
    )
    assert (is_new, is_new_again) == (True, False)
    assert again == first
    assert counts() == before


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"bpp": [2]}, "bpp"),
        ({"codecs": ["jpeg", "avif"]}, "codecs"),
        ({"judgments_per_task": 4, "seed": 3}, "judgments_per_task, seed"),
    ],
)
def test_another_study_of_the_same_name_is_refused_and_leaves_nothing_behind(change, named):
    sources = [factories.source_image()]
    launching.launch(specify(), sources)
    before = counts()
    with pytest.raises(InvalidStudy, match=f"which differs in {named}; choose another") as failure:
        launching.launch(specify(**change), sources)
    assert list(failure.value.problems) == ["name"]
    assert counts() == before


def test_other_photographs_make_another_study():
    launching.launch(specify(), [factories.source_image()])
    with pytest.raises(InvalidStudy, match="differs in images"):
        launching.launch(specify(), [factories.source_image()])


def test_a_name_whose_page_another_study_has_is_refused_and_leaves_nothing_behind():
    source = factories.source_image()
    launching.launch(specify(name="Sea and sky"), [source])
    before = counts()
    with pytest.raises(InvalidStudy, match="too like that of another study"):
        launching.launch(specify(name="Sea, and SKY!"), [source])
    assert counts() == before


def test_a_study_of_known_stimuli_opens_at_once():
    first = factories.study("First")
    second, _ = launching.launch(
        specify(name="Second", codecs=["avif", "jpeg"], bpp=["0.37"]), list(first.sources.all())
    )
    assert second.campaign.state == Campaign.State.OPEN
    assert set(second.reconstructions.all()) == set(first.reconstructions.all())
    assert second.campaign != first.campaign


def test_workers_are_woken_when_the_study_is_there_and_a_silent_broker_costs_only_time(
    monkeypatch, django_capture_on_commit_callbacks
):
    def fail():
        raise ConnectionError("the broker does not answer")

    monkeypatch.setattr(encode_owed, "delay", fail)
    with django_capture_on_commit_callbacks(execute=True) as callbacks:
        launching.launch(specify(), [factories.source_image()])
    assert len(callbacks) == 1
    assert Study.objects.exists()


# --- photographs ----------------------------------------------------------------------------------


def test_a_folder_is_imported_and_gives_its_pictures_each_once(tmp_path):
    photo(tmp_path / "a.png", seed=1)
    photo(tmp_path / "b.png", seed=2)
    photo(tmp_path / "b again.png", seed=2)
    sources = launching.find_sources(str(tmp_path))
    assert [source.name for source in sources] == ["a.png", "b again.png"]
    assert launching.find_sources(str(tmp_path)) == sources


def test_a_folder_with_a_bad_file_is_refused_with_its_name_and_nothing_is_imported(tmp_path):
    photo(tmp_path / "a.png")
    (tmp_path / "b.png").write_text("no picture")
    (tmp_path / "c.txt").write_text("notes")
    with pytest.raises(InvalidStudy, match=r"2 files .* cannot be used \(b.png: it is no picture"):
        launching.find_sources(str(tmp_path))
    assert not SourceImage.objects.exists()


def test_a_collection_gives_its_source_images():
    collection = Collection.objects.create(name="holiday")
    source = factories.source_image()
    collection.sources.add(source)
    assert launching.find_sources("holiday") == [source]


@pytest.mark.parametrize("images", ["nowhere", "/no/such/folder", "/" + "x" * 300])
def test_images_that_are_neither_are_refused_with_the_collections_that_there_are(images):
    Collection.objects.create(name="holiday")
    with pytest.raises(InvalidStudy) as failure:
        launching.find_sources(images)
    assert list(failure.value.problems) == ["images"]
    assert "holiday" in str(failure.value) or "cannot be read" in str(failure.value)


def test_an_empty_folder_or_collection_is_refused(tmp_path):
    Collection.objects.create(name="empty")
    for images in (str(tmp_path), "empty"):
        with pytest.raises(InvalidStudy, match="holds no pictures"):
            launching.find_sources(images)


# --- opening --------------------------------------------------------------------------------------


def test_a_study_opens_only_when_all_its_stimuli_are_ready():
    study = factories.study(ready=False, bpp=("1", "2"))
    for _ in range(4):
        assert not launching.advance(study.id)
        assert encoding.make_next() == 2
    assert launching.advance(study.id)
    study.campaign.refresh_from_db()
    assert study.campaign.state == Campaign.State.OPEN


def test_every_pair_is_asked_once_at_every_bit_rate_of_every_photograph():
    codecs, bpp = ("avif", "jpeg", "jpeg2000", "webp"), ("0.37", "1.0", "2")
    study = factories.study(sources=2, codecs=codecs, bpp=bpp, judgments_per_task=4)
    asked = Counter()
    for task in study.campaign.tasks.all():
        shown = task.reconstructions.all()
        assert {each.source_id for each in shown} == {task.source_id}
        assert {each.target_bpp for each in shown} == {task.target_bpp}
        pair = tuple(sorted(each.codec for each in shown))
        asked[task.source_id, task.target_bpp, pair] += 1
        assert task.places_left == 4
    expected = {
        (source.id, Decimal(target), pair)
        for source in study.sources.all()
        for target in bpp
        for pair in combinations(codecs, 2)
    }
    assert asked == dict.fromkeys(expected, 1)
    assert len(expected) == 2 * 6 * 3


def test_opening_twice_makes_no_task_twice():
    study = factories.study()
    before = counts()
    assert not launching.advance(study.id)
    assert launching.advance_all() == 0
    assert counts() == before


def smooth(seed: int) -> SourceImage:
    """A picture without noise, as photographs nearly are: lossless WebP is smaller than PNG."""
    small = Image.fromarray(factories.pixels(16, 12, seed=seed))
    return factories.source_image(np.asarray(small.resize((320, 240), Image.Resampling.BICUBIC)))


def encoded(name: str, sources: list[SourceImage]) -> Study:
    study, _ = launching.launch(specify(name=name, bpp=["0.5", "1"]), sources)
    encode_all()
    return study


def test_all_that_is_sent_of_a_photograph_has_one_format_and_size_that_everything_fits_into():
    study = encoded("Sea", [smooth(1), smooth(2)])
    launching.advance(study.id)
    for source in study.sources.all():
        tasks = study.campaign.tasks.filter(source=source)
        [(kind, size)] = set(tasks.values_list("delivery_format", "delivery_bytes"))
        made = study.reconstructions.filter(source=source)
        stored = [source.webp_bytes, *made.values_list("webp_bytes", flat=True)]
        assert kind == WEBP
        assert size == delivered_bytes(stored, WEBP)
        assert size < max([source.png_bytes, *made.values_list("decoded_bytes", flat=True)])


def test_where_a_picture_has_no_webp_all_of_its_photograph_are_sent_as_png():
    study = encoded("Sea", [smooth(1), smooth(2)])
    source = study.sources.first()
    study.reconstructions.filter(source=source, codec="jpeg").update(webp="", webp_bytes=None)
    launching.advance(study.id)
    formats = dict(study.campaign.tasks.values_list("source", "delivery_format"))
    assert formats.pop(source.id) == PNG
    assert set(formats.values()) == {WEBP}


def test_the_same_seed_gives_the_same_order_of_tasks_and_another_seed_another():
    study = factories.study("One", sources=3, seed=5)
    orders = [list(study.campaign.tasks.order_by("id").values_list("order_key", flat=True))]
    for name, seed in (("Two", 5), ("Three", 6)):
        other, _ = launching.launch(
            specify(name=name, codecs=["avif", "jpeg"], bpp=["0.37"], seed=seed),
            list(study.sources.all()),
        )
        orders.append(list(other.campaign.tasks.order_by("id").values_list("order_key", flat=True)))
    assert orders[0] == orders[1] != orders[2]


def test_a_failed_encode_keeps_the_study_shut_until_it_is_retried():
    study = factories.study(ready=False)
    encode_all()
    failed = study.reconstructions.first()
    Reconstruction.objects.filter(id=failed.id).update(state=State.FAILED, error="no memory")
    assert not launching.advance(study.id)
    assert launching.retry_encoding(study) == 1
    assert study.encoding_progress()["waiting"] == 1
    encode_all()
    assert launching.advance(study.id)


def test_launching_again_retries_what_failed_and_goes_on_where_it_was():
    sources = [factories.source_image()]
    study, _ = launching.launch(specify(), sources)
    study.reconstructions.filter(codec="jpeg").update(state=State.FAILED, error="no memory")
    again, is_new = launching.launch(specify(), sources)
    assert (again, is_new) == (study, False)
    assert study.encoding_progress() == {
        "waiting": 2, "encoding": 0, "ready": 0, "failed": 0, "total": 2
    }  # fmt: skip


def test_an_encode_that_ends_tells_every_study_that_waits_for_it(monkeypatch):
    told = []
    monkeypatch.setattr(tasks.advance_study, "delay", told.append)
    waiting = factories.study("Waiting", ready=False, sources=1)
    also, _ = launching.launch(
        specify(name="Also", codecs=["avif", "jpeg"], bpp=["0.37"]), list(waiting.sources.all())
    )
    factories.study("Open")
    encoding.make_next()
    assert sorted(told) == sorted([waiting.id, also.id])
    encoding.make_next()
    for study_id in told:
        tasks.advance_study(study_id)
    assert not Campaign.objects.filter(state=Campaign.State.DRAFT).exists()


def test_a_study_whose_message_was_lost_is_opened_by_the_next_look():
    study = factories.study(ready=False)
    encode_all()
    tasks.advance_studies()
    study.campaign.refresh_from_db()
    assert study.campaign.state == Campaign.State.OPEN


def test_a_stimulus_of_a_study_cannot_be_deleted():
    study = factories.study()
    with pytest.raises(IntegrityError), transaction.atomic():
        study.reconstructions.first().delete()


# --- the command ----------------------------------------------------------------------------------


def study_file(folder: Path, **fields) -> Path:
    given = {"name": "Sea", "images": "photos", "codecs": ["jpeg", "webp"], "bpp": [1]} | fields
    path = folder / "study.toml"
    path.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in given.items()))
    return path


def launch_study(path: Path, *arguments: str) -> tuple[str, str]:
    out, err = io.StringIO(), io.StringIO()
    call_command("launch_study", str(path), *arguments, stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_the_command_launches_waits_and_prints_page_and_annotation_link(tmp_path, worker):
    photo(tmp_path / "photos" / "a.png")
    out, err = launch_study(study_file(tmp_path))
    campaign = Study.objects.get().campaign
    assert campaign.state == Campaign.State.OPEN
    assert "Sea: launched" in out
    assert "http://localhost/studies/sea/" in out
    assert f"http://localhost{reverse('welcome', args=[campaign.token])}" in out
    assert err.splitlines()[0] == "a.png"
    assert err.splitlines()[-1] == "encoded 2 of 2 reconstructions"


def test_the_command_run_twice_says_that_the_study_was_there(tmp_path, worker):
    photo(tmp_path / "photos" / "a.png")
    path = study_file(tmp_path)
    first = json.loads(launch_study(path, "--json")[0])
    second = json.loads(launch_study(path, "--json")[0])
    assert (first.pop("new"), second.pop("new")) == (True, False)
    assert first == second
    assert first["study"] == "Sea"


def test_the_command_need_not_wait(tmp_path):
    photo(tmp_path / "photos" / "a.png")
    launch_study(study_file(tmp_path), "--no-wait")
    assert Study.objects.get().campaign.state == Campaign.State.DRAFT


def test_the_command_tells_why_stimuli_cannot_be_made_and_goes_on_when_run_again(
    tmp_path, worker, monkeypatch
):
    def refuse(self, pixels, setting):
        raise EncodeFailed("the library gave up")

    photo(tmp_path / "photos" / "a.png")
    path = study_file(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(WebP, "encode", refuse)
        with pytest.raises(
            CommandError, match=r"1 of 2 reconstructions .*: the library gave up\. Launch the same"
        ):
            launch_study(path)
    launch_study(path)
    assert Study.objects.get().campaign.state == Campaign.State.OPEN


def test_a_study_that_was_not_open_yet_moves_on_to_the_codecs_versions_of_today(tmp_path, worker):
    photo(tmp_path / "photos" / "a.png")
    path = study_file(tmp_path)
    launch_study(path, "--no-wait")
    Reconstruction.objects.filter(codec="webp").update(codec_version="libwebp 0.1")
    launch_study(path)
    study = Study.objects.get()
    assert study.campaign.state == Campaign.State.OPEN
    assert "libwebp 0.1" not in study.reconstructions.values_list("codec_version", flat=True)
    assert Reconstruction.objects.get(codec_version="libwebp 0.1").state == "waiting"


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"codecs": ["jpeg", "jpeg9000"]}, "codecs: 'jpeg9000' is not one of"),
        ({"images": "nowhere"}, "images: 'nowhere' is neither a folder nor a collection"),
        ({"name": ""}, "name: is missing"),
        ({"colour": 1}, "colour: is not known"),
    ],
)
def test_a_bad_file_ends_in_one_line_and_leaves_nothing_behind(tmp_path, fields, problem):
    photo(tmp_path / "photos" / "a.png")
    with pytest.raises(CommandError) as failure:
        launch_study(study_file(tmp_path, **fields))
    assert problem in str(failure.value)
    assert "\n" not in str(failure.value)
    assert counts() == (0, 0, 0, 0, 0)


# --- the demo -------------------------------------------------------------------------------------


def test_the_demo_opens_both_its_studies_on_ones_own_photographs(tmp_path, worker):
    photo(tmp_path / "Küste" / "a.png", seed=1)
    photo(tmp_path / "Küste" / ".hidden.png", seed=2)
    said = []
    shown = demo.prepare(images=tmp_path / "Küste", say=said.append)
    assert (shown.study.name, shown.example.name) == (
        "First study: Küste",
        "Simulated example: Küste",
    )
    assert shown.password
    assert set(Campaign.objects.values_list("state", flat=True)) == {Campaign.State.OPEN}
    assert SourceImage.objects.count() == 1
    again = demo.prepare(images=tmp_path / "Küste", say=said.append)
    assert again.password is None, "it is told once"
    assert (again.study, again.example) == (shown.study, shown.example)


def test_the_demo_run_again_retries_what_could_not_be_encoded(tmp_path, worker):
    photo(tmp_path / "a.png")
    shown = demo.prepare(images=tmp_path, say=lambda line: None)
    Campaign.objects.update(state=Campaign.State.DRAFT)
    Study.objects.update(n_tasks=None)
    Task.objects.all().delete()
    shown.study.reconstructions.filter(codec="webp").update(state=State.FAILED, error="no memory")
    demo.prepare(images=tmp_path, say=lambda line: None)
    assert set(Campaign.objects.values_list("state", flat=True)) == {Campaign.State.OPEN}


@pytest.mark.parametrize("folder", ["missing", "empty", "bad"])
def test_the_demo_says_what_is_wrong_with_a_folder(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_text("no picture")
    with pytest.raises(demo.DemoFailed):
        demo.prepare(images=tmp_path / folder, say=lambda line: None)
    assert not Study.objects.exists()


def test_the_demo_takes_a_folder_of_any_name(tmp_path, worker):
    folder = tmp_path / ("x" * 120)
    photo(folder / "a.png")
    assert demo.prepare(images=folder, say=lambda line: None).study.sources.count() == 1

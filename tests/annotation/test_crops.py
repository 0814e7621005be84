"""Campaigns that show a part of each picture: the same in all of a task, and in the dataset."""

import io
from pathlib import Path

import numpy as np
import pytest
from django.core.files.storage import storages
from django.urls import reverse
from PIL import Image

from annotation import serving
from annotation.datasets import bapps_files
from annotation.models import StoredCrop
from annotation.records import judgment_records
from annotation.stimuli import shown_png
from codecs_registry import blobs
from codecs_registry.models import Reconstruction
from codecs_registry.pictures import write_png
from evaluation import launching
from evaluation.analysis import analyse_study
from evaluation.models import PEOPLE
from evaluation.study_files import InvalidStudy, StudySpecification
from tests import factories
from tests.factories import NOW


def cropped_study(name="Sea", **viewing):
    return factories.study(name, sources=3, viewing={"crop": [24, 16]} | viewing)


def picture(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image)


@pytest.mark.django_db
def test_every_task_of_a_source_image_shows_the_same_part_and_the_seed_draws_it():
    study = cropped_study()
    other = cropped_study("Other")
    for task in study.campaign.tasks.all():
        left, top, width, height = task.crop
        assert (width, height) == (24, 16)
        assert left + width <= task.source.width
        assert top + height <= task.source.height
    by_source = {}
    for task in study.campaign.tasks.all():
        by_source.setdefault(task.source_id, set()).add(tuple(task.crop))
    assert all(len(crops) == 1 for crops in by_source.values())
    assert len({crop for crops in by_source.values() for crop in crops}) > 1
    assert other.campaign.tasks.count() == study.campaign.tasks.count()


@pytest.mark.django_db
def test_several_parts_of_an_image_are_asked_about_in_tasks_of_their_own():
    study = cropped_study(crops_per_image=4)
    assert study.campaign.tasks.count() == 3 * 4
    assert len({(task.source_id, *task.crop) for task in study.campaign.tasks.all()}) > 6


@pytest.mark.django_db
def test_what_is_sent_is_that_part_pixel_for_pixel_in_files_of_one_size(client):
    study = cropped_study()
    leased = serving.lease(factories.annotator(study.campaign), now=NOW, ahead=3)
    for assignment in leased:
        sizes = set()
        left, top, width, height = assignment.task.crop
        shown = [assignment.task.source.png] + [
            Reconstruction.objects.get(id=each).decoded for each in assignment.shown
        ]
        for position, blob in zip(("original", "left", "right"), shown, strict=True):
            address = reverse("stimulus", args=[assignment.token, position])
            sent = client.get(address).content
            sizes.add(len(sent))
            whole = picture(blobs.read(blob))
            assert np.array_equal(picture(sent), whole[top : top + height, left : left + width])
        assert sizes == {assignment.task.delivery_bytes}


@pytest.mark.django_db
def test_parts_are_cut_when_a_study_opens_and_not_while_it_is_judged(client):
    """What is cut when it is asked for takes longer the first time: it tells who saw it before."""
    study = cropped_study(crops_per_image=2)
    assert StoredCrop.objects.count() == 3 * 2 * 3  # sources, parts; the original and two copies
    [assignment] = serving.lease(factories.annotator(study.campaign), now=NOW, ahead=1)
    for blob in (
        assignment.task.source.png,
        *study.reconstructions.values_list("decoded", flat=True),
    ):
        Path(storages["blobs"].path(blob)).unlink()
    for position in ("original", "left", "right"):
        assert client.get(reverse("stimulus", args=[assignment.token, position])).status_code == 200


@pytest.mark.django_db
def test_the_page_is_told_the_size_of_the_part(client):
    annotator = factories.annotator(cropped_study().campaign)
    address = reverse("next-assignments", args=[annotator.token])
    todo = client.post(address, {}, content_type="application/json").json()
    assert {(each["width"], each["height"]) for each in todo["assignments"]} == {(24, 16)}


@pytest.mark.django_db
def test_the_dataset_holds_the_parts_and_where_they_lie():
    study = cropped_study()
    factories.judge_all(factories.annotator(study.campaign))
    files = dict(bapps_files(study.campaign, provenance={}))
    pictures = [picture(content) for name, content in files.items() if name.endswith(".png")]
    assert {each.shape for each in pictures} == {(16, 24, 3)}
    rows = files["manifest.csv"].decode().splitlines()
    assert rows[0].split(",")[5] == "crop"
    assert {row.split(",")[5] for row in rows[1:]} == {
        " ".join(map(str, task.crop)) for task in study.campaign.tasks.all()
    }


@pytest.mark.django_db
def test_pictures_that_are_too_small_are_refused_at_launch_with_one_of_them_named():
    source = factories.source_image(factories.pixels(20, 40), name="small.png")
    asked = {"name": "Sea", "images": "-", "codecs": ["avif", "jpeg"], "viewing": {"crop": 24}}
    with pytest.raises(InvalidStudy, match=r"1 of 1 pictures are smaller, as small.png is \(20 x"):
        launching.launch(StudySpecification.from_mapping(asked), [source])


@pytest.mark.django_db
def test_a_whole_picture_is_sent_as_it_is_stored():
    task = factories.task(factories.campaign())
    assert shown_png(task, task.source.png) == blobs.read(task.source.png)
    assert write_png(picture(shown_png(task, task.source.png))) == blobs.read(task.source.png)


@pytest.mark.django_db
def test_parts_of_one_picture_are_questions_of_their_own_in_results():
    study = cropped_study(crops_per_image=3)
    factories.judge_all(factories.annotator(study.campaign))
    records = list(judgment_records(study.campaign))
    assert len({record.content for record in records}) == len(records) == 3 * 3
    result = analyse_study(study, population=PEOPLE)
    assert result["strata"]["0.37"]["agreement"]["repeat_agreement"]["value"] is None

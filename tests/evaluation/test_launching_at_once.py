"""Researchers and workers that launch and open one study at the same moment.

Rows are committed, and deleted at the end: a test's usual transaction would hide them from others.
"""

import pytest

from annotation.models import Campaign, Task
from codecs_registry import encoding
from codecs_registry.tasks import encode_owed
from evaluation import launching
from evaluation.models import Study
from evaluation.study_files import InvalidStudy, StudySpecification
from tests import factories
from tests.at_once import at_once, committed_rows


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker, monkeypatch):
    monkeypatch.setattr(encode_owed, "delay", lambda: None)  # no worker listens
    with committed_rows(django_db_blocker):
        yield


def specify(name: str = "Sea") -> StudySpecification:
    return StudySpecification.from_mapping(
        {"name": name, "images": "-", "codecs": ["jpeg", "webp"], "bpp": [1, 2]}
    )


def test_a_study_launched_by_several_at_once_is_one_study():
    sources = [factories.source_image() for _ in range(2)]
    launched = at_once(lambda _: launching.launch(specify(), sources), 4)
    assert len({study.id for study, _ in launched}) == 1
    assert sorted(is_new for _, is_new in launched) == [False, False, False, True]
    assert (Study.objects.count(), Campaign.objects.count()) == (1, 1)
    assert Study.objects.get().reconstructions.count() == 2 * 2 * 2


def test_of_studies_of_like_names_launched_at_once_one_is_there_and_the_others_are_told():
    sources = [factories.source_image()]

    def launch(number: int) -> bool:
        try:
            return launching.launch(specify(f"Sea{'!' * number}"), sources)[1]
        except InvalidStudy as error:
            return "too like" in str(error) and None

    assert sorted(map(str, at_once(launch, 4))) == ["None", "None", "None", "True"]
    assert (Study.objects.count(), Campaign.objects.count()) == (1, 1)


def test_a_study_opened_by_several_at_once_has_each_task_once():
    sources = [factories.source_image() for _ in range(3)]
    study, _ = launching.launch(specify(), sources)
    while encoding.make_next() is not None:
        pass
    assert sorted(at_once(lambda _: launching.advance(study.id), 4)) == [False, False, False, True]
    assert Task.objects.filter(campaign=study.campaign).count() == 3 * 2

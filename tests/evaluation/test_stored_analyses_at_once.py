"""Several who want the same analysis at the same moment, each over a connection of its own."""

import pytest

from evaluation.models import PEOPLE, StoredAnalysis
from evaluation.stored_analyses import refresh
from tests import factories
from tests.at_once import at_once, committed_rows
from tests.factories import NOW


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker):
    with committed_rows(django_db_blocker):
        yield


def test_of_four_who_find_it_stale_at_once_one_makes_it():
    study = factories.study()
    factories.judge_all(factories.annotator(study.campaign))
    done = at_once(lambda _: refresh(study, PEOPLE, now=NOW), 4)
    assert sorted(done) == [False, False, False, True]
    assert StoredAnalysis.objects.get().n_judgments == 2

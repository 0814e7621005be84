"""Requests of the API that arrive at the same moment.

Rows are committed, and deleted at the end: a test's usual transaction would hide them from others.
"""

import json

import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from codecs_registry.models import Collection
from evaluation.api_models import KeptAnswer, Scope
from evaluation.api_tokens import make_token
from projects.access import default_project
from projects.models import AuditEntry, Membership
from projects.roles import Role
from tests.at_once import at_once, committed_rows


@pytest.fixture(autouse=True)
def committed(django_db_setup, django_db_blocker):
    with committed_rows(django_db_blocker):
        yield


def test_of_requests_with_one_key_that_arrive_at_once_one_is_carried_out_and_all_are_answered():
    user = get_user_model().objects.create_user("ada")
    Membership.objects.create(project=default_project(), user=user, role=Role.RESEARCHER)
    secret = make_token(user, "notebook", list(Scope))[1]

    def make(number: int) -> tuple[int, bytes]:
        response = Client().post(
            "/api/v1/collections",
            json.dumps({"name": "sea"}),
            content_type="application/json",
            headers={"Authorization": f"Bearer {secret}", "Idempotency-Key": "one"},
        )
        return response.status_code, response.content

    answers = at_once(make, 4)
    assert len(set(answers)) == 1
    assert answers[0][0] == 201
    assert Collection.objects.count() == KeptAnswer.objects.count() == 1
    assert AuditEntry.objects.filter(action="made a collection").count() == 1

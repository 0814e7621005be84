"""The OpenAPI document, and the API held against it by calls that a machine made up.

CLOSER_API_CALLS says how many calls are made in all; CLOSER_HYPOTHESIS=fuzz makes them new ones.
"""

import os
import re
from collections import Counter
from collections.abc import Iterator

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.urls import reverse
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from annotation import exports
from codecs_registry.models import Collection
from codecs_registry.tasks import encode_owed
from evaluation import exporting, sharing, webhook_tasks
from evaluation.api.operations import Operation
from evaluation.api.schema import document
from evaluation.api.urls import described
from evaluation.api_models import Scope
from evaluation.api_tokens import make_token
from evaluation.importing import Reading, import_judgments
from evaluation.webhooks import make_webhook, send_test
from projects.access import default_project
from projects.models import Membership
from tests import factories
from tests.metric_factories import metric, stored_version

pytestmark = pytest.mark.django_db

CALLS = int(os.environ.get("CLOSER_API_CALLS", "300"))
METHODS = ("get", "post", "put", "patch", "delete")
HELD = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture
def secret(researcher, settings, monkeypatch, tmp_path) -> Iterator[str]:
    settings.ALLOWED_HOSTS = ["*"]
    settings.CLOSER_API_RATE = "100000/s"
    settings.CLOSER_DATA = tmp_path
    monkeypatch.setattr(encode_owed, "delay", lambda: None)  # no worker listens
    monkeypatch.setattr(webhook_tasks.deliver, "delay", lambda: None)
    for signal in (request_started, request_finished):  # the test's transaction is on it
        signal.disconnect(close_old_connections)
    yield make_token(researcher, "of a machine", list(Scope))[1]
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def existing(secret, researcher, django_user_model) -> dict[str, dict[str, object]]:
    """Path parameters that name something, by the first or the third word of the address."""
    project = default_project()
    factories.codec_cost("jpeg")
    factories.codec_cost("webp", encode_s_low=None, encode_s_high=None)
    study = factories.study()
    factories.judge_all(who := factories.annotator(study.campaign))
    Collection.objects.create(name="sea", project=project).sources.add(*study.sources.all())
    member = django_user_model.objects.create_user("member")
    Membership.objects.create(project=project, user=member, role="viewer")
    export = exporting.request(study, "csv")
    exports.make_next()
    imported = import_judgments(
        b"annotator,content,stratum,left,right,chosen\nann,x,1,j,w,left\n",
        file_name="a.csv",
        reading=Reading(project=project),
    )
    hook = make_webhook(project, "https://example.org/told", ["study.opened"], by=researcher)
    return {
        "studies": {"slug": study.slug, "id": who.id},
        "projects": {"slug": project.slug, "id": hook.id, "delivery_id": send_test(hook).id},
        "collections": {"id": Collection.objects.get(name="sea").id},
        "images": {"id": study.sources.first().id},
        "metrics": {"name": stored_version(metric=metric()).name},
        "members": {"id": member.id},
        "exports": {"id": export.id},
        "links": {"id": sharing.share(study, population="people").id},
        "imports": {"id": imported.id},
        "tokens": {"id": researcher.api_tokens.get().id},
    }


def test_no_call_breaks_the_api_or_is_answered_otherwise_than_the_document_says(existing, secret):
    application = get_wsgi_application()
    authorization = {"Authorization": f"Bearer {secret}"}
    schema = schemathesis.openapi.from_wsgi(
        reverse("api-schema"), application, headers=authorization
    )
    operations = [each.ok() for each in schema.get_all_operations()]
    answers: Counter = Counter()
    for operation in operations:
        words = operation.path.split("/")[3:]
        named = existing.get(words[0], {}) | existing.get("".join(words[2:3]), {})
        _call(operation, named, authorization, max(2, CALLS // len(operations)), answers)
        _call(operation, named, {}, 1, answers)
    assert answers[401] >= len(operations)
    assert answers.total() >= CALLS * 0.8, answers
    assert answers[200] + answers[201] >= CALLS * 0.1, answers
    if "CLOSER_API_CALLS" in os.environ:
        print(f"{answers.total()} calls of {len(operations)} operations: {dict(answers)}")  # noqa: T201


def _call(operation, named: dict, headers: dict, count: int, answers: Counter) -> None:
    """Call an operation so many times, half of the times with what there is."""
    cases = st.one_of(
        operation.as_strategy(GenerationMode.POSITIVE, path_parameters=named),
        operation.as_strategy(GenerationMode.POSITIVE),
        operation.as_strategy(GenerationMode.NEGATIVE, path_parameters=named),
        operation.as_strategy(GenerationMode.NEGATIVE),
    )

    @settings(
        max_examples=count,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def held(case) -> None:
        with transaction.atomic():
            response = case.call(headers=headers)
            transaction.set_rollback(True)
        answers[response.status_code] += 1
        case.validate_response(response, checks=HELD, headers=headers)

    held()


def test_the_document_is_openapi_3():
    validate_schema(document())


def test_every_operation_is_in_the_document_with_what_it_needs():
    told = {(path, method) for path, methods in document()["paths"].items() for method in methods}
    there = {
        (f"/api/v1/{_as_told(each.pattern._route)}", method)
        for each in described
        for method in METHODS
        if hasattr(each.callback.cls, method)
    }
    assert told == there
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            assert operation["summary"], (method, path)
            assert {"401", "403", "429"} <= set(operation["responses"])


def _as_told(route: str) -> str:
    return "/".join(
        f"{{{part.strip('<>').partition(':')[2]}}}" if part.startswith("<") else part
        for part in route.split("/")
    )


def test_every_method_of_an_endpoint_says_what_it_needs():
    for each in described:
        for method in METHODS:
            if handler := getattr(each.callback.cls, method, None):
                assert isinstance(handler.operation, Operation), each.name


def test_the_page_shows_every_operation_and_loads_nothing_from_elsewhere(as_researcher):
    response = as_researcher.get(reverse("api-docs"))
    shown = response.content.decode()
    for path, methods in document()["paths"].items():
        for method, operation in methods.items():
            assert f'id="{operation["operationId"]}"' in shown
            assert f"{method.upper()} {path}" in shown
    assert all('src="/static/' in each for each in re.findall("<script[^>]*>", shown))
    assert "style=" not in shown
    assert "/api/v1/docs" not in re.sub('(href|value)="/api/v1/docs"', "", shown)

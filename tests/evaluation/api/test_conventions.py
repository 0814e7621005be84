"""What is alike at every address of the API: tokens, problems, pages, keys, tags, limits."""

import json
from datetime import timedelta
from io import BytesIO

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from PIL import Image

from annotation.models import Judgment
from codecs_registry import clock
from evaluation.analysis import analyse_study
from evaluation.api_models import ApiToken, KeptAnswer, Scope
from evaluation.api_tokens import make_token
from evaluation.models import Study
from projects.access import default_project
from projects.models import AuditEntry, Membership, Project
from projects.roles import Role
from tests import factories
from tests.evaluation.api.calling import Caller, problem

pytestmark = pytest.mark.django_db

STUDY = {"name": "Sea", "images": "sea", "codecs": ["avif", "jpeg"], "bpp": [0.37]}


# --- tokens ---------------------------------------------------------------------------------------


def test_of_a_token_only_a_digest_is_kept_and_it_is_noted_when_it_was_used(call):
    token = ApiToken.objects.get()
    assert call.secret not in repr(vars(token))
    assert call.secret.startswith(token.prefix)
    assert token.used_at is None
    assert call("GET", "projects").status_code == 200
    token.refresh_from_db()
    assert clock.now() - token.used_at < timedelta(minutes=1)


@pytest.mark.parametrize(
    "end",
    [
        lambda token: {"revoked_at": clock.now()},
        lambda token: {"expires_at": clock.now()},
        lambda token: {"digest": "0" * 64},
    ],
    ids=["revoked", "over", "another"],
)
def test_a_token_that_does_not_hold_opens_nothing(call, end):
    token = ApiToken.objects.get()
    ApiToken.objects.update(**end(token))
    assert "token" in problem(call("GET", "projects"), 401)["detail"]


def test_a_token_of_somebody_who_left_opens_nothing_of_the_project(call, researcher):
    study = factories.study()
    assert call("GET", f"studies/{study.slug}").status_code == 200
    Membership.objects.filter(user=researcher).delete()
    problem(call("GET", f"studies/{study.slug}"), 404)
    researcher.is_active = False
    researcher.save()
    problem(call("GET", "projects"), 401)


def test_a_token_lists_and_ends_itself_alone(call, researcher):
    mine = ApiToken.objects.get()
    other, _ = make_token(researcher, "server", [Scope.READ])
    assert [each["id"] for each in call("GET", "tokens").json()["items"]] == [mine.id]
    problem(call("DELETE", f"tokens/{other.id}"), 404)
    assert call("DELETE", f"tokens/{mine.id}").status_code == 204
    problem(call("GET", "tokens"), 401)


def test_one_makes_a_token_on_a_page_that_shows_its_secret_once(as_researcher, client):
    page = reverse("tokens")
    made = as_researcher.post(page, {"name": "notebook", "scopes": ["read"], "lasts": "30"})
    secret = made.context["made"][1]
    assert secret in made.content.decode()
    assert secret not in as_researcher.get(page).content.decode()
    assert Caller(client, secret)("GET", "projects").status_code == 200
    assert AuditEntry.objects.get(action="made a token").actor_name == "researcher"
    as_researcher.post(reverse("revoke-token", args=[ApiToken.objects.get().id]))
    as_researcher.logout()
    problem(Caller(client, secret)("GET", "projects"), 401)


def test_a_token_without_a_scope_or_for_a_project_of_others_is_not_made(as_researcher):
    Project.objects.create(name="Other", slug="other")
    other = Project.objects.get(slug="other").id
    for given in ({"name": "x"}, {"name": "x", "scopes": ["read"], "project": other}):
        assert as_researcher.post(reverse("tokens"), given).status_code == 422
    assert not ApiToken.objects.exists()


def test_who_is_signed_in_may_look_around_but_changes_nothing_from_another_site(researcher):
    study = factories.study()
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(researcher)
    assert browser.get(f"/api/v1/studies/{study.slug}").status_code == 200
    problem(browser.post(f"/api/v1/studies/{study.slug}/move", {"move": "close"}), 403)
    study.campaign.refresh_from_db()
    assert study.campaign.state == "open"


# --- problems -------------------------------------------------------------------------------------


def test_every_error_is_a_problem(call, settings, client):
    problem(call("GET", "nothing/at/all"), 404)
    problem(call("POST", "nothing/at/all"), 404)
    problem(call("DELETE", "studies"), 405)
    problem(call("OPTIONS", "studies"), 405)
    problem(call("GET", "studies", Accept="text/html"), 406)
    problem(call("POST", "studies", b"{"), 400)
    problem(call("POST", "studies", b"[" * 100_000), 400)
    problem(call("POST", "studies", {"name": "\0"}), 400)
    problem(call("POST", "studies", b'{"name": "\\ud800"}'), 400)
    problem(call("POST", "studies", b" " * 1_000_001), 413)
    response = client.post(
        "/api/v1/studies", {"name": "Sea"}, headers={"Authorization": f"Bearer {call.secret}"}
    )
    problem(response, 415)
    assert problem(client.get("/api/v1/studies"), 401)
    assert client.get("/api/v1/studies")["WWW-Authenticate"] == "Bearer"


def test_what_is_wrong_with_a_study_is_told_by_field_and_nothing_is_made(call, sea):
    told = problem(
        call("POST", "studies", STUDY | {"codecs": ["nope"], "practice": {"tasks": -1}}), 400
    )
    assert set(told["errors"]) == {"codecs", "practice.tasks"}
    told = problem(call("POST", "studies", STUDY | {"images": "/etc"}), 400)
    assert set(told["errors"]) == {"images"}
    assert not Study.objects.exists()


def test_a_mistake_of_ours_is_logged_and_told_without_a_trace(call, monkeypatch, client):
    def fail(user, role):
        raise RuntimeError("a secret")

    monkeypatch.setattr("evaluation.api.endpoint.projects_of", fail)
    client.raise_request_exception = False
    told = problem(call("GET", "projects"), 500)
    assert "secret" not in json.dumps(told)


# --- pages ----------------------------------------------------------------------------------------


def test_pages_give_everything_once_whatever_is_added_meanwhile(call):
    study = factories.study(sources=3, judgments_per_task=4)
    for _ in range(2):
        factories.judge_all(factories.annotator(study.campaign))
    before = list(Judgment.objects.order_by("id").values_list("id", flat=True))
    got, following = [], "studies/sea/judgments?population=people&limit=2"
    while following:
        body = call("GET", following).json()
        got += [each["id"] for each in body["items"]]
        following = body["next"] and body["next"].partition("/api/v1/")[2]
        if len(got) == 2:
            factories.judge_all(factories.annotator(study.campaign))
    assert got[: len(before)] == before
    assert got == list(Judgment.objects.order_by("id").values_list("id", flat=True))
    assert len(got) > len(before)


@pytest.mark.parametrize("limit", [1, 2, 5, 6])
@pytest.mark.parametrize("address", ["collections", "projects/lab/audit"])
def test_lists_are_whole_and_in_order_however_long_a_page_is(call, address, limit):
    for number in range(5):
        call("POST", "collections", {"name": f"sea {number}"})
    whole = call("GET", address).json()
    assert whole["next"] is None
    got, following = [], f"{address}?limit={limit}"
    while following:
        response = call("GET", following)
        body = response.json()
        assert len(body["items"]) <= limit
        got += body["items"]
        following = body["next"] and body["next"].partition("/api/v1/")[2]
        assert bool(following) == ("Link" in response)
        assert len(got) < 50
    assert got == whole["items"]
    ids = [each["id"] for each in got]
    assert ids == sorted(ids, reverse=address.endswith("audit"))
    assert len(ids) >= 5


@pytest.mark.parametrize(
    "cursor", ["x", "YWZ0ZXIgLTE=", "YWZ0ZXIgOTk5OTk5OTk5OTk5OTk5OTk5OTk=", "ä"]
)
def test_a_cursor_that_is_none_is_refused(call, cursor):
    assert "cursor" in problem(call("GET", f"studies?cursor={cursor}"), 400)["errors"]


def test_judgments_of_people_and_of_simulated_annotators_are_never_in_one_answer(call):
    study = factories.study()
    factories.judge_all(factories.annotator(study.campaign))
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True))
    for population, name in (("people", "annotator-"), ("simulated", "simulated-")):
        items = call("GET", f"studies/sea/judgments?population={population}").json()["items"]
        assert items
        assert all(each["annotator"].startswith(name) for each in items)
    for address in ("judgments", "results"):
        told = problem(call("GET", f"studies/sea/{address}"), 400)
        assert set(told["errors"]) == {"population"}


# --- keys -----------------------------------------------------------------------------------------


def test_a_request_with_a_key_is_carried_out_once(call, sea):
    first = call("POST", "studies", STUDY, **{"Idempotency-Key": "one"})
    assert first.status_code == 201
    Study.objects.get().delete()
    again = call("POST", "studies", dict(reversed(STUDY.items())), **{"Idempotency-Key": "one"})
    assert (again.status_code, again.json()) == (201, first.json())
    assert again["Location"] == first["Location"]
    assert again["Idempotent-Replayed"] == "true"
    assert not Study.objects.exists()
    problem(call("POST", "studies", STUDY | {"seed": 2}, **{"Idempotency-Key": "one"}), 422)


def test_a_key_is_its_holders_own_and_ends_after_a_day(call, client, django_user_model):
    body = {"name": "waves"}
    assert call("POST", "collections", body, **{"Idempotency-Key": "one"}).status_code == 201
    other = django_user_model.objects.create_user("other")
    Membership.objects.create(project=default_project(), user=other, role=Role.RESEARCHER)
    theirs = Caller(client, make_token(other, "theirs", [Scope.WRITE])[1])
    problem(theirs("POST", "collections", body, **{"Idempotency-Key": "one"}), 409)
    KeptAnswer.objects.update(at=clock.now() - timedelta(hours=24))
    problem(call("POST", "collections", body, **{"Idempotency-Key": "one"}), 409)


def test_what_failed_may_be_sent_again_with_its_key(call, sea):
    sea.sources.clear()
    problem(call("POST", "studies", STUDY, **{"Idempotency-Key": "one"}), 400)
    sea.sources.add(factories.source_image())
    assert call("POST", "studies", STUDY, **{"Idempotency-Key": "one"}).status_code == 201


@pytest.mark.parametrize("key", ["", "x" * 201, "two words"])
def test_a_key_that_is_none_is_refused(call, key):
    told = problem(call("POST", "collections", {"name": "x"}, **{"Idempotency-Key": key}), 400)
    assert set(told["errors"]) == {"Idempotency-Key"}


# --- tags -----------------------------------------------------------------------------------------


def test_what_has_not_changed_is_not_sent_again(call):
    factories.study()
    tag = call("GET", "studies/sea")["ETag"]
    for named in (tag, f'"x", {tag}', f"W/{tag}", "*"):
        again = call("GET", "studies/sea", **{"If-None-Match": named})
        assert (again.status_code, again.content) == (304, b"")
        assert again["ETag"] == tag
    assert call("GET", "studies/sea", **{"If-None-Match": '"x"'}).status_code == 200
    call("POST", "studies/sea/move", {"move": "close"})
    assert call("GET", "studies/sea", **{"If-None-Match": tag}).status_code == 200


def test_nothing_is_changed_that_was_not_seen(call):
    study = factories.study()
    tag = call("GET", "studies/sea")["ETag"]
    close, again = {"move": "close"}, {"move": "open again"}
    assert call("POST", "studies/sea/move", close, **{"If-Match": tag}).status_code == 200
    problem(call("POST", "studies/sea/move", again, **{"If-Match": tag}), 412)
    study.campaign.refresh_from_db()
    assert study.campaign.state == "closed"
    now = call("GET", "studies/sea")["ETag"]
    reopened = call("POST", "studies/sea/move", again, **{"If-Match": f'"x", {now}'})
    assert reopened.json()["state"] == "open"


# --- limits ---------------------------------------------------------------------------------------


def test_a_token_that_asks_too_often_is_told_how_long_to_wait(call, settings, client, researcher):
    settings.CLOSER_API_RATE = "3/min"
    left = [call("GET", "projects")["RateLimit-Remaining"] for _ in range(3)]
    assert left == ["2", "1", "0"]
    refused = call("GET", "projects")
    problem(refused, 429)
    assert 1 <= int(refused["Retry-After"]) <= 60
    other = Caller(client, make_token(researcher, "another", [Scope.READ])[1])
    assert other("GET", "projects").status_code == 200
    wrong = Caller(client, "closer_wrong")
    assert [wrong("GET", "projects").status_code for _ in range(4)] == [401, 401, 401, 429]


# --- what it does ---------------------------------------------------------------------------------


def test_photographs_are_put_into_a_collection_and_what_is_none_is_named(call, client):
    made = call("POST", "collections", {"name": "sea"}).json()
    picture = BytesIO()
    Image.fromarray(factories.pixels()).save(picture, "PNG")
    files = [
        SimpleUploadedFile("harbour.png", picture.getvalue()),
        SimpleUploadedFile("notes.txt", b"no picture"),
    ]
    response = client.post(
        f"/api/v1/collections/{made['id']}/images",
        {"photographs": files},
        headers={"Authorization": f"Bearer {call.secret}", "Idempotency-Key": "one"},
    )
    assert response.status_code == 201, response.content
    told = response.json()
    assert [each["name"] for each in told["added"]] == ["harbour.png"]
    assert [each["name"] for each in told["skipped"]] == ["notes.txt"]
    listed = call("GET", f"images?collection={made['id']}").json()["items"]
    assert listed == told["added"]
    assert AuditEntry.objects.filter(action="uploaded photographs").exists()


def test_a_study_is_launched_watched_and_closed(call, sea):
    made = call("POST", "studies", STUDY)
    assert made.status_code == 201
    assert made["Location"].endswith("/api/v1/studies/sea")
    assert call("POST", "studies", STUDY).status_code == 200
    progress = call("GET", "studies/sea/progress").json()
    assert progress["state"] == "encoding"
    assert progress["encoding"]["waiting"] == progress["encoding"]["total"] == 4
    assert call("GET", "studies?state=encoding").json()["items"] == [made.json()]
    assert call("GET", "studies?state=open").json()["items"] == []


def test_results_are_what_the_command_prints(call):
    study = factories.study(sources=3)
    factories.judge_all(factories.annotator(study.campaign))
    told = call("GET", "studies/sea/results?population=people").json()
    assert told == json.loads(json.dumps(analyse_study(study, population="people")))


def test_people_are_invited_paid_and_stopped(call):
    study = factories.study(crowd={"pay": 0.5, "currency": "EUR"})
    invited = call("POST", "studies/sea/annotators", {"labels": ["Ada", "Bo"]})
    assert [each["label"] for each in invited.json()["items"]] == ["Ada", "Bo"]
    ada = study.campaign.annotators.get(label="Ada")
    factories.judge_all(ada)
    listed = {each["label"]: each for each in call("GET", "studies/sea/annotators").json()["items"]}
    assert (listed["Ada"]["judgments"], listed["Ada"]["pay"]) == (2, "1.0")
    assert listed["Bo"]["status"] == "invited"
    owed = call("GET", "studies/sea/payments").json()
    assert (owed["judgments"], owed["pay"], owed["currency"]) == (2, "1.0", "EUR")
    link = listed["Ada"]["link"].partition("localhost")[2]
    assert call("POST", f"studies/sea/annotators/{ada.id}/revoke").json()["is_stopped"]
    assert call("DELETE", f"studies/sea/annotators/{ada.id}").json() == {"judgments": 2}
    assert call.client.get(link).status_code == 404

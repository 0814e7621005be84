"""All that is held of a person: handed out, and erased."""

import json
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.db import connection
from django.urls import reverse

from annotation.models import Annotator, Judgment
from codecs_registry import clock
from config.celery import app
from evaluation import personal_data
from evaluation.api_models import ApiToken, Scope
from evaluation.api_tokens import make_token
from projects.access import default_project
from projects.models import AuditEntry, Identity, Membership, SignInFailures
from projects.roles import Role
from projects.tasks import forget_sign_ins
from tests import factories

pytestmark = pytest.mark.django_db
ADDRESS, BROWSER, SESSION = "203.0.113.77", "Mozilla/5.0 (Peculiar)", "s-77"


def run(*arguments: str) -> str:
    out = StringIO()
    call_command("person_data", *arguments, stdout=out)
    return out.getvalue()


def everything_stored() -> str:
    """The text of all rows there are."""
    told = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')  # noqa: S608
            told += [text for (text,) in cursor.fetchall()]
    return "\n".join([*told, *(str(each.get_decoded()) for each in Session.objects.all())])


@pytest.fixture
def study():
    return factories.study(crowd={"platform": "prolific", "completed": "C1"})


@pytest.fixture
def who(study) -> Annotator:
    made = factories.annotator(
        study.campaign, platform="prolific", external_id="5a9d", external={"SESSION_ID": SESSION}
    )
    factories.judge_all(made)
    return made


# --- no addresses ---------------------------------------------------------------------------------


def test_no_address_of_a_machine_and_no_browsers_name_is_stored(client, study, researcher):
    headers = {
        "REMOTE_ADDR": ADDRESS,
        "HTTP_X_FORWARDED_FOR": ADDRESS,
        "HTTP_USER_AGENT": BROWSER,
    }
    welcome = reverse("welcome", args=[study.campaign.token])
    query = f"?PROLIFIC_PID=5a9d&SESSION_ID={SESSION}"
    begun = client.post(welcome + query, **headers)
    assert client.get(begun["Location"], **headers).status_code == 200
    found = Annotator.objects.get()
    assigned = client.post(
        reverse("next-assignments", args=[found.token]), content_type="application/json", **headers
    )
    assert assigned.status_code == 200
    client.post(reverse("login"), {"username": "researcher", "password": "wrong"}, **headers)
    signed_in = {"username": "researcher", "password": "a long password"}
    assert client.post(reverse("login"), signed_in, **headers).status_code == 302
    assert client.get(reverse("studies"), **headers).status_code == 200
    stored = everything_stored()
    assert SESSION in stored, "what the platform said is looked at, too"
    assert Session.objects.exists()
    assert ADDRESS not in stored
    assert BROWSER not in stored


def test_sign_ins_that_are_over_are_forgotten(as_researcher):
    SignInFailures.objects.create(key="old", count=1, until=clock.now() - timedelta(minutes=1))
    SignInFailures.objects.create(key="new", count=1, until=clock.now() + timedelta(minutes=1))
    forget_sign_ins()
    assert Session.objects.count() == 1
    Session.objects.update(expire_date=clock.now() - timedelta(minutes=1))
    forget_sign_ins()
    assert not Session.objects.exists()
    assert [each.key for each in SignInFailures.objects.all()] == ["new"]


def test_what_forgets_is_scheduled():
    app.loader.import_default_modules()
    scheduled = {each["task"] for each in app.conf.beat_schedule.values()}
    for task in ("annotation.tasks.forget_contacts", "projects.tasks.forget_sign_ins"):
        assert task in scheduled
        assert task in app.tasks


# --- annotators -----------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["number", "platform", "link"])
def test_all_that_is_held_of_an_annotator_is_printed_however_they_are_named(study, who, way):
    elsewhere = factories.annotator(
        factories.open_campaign(1), platform="prolific", external_id="5a9d"
    )
    named = {
        "number": f"annotator-{who.id}",
        "platform": "prolific:5a9d",
        "link": f"https://closer.example.org{reverse('judge', args=[who.token])}",
    }
    held = json.loads(run(named[way], "--export"))["annotators"]
    assert [each["number"] for each in held] == [who.id, elsewhere.id]
    first = held[0]
    assert first["study"] == "Sea"
    assert first["annotator"]["external"] == {"SESSION_ID": SESSION}
    assert len(first["judgments"]) == Judgment.objects.count() == 2
    assert first["judgments"][0]["purpose"] == "measure", "all is told"


def test_an_export_tells_every_column_that_is_held_of_an_annotator(who):
    """A new column needs a word here: it is told, or it says nothing of a person."""
    told = set(json.loads(run(f"annotator-{who.id}", "--export"))["annotators"][0]["annotator"])
    of_the_system = {"id", "campaign", "is_simulated", "practice_owed", "quiz_attempt", "worked_ms"}
    counts = {"n_given", "n_answered", "n_counted", "n_measured"}
    columns = {field.name for field in Annotator._meta.concrete_fields}
    assert columns - told == of_the_system | counts


def test_an_annotator_is_erased_and_their_judgments_stay_unless_they_are_to_go(study, who):
    said = run("prolific:5a9d", "--erase")
    assert f"annotator-{who.id}: nothing tells any more who it was" in said
    stored = everything_stored()
    assert "5a9d" not in stored
    assert SESSION not in stored
    assert who.token not in stored
    assert Judgment.objects.count() == 2
    entry = AuditEntry.objects.get(action="erased who an annotator was")
    assert (entry.project, entry.details) == (default_project(), {"annotator": who.id})
    assert "2 judgments with them" in run(f"annotator-{who.id}", "--erase", "--with-judgments")
    assert not Judgment.objects.exists()


@pytest.mark.parametrize(
    "named", ["annotator-999999", "prolific:", "account:nobody", "https://x.org/", "Ada", ""]
)
def test_who_is_not_found_is_told_how_people_are_named(who, named):
    factories.annotator(factories.open_campaign(1), platform="prolific")
    with pytest.raises(CommandError, match=r"annotator-12.*prolific:NAME.*account:NAME"):
        run(named, "--export")


def test_judgments_are_taken_along_by_an_erasure_alone(who):
    with pytest.raises(CommandError, match="goes with --erase"):
        run(f"annotator-{who.id}", "--export", "--with-judgments")


# --- on the page ----------------------------------------------------------------------------------


def test_a_researcher_takes_out_and_erases_what_is_held_of_an_annotator(as_researcher, who):
    page = reverse("annotators", args=["sea"])
    shown = as_researcher.get(page).content.decode()
    data = reverse("annotator-data", args=["sea", who.id])
    assert data in shown
    assert "365 days after the study is closed" in shown
    held = as_researcher.get(data)
    assert held.headers["Content-Disposition"].startswith("attachment")
    assert held.json()["annotators"][0]["annotator"]["external_id"] == "5a9d"
    address = reverse("erase-annotator", args=["sea", who.id])
    assert "tick that it is for good" in as_researcher.post(address, follow=True).content.decode()
    who.refresh_from_db()
    assert who.external_id
    as_researcher.post(address, {"sure": "on"})
    who.refresh_from_db()
    assert who.external_id == ""
    assert Judgment.objects.count() == 2
    actions = set(AuditEntry.objects.values_list("action", flat=True))
    assert {"took out an annotator's data", "erased who an annotator was"} <= actions


def test_what_is_held_of_an_annotator_of_another_study_is_not_found(as_researcher, study):
    other = factories.annotator(factories.open_campaign(1))
    for name, call in (
        ("annotator-data", as_researcher.get),
        ("erase-annotator", as_researcher.post),
    ):
        assert call(reverse(name, args=["sea", other.id])).status_code == 404


# --- accounts -------------------------------------------------------------------------------------


@pytest.fixture
def ada(client, django_user_model):
    """Somebody with all that an account can have."""
    made = django_user_model.objects.create_user("ada", "ada@example.org", "a long password")
    Membership.objects.create(project=default_project(), user=made, role=Role.RESEARCHER)
    Identity.objects.create(user=made, issuer="https://id.example.org", subject="ada-42")
    make_token(made, "her notebook", [Scope.READ])
    client.force_login(made)
    return made


def test_all_that_is_held_of_an_account_is_printed_but_no_secret(ada, study):
    study.launched_by = ada
    study.save()
    AuditEntry.objects.create(
        project=None, actor=ada, actor_name="ada", action="launched", subject="Sea"
    )
    text = run("account:ada", "--export")
    held = json.loads(text)
    assert held["account"]["email"] == "ada@example.org"
    assert set(held["belongs_to_them"]) == {
        "projects.Identity",
        "projects.Membership",
        "evaluation.ApiToken",
    }
    assert held["names_them"] == {"evaluation.Study.launched_by": ["Sea"]}
    assert [each["action"] for each in held["log"]] == ["made a token", "launched"]
    assert len(held["sessions"]) == 1
    assert ada.password not in text
    assert ApiToken.objects.get().digest not in text


def test_an_account_is_erased_with_all_that_belongs_to_it(ada, study, researcher):
    study.launched_by = ada
    study.save()
    run("account:ada", "--erase")
    stored = everything_stored()
    for held in ("ada@example.org", "ada-42", ada.password, "_auth_user_id"):
        assert held not in stored
    assert not ApiToken.objects.exists()
    study.refresh_from_db()
    assert study.launched_by is None
    assert AuditEntry.objects.get(action="erased an account").subject == "ada"


def test_the_only_owner_of_a_project_hands_it_on_first(researcher):
    with pytest.raises(CommandError, match="needs an owner"):
        run("account:researcher", "--erase")
    researcher.refresh_from_db()
    assert researcher.memberships.exists()


def test_accounts_have_no_judgments(ada):
    with pytest.raises(CommandError, match="accounts have none"):
        run("account:ada", "--erase", "--with-judgments")
    assert personal_data.find("account:ada") == ada

"""The researcher's page of annotators: who came, how they did, what they are owed."""

import csv
import io

import pytest
from django.urls import reverse

from annotation import people
from annotation.models import Annotator, Judgment
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

PAID = {
    "platform": "prolific",
    "completed": "C1",
    "pay": 0.15,
    "bonus": 1,
    "bonus_gold": 0,
    "currency": "GBP",
}


def page(client, name="annotators", *arguments):
    return client.get(reverse(name, args=["sea", *arguments]))


def text(response) -> str:
    return response.content.decode()


def test_without_annotators_the_page_says_how_they_come(as_researcher):
    study = factories.study()
    shown = text(page(as_researcher))
    assert "Nobody yet" in shown
    assert study.campaign.token in shown


def test_each_person_is_listed_with_their_work_and_pay_and_simulations_are_not(as_researcher):
    study = factories.study(crowd=PAID, rules=[{"check": "too fast", "action": "flag", "share": 0}])
    who = factories.annotator(study.campaign, platform="prolific", external_id="<b>5a9d</b>")
    factories.judge_all(who)
    factories.judge_all(factories.annotator(study.campaign, is_simulated=True))
    shown = text(page(as_researcher))
    assert "&lt;b&gt;5a9d&lt;/b&gt;" in shown
    assert f"annotator-{who.id}" in shown
    assert "has judged" in shown
    assert "0.30" in shown
    assert "2.00" in shown
    assert "simulated" not in shown
    rows = list(csv.DictReader(io.StringIO(b"".join(page(as_researcher, "payments")).decode())))
    assert [(row["judgments"], row["pay"], row["bonus"], row["currency"]) for row in rows] == [
        ("2", "0.30", "2", "GBP")
    ]


def test_people_are_invited_by_links_of_their_own(as_researcher, client):
    study = factories.study()
    address = reverse("invite", args=["sea"])
    as_researcher.post(address, {"labels": "Ada\n\n  Bob \n"})
    assert list(study.campaign.annotators.values_list("label", flat=True)) == ["Ada", "Bob"]
    shown = text(page(as_researcher))
    for annotator in study.campaign.annotators.all():
        assert reverse("judge", args=[annotator.token]) in shown


@pytest.mark.parametrize(
    ("labels", "words"),
    [("", "required"), ("\n".join("x" * 1001), "At most 1000"), ("x" * 201, "200 characters")],
)
def test_invitations_that_cannot_be_are_told_and_nothing_is_made(as_researcher, labels, words):
    factories.study()
    response = as_researcher.post(reverse("invite", args=["sea"]), {"labels": labels})
    assert response.status_code == 422
    assert words in text(response)
    assert not Annotator.objects.exists()


def test_a_link_is_revoked_and_let_go_on(as_researcher):
    study = factories.study()
    who = factories.annotator(study.campaign)
    as_researcher.post(reverse("revoke", args=["sea", who.id]))
    who.refresh_from_db()
    assert who.stop_reason == "revoked"
    assert "the link was revoked" in text(page(as_researcher))
    as_researcher.post(reverse("restore", args=["sea", who.id]))
    who.refresh_from_db()
    assert who.stopped_at is None


def test_a_researcher_deletes_the_data_of_one_who_asks_and_cannot(as_researcher):
    study = factories.study()
    who = factories.annotator(study.campaign)
    given = factories.judge_all(who)
    address = reverse("withdraw-annotator", args=["sea", who.id])
    as_researcher.post(address)
    assert "tick that they asked for it" in text(page(as_researcher))
    assert Judgment.objects.count() == given
    as_researcher.post(address, {"sure": "on"})
    assert not Judgment.objects.exists()
    assert not study.campaign.annotators.exists()
    assert f"withdrew {given} judgment" in text(page(as_researcher))


def test_an_annotator_of_another_study_is_not_found(as_researcher):
    factories.study()
    other = factories.annotator(factories.open_campaign(1))
    response = as_researcher.post(reverse("revoke", args=["sea", other.id]))
    assert response.status_code == 404
    other.refresh_from_db()
    assert other.stopped_at is None


def test_the_study_gets_a_new_link(as_researcher):
    study = factories.study()
    before = study.campaign.token
    as_researcher.post(reverse("renew-link", args=["sea"]))
    shown = text(page(as_researcher))
    assert before not in shown


def test_withdrawals_are_noted_without_a_name(as_researcher):
    study = factories.study()
    who = factories.annotator(study.campaign, label="Ada")
    factories.judge_all(who)
    people.withdraw(who, now=NOW)
    shown = text(page(as_researcher))
    assert "somebody withdrew 2 judgments" in shown
    assert "Ada" not in shown


@pytest.mark.parametrize("name", ["annotators", "payments"])
def test_outsiders_are_asked_to_sign_in(client, name):
    factories.study()
    assert page(client, name).status_code == 302

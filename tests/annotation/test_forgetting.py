"""Who somebody was is forgotten; what they judged stays as it was."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.urls import reverse

from annotation import forgetting, people, serving
from annotation.models import Annotator, Campaign, Judgment
from annotation.tasks import forget_contacts
from codecs_registry import clock
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db
NAMED = {
    "platform": "prolific",
    "external_id": "5a9d",
    "external": {"SESSION_ID": "s1"},
    "label": "Ada",
}


def judged(campaign: Campaign) -> Annotator:
    """Somebody named, who has judged all and left a remark with each answer."""
    who = factories.annotator(campaign, **NAMED)
    while held := serving.lease(who, now=NOW):
        given = {"answer": "left", "response_ms": 1000, "viewing": {}}
        serving.judge(held[0], **given, remark="it is Ada here", now=NOW)
    return who


def test_what_named_somebody_is_gone_and_what_they_judged_stays(client):
    campaign = factories.open_campaign(2)
    who, other = judged(campaign), factories.annotator(campaign, label="Bob")
    link = reverse("judge", args=[who.token])
    before = list(Judgment.objects.order_by("id").values_list("id", "ranks", "response_ms"))
    forgetting.forget(who)
    who.refresh_from_db()
    assert (who.external_id, who.external, who.label) == ("", {}, "")
    assert list(Judgment.objects.order_by("id").values_list("id", "ranks", "response_ms")) == before
    assert set(Judgment.objects.values_list("remark", flat=True)) == {""}
    assert client.get(link).status_code == 404
    other.refresh_from_db()
    assert other.label == "Bob"


@pytest.mark.parametrize("change", [{"remark": "another"}, {"remark": "", "ranks": [2, 1]}])
def test_nothing_but_a_remark_can_be_taken_from_a_judgment_and_none_put_in_its_place(change):
    who = judged(factories.open_campaign(1))
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('closer.forgetting', %s, true)", [str(who.id)])
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Judgment.objects.update(**change)


def test_remarks_of_others_stay():
    campaign = factories.open_campaign(1)
    who, other = judged(campaign), factories.annotator(campaign)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('closer.forgetting', %s, true)", [str(other.id)])
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Judgment.objects.update(remark="")
    assert Judgment.objects.get(assignment__annotator=who).remark


def test_the_database_knows_when_a_campaign_was_closed():
    campaign = factories.open_campaign(1)
    rows = Campaign.objects.filter(id=campaign.id)

    def closed_at():
        return rows.get().closed_at

    assert closed_at() is None
    rows.update(state=Campaign.State.CLOSED)
    assert clock.now() - closed_at() < timedelta(minutes=5)
    rows.update(closed_at=NOW)
    rows.update(state=Campaign.State.CLOSED, budget=None)
    assert closed_at() == NOW, "closed once more, it ended when it ended"
    campaign.state = Campaign.State.CLOSED
    campaign.save()
    assert closed_at() == NOW
    rows.update(state=Campaign.State.OPEN)
    assert closed_at() is None


@pytest.mark.parametrize(
    ("state", "fields", "days", "is_forgotten"),
    [
        ("closed", {"closed_at": NOW - timedelta(days=31)}, 30, True),
        ("closed", {"closed_at": NOW - timedelta(days=29)}, 30, False),
        ("open", {"closes_at": NOW - timedelta(days=31)}, 30, True),
        ("open", {}, 30, False),
        ("closed", {"closed_at": NOW - timedelta(days=9999)}, 0, False),
        (
            "closed",
            {"closed_at": NOW - timedelta(days=29), "closes_at": NOW - timedelta(days=40)},
            30,
            False,
        ),
    ],
)
def test_contacts_are_forgotten_so_many_days_after_the_end(
    settings, client, state, fields, days, is_forgotten
):
    settings.CLOSER_KEEP_CONTACTS_DAYS = days
    campaign = factories.open_campaign(1)
    who = judged(campaign)
    Campaign.objects.filter(id=campaign.id).update(state=state)
    Campaign.objects.filter(id=campaign.id).update(**fields)
    assert forgetting.forget_contacts(now=NOW) == is_forgotten
    who.refresh_from_db()
    assert (who.external_id, who.label) == (("", "") if is_forgotten else ("5a9d", "Ada"))
    assert client.get(reverse("judge", args=[who.token])).status_code == 200, "their link stays"
    assert Judgment.objects.get().remark, "what they wrote of pictures is data"
    assert forgetting.forget_contacts(now=NOW) == 0


def test_it_is_told_when_contacts_go(settings):
    campaign = factories.open_campaign(1)
    assert forgetting.contacts_go_at(campaign) is None
    campaign.closed_at = NOW
    assert forgetting.contacts_go_at(campaign) == NOW + timedelta(days=365), "the default"
    settings.CLOSER_KEEP_CONTACTS_DAYS = 0
    assert forgetting.contacts_go_at(campaign) is None


def test_the_scheduled_task_forgets(settings):
    settings.CLOSER_KEEP_CONTACTS_DAYS = 1
    campaign = factories.open_campaign(1)
    who = factories.annotator(campaign, **NAMED)
    Campaign.objects.update(state="closed")
    Campaign.objects.update(closed_at=clock.now() - timedelta(days=2))
    forget_contacts()
    who.refresh_from_db()
    assert who.external_id == ""


def test_who_is_forgotten_can_still_withdraw_and_others_are_never_the_same_person():
    campaign = factories.open_campaign(2)
    who = judged(campaign)
    elsewhere = factories.annotator(factories.open_campaign(1), **NAMED)
    nobody, noone = factories.annotator(campaign), factories.annotator(campaign)
    assert list(forgetting.same_person(who)) == [who, elsewhere]
    assert list(forgetting.same_person(nobody)) == [nobody]
    forgetting.forget(who)
    who.refresh_from_db()
    assert list(forgetting.same_person(who)) == [who]
    assert people.withdraw(who, now=NOW).judgments == 2
    assert noone in campaign.annotators.all()

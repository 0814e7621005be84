"""How people come to a campaign: by link, invitation or crowd platform; and who may not."""

import pytest
from django.core.cache import cache
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse

from annotation import people, serving
from annotation.joining import invite
from annotation.models import Annotator, Campaign, Judgment
from annotation.throttles import Joins, PerAnnotator
from config.logs import Lines
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

PROLIFIC = {
    "platform": "prolific",
    "completed": "C1DONE",
    "screened_out": "C2OUT",
    "full": "C3FULL",
}
PID = "5a9d64f5f6dfdd0001eaa73d"


def crowd_campaign(**options) -> Campaign:
    return factories.open_campaign(3, stored_options={"crowd": PROLIFIC} | options)


def link(campaign, **query) -> str:
    return reverse("welcome", args=[campaign.token], query=query or None)


def prolific_link(campaign, pid: str = PID, **query) -> str:
    return link(campaign, PROLIFIC_PID=pid, STUDY_ID="s1", SESSION_ID="x9", **query)


def text(response) -> str:
    return response.content.decode()


# --- crowd platforms ------------------------------------------------------------------------------


def test_a_participant_of_a_platform_is_known_by_its_id_whatever_the_browser(client):
    campaign = crowd_campaign()
    response = client.post(prolific_link(campaign))
    annotator = Annotator.objects.get()
    assert response.url == reverse("judge", args=[annotator.token])
    assert (annotator.platform, annotator.external_id) == ("prolific", PID)
    assert annotator.external == {"STUDY_ID": "s1", "SESSION_ID": "x9"}
    elsewhere = Client()
    assert elsewhere.get(prolific_link(campaign)).url == response.url
    assert elsewhere.post(prolific_link(campaign)).url == response.url
    other = elsewhere.post(prolific_link(campaign, pid="somebody else"))
    assert other.url != response.url
    assert Annotator.objects.count() == 2


@pytest.mark.parametrize("pid", ["", "x" * 201, "a\0b", "a\nb"])
def test_who_comes_without_an_id_is_sent_back_to_the_platform(client, pid):
    campaign = crowd_campaign()
    for response in (client.get(prolific_link(campaign, pid=pid)), client.post(link(campaign))):
        assert "Please come by your task" in text(response)
    assert not Annotator.objects.exists()


def test_a_worker_who_only_looks_is_no_annotator_yet(client):
    mturk = {"platform": "mturk", "completed": "DONE"}
    campaign = factories.open_campaign(1, stored_options={"crowd": mturk})
    query = {"workerId": "", "assignmentId": "ASSIGNMENT_ID_NOT_AVAILABLE", "hitId": "h"}
    page = text(client.get(link(campaign, **query)))
    assert "This is a preview" in page
    assert "Start" not in page
    client.post(link(campaign, **query))
    assert not Annotator.objects.exists()
    client.post(link(campaign, workerId="W1", assignmentId="a", hitId="h"))
    assert Annotator.objects.get().external_id == "W1"


def test_who_comes_when_all_is_judged_gets_the_code_for_that(client):
    campaign = crowd_campaign()
    campaign.tasks.update(places_left=0)
    page = text(client.get(prolific_link(campaign)))
    assert "All places are taken" in page
    assert "https://app.prolific.com/submissions/complete?cc=C3FULL" in page
    assert "C1DONE" not in page
    assert client.post(prolific_link(campaign)).status_code == 409
    assert not Annotator.objects.exists()


def test_the_code_is_told_when_all_is_done_and_not_before(client):
    campaign = crowd_campaign()
    client.post(prolific_link(campaign))
    annotator = Annotator.objects.get()

    def post(name, body):
        address = reverse(name, args=[annotator.token])
        return client.post(address, body, content_type="application/json")

    page = client.get(reverse("judge", args=[annotator.token]))
    assert "C1DONE" not in text(page)
    todo = post("next-assignments", {})
    while todo.json()["assignments"]:
        assert "C1DONE" not in text(todo)
        assert todo.json()["ending"] is None
        token = todo.json()["assignments"][0]["token"]
        todo = post("judgments", {"assignment": token, "answer": "left", "response_ms": 900})
    assert todo.json()["ending"] == {
        "outcome": "completed",
        "code": "C1DONE",
        "back": "https://app.prolific.com/submissions/complete?cc=C1DONE",
    }


@pytest.mark.parametrize("reason", ["rule", "quiz"])
def test_who_was_stopped_gets_the_code_for_those_screened_out(client, reason):
    annotator = factories.annotator(crowd_campaign(), stopped_at=NOW, stop_reason=reason)
    address = reverse("next-assignments", args=[annotator.token])
    todo = client.post(address, {}, content_type="application/json").json()
    assert (todo["assignments"], todo["ending"]["outcome"]) == ([], "screened out")
    assert todo["ending"]["code"] == "C2OUT"


# --- who may not ----------------------------------------------------------------------------------


def test_who_judged_for_an_excluded_campaign_is_told_so(client):
    before, campaign = crowd_campaign(), crowd_campaign()
    campaign.excludes.add(before)
    client.post(prolific_link(before))
    assert "Start" in text(client.get(prolific_link(campaign))), "to have come is no judgment"
    factories.judge_all(Annotator.objects.get())
    page = text(client.get(prolific_link(campaign)))
    assert "You took part in a study like this" in page
    assert "C2OUT" in page


def test_an_excluded_campaign_is_remembered_by_the_browser_too(client):
    before, campaign = factories.open_campaign(), factories.open_campaign()
    campaign.excludes.add(before)
    client.post(link(before))
    factories.judge_all(Annotator.objects.get())
    assert "You took part" in text(client.post(link(campaign)))
    assert campaign.annotators.count() == 0


@pytest.mark.parametrize(
    ("asked", "may"),
    [
        ("de-AT,en;q=0.5", True),
        ("en", False),
        ("pt-BR", True),
        ("pt", False),
        ("", False),
        ("den", False),
    ],
)
def test_a_campaign_can_ask_for_languages(client, asked, may):
    wanted = {"languages": ["de", "pt-BR"]}
    campaign = factories.open_campaign(1, stored_options={"requirements": wanted})
    page = text(client.get(link(campaign), headers={"Accept-Language": asked}))
    assert ('name="csrfmiddlewaretoken"' in page) == may


def test_after_the_closing_date_nobody_begins(client):
    campaign = factories.open_campaign(1, closes_at=NOW)
    assert "This study is closed" in text(client.get(link(campaign)))
    assert client.post(link(campaign)).status_code == 409


# --- consent --------------------------------------------------------------------------------------


def test_nobody_begins_without_having_agreed_and_the_text_is_known_for_good(client):
    campaign = factories.open_campaign(1, stored_options={"consent": "You may <b>stop</b>."})
    page = text(client.get(link(campaign)))
    assert "You may &lt;b&gt;stop&lt;/b&gt;." in page
    for given in ({}, {"agree": ""}, {"agree": "on"}, {"agree": "0" * 64}):
        response = client.post(link(campaign), given)
        assert response.status_code == 422
        assert "please tick that you agree" in text(response)
    assert not Annotator.objects.exists()
    version = page.split('name="agree" value="')[1].split('"')[0]
    client.post(link(campaign), {"agree": version})
    assert Annotator.objects.get().consent_version == version


def test_what_is_agreed_to_is_the_text_in_the_annotators_language(client):
    words = {"consent": "Stop.", "translations": {"de": {"consent": "Halt."}}}
    campaign = factories.open_campaign(1, stored_options=words)
    versions = {}
    for language in ("en", "de"):
        page = text(client.get(link(campaign, language=language)))
        assert {"en": "Stop.", "de": "Halt."}[language] in page
        versions[language] = page.split('name="agree" value="')[1].split('"')[0]
    given = {"agree": versions["en"]}
    assert client.post(link(campaign, language="de"), given).status_code == 422
    client.post(link(campaign, language="de"), {"agree": versions["de"]})
    annotator = Annotator.objects.get()
    assert (annotator.language, annotator.consent_version) == ("de", versions["de"])


# --- invitations ----------------------------------------------------------------------------------


def test_an_invitation_leads_through_the_welcome_to_the_pictures(client):
    campaign = factories.open_campaign(2, stored_options={"practice": {"tasks": 2}})
    [ada, bob] = invite(campaign, ["Ada", "Bob"])
    page = client.get(reverse("judge", args=[ada.token]))
    assert "Start" in text(page)
    assert "Ada" not in text(page)
    assert client.post(reverse("judge", args=[ada.token])).url == reverse("judge", args=[ada.token])
    ada.refresh_from_db()
    assert (ada.began_at is not None, ada.practice_owed) == (True, 2)
    assert "data-judge" in text(client.get(reverse("judge", args=[ada.token])))
    bob.refresh_from_db()
    assert bob.began_at is None
    assert campaign.annotators.count() == 2


def test_a_revoked_link_leads_nowhere_and_keeps_what_was_judged(client):
    campaign = factories.open_campaign(3)
    annotator = factories.annotator(campaign)
    [first, second] = serving.lease(annotator, now=NOW)
    serving.judge(first, answer="left", response_ms=1, viewing={}, now=NOW)
    image = reverse("stimulus", args=[second.token, "left"])
    assert client.get(image).status_code == 200
    people.revoke(annotator, now=NOW)
    response = client.get(reverse("judge", args=[annotator.token]))
    assert (response.status_code, "no longer valid" in text(response)) == (403, True)
    assert client.get(image).status_code == 404
    address = reverse("next-assignments", args=[annotator.token])
    assert client.post(address, {}, content_type="application/json").json()["assignments"] == []
    assert annotator.assignments.filter(judgment__isnull=False).count() == 1
    people.restore(annotator)
    assert client.get(image).status_code == 200


def test_a_campaigns_new_link_makes_the_old_one_lead_nowhere(client):
    campaign = factories.open_campaign(1)
    old = link(campaign)
    people.renew_link(campaign)
    assert client.get(old).status_code == 404
    campaign.refresh_from_db()
    assert client.get(link(campaign)).status_code == 200


def test_nobody_can_ask_without_end(client, monkeypatch):
    cache.clear()  # where requests of other tests are counted
    campaign = factories.open_campaign(1)
    annotator = factories.annotator(campaign)
    monkeypatch.setattr(PerAnnotator, "rate", "3/min")
    monkeypatch.setattr(Joins, "rate", "3/min")
    address = reverse("next-assignments", args=[annotator.token])
    codes = [
        client.post(address, {}, content_type="application/json").status_code for _ in range(4)
    ]
    assert codes == [200, 200, 200, 429]
    codes = [client.post(link(campaign), {"anew": "1"}).status_code for _ in range(4)]
    assert codes == [302, 302, 302, 429]


# --- the screen -----------------------------------------------------------------------------------

MEASURING = {"requirements": {"size_calibration": True, "contrast_check": True}}


def test_the_screen_is_measured_before_the_first_picture(client):
    annotator = factories.annotator(factories.open_campaign(1, stored_options=MEASURING))
    judge, screen = (reverse(name, args=[annotator.token]) for name in ("judge", "screen"))
    assert client.get(judge).url == screen
    given = {"card_px": "324", "dark_seen": "3", "bright_seen": "2"}
    assert client.post(screen, given).url == judge
    annotator.refresh_from_db()
    assert annotator.conditions == {"px_per_mm": 3.785, "dark_seen": 3, "bright_seen": 2}
    assert client.get(judge).status_code == 200


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"card_px": "10"}, "too small or too large"),
        ({"card_px": ""}, "too small or too large"),
        ({"card_px": "nan"}, "too small or too large"),
        ({"dark_seen": "1"}, "fewer than two squares"),
        ({"bright_seen": "9"}, "fewer than two squares"),
        ({"bright_seen": "inf"}, "fewer than two squares"),
    ],
)
def test_a_screen_that_will_not_do_is_told_kindly(client, wrong, words):
    annotator = factories.annotator(factories.open_campaign(1, stored_options=MEASURING))
    given = {"card_px": "324", "dark_seen": "3", "bright_seen": "2"} | wrong
    response = client.post(reverse("screen", args=[annotator.token]), given)
    assert response.status_code == 422
    assert words in text(response)
    annotator.refresh_from_db()
    assert annotator.conditions == {}


# --- one's own data -------------------------------------------------------------------------------


def test_an_annotator_can_download_all_that_is_stored_of_them(client):
    campaign = crowd_campaign()
    client.post(prolific_link(campaign))
    annotator = Annotator.objects.get()
    factories.judge_all(annotator)
    response = client.get(reverse("my-data-json", args=[annotator.token]))
    about = response.json()
    assert about["annotator"]["external_id"] == PID
    assert [each["ranks"] for each in about["judgments"]] == [[1, 2]] * 3
    assert "attachment" in response.headers["Content-Disposition"]
    assert PID in text(client.get(reverse("my-data", args=[annotator.token])))


def test_withdrawing_deletes_the_person_frees_the_places_and_leaves_a_line(client):
    campaign = crowd_campaign()
    campaign.budget, campaign.budget_left = 10, 10
    campaign.save()
    client.post(prolific_link(campaign))
    leaves, stays = Annotator.objects.get(), factories.annotator(campaign)
    factories.judge_all(leaves)
    factories.judge_all(stays)
    address = reverse("my-data", args=[leaves.token])
    assert "Nothing was deleted" in text(client.post(address))
    assert campaign.annotators.count() == 2
    assert "Your answers are deleted" in text(client.post(address, {"sure": "on"}))
    assert list(campaign.annotators.all()) == [stays]
    assert stays.assignments.filter(judgment__isnull=False).count() == 3
    assert {task.places_left for task in campaign.tasks.all()} == {2}
    campaign.refresh_from_db()
    assert campaign.budget_left == 7
    [line] = campaign.withdrawals.values("judgments", "campaign")
    assert line == {"judgments": 3, "campaign": campaign.id}
    assert client.get(address).status_code == 404


def test_withdrawing_takes_repeats_and_gold_along():
    study = factories.study(
        sources=4, bpp=("0.23", "1.0"), gold_share=0.2, repeat_share=0.3, judgments_per_task=1
    )
    annotator = factories.annotator(study.campaign)
    count = factories.judge_all(annotator)
    assert people.withdraw(annotator, now=NOW).judgments == count
    assert not study.campaign.measured_tasks.filter(places_left=0).exists()


def test_judgments_of_others_cannot_be_deleted_by_a_withdrawal():
    campaign = factories.open_campaign(1)
    stays = factories.annotator(campaign)
    factories.judge_all(stays)
    leaves = factories.annotator(campaign)
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('closer.withdrawing', %s, true)", [str(leaves.id)])
    with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
        Judgment.objects.all().delete()


# --- pay ------------------------------------------------------------------------------------------


def test_pay_is_reckoned_from_the_judgments_that_count():
    options = {"crowd": PROLIFIC | {"pay": "0.15", "currency": "GBP"}}
    campaign = factories.open_campaign(3, stored_options=options)
    annotator = factories.annotator(campaign, platform="prolific", external_id=PID)
    factories.judge_all(annotator)
    factories.judge_all(factories.annotator(campaign, is_simulated=True))
    invite(campaign, ["Ada"])
    rows = [
        dict(zip(people.PAYMENT_COLUMNS, row, strict=True)) for row in people.payment_rows(campaign)
    ]
    assert [row["status"] for row in rows] == ["has judged", "invited"]
    assert str(rows[0]["pay"]) == "0.45"
    assert (rows[0]["judgments"], rows[0]["currency"], rows[0]["external_id"]) == (3, "GBP", PID)
    assert rows[1]["label"] == "Ada"


@pytest.mark.parametrize(
    ("right", "wrong", "asked", "stop_reason", "bonus"),
    [
        (4, 1, 0.8, "", "0.25"),
        (3, 1, 0.8, "", "0.00"),
        (0, 0, 0.8, "", "0.00"),
        (0, 0, 0, "", "0.00"),
        (0, 2, 0, "", "0.10"),
        (4, 1, 0.8, "rule", "0.00"),
    ],
)
def test_a_bonus_is_for_who_answered_gold_tasks_rightly_and_was_not_stopped(
    right, wrong, asked, stop_reason, bonus
):
    options = {"crowd": {"bonus": "0.05", "bonus_gold": asked}}
    campaign = factories.campaign(stored_options=options)
    stopped = {"stop_reason": stop_reason, "stopped_at": NOW} if stop_reason else {}
    annotator = factories.annotator(campaign, **stopped)
    for is_right in [True] * right + [False] * wrong:
        factories.judge_gold(annotator, is_right=is_right)
    [work] = people.work_of(campaign)
    assert f"{work.bonus:.2f}" == bonus
    assert work.pay is None


# --- what must not get out ------------------------------------------------------------------------


def test_somebody_else_in_the_same_browser_agrees_and_begins_anew(client):
    campaign = factories.open_campaign(1, stored_options={"consent": "Stop."})

    def agree(address, **more):
        page = text(client.post(address, {"anew": "1"}) if more else client.get(address))
        version = page.split('name="agree" value="')[1].split('"')[0]
        assert ('name="anew"' in page) == bool(more)
        return client.post(address, {"agree": version} | more)

    first = agree(link(campaign)).url
    assert agree(first, anew="1").url != first
    assert campaign.annotators.count() == 2


@pytest.mark.parametrize("reason", ["quiz", "rule"])
def test_who_was_stopped_does_not_begin_anew(client, reason):
    campaign = factories.open_campaign(1)
    first = client.post(link(campaign)).url
    campaign.annotators.update(stopped_at=NOW, stop_reason=reason)
    assert client.post(first, {"anew": "1"}).url == first
    assert client.post(link(campaign), {"anew": "1"}).url == first
    assert campaign.annotators.count() == 1


def test_nothing_is_given_before_who_is_invited_has_begun_and_measured_their_screen(client):
    wanted = {"requirements": {"contrast_check": True}, "consent": "Stop."}
    campaign = factories.open_campaign(1, stored_options=wanted)
    [invited] = invite(campaign, ["Ada"])
    address = reverse("next-assignments", args=[invited.token])
    assert client.post(address, {}, content_type="application/json").status_code == 403
    Annotator.objects.filter(id=invited.id).update(began_at=NOW)
    assert client.post(address, {}, content_type="application/json").status_code == 403
    Annotator.objects.filter(id=invited.id).update(conditions={"dark_seen": 4, "bright_seen": 4})
    given = client.post(address, {}, content_type="application/json").json()["assignments"]
    assert len(given) == 1


def test_an_invitation_asks_for_the_language_too(client):
    wanted = {"languages": ["de"]}
    campaign = factories.open_campaign(1, stored_options={"requirements": wanted})
    [invited] = invite(campaign, ["Ada"])
    address = reverse("judge", args=[invited.token])
    assert "another language" in text(client.get(address, headers={"Accept-Language": "en"}))
    response = client.get(address, {"language": "en"}, headers={"Accept-Language": "de"})
    assert "Start" in text(response)


def test_a_platforms_id_opens_nobody_elses_data(client):
    campaign = crowd_campaign()
    client.post(prolific_link(campaign))
    annotator = Annotator.objects.get()
    stranger = Client()
    assert stranger.get(prolific_link(campaign)).status_code == 302
    for name in ("my-data", "my-data-json"):
        response = stranger.get(reverse(name, args=[annotator.token]))
        assert response.status_code == 403
        assert PID not in text(response)
    stranger.post(reverse("my-data", args=[annotator.token]), {"sure": "on"})
    assert campaign.annotators.count() == 1
    assert client.get(reverse("my-data", args=[annotator.token])).status_code == 200


def test_a_revoked_link_judges_and_deletes_nothing(client):
    annotator = factories.annotator(factories.open_campaign(3))
    [held, _] = serving.lease(annotator, now=NOW)
    people.revoke(annotator, now=NOW)
    answer = {"assignment": held.token, "answer": "left", "response_ms": 900}
    address = reverse("judgments", args=[annotator.token])
    assert client.post(address, answer, content_type="application/json").status_code == 403
    address = reverse("my-data", args=[annotator.token])
    assert client.post(address, {"sure": "on"}).status_code == 403
    assert Annotator.objects.count() == 1


def test_ones_data_tells_no_check_while_the_study_goes_on(client):
    study = factories.study(
        sources=4,
        bpp=("0.23", "1.0"),
        gold_share=0.3,
        repeat_share=0.3,
        rules=[{"check": "gold", "action": "flag", "share": 0, "at_least": 1}],
    )
    annotator = factories.annotator(study.campaign)

    def wrongly(assignment) -> str:
        return "left" if assignment.shown[0] != assignment.task.closest_id else "right"

    factories.judge_all(annotator, choose=wrongly)
    address = reverse("my-data-json", args=[annotator.token])

    def told() -> tuple[set, list]:
        about = client.get(address).json()
        return {each["purpose"] for each in about["judgments"]}, about["quality_events"]

    assert told() == ({"judged"}, [])
    study.campaign.state = Campaign.State.CLOSED
    study.campaign.save()
    purposes, events = told()
    assert purposes == {"measure", "gold", "repeat"}
    assert [each["action"] for each in events] == ["flag"]


def test_who_withdrew_meanwhile_is_not_found(client, monkeypatch):
    annotator = factories.annotator(factories.open_campaign(1))

    def gone(*_, **__):
        raise Annotator.DoesNotExist

    monkeypatch.setattr(serving, "lease", gone)
    address = reverse("next-assignments", args=[annotator.token])
    assert client.post(address, {}, content_type="application/json").status_code == 404


def test_withdrawing_twice_says_the_same(client):
    annotator = factories.annotator(factories.open_campaign(1))
    address = reverse("my-data", args=[annotator.token])
    page = text(client.post(address, {"sure": "on"}))
    assert f'data-forget="{reverse("judge", args=[annotator.token])}"' in page


def test_a_payment_file_holds_no_formula():
    campaign = crowd_campaign()
    factories.annotator(campaign, platform="prolific", external_id='=HYPERLINK("x")')
    [row] = people.payment_rows(campaign)
    assert '\'=HYPERLINK("x")' in row


def test_no_link_is_logged(client, caplog):
    annotator = factories.annotator(factories.open_campaign(1))
    client.post(reverse("judgments", args=[annotator.token]), {}, content_type="application/json")
    logged = [Lines().format(record) for record in caplog.records]
    assert any("judge/" in line and "judgments" in line for line in logged)
    assert annotator.token not in "".join(logged)

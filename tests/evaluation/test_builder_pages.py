"""The study builder's pages: what one types is told, kept, downloaded, opened and launched."""

import json
import re
import tomllib
from html import unescape

import pytest
from django.contrib.messages import get_messages
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from codecs_registry.codecs import all_codecs
from codecs_registry.models import Collection
from codecs_registry.pictures import write_png
from codecs_registry.tasks import encode_owed
from evaluation.models import Study
from evaluation.plan import plan_of
from evaluation.study_fields import data_of
from evaluation.study_files import StudySpecification
from tests import factories

pytestmark = pytest.mark.django_db

LIVE = {"HX-Request": "true"}
ASKED = {
    "name": "Sea",
    "images": "holiday",
    "codecs": ["jpeg", "webp"],
    "bpp": ["0.5", "1.5"],
    "gold_share": 0.1,
    "instructions": "Look\nclosely.",
    "rules": [{"check": "gold", "action": "stop", "share": 0.3}],
    "viewing": {"crop": [20, 16]},
}


@pytest.fixture(autouse=True)
def no_worker_listens(monkeypatch):
    monkeypatch.setattr(encode_owed, "delay", lambda: None)


@pytest.fixture
def holiday() -> Collection:
    made = Collection.objects.create(name="holiday")
    made.sources.add(*(factories.source_image() for _ in range(3)))
    return made


def typed(**asked) -> dict:
    """What a browser posts of a builder that says this."""
    whole = StudySpecification.defaults() | ASKED | asked
    return dict(data_of(whole).lists())


def post(client, name: str, data: dict, **options):
    return client.post(reverse(name), data, **options)


def text_of(response) -> str:
    html = re.sub(r"<(script|style|svg).*?</\1>", " ", response.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", html)))


def told_at(response, field: str) -> str:
    """What the page says is wrong with a field."""
    name = field.replace(".", "-")
    found = re.search(rf'id="id_{name}_problem"[^>]*>(.*?)</div>', response.content.decode(), re.S)
    return unescape(re.sub(r"<[^>]*>", "", found[1])).strip()


def messages_of(response) -> list[str]:
    return [str(message) for message in get_messages(response.wsgi_request)]


def kept(client, field: str) -> object:
    """What the builder holds when it is loaded again."""
    return client.get(reverse("new-study")).context["form"][field].value()


# --- the plan while one edits ---------------------------------------------------------------------


def test_an_edit_is_answered_with_the_plan_and_each_problem_at_its_field(as_researcher, holiday):
    response = post(as_researcher, "plan-study", typed(), headers=LIVE)
    assert response.status_code == 200
    assert "<html" not in response.content.decode()
    specification = StudySpecification.from_mapping(ASKED)
    plan = plan_of(specification, list(holiday.sources.all()))
    assert response.context["plan"] == plan
    said = text_of(response)
    assert "ready to launch" in said
    assert f"Questions {plan.tasks} and up to {plan.most_gold_tasks} gold tasks" in said
    assert f"{plan.judgments} {plan.judgments_per_pair:.0f} of each pair" in said
    assert response.content.decode().count("<svg") == 1
    wrong = typed(viewing={"crop": [20, 16], "limit_s": 0}, budget=0)
    response = post(as_researcher, "plan-study", wrong, headers=LIVE)
    assert told_at(response, "viewing.limit_s").startswith("This must be a number from 0.2")
    assert told_at(response, "budget").startswith("This must be a whole number")
    assert told_at(response, "viewing.crop") == ""
    assert response.content.decode().count('hx-swap-oob="true"') > 40
    assert response.context["plan"] == plan, "as if both were left out"


def test_what_is_not_filled_in_yet_is_no_mistake_until_somebody_launches(as_researcher, holiday):
    blank = typed(name="")
    edited = post(as_researcher, "plan-study", blank, headers=LIVE)
    assert "Still to fill in: Name" in text_of(edited)
    assert told_at(edited, "name") == ""
    assert edited.context["plan"].sources == 3
    launched = post(as_researcher, "new-study", blank)
    assert launched.status_code == 422
    assert told_at(launched, "name") == "This field is required."


@pytest.mark.parametrize(
    ("asked", "field", "problem"),
    [
        ({"viewing": {"crop": 64}}, "viewing.crop", "pictures are smaller"),
        ({"not_after": ["Sky"]}, "not_after", "'Sky' is no study here"),
        ({"name": "sea"}, "name", "too like that of another study"),
    ],
)
def test_what_only_this_installation_can_say_is_wrong_is_told_while_one_edits(
    as_researcher, holiday, asked, field, problem
):
    factories.study("Sea")
    data = typed(**({"name": "New"} | asked))
    response = post(as_researcher, "plan-study", data, headers=LIVE)
    assert list(response.context["form"].errors) == [field]
    assert problem in unescape(told_at(response, field))


def test_what_a_plan_cannot_take_for_granted_is_told_and_left_out(as_researcher, holiday):
    data = typed() | {"plan-pay_per_hour": ["-1"], "plan-annotators": ["20"]}
    response = post(as_researcher, "plan-study", data, headers=LIVE)
    assert "Hourly pay : Ensure this value is greater than or equal to 0." in text_of(response)
    assert (response.context["plan"].cost, response.context["plan"].annotators) == (None, 20)
    assert response.context["form"].specification, "it is no part of the study"


def test_without_scripts_a_button_does_what_an_edit_does(as_researcher, holiday):
    data = typed(gold_share=2, name="") | {"plan-pay_per_hour": ["9"], "plan-currency": ["EUR"]}
    response = post(as_researcher, "plan-study", data, follow=True)
    assert response.redirect_chain == [(f"{reverse('new-study')}?check", 302)]
    assert told_at(response, "name") == "This field is required."
    assert told_at(response, "gold_share") == "This must be a number from 0 to 0.5."
    assert "EUR by hourly pay" in text_of(response)
    assert 'name="rules.2.check"' in response.content.decode(), "room for another rule"
    assert not Study.objects.exists()


def test_a_rule_that_is_filled_while_one_edits_brings_an_empty_one(as_researcher, holiday):
    data = typed(rules=[]) | {"rules.1.check": ["gold"]}
    html = post(as_researcher, "plan-study", data, headers=LIVE).content.decode()
    assert html.count('hx-swap-oob="beforeend:#rules"') == 1
    assert 'name="rules.2.check"' in html


def test_a_codec_that_cannot_be_used_is_shown_with_the_reason(as_researcher, holiday):
    response = as_researcher.get(reverse("new-study"))
    said = text_of(response)
    for codec in all_codecs().values():
        if reason := codec.unavailable():
            assert f"{codec.label} : {re.sub(' +', ' ', reason)}" in said
            assert f'value="{codec.name}"' not in response.content.decode()


def test_pictures_of_a_collection_are_counted_and_shown(as_researcher, holiday):
    response = as_researcher.get(reverse("collection-pictures"), {"images": "holiday"})
    assert "3 photographs." in text_of(response)
    for source in holiday.sources.all():
        assert f'src="{reverse("thumbnail", args=[source.id])}?' in response.content.decode()
    none = as_researcher.get(reverse("collection-pictures"), {"images": "\0none"})
    assert "No collection is chosen" in text_of(none)


# --- what was typed is kept -----------------------------------------------------------------------


def test_what_was_typed_outlives_a_reload_until_it_is_launched(as_researcher, holiday):
    post(as_researcher, "plan-study", typed(name="Half a na", bpp=["many"]), headers=LIVE)
    assert kept(as_researcher, "name") == "Half a na"
    assert kept(as_researcher, "bpp") == "many"
    assert kept(as_researcher, "rules.1.check") == "gold"
    pay = {"plan-pay_per_hour": ["9"]}
    response = post(as_researcher, "new-study", typed() | pay)
    assert response.url == reverse("study", args=["sea"])
    again = as_researcher.get(reverse("new-study"))
    assert again.context["form"]["name"].value() in (None, "")
    assert again.context["assumed"].pay_per_hour == 9, "the next plan's, too"


def test_one_can_start_over(as_researcher, holiday):
    post(as_researcher, "plan-study", typed(), headers=LIVE)
    response = post(as_researcher, "plan-study", typed() | {"start_over": "1"})
    assert response.url == reverse("new-study")
    assert kept(as_researcher, "name") in (None, "")


@pytest.mark.parametrize("content", [write_png(factories.pixels()), b"no picture"])
def test_an_upload_loses_nothing_and_its_collection_is_chosen(as_researcher, holiday, content):
    data = typed() | {
        "collection": "new",
        "photographs": SimpleUploadedFile("a.png", content),
    }
    response = post(as_researcher, "upload", data)
    page = as_researcher.get(response.url)
    assert page.context["form"]["instructions"].value() == "Look\nclosely."
    is_picture = content != b"no picture"
    assert page.context["form"]["images"].value() == ("new" if is_picture else "holiday")
    assert any("a.png was skipped" in each for each in messages_of(response)) != is_picture


def test_an_upload_by_htmx_leads_to_the_same_page(as_researcher):
    photograph = SimpleUploadedFile("a.png", write_png(factories.pixels()))
    data = {"collection": "new", "photographs": photograph}
    response = post(as_researcher, "upload", data, headers=LIVE)
    assert response.headers["HX-Redirect"] == f"{reverse('new-study')}?collection=new"


# --- files ----------------------------------------------------------------------------------------


def opened(client, text: str, name: str = "sea.toml"):
    file = SimpleUploadedFile(name, text.encode())
    return post(client, "open-study-file", {"study_file": file})


def test_what_is_downloaded_is_opened_to_the_same_study(as_researcher, holiday):
    response = post(as_researcher, "study-file", typed())
    assert response.headers["Content-Disposition"] == 'attachment; filename="sea.toml"'
    text = response.content.decode()
    asked = StudySpecification.from_mapping(ASKED)
    assert StudySpecification.from_mapping(tomllib.loads(text)) == asked
    post(as_researcher, "plan-study", {"start_over": "1"})
    response = opened(as_researcher, text)
    assert response.url == reverse("new-study")
    assert as_researcher.get(response.url).context["form"].specification == asked


def test_a_study_that_is_none_yet_is_not_downloaded(as_researcher, holiday):
    response = post(as_researcher, "study-file", typed(seed=-1))
    assert response.status_code == 422
    assert told_at(response, "seed").startswith("This must be a whole number from 0")


def test_problems_of_a_file_are_told_at_the_fields_also_those_that_no_field_can_have(
    as_researcher, holiday
):
    response = opened(
        as_researcher,
        'name = 7\nimages = "holiday"\ncodecs = ["jpeg", "jpeg9000"]\ncolour = "red"\n'
        "[viewing]\ncrop = 8\n[[rules]]\ncheck = 'gold'\n",
    )
    assert response.status_code == 422
    assert told_at(response, "name") == "This must be text."
    assert "jpeg9000" in told_at(response, "codecs")
    assert told_at(response, "viewing.crop").startswith("This must be a whole number from 16")
    assert told_at(response, "rules.1.action").startswith("This is missing")
    assert "colour: is not known" in text_of(response)
    assert kept(as_researcher, "viewing.crop") == "8"


def test_a_file_of_a_collection_that_there_is_not_says_so_at_the_photographs(
    as_researcher, holiday
):
    response = opened(as_researcher, 'name = "Sea"\nimages = "photos"\ncodecs = ["jpeg", "webp"]')
    assert response.status_code == 422
    assert "Select a valid choice" in told_at(response, "images")


@pytest.mark.parametrize(
    ("text", "problem"), [("a = ", "is not TOML"), ("a = 1 # " + "x" * 1_000_000, "too large")]
)
def test_a_file_that_cannot_be_read_is_refused_by_name(as_researcher, text, problem):
    response = opened(as_researcher, text)
    assert messages_of(response)[0].startswith("sea.toml: ")
    assert problem in messages_of(response)[0]


def test_no_file_is_told_and_loses_nothing(as_researcher, holiday):
    response = post(as_researcher, "open-study-file", typed(name="Half a na"))
    assert messages_of(response) == ["Choose a STUDY.toml to open."]
    assert kept(as_researcher, "name") == "Half a na"


# --- from a study that there is -------------------------------------------------------------------


def test_a_study_is_started_from_another_with_all_that_it_asked_for(as_researcher):
    asked = {"judgments_per_task": 7, "viewing": {"confidence": True}}
    study = factories.study("Sea", **asked)
    link = f"{reverse('new-study')}?from=sea"
    assert f'href="{link}"' in as_researcher.get(reverse("study", args=["sea"])).content.decode()
    own = Collection.objects.get()
    own.sources.remove(study.sources.first())
    form = as_researcher.get(link).context["form"]
    assert form.missing == ["images"], "its pictures are no collection"
    made = Collection.objects.create(name="its own")
    made.sources.set(study.sources.all())
    Collection.objects.create(name="another").sources.set(study.sources.all()[:1])
    form = as_researcher.get(link).context["form"]
    assert form.specification == StudySpecification.from_mapping(
        study.specification | {"name": "Sea 2", "images": "its own"}
    )
    # What is changed then is not undone by a reload.
    data = typed(name="Sea again", images="its own") | {"started_from": ["sea"]}
    post(as_researcher, "plan-study", data, headers=LIVE)
    assert as_researcher.get(link).context["form"]["name"].value() == "Sea again"
    assert json.loads(json.dumps(study.specification)) == study.specification


def test_a_study_that_there_is_not_is_not_found(as_researcher):
    assert as_researcher.get(f"{reverse('new-study')}?from=none").status_code == 404


@pytest.mark.parametrize("name", ["plan-study", "study-file", "open-study-file"])
def test_an_outsider_is_asked_to_sign_in(client, name):
    response = post(client, name, {})
    assert response.url.startswith(reverse("login"))

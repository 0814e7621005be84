"""The head of every page: where one is, whose studies are shown, light or dark."""

import re

import pytest
from django.urls import reverse

from projects import members
from projects.access import default_project

pytestmark = pytest.mark.django_db


def head_of(page) -> str:
    return page.content.decode().split("</header>")[0]


@pytest.mark.parametrize("chosen", ["light", "dark"])
def test_what_somebody_chose_is_in_the_page_from_its_first_byte_on(client, chosen):
    before = reverse("login") + "?next=/codecs"
    answer = client.post(reverse("appearance"), {"appearance": chosen, "next": before})
    assert answer["Location"] == before
    page = client.get(before)
    assert f'<html lang="en" data-appearance="{chosen}">' in page.content.decode()
    assert re.findall(r'value="(\w+)" aria-pressed="true"', head_of(page)) == [chosen]


def test_nobody_who_chose_nothing_or_nonsense_gets_other_than_their_systems(client):
    for nonsense in (None, "pink"):
        if nonsense:
            client.post(reverse("appearance"), {"appearance": nonsense})
            client.cookies["appearance"] = nonsense
        page = client.get(reverse("login"))
        assert "data-appearance" not in page.content.decode()
        assert 'value="system" aria-pressed="true"' in head_of(page)


def test_the_choice_leads_to_no_other_site(client):
    elsewhere = {"appearance": "dark", "next": "https://example.org/"}
    assert client.post(reverse("appearance"), elsewhere)["Location"] == reverse("studies")


@pytest.mark.parametrize(
    ("name", "current"),
    [
        ("studies", ("page", "Studies")),
        ("new-study", ("true", "Studies")),
        ("metrics", ("page", "Metrics")),
        ("rate-distortion", ("page", "Rate-distortion")),
    ],
)
def test_the_head_says_where_one_is(as_researcher, name, current):
    head = head_of(as_researcher.get(reverse(name)))
    nav = head[head.index("<nav") : head.index("</nav>")]
    assert re.findall(r'aria-current="(\w+)">([^<]+)', nav) == [current]


def test_another_project_can_be_chosen_as_soon_as_there_is_one(as_researcher, researcher):
    def choices() -> list[str]:
        return re.findall(r'name="project" value="([^"]+)"', head_of(as_researcher.get("/")))

    assert choices() == []
    members.create_project("Optics", by=researcher)
    assert choices() == [default_project().slug, "optics"]
    as_researcher.post(reverse("choose-project"), {"project": "optics"})
    assert 'value="optics" aria-current="true"' in head_of(as_researcher.get("/"))

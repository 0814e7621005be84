"""The first-run tour: there where the demo has set Closer up, until it is put away."""

import re

import pytest
from django.urls import reverse

from tests import factories

pytestmark = pytest.mark.django_db

STEPS = ["Judge ten pairs", "Watch it fill", "Read results", "Take them along", "Make your own"]


def tour(client, address: str) -> list[tuple[str, str]]:
    """(address, title) of each step that a page shows."""
    page = client.get(address).content.decode()
    if 'class="panel tour"' not in page:
        return []
    panel = page.split('class="panel tour"')[1].split("</section>")[0]
    return re.findall(r'<li><a href="([^"]+)"[^>]*>([^<]+)', panel)


@pytest.fixture(params=["", ": leaves"])
def demo(request):
    """The demo's studies; of its own photographs, and of a folder's."""
    return [
        factories.study(f"{name}{request.param}") for name in ("First study", "Simulated example")
    ]


def test_the_demo_leads_through_its_studies_on_their_pages_and_on_the_list(as_researcher, demo):
    addresses = [reverse("studies"), *(reverse("study", args=[each.slug]) for each in demo)]
    for address in addresses:
        assert [title for _, title in tour(as_researcher, address)] == STEPS
    for address, title in tour(as_researcher, addresses[0]):
        assert as_researcher.get(address).status_code == 200, title


def test_once_put_away_it_is_seen_no_more(as_researcher, demo):
    answer = as_researcher.post(reverse("put-tour-away"))
    assert answer["Location"] == reverse("studies")
    as_researcher.post(reverse("logout"))
    as_researcher.force_login(answer.wsgi_request.user)  # another sign-in changes nothing
    assert tour(as_researcher, reverse("studies")) == []


def test_other_studies_have_no_tour(as_researcher, demo, researcher):
    other = factories.study("Waves")
    assert tour(as_researcher, reverse("study", args=[other.slug])) == []


def test_an_installation_without_the_demo_has_none(as_researcher, researcher):
    factories.study("First study")
    assert tour(as_researcher, reverse("studies")) == []
    example = factories.study("Simulated example")
    example.launched_by = researcher  # a lab's own that is called so
    example.save()
    assert tour(as_researcher, reverse("studies")) == []

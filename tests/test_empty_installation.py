"""An installation in which nothing was done yet: every page says what to do next."""

import re

import pytest
from django.urls import reverse

from projects.access import default_project
from projects.models import Membership
from projects.roles import Role

pytestmark = pytest.mark.django_db


def next_steps(page) -> list[str]:
    """Where the buttons of the page's panel lead: links, and forms that are sent."""
    main = page.content.decode().split('<main id="main">')[1]
    panel = re.split(r'class="panel[^"]*"', main)[1]
    panel = re.split(r"</section>|</div>\s*</main>", panel)[0]
    links = re.findall(r'<a class="button" href="([^"]+)"', panel)
    return links + re.findall(r'<form method="post" action="([^"]+)"', panel)


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [
        ("studies", "new-study"),
        ("images", "new-study"),
        ("rate-distortion", "new-study"),
        ("metrics", "serve-bundled"),
    ],
)
def test_an_empty_page_has_one_button_that_does_what_comes_next(as_researcher, name, leads_to):
    page = as_researcher.get(reverse(name))
    assert next_steps(page) == [reverse(leads_to)]


def test_an_empty_log_leads_to_those_who_could_be_in_it(as_researcher):
    slug = default_project().slug
    page = as_researcher.get(reverse("audit", args=[slug]))
    assert next_steps(page) == [reverse("project", args=[slug])]


def test_who_may_not_make_a_study_is_told_who_may(client, django_user_model):
    user = django_user_model.objects.create_user("ada")
    lab = default_project()
    Membership.objects.create(project=lab, user=user, role=Role.VIEWER)
    client.force_login(user)
    page = client.get(reverse("studies"))
    assert next_steps(page) == [reverse("project", args=[lab.slug])]
    assert reverse("new-study") not in page.content.decode()
    refused = client.get(reverse("new-study"))
    assert refused.status_code == 403
    assert "This takes the role researcher in “Lab”." in refused.content.decode()

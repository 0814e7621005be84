"""What an annotator is told before they begin: as it will be in their study, and no more."""

import re

import pytest
from django.urls import reverse

from tests import factories

pytestmark = pytest.mark.django_db

SIDES = "on either side of it"
IN_TURN = "one picture at a time"


def told(client, *, stored_options: dict | None = None, **fields) -> str:
    """The welcome of a campaign, its white space as a browser shows it."""
    campaign = factories.open_campaign(1, stored_options=stored_options or {}, **fields)
    came_by = {"PROLIFIC_PID": "5a9d64f5"}  # where it is a platform's
    page = client.get(reverse("welcome", args=[campaign.token], query=came_by))
    html = page.content.decode()
    return re.sub(r"\s+", " ", html)


def keys(html: str) -> dict[str, str]:
    """What each key is said to do."""
    rows = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", html)
    return {re.sub(r"<.*?>", "", key): does for key, does in rows}


def test_arrows_answer_where_pairs_are_seen_side_by_side_alone(client):
    said = keys(told(client, allows_ties=True))
    assert said["1 or ←"] == "the left copy is closer"
    assert said["2 or →"] == "the right copy is closer"
    assert said["3 or ↓"] == "no difference"
    assert "V" not in said


def test_where_flip_is_one_of_the_views_arrows_look(client):
    views = {"viewing": {"views": ["side by side", "flip"]}}
    said = keys(told(client, stored_options=views, allows_ties=True))
    assert said["1"] == "the left copy, or A, is closer"
    assert said["2"] == "the right copy, or B, is closer"
    assert said["3"] == "no difference"
    assert "this copy or that" in said["A B or ← →"]
    assert [key for key in said if "←" in key] == ["A B or ← →"]


def test_where_flip_is_the_only_view_nothing_is_said_of_sides(client):
    html = told(client, stored_options={"viewing": {"views": ["flip"]}})
    said = keys(html)
    assert (said["1"], said["2"]) == ("copy A is closer", "copy B is closer")
    assert "3" not in said
    assert IN_TURN in html
    assert "how-flip.svg" in html
    assert SIDES not in html
    assert "how-2afc.svg" not in html


@pytest.mark.parametrize(
    ("views", "says"),
    [
        (["side by side"], {"sides": True, "in turn": False}),
        (["inspect", "flip"], {"sides": True, "in turn": True}),  # a window's width decides
        (["flip", "inspect"], {"sides": False, "in turn": True}),
    ],
)
def test_what_is_seen_first_is_what_is_described(client, views, says):
    html = told(client, stored_options={"viewing": {"views": views}})
    assert {"sides": SIDES in html, "in turn": IN_TURN in html} == says
    assert ('class="for-narrow"' in html) == all(says.values())


KEPT_IF_ASKED = {
    "how sure you are": {"viewing": {"confidence": True}},
    "remarks": {"viewing": {"remark": True}},
    "measured with a card": {"requirements": {"size_calibration": True}},
    "dark and bright squares": {"requirements": {"contrast_check": True}},
    "the platform you came from": {"crowd": {"platform": "prolific", "completed": "C1"}},
    "you agreed": {"consent": "You may stop."},
}


@pytest.mark.parametrize("words", KEPT_IF_ASKED)
def test_what_is_kept_is_told_where_it_is_and_nowhere_else(client, words):
    def kept(options: dict) -> str:
        return told(client, stored_options=options).split("What is kept:")[1].split("</ul>")[0]

    assert words in kept(KEPT_IF_ASKED[words])
    assert words not in kept({})
    assert "the language of these pages" in kept({})

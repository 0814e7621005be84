"""How an annotator's screen is measured: what of a form is kept, and what is asked."""

import pytest
from django.urls import reverse

from annotation.options import Requirements
from annotation.screens import measured
from tests import factories

CARD = {"card_px": "520"}


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ({"device_pixel_ratio": "2.625"}, {"device_pixel_ratio": 2.625}),
        ({"device_pixel_ratio": "1.100000023841858"}, {"device_pixel_ratio": 1.1}),
        ({}, {}),
        ({"device_pixel_ratio": ""}, {}),
        ({"device_pixel_ratio": "0"}, {}),
        ({"device_pixel_ratio": "nan"}, {}),
        ({"device_pixel_ratio": "inf"}, {}),
    ],
)
def test_the_size_is_kept_with_the_ratio_at_which_it_was_measured(told, kept):
    found = measured(Requirements(size_calibration=True), CARD | told)
    assert found == {"px_per_mm": round(520 / 85.60, 3)} | kept


def test_no_ratio_is_kept_where_no_size_is_measured():
    given = {"device_pixel_ratio": "2", "dark_seen": "3", "bright_seen": "3"}
    found = measured(Requirements(contrast_check=True), given)
    assert found == {"dark_seen": 3, "bright_seen": 3}


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["size_calibration"], "one thing about your screen"),
        (["contrast_check"], "one thing about your screen"),
        (["size_calibration", "contrast_check"], "two things about your screen"),
    ],
)
def test_it_says_how_many_things_are_asked(client, asked, words):
    options = {"requirements": dict.fromkeys(asked, True)}
    annotator = factories.annotator(factories.open_campaign(1, stored_options=options))
    page = client.get(reverse("screen", args=[annotator.token])).content.decode()
    assert words in page

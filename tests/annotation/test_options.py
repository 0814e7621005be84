"""What a campaign asks for besides its tasks: read from tables, refused with the place, stored."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from annotation.checks import Checks
from annotation.options import Options

GOOD = {
    "viewing": {
        "views": ["flip", "side by side"],
        "crop": [256, 200],
        "crops_per_image": 3,
        "minimum_s": 1,
        "limit_s": 20.5,
        "confidence": True,
        "remark": True,
    },
    "requirements": {
        "window_width": 1200,
        "window_height": 700,
        "screen_width": 1280,
        "screen_height": 800,
        "gamut": "p3",
        "most_zoom": 110,
        "size_calibration": True,
        "contrast_check": True,
        "phones": False,
        "languages": ["de", "pt-BR"],
    },
    "practice": {"tasks": 3, "quiz": 5, "quiz_pass": 0.6, "quiz_attempts": 3},
    "rules": [{"check": "gold", "action": "stop", "share": 0.3, "at_least": 4}],
    "crowd": {
        "platform": "prolific",
        "completed": "C1",
        "screened_out": "C2",
        "full": "C3",
        "pay": 0.15,
        "currency": "GBP",
    },
    "consent": "You may stop.",
    "translations": {"de": {"consent": "Sie können aufhören.", "instructions": "Schauen Sie."}},
}


def read(given) -> tuple[Options, dict[str, str]]:
    checks = Checks(given)
    return Options.read(checks), checks.problems


def test_all_that_can_be_said_is_read_and_stored_as_it_was():
    options, problems = read(GOOD)
    assert problems == {}
    assert (options.viewing.crop, options.rules[0].check) == ([256, 200], "gold")
    assert options.crowd.pay == "0.15"
    stored = json.loads(json.dumps(options.as_dict()))
    assert Options.stored(stored) == options


def test_nothing_need_be_said():
    options, problems = read({})
    assert (options, problems) == (Options(), {})
    assert Options.stored({}) == Options()


def test_what_an_earlier_version_stored_is_read_with_what_was_added_as_by_default():
    options = Options.stored({"viewing": {"remark": True}, "something": "that is gone"})
    assert options.viewing.remark
    assert options.practice == Options().practice


def test_one_number_is_a_square():
    assert read({"viewing": {"crop": 64}})[0].viewing.crop == [64, 64]


@pytest.mark.parametrize(
    ("given", "place", "words"),
    [
        ({"viewing": 3}, "viewing", "must be a table, as in [viewing]"),
        ({"viewing": {"crop": 8}}, "viewing.crop", "from 16 to 8192"),
        ({"viewing": {"crop": [64, 64, 64]}}, "viewing.crop", "[width, height]"),
        ({"viewing": {"views": []}}, "viewing.views", "at least 1"),
        ({"viewing": {"views": ["flop"]}}, "viewing.views", "side by side, flip, inspect"),
        ({"viewing": {"minimum_s": 9, "limit_s": 5}}, "viewing.limit_s", "before minimum_s"),
        ({"viewing": {"colour": 1}}, "viewing.colour", "is not known; viewing has views"),
        ({"requirements": {"gamut": "p4"}}, "requirements.gamut", "srgb, p3, rec2020"),
        ({"requirements": {"languages": ["Deutsch!"]}}, "requirements.languages", "of languages"),
        ({"requirements": {"phones": "no"}}, "requirements.phones", "true or false"),
        ({"practice": {"quiz_pass": 2}}, "practice.quiz_pass", "from 0.01 to 1"),
        ({"rules": {}}, "rules", "as in [[rules]]"),
        ({"rules": [{}]}, "rules.1.check", "is missing; it is one of gold"),
        ({"rules": [{"check": "gold", "action": "stop"}]}, "rules.1.share", "is missing"),
        ({"rules": [GOOD["rules"][0], 1]}, "rules", "a list of tables"),
        ({"rules": GOOD["rules"] * 2}, "rules.2.check", "those of an earlier one"),
        ({"crowd": {"platform": "prolific"}}, "crowd.completed", "needs a completion code"),
        ({"crowd": {"completed": "a b"}}, "crowd.completed", "letters, digits"),
        ({"crowd": {"pay": "much"}}, "crowd.pay", "a number from 0 to 1000"),
        ({"crowd": {"bonus": -0.1}}, "crowd.bonus", "a number from 0 to 1000"),
        ({"crowd": {"bonus_gold": 2}}, "crowd.bonus_gold", "a number from 0 to 1"),
        ({"crowd": {"pay": float("nan")}}, "crowd.pay", "a number from 0 to 1000"),
        ({"translations": {"x": {}}}, "translations.x", "is no language"),
        ({"translations": {"de": {"title": ""}}}, "translations.de.title", "is not known"),
        ({"consent": "\0"}, "consent", "NUL"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(given, place, words):
    assert words in read(given)[1][place]


TABLES = [part for part in [*GOOD.values(), *GOOD["rules"]] if isinstance(part, dict)]
names = st.sampled_from([*GOOD, *(name for table in TABLES for name in table)])
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)


@given(given=st.dictionaries(st.sampled_from(list(GOOD)), anything, max_size=4))
def test_anything_gives_options_that_can_be_stored(given):
    options, _ = read(given)
    stored = json.loads(json.dumps(options.as_dict(), allow_nan=False))
    again, problems = read(stored)
    assert again == options or problems


def test_words_in_the_annotators_language_or_its_main_one_or_as_they_were_written():
    options, _ = read(GOOD)
    of = {each: options.wording(each, instructions="Look.") for each in ("de", "de-at", "en")}
    assert of["de"].consent == of["de-at"].consent == "Sie können aufhören."
    assert (of["en"].consent, of["en"].instructions) == ("You may stop.", "Look.")

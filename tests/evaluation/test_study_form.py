"""The study builder's form: the mapping of a study file, in fields and back, each problem at its
field."""

import pytest
from django.utils.datastructures import MultiValueDict
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.options import Options
from codecs_registry.models import Collection
from evaluation.study_fields import COMMON, FURTHER, data_of
from evaluation.study_files import InvalidStudy, StudySpecification
from evaluation.study_form import StudyForm, starting_point
from tests import factories
from tests.evaluation.specifications import mappings

pytestmark = pytest.mark.django_db

GOOD = {"name": "Sea", "images": "holiday", "codecs": ["jpeg", "webp"]}
PRINTED = st.text(st.characters(exclude_categories=["C", "Z"]), max_size=20)


@pytest.fixture
def holiday() -> Collection:
    made = Collection.objects.create(name="holiday")
    made.sources.add(factories.source_image())
    return made


def form_of(given_mapping: dict, **posted: str) -> StudyForm:
    """The form that a file fills, checked; posted : what was typed instead, by field."""
    data = data_of(StudySpecification.defaults() | given_mapping)
    data.update(MultiValueDict({name: [value] for name, value in posted.items()}))
    for name, value in posted.items():
        data[name] = value
    form = StudyForm(data)
    form.is_valid()
    return form


def problems_of(form: StudyForm) -> dict[str, str]:
    return {name: " ".join(told) for name, told in form.errors.items()}


@settings(max_examples=40)
@given(given_mapping=mappings(text=PRINTED, names=PRINTED))
def test_a_specification_in_fields_and_back_is_the_same(holiday, given_mapping):
    specification = StudySpecification.from_mapping(given_mapping)
    form = StudyForm(data_of(specification.as_dict()))
    assert form.is_valid(), form.errors
    assert form.specification == specification


def test_every_key_of_a_study_file_has_a_field_and_every_field_a_place_on_the_page():
    names = {name for group in (*COMMON, *FURTHER) for name in group.names} | {"name"}
    options = Options().as_dict()
    tables = {key: value for key, value in options.items() if isinstance(value, dict)}
    keys = set(StudySpecification.__dataclass_fields__) - {"options"} | (set(options) - set(tables))
    keys |= {f"{table}.{key}" for table, part in tables.items() for key in part}
    assert keys - {"rules", "translations"} == names
    assert {group.rows for group in FURTHER} == {"", "rules", "translations"}
    shown = {field.name for field in StudyForm()}
    assert names == {name for name in shown if name.split(".")[0] not in ("rules", "translations")}


def test_what_a_builder_begins_with_lacks_nothing_but_a_name(holiday):
    form = StudyForm(data_of(starting_point()))
    assert not form.is_valid()
    form.forgive_missing()
    assert (form.errors, form.missing) == ({}, ["name"])


@pytest.mark.parametrize(
    ("typed", "field", "problem"),
    [
        ({"viewing.crop": "100x"}, "viewing.crop", "This must be a whole number from 16 to 8192"),
        ({"viewing.crop": "8"}, "viewing.crop", "This must be a whole number from 16 to 8192"),
        ({"viewing.limit_s": "1", "viewing.minimum_s": "2"}, "viewing.limit_s", "This is before"),
        ({"gold_share": "0.7"}, "gold_share", "This must be a number from 0 to 0.5."),
        ({"gold_share": "0.1", "bpp": "1, 2"}, "gold_share", "This shows the lowest bit rate"),
        ({"practice.tasks": "3", "bpp": "1"}, "practice.tasks", "This shows the lowest bit rate"),
        ({"closes_at": "tomorrow"}, "closes_at", "This must be a date, a time and its zone"),
        ({"requirements.languages": "de, Klingon"}, "requirements.languages", "of languages"),
        ({"crowd.platform": "prolific"}, "crowd.completed", "prolific needs a completion code"),
        ({"crowd.pay": "much"}, "crowd.pay", "This must be a number from 0 to 1000"),
        ({"task": "ranking"}, "codecs", "This needs three or more different codecs"),
        ({"translations.1.language": "Klingon"}, "translations.1.language", "This is no language"),
        ({"translations.1.consent": "Ja"}, "translations.1.language", "This is missing."),
        ({"budget": "0"}, "budget", "This must be a whole number from 1 to"),
    ],
)
def test_each_problem_of_a_specification_is_told_at_its_field(holiday, typed, field, problem):
    problems = problems_of(form_of(GOOD, **typed))
    assert list(problems) == [field]
    assert problem in problems[field]


def test_problems_of_a_rule_are_told_in_its_row_whatever_rows_are_empty(holiday):
    form = form_of(
        GOOD,
        **{
            "rules.2.check": "gold",
            "rules.2.action": "stop",
            "rules.2.share": "2",
            "rules.4.check": "repeats",
        },
    )
    problems = problems_of(form)
    assert set(problems) == {
        *("rules.2.check", "rules.2.share"),
        *("rules.4.check", "rules.4.action", "rules.4.share"),
    }
    assert problems["rules.2.check"] == "This needs a gold_share above 0."
    assert problems["rules.4.share"].startswith("This is missing")


def test_words_of_a_language_given_twice_are_told_at_the_second(holiday):
    typed = {"translations.1.language": "de", "translations.2.language": "DE"}
    assert problems_of(form_of(GOOD, **typed)) == {
        "translations.2.language": "This language has its words already."
    }


def test_a_row_that_is_filled_makes_room_for_another_and_an_emptied_one_is_left_out(holiday):
    form = form_of(GOOD, **{"translations.1.language": "de", "translations.1.consent": "Ja"})
    assert [row["number"] for row in form.new_rows()] == [1, 2], "the file had no rows at all"
    assert form.specification.options.translations["de"].consent == "Ja"
    emptied = form_of(GOOD, **{"translations.1.language": "", "translations.1.consent": ""})
    assert emptied.specification.options.translations == {}


def test_of_what_is_wrong_a_file_and_a_form_say_the_same(holiday):
    wrong = GOOD | {
        "bpp": ["many"],
        "judgments_per_task": 0,
        "viewing": {"crop": 8, "crops_per_image": 0},
        "rules": [{"check": "repeats", "action": "stop", "share": 2}],
        "practice": {"quiz_attempts": 11},
    }
    with pytest.raises(InvalidStudy) as failure:
        StudySpecification.from_mapping(wrong)
    told = problems_of(form_of(wrong))
    assert told == {name: f"This {text}." for name, text in failure.value.problems.items()}


def test_what_is_right_so_far_can_be_reckoned_with(holiday):
    form = form_of(GOOD, **{"name": "", "viewing.crop": "8", "viewing.limit_s": "20"})
    nearest = form.nearest()
    assert nearest.options.viewing.crop is None
    assert nearest.options.viewing.limit_s == 20
    assert nearest.codecs == ["jpeg", "webp"]
    assert form_of(GOOD | {"codecs": ["jpeg"]}).nearest() is None


@given(given_mapping=st.dictionaries(st.sampled_from(
    ["name", "images", "codecs", "bpp", "task", "viewing", "rules", "translations", "crowd",
     "not_after", "seed", "allow_ties", "consent"]),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["crop", "views", "check", "de", "pay"]), inner),
        max_leaves=5,
    ),
))  # fmt: skip
@settings(max_examples=40)
def test_a_file_that_is_wrong_in_any_way_still_fills_the_form(holiday, given_mapping):
    form = StudyForm(data_of(given_mapping))
    form.is_valid()
    assert form.specification is None or form.specification.images == "holiday"

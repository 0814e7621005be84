"""A specification as a study file: read again, it is the same study."""

import tomllib

import pytest
from hypothesis import given, settings

from evaluation.study_files import StudySpecification, read_study_file
from evaluation.study_toml import to_toml
from tests.evaluation.specifications import mappings


@settings(max_examples=80)
@given(given_mapping=mappings())
def test_a_specification_written_and_read_is_the_same(given_mapping):
    specification = StudySpecification.from_mapping(given_mapping)
    text = to_toml(specification)
    assert StudySpecification.from_mapping(tomllib.loads(text)) == specification


def test_a_file_says_what_matters_and_what_is_not_usual_and_nothing_else(tmp_path):
    specification = StudySpecification.from_mapping(
        {
            "name": 'The "sea"',
            "images": "holiday",
            "codecs": ["webp", "jpeg"],
            "bpp": [1, 0.25],
            "instructions": "Look at\nthe \\ leaves.",
            "gold_share": 0.05,
            "viewing": {"crop": 256},
            "rules": [{"check": "gold", "action": "stop", "share": 0.3}],
            "translations": {"de": {"consent": "Ja"}},
        }
    )
    text = to_toml(specification)
    assert text == (
        'name = "The \\"sea\\""\n'
        'images = "holiday"\n'
        'codecs = ["jpeg", "webp"]\n'
        "bpp = [0.25, 1.0]\n"
        'task = "2afc"\n'
        "judgments_per_task = 3\n"
        'sampling = "balanced"\n'
        "gold_share = 0.05\n"
        "seed = 0\n"
        'instructions = """\nLook at\nthe \\\\ leaves."""\n'
        "\n[viewing]\ncrop = [256, 256]\n"
        '\n[[rules]]\ncheck = "gold"\naction = "stop"\nshare = 0.3\nat_least = 5\n'
        "too_fast_s = 1.0\n"
        '\n[translations.de]\ninstructions = ""\nconsent = "Ja"\n'
    )
    path = tmp_path / "study.toml"
    path.write_text(text, encoding="utf-8")
    assert read_study_file(path) == specification


def test_a_value_that_no_study_has_is_refused():
    specification = StudySpecification("Sea", "holiday", ["avif", "jpeg"], seed=object())
    with pytest.raises(TypeError, match="a study has no object"):
        to_toml(specification)

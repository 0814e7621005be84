"""Study files: whatever is written in one, it is a study or it is told what is wrong, by field."""

import itertools
import tomllib
from pathlib import Path

import pytest
from django.utils.text import slugify
from hypothesis import given, settings
from hypothesis import strategies as st

from annotation.options import Options
from codecs_registry.codecs import load_codecs
from codecs_registry.codecs.command_line import declarations
from codecs_registry.codecs.webp import WebP
from evaluation.study_files import DEFAULT_BPP, InvalidStudy, StudySpecification, read_study_file
from tests.perceptual.codecs import small_file

GOOD = {"name": "Sea", "images": "holiday", "codecs": ["webp", "jpeg"]}
OPTIONS = list(Options().as_dict())
FIELDS = [*(set(StudySpecification.__dataclass_fields__) - {"options"}), *OPTIONS]


def check(**fields) -> StudySpecification:
    return StudySpecification.from_mapping(GOOD | fields)


def problems_of(given_fields) -> dict[str, str]:
    with pytest.raises(InvalidStudy) as failure:
        StudySpecification.from_mapping(given_fields)
    return failure.value.problems


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=30)
    | st.dates()
    | st.sampled_from(["jpeg", "webp", "2afc", "balanced", "0.5", "1e400", "nan", "snan", "\0"])
)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner)
)


@settings(max_examples=100)
@given(
    given_fields=st.fixed_dictionaries({}, optional=dict.fromkeys(FIELDS, anything)),
    unknown=st.dictionaries(st.text(max_size=10), anything, max_size=2),
    start=st.sampled_from([{}, GOOD]),
)
def test_anything_gives_a_study_or_names_the_fields_in_question(given_fields, unknown, start):
    asked = start | unknown | given_fields
    problems = {}
    try:
        specification = StudySpecification.from_mapping(asked)
    except InvalidStudy as error:
        problems = error.problems
    if problems:
        named = {problem.split(".")[0] for problem in problems}  # of a table, the place in it
        assert named <= {*(each.split(".")[0] for each in asked), "name", "images", "codecs"}
        assert all(problem and isinstance(problem, str) for problem in problems.values())
    else:
        assert set(asked) <= set(FIELDS)
        assert 0 < len(slugify(specification.name)) <= 100
        assert specification.images
        assert len(specification.codecs) >= 2
        assert specification.bpp
        # What was checked once is checked alike again.
        assert StudySpecification.from_mapping(specification.as_dict()) == specification


@settings(max_examples=50)
@given(text=st.text(max_size=200) | st.sampled_from(["a = " + "[" * 5000, "a = 1" + "0" * 5000]))
def test_any_text_as_a_file_gives_a_study_or_a_reason(tmp_path, text):
    path = tmp_path / "study.toml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidStudy):  # it would take a miracle
        read_study_file(path)


def test_a_study_needs_a_name_images_and_codecs_and_has_defaults_for_the_rest():
    assert problems_of({}) == {
        "name": "is missing",
        "images": "is missing",
        "codecs": "must be a list of codec names",
    }
    specification = check()
    assert specification.codecs == ["jpeg", "webp"]
    assert specification.bpp == ["0.23", "0.37", "0.67", "1.0"] == list(DEFAULT_BPP)
    assert (specification.task, specification.sampling) == ("2afc", "balanced")
    assert specification.judgments_per_annotator is None


def test_all_that_is_wrong_is_told_at_once():
    given_fields = GOOD | {"bpp": [], "seed": -1, "colour": "red", "name": ""}
    assert set(problems_of(given_fields)) == {"bpp", "seed", "colour", "name"}


@pytest.mark.parametrize(
    "bpp",
    [
        [1, 0.23],
        ["1.0", "0.23"],
        [1.0, 1, "1", "1.00", 0.23, "0.2300"],
        ["1E0", " 0.23 "],
    ],
)
def test_bit_rates_are_exact_sorted_and_told_once_however_they_are_written(bpp):
    assert check(bpp=bpp).bpp == ["0.23", "1.0"]


@given(hundredths=st.lists(st.integers(1, 2400), min_size=1, max_size=5))
def test_a_bit_rate_given_as_a_float_is_the_decimal_that_people_wrote(hundredths):
    floats = check(bpp=[each / 100 for each in hundredths])
    texts = check(bpp=[f"{each // 100}.{each % 100:02}" for each in hundredths])
    assert floats.bpp == texts.bpp
    assert len(floats.bpp) == len(set(hundredths))


@pytest.mark.parametrize(
    "bpp",
    [[0], [-1], [0.009], [24.5], ["many"], [True], [None], [[0.5]], [float("nan")], [float("inf")],
     "0.5", 0.5, {"a": 1}, [0.12345], []],
)  # fmt: skip
def test_what_is_no_list_of_bit_rates_is_refused(bpp):
    assert set(problems_of(GOOD | {"bpp": bpp})) == {"bpp"}


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("", "is missing"),
        ("   ", "is missing"),
        ("—!", "needs a letter"),
        ("照片", "needs a letter"),
        ("x" * 101, "is longer than 100 characters"),
        ("\N{SQUARE HPA}" * 100, "is longer than 100 characters in its page's address"),
        ("a\0b", "holds a NUL character"),
        (["a"], "must be text"),
        (7, "must be text"),
    ],
)
def test_a_name_that_no_page_can_have_is_refused(name, problem):
    assert problems_of(GOOD | {"name": name})["name"].startswith(problem)


@pytest.mark.parametrize(
    ("codecs", "problem"),
    [
        (["jpeg"], "needs two or more different"),
        (["jpeg", "jpeg"], "needs two or more different"),
        ([], "needs two or more different"),
        ("jpeg, webp", "must be a list"),
        ([1, 2], "must be a list"),
        (["jpeg", "jpg"], "'jpg' is not one of avif, "),
    ],
)
def test_codecs_are_two_or_more_that_there_are(codecs, problem):
    assert problems_of(GOOD | {"codecs": codecs})["codecs"].startswith(problem)


def test_a_codec_that_cannot_be_used_here_is_refused_with_the_reason(monkeypatch):
    monkeypatch.setattr(WebP, "unavailable", lambda self: "it needs libwebp")
    expected = "webp is not available here: it needs libwebp"
    assert problems_of(GOOD) == {"codecs": expected}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("task", ["2afc"]),
        ("task", "rating"),
        ("allow_ties", "yes"),
        ("sampling", "at random"),
        ("sampling", {}),
        ("gold_share", 0.51),
        ("repeat_share", -0.1),
        ("budget", 0),
        ("closes_at", "tomorrow"),
        ("closes_at", "2026-12-31T18:00"),
        ("closes_at", "9999-12-31T23:59:59-14:00"),
        ("not_after", "Sea"),
        ("repeat_share", "0"),
        ("judgments_per_task", 0),
        ("judgments_per_task", 2.0),
        ("judgments_per_task", True),
        ("judgments_per_task", 1001),
        ("judgments_per_annotator", 0),
        ("seed", 2**63),
        ("instructions", "x" * 20_001),
        ("images", "\0"),
        ("images", 3),
    ],
)
def test_what_this_version_does_not_serve_is_refused_not_ignored(field, value):
    assert set(problems_of(GOOD | {field: value})) == {field}


def test_the_order_in_which_codecs_and_rates_are_written_does_not_matter():
    codecs = ["jpeg", "webp", "avif"]
    made = [check(codecs=list(order)) for order in itertools.permutations(codecs)]
    assert all(each == made[0] for each in made)


def test_a_file_is_read_with_its_folder_of_images_relative_to_it(tmp_path):
    (tmp_path / "photos").mkdir()
    path = write(
        tmp_path,
        """
        name = "Sea"
        images = "photos"
        codecs = ["jpeg", "webp"]
        bpp = [0.5, 1]
        judgments_per_task = 5
        judgments_per_annotator = 20
        seed = 9
        instructions = "Look closely."
        """,
    )
    specification = read_study_file(path)
    assert specification.images == str((tmp_path / "photos").resolve())
    assert specification == StudySpecification(
        name="Sea",
        images=specification.images,
        codecs=["jpeg", "webp"],
        bpp=["0.5", "1.0"],
        judgments_per_task=5,
        judgments_per_annotator=20,
        seed=9,
        instructions="Look closely.",
    )


@pytest.mark.parametrize("images", ["holiday", "~nobody-has-this-name/photos", "x" * 300])
def test_what_is_no_folder_beside_the_file_is_taken_for_a_collection(tmp_path, images):
    path = write(tmp_path, f'name = "Sea"\nimages = "{images}"\ncodecs = ["jpeg", "webp"]')
    assert read_study_file(path).images == images


def test_a_file_that_is_not_there_or_no_toml_is_named(tmp_path):
    binary = tmp_path / "binary.toml"
    binary.write_bytes(b"\xff\xfe")
    for path, reason in (
        (tmp_path / "none.toml", "cannot be read"),
        (tmp_path, "cannot be read"),
        (binary, "cannot be read"),
        (write(tmp_path, "name = Sea"), "is not TOML"),
    ):
        with pytest.raises(InvalidStudy, match=reason) as failure:
            read_study_file(path)
        assert list(failure.value.problems) == [str(path)]


@pytest.mark.parametrize(
    ("codecs", "problem"),
    [
        (["avif", "jpeg"], "needs three or more different codecs"),
        (
            ["avif", "avif-svt", "heic", "jpeg", "jpeg2000", "jpegli", "jpegxl", "mozjpeg", "webp"],
            "takes at most 8 codecs to rank",
        ),
    ],
)
def test_a_ranking_takes_three_to_eight_codecs(codecs, problem):
    with pytest.raises(InvalidStudy) as refused:
        StudySpecification.from_mapping(
            {"name": "Sea", "images": "sea", "codecs": codecs, "task": "ranking"}
        )
    assert problem in refused.value.problems["codecs"]


@pytest.mark.parametrize(
    ("asked", "place", "words"),
    [
        ({"gold_share": 0.1, "bpp": [1, 2]}, "gold_share", "2.5 times as much"),
        ({"practice": {"tasks": 2}, "bpp": [1]}, "practice.tasks", "2.5 times as much"),
        ({"practice": {"quiz": 2}, "bpp": [1]}, "practice.quiz", "2.5 times as much"),
        (
            {"rules": [{"check": "gold", "action": "stop", "share": 0}]},
            "rules.1.check",
            "gold_share",
        ),
        (
            {"rules": [{"check": "repeats", "action": "stop", "share": 0}]},
            "rules.1.check",
            "repeat_share",
        ),
        (
            {"rules": [{"check": "too fast", "action": "practice", "share": 0}]},
            "rules.1.action",
            "needs practice.tasks",
        ),
        (
            {
                "task": "ranking",
                "codecs": ["avif", "jpeg", "webp"],
                "viewing": {"views": ["flip"]},
            },
            "viewing.views",
            "a ranking has a view of its own",
        ),
    ],
)
def test_what_cannot_be_had_together_is_refused_with_the_reason(asked, place, words):
    assert words in problems_of(GOOD | asked)[place]


def test_the_docs_example_of_annotators_is_a_study():
    text = (
        Path("docs/annotators.md").read_text(encoding="utf-8").split("```toml")[1].split("```")[0]
    )
    asked = tomllib.loads(text)
    asked["crowd"] |= {"platform": "prolific", "completed": "C1"}
    study = check(**asked, gold_share=0.05)
    assert study.options.rules[0].share == 0.3


def test_the_ablation_of_the_learned_codec_is_a_study_where_its_models_are(tmp_path, monkeypatch):
    ready = Path(__file__).parents[2] / "docs" / "ablation" / "STUDY.toml"
    study = tmp_path / ready.name
    study.write_bytes(ready.read_bytes())
    (tmp_path / "photographs").mkdir()
    models = tmp_path / "models"
    models.mkdir()
    for each in ("mse", "perceptual", "saliency"):
        (models / f"closer-{each}.safetensors").write_bytes(small_file(saliency_floor=None))
    found = load_codecs([], declarations(str(models)))
    monkeypatch.setattr("evaluation.study_files.all_codecs", lambda: found)
    specification = read_study_file(study)
    assert specification.codecs == ["closer-mse", "closer-perceptual", "closer-saliency"]
    assert specification.images == str(tmp_path / "photographs")

"""How people come, agree, are measured, practise and go back, in a real browser."""

import re
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image

from tests import factories
from tests.e2e.conftest import Stack, own_folder

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("annotator pages")]

CODES = {"completed": "C1DONE", "screened_out": "C2OUT", "full": "C3FULL"}
PROLIFIC = {"platform": "prolific", **CODES, "pay": 0.15, "currency": "GBP"}
SCREENS = {"desktop": (1366, 768), "phone": (390, 844)}
LANGUAGES = ("en", "de", "ar")
# Rules of WCAG 2 A and AA, and what axe recommends beyond them.
AUDIT = {"resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def stack():
    with own_folder() as folder:
        running = Stack(folder).start()
        running.make_researcher()
        yield running


@pytest.fixture(scope="module")
def smooth_photographs(tmp_path_factory) -> Path:
    """Pictures without noise: a higher rate shows, so there can be gold tasks."""
    folder = tmp_path_factory.mktemp("smooth")
    for seed in range(3):
        small = Image.fromarray(factories.pixels(32, 24, seed=seed))
        small.resize((160, 120), Image.Resampling.BICUBIC).save(folder / f"photo{seed}.png")
    return folder


@pytest.fixture(scope="module")
def study(stack, smooth_photographs) -> dict:
    return stack.launch_study(
        "People",
        smooth_photographs,
        bpp=[0.3, 1.5],
        judgments_per_task=3,
        judgments_per_annotator=2,
        consent="You may stop at any time.",
        instructions="Look at the leaves.",
        practice={"tasks": 1, "quiz": 1},
        requirements={"size_calibration": True, "contrast_check": True},
        crowd=PROLIFIC,
    )


def arrive(page, study: dict, pid: str, **query) -> None:
    more = "".join(f"&{name}={value}" for name, value in query.items())
    page.goto(f"{study['annotation_link']}?PROLIFIC_PID={pid}&STUDY_ID=s&SESSION_ID=x{more}")


def agree(page) -> None:
    page.check("[name=agree]")
    page.keyboard.press("Enter")


def measure(page) -> None:
    page.wait_for_selector("[data-screen]")
    page.select_option("[name=dark_seen]", "3")
    page.select_option("[name=bright_seen]", "3")
    page.click("[data-screen] button")
    page.wait_for_selector("[data-painted]")


def violations(page) -> list[str]:
    found = Axe().run(page, options=AUDIT).response["violations"]
    return [
        f"{each['id']}: {each['help']} ({', '.join(str(n['target']) for n in each['nodes'])})"
        for each in found
    ]


def answer(page, key: str = "1") -> None:
    shown = page.get_attribute("[data-judge]", "data-painted")
    page.wait_for_timeout(320)
    page.keyboard.press(key)
    page.wait_for_function(
        """shown => document.querySelector("[data-thanks]").checkVisibility()
              || document.querySelector("[data-feedback]").checkVisibility()
              || document.querySelector("[data-judge]").dataset.painted !== shown""",
        arg=shown,
    )


def known_answers(stack) -> dict[str, str]:
    """The right answers to gold tasks, by assignment."""
    return dict(
        stack.sql(
            """SELECT a.token, CASE WHEN a.shown[1] = t.closest_id THEN '1' ELSE '2' END
               FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id
               WHERE t.closest_id IS NOT NULL"""
        )
    )


def test_a_participant_comes_from_prolific_agrees_practises_judges_and_goes_back(
    stack, study, page
):
    arrive(page, study, "pid1")
    page.click("button:has-text('Start')")
    assert page.url.startswith(study["annotation_link"]), "the browser asks for the tick"
    agree(page)
    measure(page)

    assert "Practice" in page.inner_text("[data-progress]")
    token = page.get_attribute("[data-judge]", "data-painted")
    right = known_answers(stack)[token]
    answer(page, "2" if right == "1" else "1")
    assert page.is_visible("[data-feedback]")
    assert "the other" in page.inner_text("[data-feedback]")
    page.keyboard.press("Enter")
    page.wait_for_function(
        "token => document.querySelector('[data-judge]').dataset.painted !== token", arg=token
    )

    assert "Quiz" in page.inner_text("[data-progress]")
    token = page.get_attribute("[data-judge]", "data-painted")
    answer(page, known_answers(stack)[token])
    for number in (1, 2):
        assert f"Pair {number} of 2" in page.inner_text("[data-progress]")
        answer(page)
    assert page.is_visible("[data-thanks]")
    assert page.inner_text(".code") == "C1DONE"
    link = page.get_attribute("[data-thanks] a[data-back]", "href")
    assert link == "https://app.prolific.com/submissions/complete?cc=C1DONE"
    given = stack.sql(
        """SELECT a.purpose, count(*) FROM annotation_judgment j
           JOIN annotation_assignment a ON a.id = j.assignment_id
           JOIN annotation_annotator o ON o.id = a.annotator_id
           WHERE o.external_id = 'pid1' GROUP BY a.purpose"""
    )
    assert dict(given) == {"practice": 1, "quiz": 1, "measure": 2}


def test_who_does_not_pass_the_quiz_is_thanked_with_the_code_for_that(stack, study, page):
    arrive(page, study, "pid2")
    agree(page)
    measure(page)
    while not page.is_visible("[data-thanks]"):
        if page.is_visible("[data-feedback]"):
            shown = page.get_attribute("[data-judge]", "data-painted")
            page.keyboard.press("Enter")
            page.wait_for_function(
                """shown => document.querySelector('[data-judge]').dataset.painted !== shown
                      || document.querySelector('[data-thanks]').checkVisibility()""",
                arg=shown,
            )
            continue
        token = page.get_attribute("[data-judge]", "data-painted")
        answer(page, "2" if known_answers(stack)[token] == "1" else "1")
    assert page.inner_text(".code") == "C2OUT"


def test_an_annotator_looks_at_their_data_and_withdraws(stack, study, page):
    arrive(page, study, "pid3")
    agree(page)
    measure(page)
    page.goto(page.url + "data")
    with page.expect_download() as download:
        page.click("text=Download all of it")
    assert "pid3" in download.value.path().read_text()
    page.check("[name=sure]")
    page.click("button:has-text('Withdraw and delete')")
    assert page.is_visible("h1:has-text('Your answers are deleted')")
    assert stack.sql("SELECT * FROM annotation_annotator WHERE external_id = 'pid3'") == []


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_of_the_annotator_violates_a_rule_of_accessibility(
    stack, study, browser, screen, language
):
    """Every page in every language, on a desktop and on a phone; right to left does not break."""
    width, height = SCREENS[screen]
    context = browser.new_context(
        viewport={"width": width, "height": height}, locale=language, has_touch=screen == "phone"
    )
    page = context.new_page()
    found = {}

    def audit(name: str) -> None:
        found[name] = violations(page)
        direction = "rtl" if language == "ar" else "ltr"
        assert page.get_attribute("html", "dir") == direction
        assert page.get_attribute("html", "lang") == language
        too_wide = page.evaluate(
            "document.documentElement.scrollWidth > document.documentElement.clientWidth"
        )
        assert not too_wide, f"{name} scrolls sideways"

    page.goto(study["annotation_link"])
    audit("came alone")
    arrive(page, study, f"{screen}-{language}")
    audit("welcome")
    agree(page)
    page.wait_for_selector("[data-screen]")
    audit("screen")
    measure_or_narrow(page)
    audit("judging")
    token = re.search(r"/judge/([^/]+)/", page.url)[1]
    page.goto(f"{stack.url}/judge/{token}/data")
    audit("my data")
    stack.sql_do(
        """UPDATE annotation_annotator SET stopped_at = now(), stop_reason = 'revoked'
           WHERE token = %s""",
        token,
    )
    page.goto(f"{stack.url}/judge/{token}/")
    audit("revoked")
    context.close()
    assert found == {name: [] for name in found}


def measure_or_narrow(page) -> None:
    page.select_option("[name=dark_seen]", "3")
    page.select_option("[name=bright_seen]", "3")
    page.click("[data-screen] button")
    page.wait_for_selector("[data-question]:visible, [data-narrow]:visible")

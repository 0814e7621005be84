"""The demo as a newcomer finds it, and every researcher's page of it, in a real browser.

With CLOSER_SCREENSHOTS=FOLDER the demo is that of `make demo`, on its own photographs, and every
page is kept as a picture: docs/pages.md shows them.
"""

import contextlib
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Error as PlaywrightError

from tests.e2e.conftest import Stack, own_folder, wait_for
from tests.e2e.test_annotator_pages import violations
from tests.e2e.test_journeys import SOONEST_ANSWER_MS, press_start, sign_in, wait_for_next
from tests.evaluation.codec_trainings import bundled_training, line

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("researcher pages")]

PICTURES = os.environ.get("CLOSER_SCREENSHOTS")
SIZES = {"desktop": (1440, 900), "laptop": (1280, 720)}
LARGEST_PICTURE = 150_000  # bytes
DOWNSTREAM = Path(__file__).parents[2] / "docs" / "downstream-coco32.json"

STUDY = "/studies/{study}/"
# What each page is called in docs/pages.md, and where it is.
PAGES = {
    "studies": "/",
    "new-study": "/studies/new",
    "study": STUDY,
    "change": f"{STUDY}change",
    "preview": f"{STUDY}preview/1/",
    "stimuli": f"{STUDY}stimuli",
    "annotators": "/studies/{judged}/annotators",
    "data": f"{STUDY}data",
    "sharing": f"{STUDY}sharing",
    "imports": "/imports/",
    "new-import": "/imports/new",
    "images": "/images",
    "image": "/images/{image}/",
    "rate-distortion": "/rate-distortion",
    "codecs": "/codecs",
    "codec": "/codecs/{codec}/",
    "downstream": "/codecs/downstream/",
    "downstream-evaluation": "/codecs/downstream/{evaluation}/",
    "codec-trainings": "/codecs/trainings/",
    "codec-training": "/codecs/trainings/interim/",
    "metrics": "/metrics",
    "projects": "/projects",
    "project": "/projects/lab/",
    "audit": "/projects/lab/audit",
    "webhooks": "/projects/lab/webhooks",
    "tokens": "/account/tokens",
    "api": "/api/v1/docs",
    "not-found": "/studies/none/",
}

OF_THE_METRIC = {"metrics": "/metrics", "metric": "/metrics/versions/{metric}/"}
# Small ones that have most of what pages are made of; tests/config/test_colours.py does the rest.
BY_NIGHT = ("studies", "new-study", "annotators", "codec-trainings", "metrics")
SETTLED = "() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))"
SHOW_ALL = """
    for (const each of document.querySelectorAll("details")) each.open = true;
    // Layers of a plot without marks, which Vega calls pictures: there is nothing to describe.
    for (const each of document.querySelectorAll("svg.marks g:empty")) each.remove();
"""


@pytest.fixture(scope="module")
def demo(photographs, prepared) -> Iterator[Stack]:
    with own_folder() as folder:
        running = Stack(folder, prepared=prepared)
        arguments = [] if PICTURES else ["--images", str(photographs)]
        running.process = running.launch(*arguments)
        wait_for(
            lambda: (
                "have judged the example" in running.said() or running.process.poll() is not None
            ),
            seconds=900 if PICTURES else 180,
        )
        assert running.process.poll() is None, running.said()
        yield running


def account(demo: Stack) -> tuple[str, str]:
    """The name and the password that the demo printed."""
    return re.search(r"name +(\S+)\n +password +(\S+)", demo.said()).groups()


@pytest.fixture(scope="module")
def researcher(demo, browser):
    """A browser profile in which the demo's researcher is signed in."""
    context = browser.new_context(viewport={"width": 1280, "height": 720}, color_scheme="light")
    sign_in(context.new_page(), demo, *account(demo))
    yield context
    context.close()


@pytest.fixture
def page(researcher, demo):
    """A page of it; an error in its console fails the test."""
    opened = researcher.new_page()
    errors = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    opened.close()
    assert errors == []


def slugs(demo: Stack) -> dict[str, object]:
    """What the addresses of PAGES name."""
    [(study,)] = demo.sql("SELECT slug FROM evaluation_study WHERE name LIKE 'Simulated%%'")
    [(judged,)] = demo.sql("SELECT slug FROM evaluation_study WHERE name LIKE 'First%%'")
    [(image,)] = demo.sql("SELECT id FROM codecs_registry_sourceimage ORDER BY name LIMIT 1")
    metrics = demo.sql("SELECT name FROM evaluation_metricversion")
    metric = metrics[0][0] if metrics else None
    evaluations = demo.sql("SELECT id FROM evaluation_downstreamevaluation")
    evaluation = evaluations[0][0] if evaluations else None
    return {
        "study": study,
        "judged": judged,
        "image": image,
        "metric": metric,
        "evaluation": evaluation,
        "codec": "closer" if PICTURES else "webp",  # which is measured
    }


def test_the_demo_leads_a_newcomer_to_ten_judged_pairs_and_to_results(demo, researcher, page):
    page.goto(demo.url)
    keep_picture(page, "tour")
    page.focus(".tour a")
    page.keyboard.press("Enter")
    press_start(page)
    page.wait_for_selector("[data-painted]")
    token = page.get_attribute("[data-judge]", "data-painted")
    while token:
        page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
        page.keyboard.press("ArrowLeft")
        token = wait_for_next(page, token)
    assert page.is_visible("text=You judged 10 pairs.")

    page.goto(demo.url)
    page.click(".tour >> text=Read results")
    assert page.is_visible("text=Everything below was answered by simulated annotators")
    if not PICTURES:
        # 3 photographs x 4 rates x 6 pairs, thrice
        assert page.is_visible("text=216 of 216 wanted")
    assert page.is_visible(".tour [aria-current]:has-text('Read results')")
    page.focus(".tour button")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Studies')")
    assert page.query_selector(".tour") is None


def column(page, number: int) -> list[str]:
    return page.eval_on_selector_all(
        f"tbody tr:not([hidden]) td:nth-child({number})", "cells => cells.map(c => c.innerText)"
    )


def test_a_table_is_sorted_and_filtered_by_keyboard(demo, page):
    page.goto(demo.url + PAGES["stimuli"].format(**slugs(demo)))
    as_served = column(page, 5)
    page.focus("th >> text=Bytes")
    for key, order, is_descending in (
        ("Enter", "ascending", False),
        ("Space", "descending", True),
    ):
        page.keyboard.press(key)
        assert page.get_attribute("th[aria-sort]", "aria-sort") == order
        sizes = [int(each) for each in column(page, 5)]
        assert sizes == sorted(map(int, as_served), reverse=is_descending)
        assert sizes != sorted(sizes, key=str), "numbers, not words"
    page.focus("input[type=search]")
    page.keyboard.type("WebP")
    left = column(page, 2)
    assert set(left) == {"webp"}
    assert page.inner_text("[role=status]") == f"{len(left)} of {len(as_served)} rows"
    page.keyboard.type(" nothing has this")
    assert page.inner_text("[role=status]") == f"0 of {len(as_served)} rows"

    # What has no value goes last in either order; what is equal stays as it was.
    ordered = page.evaluate(
        """async ([isDescending]) => {
             const { inOrder, valueOf } = await import("/static/tables.js");
             const rows = ["2 %", "–", "−1", "10", "2"].map((text, at) => ({ text, at }));
             return inOrder(rows, (row) => valueOf(row.text, true), isDescending)
               .map((row) => row.at);
           }""",
        [False],
    )
    assert ordered == [2, 0, 4, 3, 1]
    assert page.evaluate(
        """async () => {
             const { inOrder, valueOf } = await import("/static/tables.js");
             return inOrder(["", "x10", "x9"], (row) => valueOf(row, false), true);
           }"""
    ) == ["x10", "x9", ""]


def test_a_menu_closes_on_escape_and_on_a_click_elsewhere_and_the_focus_is_not_lost(demo, page):
    page.goto(demo.url)
    button = page.locator(".menu summary").last
    menu = page.locator(".menu").last
    focused = "() => document.activeElement === document.querySelectorAll('.menu summary')[1]"

    def is_open() -> bool:
        return menu.evaluate("menu => menu.open")

    button.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert is_open()
    assert menu.evaluate("menu => menu.contains(document.activeElement)")
    page.keyboard.press("Escape")
    assert not is_open()
    assert page.evaluate(focused)

    button.click()
    page.locator("h1").click()  # which cannot have the focus
    assert not is_open()
    assert page.evaluate(focused)

    button.click()
    menu.locator("form").first.click(position={"x": 1, "y": 1})
    assert is_open(), "it is inside"
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")
    assert not is_open(), "the focus is elsewhere"

    button.click()
    page.locator("main a").first.focus()
    assert not is_open()
    assert not page.evaluate(focused), "it stays where somebody put it"


def test_the_look_is_chosen_without_scripts_and_stays(demo, browser):
    context = browser.new_context(java_script_enabled=False, color_scheme="light")
    page = context.new_page()

    def picture() -> bytes | None:
        """None where Chromium has no frame yet of the page that it was just led to."""
        with contextlib.suppress(PlaywrightError):
            return page.screenshot()

    def is_dark() -> bool:
        shown = Image.open(io.BytesIO(wait_for(picture, seconds=20))).convert("L")
        return np.median(np.asarray(shown)) < 64

    page.goto(f"{demo.url}/sign-in?next=/codecs")
    keep_picture(page, "sign-in")
    assert not is_dark()
    page.click("header >> text=Dark")
    assert page.url.endswith("/sign-in?next=/codecs")
    assert is_dark()
    name, password = account(demo)
    page.fill("[name=username]", name)
    page.fill("[name=password]", password)
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Codecs')")
    assert is_dark()
    page.click(f"summary >> text={name}")
    page.click("header >> text=Light")
    page.wait_for_selector("html[data-appearance=light] h1:has-text('Codecs')")
    assert not is_dark()
    context.close()


@pytest.fixture(scope="module")
def interim(demo) -> Path:
    """The training that made the codec which comes with Closer, as if it went on here."""
    return bundled_training(demo.data / "codec-training" / "interim", pictures=("astronaut",))


def test_no_page_violates_a_rule_of_accessibility_by_day_or_by_night(demo, page, interim):
    """Nor scrolls sideways in the window of a laptop, or in half of one."""
    if PICTURES:  # else the metric would be looking at pictures while other tests time answers
        put_metric_in_service(demo, page)
    upload_downstream(demo, page)
    measure_codecs(demo)
    found = {}
    named = slugs(demo)
    for name, path in (PAGES | (OF_THE_METRIC if PICTURES else {})).items():
        page.set_viewport_size({"width": 1280, "height": 720})
        page.goto(demo.url + path.format(**named))
        keep_picture(page, name)
        page.evaluate(SHOW_ALL)
        found[name] = violations(page)
        if name in BY_NIGHT:
            page.emulate_media(color_scheme="dark")
            found[name] += violations(page, only="color-contrast")
            page.emulate_media(color_scheme="light")
        for width in (1280, 768):
            page.set_viewport_size({"width": width, "height": 720})
            page.evaluate(SETTLED)  # a judging page lays its pictures out anew
            if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
                found[name].append(f"it scrolls sideways at {width}")
    assert found == {name: [] for name in found}


def test_a_training_is_followed_while_its_pictures_are_flipped(demo, page, interim):
    page.goto(demo.url + PAGES["codec-training"])
    page.wait_for_selector("[data-stage][data-ready]:focus")
    for key, shown in (
        ("f", "A: Original, at 1×"),
        ("Space", "B: λ 0.0125, step 8,000, at 1×"),
        ("ArrowUp", "B: λ 0.035, step 8,000, at 1×"),
        ("ArrowDown", "B: λ 0.0125, step 8,000, at 1×"),
    ):
        page.keyboard.press(key)
        page.wait_for_selector(f"[data-status]:text-is('{shown}')")
    with (interim / "log.jsonl").open("a") as log:
        log.write(json.dumps(line(8100, steps=12_000)) + "\n")
    page.wait_for_selector(".figures >> text=8,100 of 12,000")
    assert page.inner_text("[data-status]") == "B: λ 0.0125, step 8,000, at 1×"
    assert page.evaluate("document.activeElement.matches('[data-stage]')")


@pytest.mark.skipif(not PICTURES, reason="for docs/pages.md alone: others test what is done here")
def test_pages_of_what_somebody_made(demo, page, tmp_path):
    study = demo.url + STUDY.format(**slugs(demo))
    page.goto(f"{study}sharing")
    page.click("text=Make a link")
    page.click("main table a")
    page.wait_for_selector("h1")
    keep_picture(page, "shared")

    answers = tmp_path / "answers.csv"
    response = page.request.get(f"{study}judgments.csv?judged_by=simulated")
    answers.write_bytes(response.body())
    page.goto(f"{demo.url}{PAGES['new-import']}")
    page.set_input_files("[type=file]", answers)
    page.click("text=Look at it")
    keep_picture(page, "import-preview")
    page.click("main button >> text=Import")
    page.wait_for_load_state("networkidle")
    keep_picture(page, "import")

    page.goto(f"{demo.url}/metrics")
    page.click("[form=train-simulated]")
    keep_picture(page, "training")

    demo.sql_do("UPDATE auth_user SET is_superuser = true")
    page.goto(f"{demo.url}/audit")
    keep_picture(page, "audit-of-all")
    page.goto(f"{demo.url}/operations")
    page.wait_for_selector("text=lives")
    keep_picture(page, "operations")


def upload_downstream(demo: Stack, page) -> None:
    """What docs/downstream.md measured."""
    page.goto(demo.url + PAGES["downstream"])
    page.fill("[name=name]", "32 photographs of COCO")
    page.set_input_files("[name=file]", DOWNSTREAM)
    page.click("button >> text=Upload")
    page.wait_for_selector("h1:has-text('32 photographs of COCO')")


def measure_codecs(demo: Stack) -> None:
    """What the codecs' pages compare; in full for docs/pages.md alone."""
    few = ["--codec", "jpeg", "--codec", "webp", "--pictures", "2", "--repeat", "1"]
    demo.manage("measure_codecs", *([] if PICTURES else few))


def put_metric_in_service(demo: Stack, page) -> None:
    """The one that comes with Closer; it has looked at every reconstruction then."""
    page.goto(f"{demo.url}/metrics")
    page.click("text=Put it in service")
    wait_for(
        lambda: demo.sql(
            """SELECT 1 FROM evaluation_reconstructionscore HAVING count(*) =
               (SELECT count(*) FROM codecs_registry_reconstruction)"""
        ),
        seconds=600,
    )


def keep_picture(page, name: str) -> None:
    """What is seen of a page, by day and by night, on a desktop and on a laptop."""
    if not PICTURES:
        return
    for size, (width, height) in SIZES.items():
        page.set_viewport_size({"width": width, "height": height})
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.wait_for_load_state("networkidle")
            shown = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
            file = Path(PICTURES) / f"{name}-{size}-{scheme}.webp"
            for quality in (75, 60, 40, 20):
                shown.save(file, quality=quality, method=6)
                if file.stat().st_size <= LARGEST_PICTURE:
                    break
    page.emulate_media(color_scheme="light")

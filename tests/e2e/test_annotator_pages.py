"""How people come, agree, are measured, practise and go back, in a real browser."""

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from django.template.loader import render_to_string
from django.test import RequestFactory
from django.utils.translation import override
from PIL import Image
from psycopg.types.json import Jsonb

from tests import factories

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("annotator pages")]

CODES = {"completed": "C1DONE", "screened_out": "C2OUT", "full": "C3FULL"}
PROLIFIC = {"platform": "prolific", **CODES, "pay": 0.15, "currency": "GBP"}
DESK = {"viewport": {"width": 1366, "height": 768}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "screen": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
}
TOO_FAST = {"check": "too fast", "share": 0, "at_least": 1, "too_fast_s": 600, "action": "warn"}
SCREENS = {"desktop": DESK, "phone": PHONE}
LANGUAGES = ("en", "de", "ar")
PICTURES = os.environ.get("CLOSER_SCREENSHOTS")
SOON_MS = 320  # a little more than the page asks for before it takes an answer
AXE = Axe().axe_script
# Rules of WCAG 2 A and AA, and what axe recommends beyond them.
AUDIT = {"resultTypes": ["violations"]}


@pytest.fixture(scope="module")
def stack(shared_stack):
    return shared_stack


@pytest.fixture(scope="module")
def smooth_photographs(tmp_path_factory) -> Path:
    """Pictures without noise: a higher rate shows, so there can be gold tasks."""
    folder = tmp_path_factory.mktemp("smooth")
    for seed in range(3):
        small = Image.fromarray(factories.pixels(32, 24, seed=seed))
        small.resize((160, 120), Image.Resampling.BICUBIC).save(folder / f"photo{seed}.png")
    return folder


@pytest.fixture(scope="module")
def rankings(stack, smooth_photographs) -> dict:
    return stack.launch_study(
        "Rankings",
        smooth_photographs,
        codecs=["jpeg", "jpeg2000", "webp"],
        bpp=[1.5],
        task="ranking",
        allow_ties=True,
        judgments_per_task=90,
    )


@pytest.fixture(scope="module")
def study(stack, smooth_photographs, rankings) -> dict:
    return stack.launch_study(
        "People",
        smooth_photographs,
        bpp=[0.3, 1.5],
        allow_ties=True,
        judgments_per_task=90,
        not_after=["Rankings"],
        rules=[TOO_FAST],
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


def violations(page, *, only: str = "") -> list[str]:
    """What axe finds of a page, by all rules or by one."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE)
    options = AUDIT | ({"runOnly": {"type": "rule", "values": [only]}} if only else {})
    found = page.evaluate("options => axe.run(options)", options)["violations"]
    return [
        f"{each['id']}: {each['help']} ({', '.join(str(n['target']) for n in each['nodes'])})"
        for each in found
    ]


def answer(page, key: str = "1") -> None:
    shown = page.get_attribute("[data-judge]", "data-painted")
    page.wait_for_timeout(SOON_MS)
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
    assert page.inner_text("[data-thanks] .code") == "C1DONE"
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
    assert page.inner_text("[data-thanks] .code") == "C2OUT"


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


# --- accessibility: every page and every state of it, by axe-core ---------------------------------
#
# What depends on the layout is audited on both screens, words in a column on the phone alone; what
# the server writes is audited in each language, what differs by a sentence of the script in one.


class Visit:
    """Somebody who comes with a language and a screen, and what axe finds of what they see.

    Each state is kept as a picture in the folder that CLOSER_SCREENSHOTS names.
    """

    def __init__(self, page, screen: str, language: str) -> None:
        self.page = page
        self.screen = screen
        self.language = language
        self.found: dict[str, list[str]] = {}

    def audit(self, name: str) -> None:
        page = self.page
        direction = "rtl" if self.language == "ar" else "ltr"
        assert page.get_attribute("html", "dir") == direction
        assert page.get_attribute("html", "lang") == self.language
        self.found[name] = violations(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            self.found[name].append("it scrolls sideways")
        if PICTURES:
            page.screenshot(path=f"{PICTURES}/{self.screen}-{self.language}-{name}.png")

    def sees(self, what: str, *, name: str) -> None:
        self.page.wait_for_selector(what)
        self.audit(name)


@pytest.fixture(scope="module")
def contexts(browser) -> Iterator[dict]:
    """A browser profile for each screen: a new one for each visit would cost a second each."""
    opened = {screen: browser.new_context(**SCREENS[screen]) for screen in SCREENS}
    yield opened
    for context in opened.values():
        context.close()


@contextlib.contextmanager
def visit(contexts, screen: str, language: str) -> Iterator[Visit]:
    context = contexts[screen]
    context.clear_cookies()
    context.set_offline(False)
    page = context.new_page()
    page.set_default_timeout(10_000)
    page.set_extra_http_headers({"Accept-Language": language})
    visitor = Visit(page, screen, language)
    yield visitor
    page.close()
    assert visitor.found == {name: [] for name in visitor.found}


@contextlib.contextmanager
def campaign(stack, study: str, *, options: dict | None = None, **columns) -> Iterator[None]:
    """A study's campaign with other values in its options, or in some columns, for a while."""
    (before,) = stack.sql(
        """SELECT state, budget, budget_left, stored_options FROM annotation_campaign
           WHERE id = (SELECT campaign_id FROM evaluation_study WHERE name = %s)""",
        study,
    )

    def put(state: str, budget: int | None, budget_left: int | None, options: dict) -> None:
        stack.sql_do(
            """UPDATE annotation_campaign
               SET state = %s, budget = %s, budget_left = %s, stored_options = %s
               WHERE id = (SELECT campaign_id FROM evaluation_study WHERE name = %s)""",
            *(state, budget, budget_left, Jsonb(options), study),
        )

    now = dict(zip(("state", "budget", "budget_left", "options"), before, strict=True)) | columns
    now["options"] = now["options"] | {
        table: now["options"][table] | keys for table, keys in (options or {}).items()
    }
    put(**now)
    try:
        yield
    finally:
        put(*before)


def press_unchecked(page) -> None:
    """As a browser does that holds no form back because something in it is not filled."""
    page.eval_on_selector("form button", "each => { each.form.noValidate = true; each.click(); }")


def say_what_is_seen(page, squares: str) -> None:
    page.wait_for_selector("[data-screen]")
    page.select_option("[name=dark_seen]", squares)
    page.select_option("[name=bright_seen]", squares)
    page.click("[data-screen] button")


def wait_until_painted_after(page, token: str) -> None:
    page.wait_for_function(
        "token => document.querySelector('[data-judge]').dataset.painted !== token", arg=token
    )


# Not what is empty until the script has filled it, and is audited on its own.
SHOW_ALL = """
    for (const each of document.querySelectorAll("main [hidden]")) {
      if (!each.matches("[data-feedback], [data-thanks]")) each.hidden = false;
    }
"""
ALL_VIEWS = {"views": ["side by side", "flip", "inspect"], "remark": True}


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_of_pairs_violates_a_rule_of_accessibility_on_a_desktop(
    stack, study, contexts, language
):
    with (
        campaign(stack, "People", options={"viewing": ALL_VIEWS}),
        visit(contexts, "desktop", language) as visitor,
    ):
        page = visitor.page
        arrive(page, study, f"desktop-{language}")
        visitor.audit("welcome")
        agree(page)
        visitor.sees("[data-screen]", name="screen")
        say_what_is_seen(page, "3")
        visitor.sees("[data-painted]", name="side by side")
        page.keyboard.press("v")
        visitor.audit("flip")
        page.keyboard.down("Space")
        visitor.audit("flip, the original")
        page.keyboard.up("Space")
        page.keyboard.press("v")
        page.keyboard.press("+")
        visitor.audit("inspect")
        page.keyboard.press("r")
        visitor.audit("remark")
        page.keyboard.type("Rings around the leaves")
        page.keyboard.press("Enter")
        answer(page)
        page.context.set_offline(True)
        visitor.sees("[data-connection]:visible", name="practice feedback, offline")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_of_pairs_violates_a_rule_of_accessibility_on_a_phone(
    stack, study, contexts, language
):
    """All the way, from the link to the withdrawal; right to left does not break."""
    who = f"phone-{language}"
    with (
        campaign(stack, "People", options={"viewing": ALL_VIEWS}),
        visit(contexts, "phone", language) as visitor,
    ):
        page = visitor.page
        page.goto(study["annotation_link"])
        visitor.audit("came alone")
        arrive(page, study, who)
        press_unchecked(page)
        visitor.sees(".problem", name="welcome, not agreed")
        agree(page)
        say_what_is_seen(page, "1")
        visitor.sees(".problem", name="screen, too few squares")
        say_what_is_seen(page, "3")
        visitor.sees("[data-painted]", name="practice")
        own_address = page.url
        page.keyboard.press("r")
        visitor.audit("remark")
        page.keyboard.press("Enter")
        answer(page)
        visitor.audit("practice feedback")
        if language == "ar":
            judge_to_the_end(visitor, known_answers(stack))
        page.goto(f"{own_address}data")
        page.wait_for_selector("[name=sure]")
        press_unchecked(page)
        visitor.sees(".problem", name="my data, not sure")
        cookies = page.context.cookies()
        page.context.clear_cookies()
        page.goto(page.url)
        visitor.audit("other browser")
        page.click("a.button")
        assert page.url == own_address
        page.context.add_cookies(cookies)
        stop = """UPDATE annotation_annotator SET stopped_at = %s, stop_reason = %s
                  WHERE external_id = %s"""
        stack.sql_do(stop, "2026-01-01", "revoked", who)
        page.reload()
        visitor.audit("revoked")
        stack.sql_do(stop, None, "", who)
        page.goto(f"{own_address}data")
        page.check("[name=sure]")
        page.click("form button")
        visitor.sees("[data-forget]", name="withdrawn")


def judge_to_the_end(visitor, known: dict[str, str]) -> None:
    """From the feedback to the only practice: a quiz of one pair, and two pairs."""
    page = visitor.page
    token = page.get_attribute("[data-judge]", "data-painted")
    page.keyboard.press("Enter")
    wait_until_painted_after(page, token)
    visitor.audit("quiz")
    answer(page, known[page.get_attribute("[data-judge]", "data-painted")])
    answer(page)
    visitor.sees("[data-notice]:visible", name="warned by a rule")
    page.context.set_offline(True)
    visitor.sees("[data-connection]:visible", name="offline")
    page.wait_for_timeout(SOON_MS)
    page.keyboard.press("1")
    visitor.sees("[data-waiting]:visible", name="waiting for the connection")
    page.context.set_offline(False)
    visitor.sees("[data-thanks] .code:visible", name="thanks with a code")


@pytest.mark.parametrize(
    ("screen", "language"),
    [*(("phone", language) for language in LANGUAGES), ("desktop", "de")],  # the longest words
)
def test_no_page_of_a_ranking_violates_a_rule_of_accessibility(
    stack, study, rankings, contexts, screen, language
):
    with (
        campaign(stack, "Rankings", options={"viewing": {"confidence": True}}),
        visit(contexts, screen, language) as visitor,
    ):
        page = visitor.page
        page.goto(rankings["annotation_link"])
        visitor.audit("welcome")
        page.click("form button")
        visitor.sees("[data-painted]", name="ranking")
        page.keyboard.down("Space")
        visitor.audit("the original")
        page.keyboard.up("Space")
        for key in "123ct":
            page.keyboard.press(key)
        visitor.audit("in order")
        token = page.get_attribute("[data-judge]", "data-painted")
        page.wait_for_timeout(SOON_MS)
        page.keyboard.press("Enter")
        visitor.sees("[data-sureness]:visible", name="how sure")
        page.wait_for_timeout(SOON_MS)
        page.keyboard.press("2")
        wait_until_painted_after(page, token)
        page.wait_for_selector("[data-unsent='0']")
        page.evaluate(SHOW_ALL)
        visitor.audit("all that can be shown, at once")
        arrive(page, study, f"ranked-{screen}-{language}")
        visitor.audit("took part")


def test_nothing_that_few_see_violates_a_rule_of_accessibility(stack, study, contexts):
    with visit(contexts, "phone", "de") as visitor:
        page = visitor.page
        for name, said in {
            "draft": {"state": "draft"},
            "closed": {"state": "closed"},
            "full": {"budget": 1, "budget_left": 0},
            "language": {"options": {"requirements": {"languages": ["fr"]}}},
        }.items():
            with campaign(stack, "People", **said):
                arrive(page, study, "few")
                visitor.audit(name)
        with campaign(stack, "People", options={"crowd": {"platform": "mturk"}}):
            page.goto(f"{study['annotation_link']}?assignmentId=ASSIGNMENT_ID_NOT_AVAILABLE")
            visitor.audit("preview")
        arrive(page, study, "few")
        agree(page)
        page.wait_for_selector("[data-screen]")
        page.eval_on_selector("[data-card-width]", "each => { each.min = 1; each.value = 1; }")
        say_what_is_seen(page, "3")
        visitor.sees(".problem", name="screen, no card's size")
        say_what_is_seen(page, "3")
        visitor.sees("[data-narrow]:visible", name="too narrow")
        with campaign(stack, "People", options={"requirements": {"phones": False}}):
            page.reload()
            visitor.sees("[data-computer]:visible", name="a phone")
        needs = {"window_width": 5000, "window_height": 3000, "screen_width": 5000}
        with campaign(stack, "People", options={"requirements": {**needs, "gamut": "rec2020"}}):
            page.reload()
            visitor.sees("[data-unmet]:visible", name="requirements")
            page.click("[data-unmet] summary")
            visitor.sees("[data-unmet] .code:visible", name="cannot meet them")
            assert page.inner_text("[data-unmet] .code") == "C2OUT"
        with campaign(stack, "People", options={"viewing": {"views": ["flip"]}}):
            page.route("**/judgments", lambda route: route.fulfill(status=400, json={}))
            page.reload()
            page.wait_for_selector("[data-painted]")
            page.wait_for_timeout(SOON_MS)
            page.keyboard.press("1")
            visitor.sees("[data-notice]:visible", name="answer not taken")
            page.route("**/judgments", taking_the_place)
            page.reload()
            page.wait_for_selector("[data-painted]")
            answer(page)
            visitor.sees("[data-notice]:visible", name="place taken")
        with campaign(stack, "People", options={"viewing": {"views": ["flip"], "minimum_s": 600}}):
            page.reload()
            visitor.sees("[data-quiet]:not(:empty)", name="look first")
        with campaign(stack, "People", options={"viewing": {"views": ["flip"], "limit_s": 0.2}}):
            page.reload()
            visitor.sees("[data-cover]:visible", name="covered")
            page.route("**/stimuli/**", lambda route: None)
            page.reload()
            visitor.sees("[data-loading]:visible", name="loading")
            page.route("**/stimuli/**", lambda route: route.abort())
            page.reload()
            visitor.sees("[data-failed]:visible", name="no pictures")
            page.route("**/next", lambda route: route.fulfill(status=404, json={}))
            page.reload()
            visitor.sees("[data-failed]:visible", name="link unknown")


def taking_the_place(route) -> None:
    route.fulfill(status=409, json={**route.fetch().json(), "feedback": None})


NOTHING_LEFT = {"assignments": [], "warnings": [], "stage": None, "judged": 0, "is_open": True}


def test_no_end_violates_a_rule_of_accessibility(rankings, contexts):
    with visit(contexts, "phone", "ar") as visitor:
        page = visitor.page
        page.goto(rankings["annotation_link"])
        page.click("form button")
        page.wait_for_selector("[data-painted]")
        for name, said in {
            "thanks without a code": {"judged": 2, "ending": {"outcome": "completed"}},
            "screened out": {"judged": 2, "ending": {"outcome": "screened out", "code": "C2OUT"}},
            "nothing to judge": {"ending": {"outcome": "full"}},
            "no answers at present": {"ending": {"outcome": "full"}, "is_open": False},
            "revoked meanwhile": {"judged": 1, "ending": {"outcome": "revoked"}},
        }.items():
            page.unroute("**/next")
            page.route("**/next", telling(NOTHING_LEFT | said))
            page.reload()
            visitor.sees("[data-thanks]:visible", name=name)


def telling(todo: dict):
    return lambda route: route.fulfill(json=todo)


def test_no_page_without_javascript_violates_a_rule_of_accessibility(rankings, contexts):
    """Without scripts in the page: axe is one itself, and cannot run where the browser has none."""
    with visit(contexts, "phone", "en") as visitor:
        page = visitor.page
        page.route("**/*/", without_javascript)
        page.goto(rankings["annotation_link"])
        visitor.sees("[role=alert]", name="welcome")
        page.click("form button")
        visitor.sees("h2:has-text('JavaScript')", name="judging")


def without_javascript(route) -> None:
    response = route.fetch()
    text = re.sub("<script.*?</script>|</?noscript>", "", response.text())
    route.fulfill(response=response, body=text)


@pytest.mark.parametrize(
    ("language", "words"),
    [("en", "There is no such page"), ("de", "Diese Seite gibt es"), ("ar", "لا توجد صفحة")],
)
def test_a_link_that_leads_nowhere_says_so_in_their_language(study, contexts, language, words):
    with visit(contexts, "phone", language) as visitor:
        visitor.page.goto(f"{study['annotation_link'][:-5]}/")
        visitor.sees(f"h1:has-text('{words}')", name="no such page")


def test_no_page_that_says_what_went_wrong_violates_a_rule_of_accessibility(study, contexts):
    """As the server would write it: that it fails, or is asked by hundreds, cannot be had here."""
    with visit(contexts, "phone", "de") as visitor, override("de"):
        for template, said in {
            "annotation/said.html": {"what": "too many"},
            "403.html": {},
            "500.html": {},
        }.items():
            body = render_to_string(template, said, RequestFactory().get("/"))
            visitor.page.route("**/*/", telling_in_words(body))
            visitor.page.goto(study["annotation_link"])
            visitor.sees("h1", name=template.replace("/", " "))


def telling_in_words(body: str):
    return lambda route: route.fulfill(body=body, content_type="text/html; charset=utf-8")


# --- what is to be seen at first, and on what screen ----------------------------------------------


def test_a_card_that_is_wider_than_the_window_is_measured_by_its_short_side(stack, study, contexts):
    with visit(contexts, "phone", "en") as visitor:
        page = visitor.page
        arrive(page, study, "card")
        agree(page)
        page.wait_for_selector("label:has-text('Height of the card')")
        assert page.is_hidden("text=Width of the card")
        page.fill("[data-card-width]", "520")
        box = page.locator("[data-card]").bounding_box()
        assert box["height"] == pytest.approx(520 * 53.98 / 85.60, abs=0.1)
        assert box["x"] + box["width"] <= 390
        visitor.audit("screen")
        page.set_viewport_size({"width": 844, "height": 390})
        assert page.locator("[data-card]").bounding_box()["width"] == 520
        page.set_viewport_size(PHONE["viewport"])
        say_what_is_seen(page, "3")
        page.wait_for_selector("[data-judge]")
        [(conditions,)] = stack.sql(
            "SELECT conditions FROM annotation_annotator WHERE external_id = 'card'"
        )
        assert conditions["px_per_mm"] == 6.075
        assert conditions["device_pixel_ratio"] == 1


def test_enter_begins_and_what_is_to_be_read_is_not_scrolled_past(rankings, page):
    page.goto(rankings["annotation_link"])
    page.wait_for_selector("button:focus:has-text('Start')")
    assert page.evaluate("scrollY") == 0
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-painted]")


def test_a_screen_that_shows_fewer_colours_than_required_is_refused(stack, rankings, page):
    screen = page.context.new_cdp_session(page)

    def show(gamut: str) -> None:
        features = [{"name": "color-gamut", "value": gamut}]
        screen.send("Emulation.setEmulatedMedia", {"features": features})

    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    with campaign(stack, "Rankings", options={"requirements": {"gamut": "p3"}}):
        show("srgb")
        page.goto(rankings["annotation_link"])
        page.click("form button")
        page.wait_for_selector("text=Use a screen that shows all colours of Display P3")
        assert "next" not in asked, "nothing is given to who cannot judge it"
        show("p3")
        page.wait_for_selector("[data-ranking]:visible")
        show("srgb")  # the window was moved to another screen
        page.wait_for_selector("[data-unmet]:visible")
        show("rec2020")  # has all colours of P3, too
        page.wait_for_selector("[data-ranking]:visible")

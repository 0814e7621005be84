"""How pairs are shown and answered on all kinds of screens and connections, in a real browser."""

import contextlib
import io
import statistics
import sys

import numpy as np
import pytest
from PIL import Image

from tests import factories
from tests.e2e.conftest import wait_for
from tests.e2e.test_journeys import begin, press_start, wait_for_next

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("journeys")]

ALL_VIEWS = ["side by side", "flip", "inspect"]
SOON_MS = 320  # a little more than the page asks for before it takes an answer
DESK = {"viewport": {"width": 1366, "height": 768}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "screen": {"width": 390, "height": 844},
    "device_scale_factor": 3,
    "is_mobile": True,
    "has_touch": True,
}


@pytest.fixture(scope="module")
def stack(shared_stack):
    return shared_stack


def launch(stack, photographs, name: str, **keys) -> str:
    return stack.launch_study(name, photographs, judgments_per_task=90, **keys)["annotation_link"]


@pytest.fixture(scope="module")
def views(stack, photographs) -> str:
    """The link of a study of six pairs with all ways to view; each browser is a new annotator."""
    return launch(stack, photographs, "Views", bpp=[0.5, 1.5], viewing={"views": ALL_VIEWS})


@pytest.fixture(scope="module")
def asking(stack, photographs) -> str:
    """Of one that asks for all that can be asked with an answer."""
    viewing = {"minimum_s": 2, "limit_s": 2.5, "confidence": True, "remark": True}
    return launch(stack, photographs, "Asking", bpp=[0.5], viewing=viewing)


@pytest.fixture(scope="module")
def requiring(stack, photographs) -> str:
    requirements = {"window_width": 1200, "window_height": 700, "phones": False, "most_zoom": 110}
    keys = {"viewing": {"views": ["flip"]}, "requirements": requirements}
    return launch(stack, photographs, "Requiring", bpp=[0.5], **keys)


@contextlib.contextmanager
def opened(browser, **options):
    """A page of a new browser profile; an error in its console fails the test."""
    context = browser.new_context(**options)
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []


def shown(page) -> list[str]:
    """The names of the pictures that are seen, from left to right."""
    return page.eval_on_selector_all(
        "[data-view] img",
        """images => images
             .filter(each => each.checkVisibility({ visibilityProperty: true }))
             .map(each => each.src.split("/").pop().split(".")[0])""",
    )


def painted(page) -> str:
    return page.get_attribute("[data-judge]", "data-painted")


def judged(stack, tokens) -> dict[str, dict]:
    """What is stored, by assignment token, in the order in which it was stored."""
    names = ("ranks", "response_ms", "viewing", "events", "confidence", "remark")
    rows = stack.sql(
        """SELECT a.token, j.ranks, j.response_ms, j.viewing, j.events, j.confidence, j.remark
           FROM annotation_judgment j JOIN annotation_assignment a ON a.id = j.assignment_id
           WHERE a.token = ANY(%s) ORDER BY j.id""",
        list(tokens),
    )
    return {token: dict(zip(names, row, strict=True)) for token, *row in rows}


def codes(judgment: dict) -> list[str]:
    return [code for _, code in judgment["events"] if code not in ("blur", "focus")]


def answer(page, key: str) -> str:
    """Answers the pair on the screen; returns its token."""
    token = painted(page)
    page.wait_for_timeout(SOON_MS)
    page.keyboard.press(key)
    return token


def wait_until_painted_after(page, token: str) -> str:
    page.wait_for_function(
        "token => document.querySelector('[data-judge]').dataset.painted !== token", arg=token
    )
    return painted(page)


def test_each_way_to_view_by_keyboard_and_it_stays_for_the_next_pair(stack, views, page):
    first = begin(page, views)
    assert shown(page) == ["left", "original", "right"]

    page.keyboard.press("v")
    seen = [shown(page)]
    for key in ("b", "a", "ArrowRight"):
        page.keyboard.press(key)
        seen.append(shown(page))
    page.keyboard.down("Space")
    seen.append(shown(page))
    page.keyboard.up("Space")
    assert seen == [["left"], ["right"], ["left"], ["right"], ["original"]]
    assert page.is_visible("text=A is closer")
    page.wait_for_timeout(SOON_MS)
    assert judged(stack, [first]) == {}, "an arrow flips here; it does not answer"

    page.keyboard.press("v")
    for key in ("+", "+", "-"):
        page.keyboard.press(key)
    assert page.inner_text("[data-zoom]") == "2×"
    answer(page, "2")
    second = wait_for_next(page, first)
    assert page.inner_text("[data-zoom]") == "1×"
    assert page.get_attribute("[data-way-name=inspect]", "aria-pressed") == "true"
    page.reload()
    page.wait_for_selector("[data-painted]")
    assert page.get_attribute("[data-way-name=inspect]", "aria-pressed") == "true"

    judgment = judged(stack, [first, second])[first]
    assert codes(judgment) == [
        *("view-side-by-side", "view-flip", "show-b", "show-a", "show-b"),
        *("original-on", "original-off", "view-inspect", "zoom-2", "zoom-3", "zoom-2"),
    ]
    times = [at for at, _ in judgment["events"]]
    assert times == sorted(times)
    assert judgment["response_ms"] >= times[-1] + SOON_MS, "no view restarts the clock"
    assert judgment["viewing"]["flips"] == 1
    assert judgment["viewing"]["view_width"] == 160


def test_buttons_by_keyboard_and_arrows_that_never_answer_where_there_is_flip(stack, views, page):
    first = begin(page, views)
    page.wait_for_timeout(SOON_MS)
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
    assert painted(page) == first

    page.focus(".middle [data-flip]")
    seen = []
    for key in ("Enter", "Enter", "Space", "Space"):
        page.keyboard.press(key)
        seen.append(shown(page))
    assert seen == [["original"] * 3, ["left", "original", "right"]] * 2
    page.eval_on_selector(".middle [data-flip]", "each => each.click()")  # as assistive tools do
    assert shown(page) == ["original"] * 3
    assert page.get_attribute(".middle [data-flip]", "aria-pressed") == "true"

    page.focus("[data-way-name=flip]")
    page.keyboard.press("Space")
    page.focus("[data-face=right]")
    page.keyboard.press("Space")
    assert shown(page) == ["right"], "a copy that is asked for takes the original's place"
    page.click("[data-way-name='side by side']")
    page.keyboard.down("Space")
    assert shown(page) == ["original"] * 3, "what a pointer pressed is not pressed by Space"
    page.keyboard.up("Space")
    assert shown(page) == ["left", "original", "right"]
    page.focus("[data-closest=right]")
    page.keyboard.press("Space")
    wait_for_next(page, first)
    judgment = judged(stack, [first])[first]
    assert judgment["ranks"] == [2, 1]
    assert judgment["viewing"]["flips"] == 4


def test_flip_by_touch_on_a_phone(stack, views, browser):
    with opened(browser, **PHONE) as page:
        first = begin(page, views)
        assert shown(page) == ["left"]
        assert not page.is_visible("[data-ways]"), "there is no room for the others"
        page.tap("[data-face=right]")
        assert shown(page) == ["right"]

        box = page.locator(".faces [data-flip]").bounding_box()
        touch = page.context.new_cdp_session(page)
        point = {"x": box["x"] + 20, "y": box["y"] + 20}
        touch.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
        assert shown(page) == ["original"]
        touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        assert shown(page) == ["right"]

        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.wait_for_timeout(SOON_MS)
        page.tap("text=B is closer")
        wait_for_next(page, first)
        judgment = judged(stack, [first])[first]
        assert judgment["ranks"] == [2, 1]
        assert codes(judgment) == ["view-flip", "show-b", "original-on", "original-off"]


@pytest.mark.parametrize("ratio", [1, 1.25, 1.5, 2])
def test_inspect_makes_one_image_pixel_exactly_zoom_by_zoom_device_pixels(
    stack, views, browser, ratio
):
    with opened(browser, **DESK, device_scale_factor=ratio) as page:
        begin(page, views)
        page.keyboard.press("v")
        page.keyboard.press("v")
        stored = pixels_at(page, stack)
        for zoom in (1, 2, 5, 8):
            while page.inner_text("[data-zoom]") != f"{zoom}×":
                page.keyboard.press("+")
            box = page.locator("[data-view=right]").bounding_box()
            left, top, width, height = (
                round(box[side] * ratio) for side in ("x", "y", "width", "height")
            )
            pan = page.evaluate(
                """() => ["left", "top"].map(side =>
                     -parseFloat(document.querySelector("[data-view=right] img").style[side]))"""
            )
            screen = np.asarray(Image.open(io.BytesIO(page.screenshot(scale="device"))))[..., :3]
            seen = screen[top : top + height, left : left + width]
            enlarged = stored.repeat(zoom, axis=0).repeat(zoom, axis=1)
            x, y = map(round, pan)
            assert np.array_equal(seen, enlarged[y : y + height, x : x + width]), zoom


def pixels_at(page, stack) -> np.ndarray:
    source = page.get_attribute("[data-view=right] img", "src")
    with Image.open(io.BytesIO(page.request.get(stack.url + source).body())) as image:
        return np.asarray(image.convert("RGB"))


def test_the_wheel_zooms_about_the_pointer_and_all_three_move_together(views, page):
    begin(page, views)
    page.keyboard.press("v")
    page.keyboard.press("v")
    for _ in range(4):
        page.keyboard.press("+")

    def under(x: float, y: float) -> dict:
        return page.evaluate(
            """([x, y]) => {
                 const image = document.elementsFromPoint(x, y).find(each => each.matches("img"));
                 const box = image.getBoundingClientRect();
                 return { x: (x - box.left) / box.width, y: (y - box.top) / box.height };
               }""",
            [x, y],
        )

    box = page.locator("[data-view=left]").bounding_box()
    x, y = box["x"] + 100, box["y"] + 150
    before = under(x, y)
    page.mouse.move(x, y)
    page.mouse.wheel(0, -100)
    page.wait_for_function("document.querySelector('[data-zoom]').textContent === '6×'")
    assert under(x, y) == pytest.approx(before, abs=0.002)
    offsets = page.eval_on_selector_all(
        "[data-view=left] img, [data-view=original] img, [data-view=right] img",
        "images => images.map(({ style }) => [style.left, style.top, style.width].join())",
    )
    assert len(set(offsets)) == 1


def test_answers_wait_for_the_minimum_pictures_go_at_the_limit_and_all_is_stored(
    stack, asking, page
):
    first = begin(page, asking)
    assert page.is_visible("text=Look first: answers are taken after 2 s.")
    assert page.get_attribute("[data-closest=left]", "aria-disabled") == "true"
    page.wait_for_timeout(SOON_MS)
    page.keyboard.press("1")
    assert page.is_hidden("text=How sure are you?")

    page.wait_for_selector("text=Please answer now")
    assert shown(page) == []
    page.keyboard.press("1")
    assert page.is_visible("text=How sure are you?")
    page.keyboard.press("Escape")
    page.keyboard.press("r")
    page.keyboard.type("1 ring, 2 a's")
    assert page.is_hidden("text=How sure are you?"), "what is typed is no answer"
    page.keyboard.press("Enter")
    page.keyboard.press("2")
    page.wait_for_timeout(SOON_MS)
    page.keyboard.press("3")
    second = wait_for_next(page, first)
    assert shown(page) == ["left", "original", "right"]
    assert not page.is_visible("text=(written)")

    judgment = judged(stack, [first, second])[first]
    assert (judgment["ranks"], judgment["confidence"]) == ([2, 1], 3)
    assert judgment["remark"] == "1 ring, 2 a's"
    assert codes(judgment) == [
        *("view-side-by-side", "covered", "chosen", "unchosen"),
        *("remark-on", "remark-off", "chosen"),
    ]
    at = {code: at for at, code in judgment["events"]}
    assert at["covered"] == pytest.approx(2500, abs=250)
    assert judgment["response_ms"] == at["chosen"], "that of the choice"


def test_a_reload_goes_on_with_the_clock_and_is_logged(stack, views, page):
    first = begin(page, views)
    page.wait_for_timeout(1000)
    page.reload()
    page.wait_for_selector("[data-painted]")
    assert painted(page) == first
    answer(page, "1")
    second = wait_for_next(page, first)
    answer(page, "1")
    wait_for_next(page, second)
    stored = judged(stack, [first, second])
    assert stored[first]["response_ms"] >= 1000 + SOON_MS
    assert codes(stored[first]) == ["again", "view-side-by-side"]
    assert stored[first]["events"][0][0] >= 1000
    assert stored[second]["response_ms"] < 1000
    assert codes(stored[second]) == ["view-side-by-side"]


WATCH_PICTURES = """
    // Whether any picture was ever to be seen on this page.
    window.saw = false;
    const look = () => {
      const images = [...document.querySelectorAll("[data-view] img")];
      window.saw ||= images.some((each) => each.checkVisibility({ visibilityProperty: true }));
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
"""


def test_pictures_that_were_covered_stay_so_after_a_reload(stack, asking, page):
    page.add_init_script(WATCH_PICTURES)
    first = begin(page, asking)
    page.wait_for_selector("text=Please answer now")
    assert page.evaluate("saw")
    page.reload()
    page.wait_for_selector("[data-painted]")
    page.wait_for_selector("text=Please answer now")
    page.wait_for_timeout(SOON_MS)
    assert not page.evaluate("saw")
    page.keyboard.press("1")
    page.wait_for_timeout(SOON_MS)
    page.keyboard.press("1")
    wait_for_next(page, first)
    judgment = judged(stack, [first])[first]
    assert judgment["response_ms"] >= 2500 + SOON_MS
    assert codes(judgment) == ["again", "view-side-by-side", "covered", "chosen"]


def test_a_browser_that_keeps_nothing_for_a_tab_judges_and_reloads(stack, views, page):
    page.add_init_script(
        """Object.defineProperty(window, "sessionStorage", {
             get() { throw new DOMException("not here", "SecurityError"); },
           });"""
    )
    first = begin(page, views)
    page.reload()
    page.wait_for_selector("[data-painted]")
    answer(page, "2")
    wait_for_next(page, first)
    assert judged(stack, [first])[first]["ranks"] == [2, 1]


def test_what_is_required_is_named_and_the_page_goes_on_when_it_is_met(stack, requiring, page):
    page.set_viewport_size({"width": 900, "height": 768})
    asked = []
    page.on("request", lambda request: asked.append(request.url.rsplit("/", 1)[-1]))
    page.goto(requiring)
    press_start(page)
    page.wait_for_selector("text=Make this window at least 1200 pixels wide; it is 900 now.")
    assert page.is_hidden("text=pixels high")
    assert "next" not in asked, "nothing is given to who cannot judge it"

    page.set_viewport_size({"width": 1366, "height": 768})
    page.wait_for_selector("[data-painted]")
    token = painted(page)
    page.set_viewport_size({"width": 1366, "height": 600})
    page.wait_for_selector("text=Make this window at least 700 pixels high; it is 600 now.")
    page.wait_for_timeout(SOON_MS)
    page.keyboard.press("1")
    page.set_viewport_size({"width": 1366, "height": 768})
    page.wait_for_selector("[data-pair]")
    assert judged(stack, [token]) == {}
    answer(page, "1")
    wait_for_next(page, token)
    judgment = judged(stack, [token])[token]
    assert codes(judgment) == ["again", "view-flip"]
    assert judgment["viewing"]["gamut"] in (0, 1, 2, 3)
    assert len(judgment["viewing"]) <= 20


def test_a_zoomed_page_is_refused_where_the_browser_tells(requiring, browser):
    with opened(browser, **DESK, device_scale_factor=1.25) as page:
        page.add_init_script(
            """window.chrome ??= {};
               Object.defineProperty(window, "outerWidth", { get: () => innerWidth * 1.25 });"""
        )
        page.goto(requiring)
        press_start(page)
        page.wait_for_selector("text=Set this page's zoom to 110 % or less")
        assert page.is_visible("text=it is 125 % now")


def test_a_phone_is_sent_to_a_computer_where_phones_are_not_served(requiring, browser):
    with opened(browser, **PHONE) as page:
        page.goto(requiring)
        page.tap("button:has-text('Start')")
        page.wait_for_selector("text=Please use a computer")


def test_judging_goes_on_offline_and_two_answers_are_sent_in_order_once(stack, views, page):
    sent = []
    page.on("requestfinished", lambda request: sent.append(request.post_data_json))
    first = begin(page, views)
    page.wait_for_load_state("networkidle")  # the next pair is loaded
    page.context.set_offline(True)
    page.wait_for_selector("text=The connection is interrupted.")
    answer(page, "1")
    second = wait_until_painted_after(page, first)
    page.wait_for_selector("text=Your answer is kept")
    answer(page, "2")
    page.wait_for_selector("text=Waiting for the connection")
    assert page.is_visible("text=Your 2 answers are kept")
    assert judged(stack, [first, second]) == {}

    page.context.set_offline(False)
    wait_for_next(page, second)
    stored = judged(stack, [first, second])
    assert [(token, each["ranks"]) for token, each in stored.items()] == [
        (first, [1, 2]),
        (second, [2, 1]),
    ]
    assert page.is_hidden("text=The connection is interrupted")
    answers = [each["assignment"] for each in sent if each and "assignment" in each]
    assert answers == [first, second]


def test_answers_that_wait_outlive_a_reload(stack, views, page):
    first = begin(page, views)
    page.wait_for_load_state("networkidle")
    page.route("**/judgments", lambda route: route.fulfill(body="<p>Log in to this network</p>"))
    answer(page, "1")
    second = wait_until_painted_after(page, first)
    answer(page, "2")
    page.wait_for_selector("text=Waiting for the connection")
    page.reload()
    page.wait_for_selector("text=Your 2 answers are kept")
    assert judged(stack, [first, second]) == {}
    page.unroute("**/judgments")
    wait_for_next(page, None)
    stored = judged(stack, [first, second])
    assert [each["ranks"] for each in stored.values()] == [[1, 2], [2, 1]]
    assert painted(page) not in (first, second)


def saying_unknown(route) -> None:
    route.fulfill(status=404, content_type="text/html", body="<h1>There is no such page</h1>")


def test_a_link_that_is_no_longer_known_says_so_and_what_is_unsent_is_kept(stack, views, page):
    first = begin(page, views)
    page.wait_for_load_state("networkidle")
    page.route("**/judgments", saying_unknown)
    answer(page, "1")
    page.wait_for_selector("text=This link is not known here.")
    assert page.is_hidden("[data-connection]")
    page.route("**/next", saying_unknown)
    page.reload()
    page.wait_for_selector("text=This link is not known here.")
    assert judged(stack, [first]) == {}

    page.unroute("**/judgments")
    page.unroute("**/next")
    page.click("text=Try again")
    wait_for_next(page, None)
    assert judged(stack, [first])[first]["ranks"] == [1, 2]
    page.route("**/next", saying_unknown)
    page.reload()
    page.wait_for_selector("text=This link is not known here.")


@pytest.mark.parametrize("has_locks", [True, False])
def test_two_tabs_share_what_is_unsent_and_lose_or_double_nothing(stack, views, page, has_locks):
    if not has_locks:
        page.context.add_init_script(
            "Object.defineProperty(Navigator.prototype, 'locks', { get: () => undefined })"
        )
    first = begin(page, views)
    page.wait_for_load_state("networkidle")
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("[data-painted]")
    other.wait_for_load_state("networkidle")
    page.context.set_offline(True)
    page.bring_to_front()
    answer(page, "1")
    second = wait_until_painted_after(page, first)
    other.bring_to_front()
    answer(other, "2")  # the same pair, later: the first answer stays
    assert wait_until_painted_after(other, first) == second
    answer(other, "2")
    other.wait_for_selector("text=Waiting for the connection")
    page.context.set_offline(False)
    third = wait_for_next(other, second)
    page.bring_to_front()
    page.wait_for_timeout(100)
    if painted(page) == second:  # it has not heard yet that the other tab answered it
        answer(page, "1")
    assert wait_for_next(page, second) == third
    stored = judged(stack, [first, second, third])
    assert [(token, each["ranks"]) for token, each in stored.items()] == [
        (first, [1, 2]),
        (second, [2, 1]),
    ]


def test_an_answer_whose_lease_ended_and_whose_place_was_taken_says_so_and_judging_goes_on(
    stack, photographs, browser, page
):
    link = stack.launch_study(
        "Last places",
        photographs,
        codecs=["avif", "jpeg", "webp"],
        bpp=[0.5],
        judgments_per_task=1,
    )["annotation_link"]
    first = begin(page, link)
    stack.sql_do(
        """UPDATE annotation_assignment SET lease_ends = now() - interval '1 minute'
           WHERE token = %s""",
        first,
    )
    judged_the_task = """SELECT j.assignment_id FROM annotation_judgment j
        JOIN annotation_assignment a ON a.id = j.assignment_id
        WHERE a.task_id = (SELECT task_id FROM annotation_assignment WHERE token = %s)"""
    with opened(browser) as other:
        theirs = begin(other, link)
        while not stack.sql(judged_the_task, first):
            answer(other, "2")
            theirs = wait_for_next(other, theirs)
    before = stack.sql(judged_the_task, first)
    answer(page, "1")
    second = wait_for_next(page, first)
    page.wait_for_selector("text=others have judged that pair meanwhile")
    assert stack.sql(judged_the_task, first) == before, "one judgment, of who was in time"
    answer(page, "1")
    wait_for(lambda: len(judged(stack, [second])) == 1)


WATCH_PAINTS = """
    // When each pair's three pictures have been painted, and when its key went down.
    window.seen = {}; window.pressed = {}; window.showing = null;
    const look = () => {
      const shown = [...document.querySelectorAll("[data-view] img[data-shown]")].filter(
        (image) => image.checkVisibility() && image.complete && image.naturalWidth
      );
      const token = shown.length === 3 && shown[0].src.split("/").at(-2).split(".")[0];
      if (token && token !== window.showing) {
        window.showing = token;
        const { port1, port2 } = new MessageChannel(); // its message comes after this frame's paint
        port1.onmessage = () => { window.seen[token] = performance.now(); };
        port2.postMessage(null);
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    addEventListener("keydown", (event) => {
      if (event.key === "1") window.pressed[window.showing] = event.timeStamp;
    }, true);
"""


@pytest.fixture(scope="module")
def large(stack, tmp_path_factory) -> str:
    """The link of a study of pictures of 512 x 512 pixels."""
    folder = tmp_path_factory.mktemp("large")
    for seed in range(2):
        small = Image.fromarray(factories.pixels(64, 64, seed=seed))
        small.resize((512, 512), Image.Resampling.BICUBIC).save(folder / f"large{seed}.png")
    return launch(stack, folder, "Large", codecs=["avif", "jpeg", "webp"], bpp=[0.5])


def test_the_next_pair_comes_at_once_and_times_are_true(stack, large, page):
    page.set_viewport_size({"width": 1700, "height": 900})
    page.add_init_script(WATCH_PAINTS)
    token = begin(page, large)
    tokens = []
    for _ in range(5):
        page.wait_for_load_state("networkidle")
        tokens.append(answer(page, "1"))
        token = wait_until_painted_after(page, token)
    wait_for(lambda: len(judged(stack, tokens)) == 5)
    seen, pressed = page.evaluate("[seen, pressed]")
    following = [*tokens[1:], token]
    waits = [seen[following[i]] - pressed[each] for i, each in enumerate(tokens)]
    stored = judged(stack, tokens)
    errors = [stored[each]["response_ms"] - (pressed[each] - seen[each]) for each in tokens]
    sys.stdout.write(
        f"\nfrom the key to the next pair: {statistics.median(waits):.0f} ms of {waits}"
        f"\nresponse times, stored minus seen: {statistics.median(errors):.0f} ms of {errors}\n"
    )
    assert abs(statistics.median(errors)) < 20


def test_a_ranking_is_covered_and_asked_about_too(stack, photographs, page):
    link = launch(
        stack,
        photographs,
        "Ranking",
        codecs=["avif", "jpeg", "webp"],
        task="ranking",
        bpp=[1.0],
        viewing={"limit_s": 0.5, "confidence": True, "remark": True},
    )
    first = begin(page, link)
    page.wait_for_selector("text=Please answer now")
    assert shown(page) == []
    page.keyboard.press("Enter")  # what is covered cannot be looked at any more
    page.wait_for_timeout(SOON_MS)
    page.keyboard.press("1")
    wait_for_next(page, first)
    judgment = judged(stack, [first])[first]
    assert (judgment["ranks"], judgment["confidence"]) == ([1, 2, 3], 1)
    assert codes(judgment) == ["show-1", "covered", "chosen"]

"""A ranking study, from its launch to its results, in a real browser on the whole stack."""

import pytest

from tests.e2e.conftest import wait_for
from tests.e2e.test_journeys import begin, wait_for_next

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("journeys")]

CODECS = ["avif", "jpeg", "webp"]
SOONEST_ANSWER_MS = 320


@pytest.fixture(scope="module")
def stack(shared_stack):
    return shared_stack


def launch(stack, photographs, name: str, **keys) -> dict:
    return stack.launch_study(
        name,
        photographs,
        codecs=CODECS,
        task="ranking",
        bpp=[1.0],
        judgments_per_task=1,
        **keys,
    )


def order_on_page(page) -> list[str]:
    return page.eval_on_selector_all(
        "[data-tray] [data-copy]", "each => each.map(e => e.dataset.copy)"
    )


def stored(stack, study: str) -> list[list[int]]:
    rows = stack.sql(
        """SELECT j.ranks FROM annotation_judgment j
           JOIN annotation_assignment a ON a.id = j.assignment_id
           JOIN annotation_task t ON t.id = a.task_id
           JOIN evaluation_study s ON s.campaign_id = t.campaign_id
           WHERE s.name = %s ORDER BY j.id""",
        study,
    )
    return [ranks for (ranks,) in rows]


def look_at_all(page) -> None:
    for place in "123":
        page.keyboard.press(place)
    page.wait_for_timeout(SOONEST_ANSWER_MS)


def test_rankings_are_given_by_keyboard_alone_and_stored_as_they_stood(stack, photographs, page):
    launched = launch(stack, photographs, "Keys")
    token = begin(page, launched["annotation_link"])
    expected = []
    while token:
        page.keyboard.press("Enter")  # nothing was looked at yet: it is not taken
        assert "Not looked at yet" in page.inner_text("[data-done-words]")
        look_at_all(page)
        page.keyboard.press("1")
        page.keyboard.press("f")  # the first goes one place farther
        shown = order_on_page(page)
        expected.append([shown.index(str(position)) + 1 for position in (1, 2, 3)])
        page.keyboard.press("Enter")
        token = wait_for_next(page, token)
    assert page.is_visible("text=You judged 3 sets.")
    assert stored(stack, "Keys") == expected
    assert expected[0] == [2, 1, 3]


def test_a_reload_keeps_the_draft(stack, photographs, page):
    launched = launch(stack, photographs, "Draft")
    begin(page, launched["annotation_link"])
    look_at_all(page)
    page.keyboard.press("3")
    page.keyboard.press("c")
    before = order_on_page(page)
    assert before == ["1", "3", "2"]
    page.reload()
    page.wait_for_selector("[data-painted]")
    assert order_on_page(page) == before
    assert "This is my order" in page.inner_text("[data-done-words]")


def test_a_card_is_dragged_to_its_place(stack, photographs, page):
    launched = launch(stack, photographs, "Drag")
    begin(page, launched["annotation_link"])
    first, last = (page.locator("[data-tray] [data-copy]").nth(i).bounding_box() for i in (0, 2))
    page.mouse.move(last["x"] + 20, last["y"] + 20)
    page.mouse.down()
    page.mouse.move(first["x"] + 20, first["y"] + 20, steps=8)
    page.mouse.up()
    assert order_on_page(page) == ["3", "1", "2"]


def test_copies_share_a_place_where_ties_are_allowed(stack, photographs, page):
    launched = launch(stack, photographs, "Ties", allow_ties=True)
    token = begin(page, launched["annotation_link"])
    look_at_all(page)
    page.keyboard.press("2")
    page.keyboard.press("t")
    page.keyboard.press("Enter")
    wait_for_next(page, token)
    assert stored(stack, "Ties") == [[1, 1, 2]]


def test_a_ranking_is_given_by_touch_on_a_phone(stack, photographs, browser):
    launched = launch(stack, photographs, "Touch")
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    )
    page = context.new_page()
    page.goto(launched["annotation_link"])
    page.tap("button:has-text('Start')")
    page.wait_for_selector("[data-painted]")
    token = page.get_attribute("[data-judge]", "data-painted")
    for copy in "123":
        page.tap(f"[data-tray] [data-copy='{copy}']")
    drag_by_touch(page, "[data-tray] [data-copy='3']", "[data-tray] [data-copy='1']")
    wait_for(lambda: order_on_page(page) == ["3", "1", "2"])
    page.tap("[data-farther]")
    wait_for(lambda: order_on_page(page) == ["1", "3", "2"], seconds=5)
    page.wait_for_timeout(SOONEST_ANSWER_MS)
    page.tap("[data-done]")
    wait_for_next(page, token)
    page.wait_for_function("document.querySelector('[data-judge]').dataset.unsent === '0'")
    assert stored(stack, "Touch") == [[1, 3, 2]]
    context.close()


def drag_by_touch(page, what: str, to: str) -> None:
    (x, y), (to_x, to_y) = (
        (box["x"] + 20, box["y"] + 20)
        for box in (page.locator(each).bounding_box() for each in (what, to))
    )
    touch = page.context.new_cdp_session(page)

    def send(kind: str, *points) -> None:
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": list(points)})

    send("touchStart", {"x": x, "y": y})
    for step in range(1, 9):
        part = step / 8
        send("touchMove", {"x": x + (to_x - x) * part, "y": y + (to_y - y) * part})
        page.wait_for_timeout(30)
    page.wait_for_timeout(300)  # a finger that is lifted in motion flings, which eats the next tap
    send("touchEnd")

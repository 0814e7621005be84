"""A researcher looks closely at what codecs make of a picture, in a real browser."""

import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import Stack, own_folder
from tests.e2e.test_journeys import sign_in

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("registry")]


@pytest.fixture(scope="module")
def stack(photographs, prepared):
    with own_folder() as folder:
        running = Stack(folder, prepared=prepared).start()
        running.make_researcher()
        running.launch_study("Close", photographs, bpp=[0.5, 1.5])
        yield running


@pytest.fixture
def viewer(page, stack):
    """The page of a source image, signed in, with both pictures decoded."""
    sign_in(page, stack)
    page.click("nav >> text=Images")
    page.click("text=photo0.png")
    page.wait_for_selector("[data-stage][data-ready]:focus")
    return page


def settled(page) -> None:
    """What was asked for is painted: two frames have passed."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => setTimeout(done, 50)))")


def screen(page) -> np.ndarray:
    """The stage as it is seen, (H, W, 3)."""
    settled(page)
    taken = page.locator("[data-stage]").screenshot()
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB"))


def picture(page, side: str) -> np.ndarray:
    """The file that is chosen on a side, as it is served, (H, W, 3)."""
    address = page.locator(f"#side-{side} option:checked").get_attribute("data-src")
    body = page.request.get(re.match(r"https?://[^/]+", page.url)[0] + address).body()
    return np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))


def place(page) -> dict:
    """Where the pictures lie on the page, and how large."""
    settled(page)
    return page.locator("[data-pictures]").bounding_box()


def seen(page) -> np.ndarray:
    """The part of the page on which the pictures lie, (H, W, 3); for pictures shown whole."""
    box = place(page)
    taken = page.screenshot(clip=box)
    return np.asarray(Image.open(io.BytesIO(taken)).convert("RGB"))


def test_a_flip_shows_the_other_picture_at_the_same_place_pixel_for_pixel(viewer):
    a, b = picture(viewer, "a"), picture(viewer, "b")
    assert not np.array_equal(a, b)
    lies = place(viewer)
    assert np.array_equal(seen(viewer), b)
    viewer.keyboard.press("Space")
    assert np.array_equal(seen(viewer), a)
    viewer.keyboard.press("f")
    assert np.array_equal(seen(viewer), b)
    assert place(viewer) == lies


def test_a_zoom_and_a_move_are_kept_by_a_flip_and_by_the_next_codec(viewer):
    whole = place(viewer)
    for _ in range(3):
        viewer.keyboard.press("+")
    for arrow in ("ArrowRight", "ArrowDown"):
        viewer.keyboard.press(f"Shift+{arrow}")
    moved = place(viewer)
    assert moved["width"] == 8 * whole["width"]
    before = screen(viewer)
    viewer.keyboard.press("Space")
    assert not np.array_equal(screen(viewer), before)
    assert place(viewer) == moved
    viewer.keyboard.press("Space")
    assert np.array_equal(screen(viewer), before)
    viewer.keyboard.press("ArrowRight")
    viewer.wait_for_selector("[data-status]:has-text('WebP')")
    assert place(viewer) == moved
    for _ in range(9):
        viewer.keyboard.press("-")
    assert place(viewer) == whole


def test_zoomed_pixels_are_plain_squares(viewer):
    viewer.keyboard.press("4")
    box, stage = place(viewer), viewer.locator("[data-stage]").bounding_box()
    # Of what the stage shows, a part that the ring around what has the focus does not reach.
    clip = {"x": box["x"], "y": round(stage["y"]) + 8, "width": box["width"], "height": 400}
    shown = np.asarray(Image.open(io.BytesIO(viewer.screenshot(clip=clip))).convert("RGB"))
    squares = np.kron(picture(viewer, "b"), np.ones((4, 4, 1), np.uint8))
    top = round(clip["y"] - box["y"])
    assert np.array_equal(shown, squares[top : top + 400])


def test_a_picture_is_moved_by_dragging(viewer):
    viewer.keyboard.press("8")
    before = place(viewer)
    viewer.mouse.move(600, 400)
    viewer.mouse.down()
    viewer.mouse.move(570, 380, steps=3)
    viewer.mouse.up()
    after = place(viewer)
    assert (after["x"] - before["x"], after["y"] - before["y"]) == (-30, -20)


def test_arrows_step_b_through_the_codecs_and_the_rates(viewer):
    def chosen() -> str:
        return viewer.locator("#side-b option:checked").inner_text()

    assert chosen() == "JPEG, 0.5 bpp"
    viewer.keyboard.press("ArrowRight")
    assert chosen() == "WebP, 0.5 bpp"
    viewer.keyboard.press("ArrowUp")
    assert chosen() == "WebP, 1.5 bpp"
    viewer.keyboard.press("ArrowRight")
    assert chosen() == "JPEG, 1.5 bpp"


def test_the_table_chooses_a_picture_and_the_address_keeps_it(viewer):
    viewer.click("tr:has-text('WebP') >> a >> nth=1")
    viewer.wait_for_selector("[data-status]:has-text('WebP, 1.5')")
    shown = seen(viewer)
    assert np.array_equal(shown, picture(viewer, "b"))
    viewer.reload()
    viewer.wait_for_selector("[data-stage][data-ready]:focus")
    assert np.array_equal(seen(viewer), shown)


def test_a_picture_that_does_not_arrive_leaves_the_one_that_is_there_and_its_name(viewer):
    shown = seen(viewer)
    viewer.route("**/reconstructions/*.png*", lambda route: route.abort())
    viewer.select_option("#side-b", label="WebP, 1.5 bpp")
    viewer.wait_for_selector("text=WebP, 1.5 bpp could not be loaded")
    assert np.array_equal(seen(viewer), shown)
    assert np.array_equal(shown, picture(viewer, "b")), "the choice names what is seen"
    viewer.focus("[data-stage]")
    for said in ("A: Original", "B: JPEG, 0.5 bpp"):
        viewer.keyboard.press("Space")
        assert viewer.inner_text("[data-status]").startswith(said)


def test_without_scripts_there_is_the_original_and_a_table_that_leads_to_every_picture(
    stack, browser
):
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{stack.url}/images")
    page.fill("[name=username]", "ada")
    page.fill("[name=password]", "a long password")
    page.keyboard.press("Enter")
    page.click("text=photo0.png")
    assert page.is_visible("img[alt='The original']")
    assert not page.is_visible("[data-flip]")
    links = [link.get_attribute("href") for link in page.query_selector_all(".matrix a")]
    assert len(links) == 4
    for link in links:
        assert page.request.get(stack.url + link).headers["content-type"] == "image/png"
    context.close()


def test_the_rates_of_a_collection_are_drawn(stack, page):
    sign_in(page, stack)
    page.click("nav >> text=Rate-distortion")
    page.wait_for_selector("svg.marks")
    assert page.is_visible("h2:has-text('PSNR')")
    with page.expect_download() as download:
        page.click("text=Download (CSV)")
    assert len(download.value.path().read_text().splitlines()) == 1 + 3 * 2 * 2

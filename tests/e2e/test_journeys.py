"""Each user's journey, in a real browser, on the whole stack."""

import csv
import hashlib
import io
import json
import re
import tarfile
import time
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from tests.e2e.conftest import wait_for

pytestmark = [pytest.mark.stack, pytest.mark.browser, pytest.mark.xdist_group("journeys")]

SOONEST_ANSWER_MS = 300


@pytest.fixture(scope="module")
def stack(shared_stack):
    return shared_stack


def wait_for_next(page, shown: str | None) -> str | None:
    """The token of the pair that is painted after `shown`, once the server has all answers; None
    when the thank-you is up."""
    page.wait_for_function(
        """shown => {
             const { painted, unsent } = document.querySelector("[data-judge]").dataset;
             const isOver = document.querySelector("[data-thanks]").checkVisibility();
             return isOver || ((painted ?? shown) !== shown && !Number(unsent ?? 0));
           }""",
        arg=shown,
    )
    if page.is_visible("[data-thanks]"):
        return None
    return page.get_attribute("[data-judge]", "data-painted")


def begin(page, link: str) -> str:
    page.goto(link)
    press_start(page)
    page.wait_for_selector("[data-painted]")
    return page.get_attribute("[data-judge]", "data-painted")


def press_start(page) -> None:
    page.wait_for_selector("button:focus:has-text('Start')")
    page.keyboard.press("Enter")


def sign_in(page, stack, name: str = "ada", password: str = "a long password") -> None:
    page.goto(f"{stack.url}/")
    page.wait_for_selector("[name=username]:focus")  # where the page puts it, to type at once
    page.keyboard.type(name)
    page.keyboard.press("Tab")
    page.keyboard.type(password)
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('Studies')")


def stored_choices(stack, study: str) -> dict[str, str]:
    return dict(
        stack.sql(
            """SELECT a.token, CASE WHEN j.ranks[1] = 1 THEN 'left' ELSE 'right' END
               FROM annotation_judgment j JOIN annotation_assignment a ON a.id = j.assignment_id
               JOIN annotation_task t ON t.id = a.task_id
               JOIN evaluation_study s ON s.campaign_id = t.campaign_id WHERE s.name = %s""",
            study,
        )
    )


def stored_wins(stack, study: str) -> Counter:
    """Wins by (stratum, codec), counted in the database and nowhere else."""
    return Counter(
        (f"{float(bpp):g}", codec)
        for bpp, codec in stack.sql(
            """SELECT t.target_bpp, r.codec FROM annotation_judgment j
               JOIN annotation_assignment a ON a.id = j.assignment_id
               JOIN annotation_task t ON t.id = a.task_id
               JOIN codecs_registry_reconstruction r
                 ON r.id = a.shown[array_position(j.ranks, 1::smallint)]
               JOIN evaluation_study s ON s.campaign_id = t.campaign_id WHERE s.name = %s""",
            study,
        )
    )


def pixels_of(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def test_a_study_is_judged_by_keyboard_with_a_reload_and_the_researcher_sees_just_that(
    stack, photographs, page
):
    launched = stack.launch_study("Journey", photographs, bpp=[0.5, 1.5], judgments_per_task=1)
    pressed: dict[str, str] = {}

    token = begin(page, launched["annotation_link"])
    link = page.url
    while token:
        if len(pressed) == 3:
            page.reload()
            page.wait_for_selector("[data-painted]")
            assert page.get_attribute("[data-judge]", "data-painted") == token
        page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
        key, side = [("1", "left"), ("ArrowRight", "right"), ("2", "right")][len(pressed) % 3]
        page.keyboard.press(key)
        pressed[token] = side
        token = wait_for_next(page, token)

    assert page.is_visible("text=You judged 6 pairs.")
    assert stored_choices(stack, "Journey") == pressed
    page.goto(launched["annotation_link"])
    assert page.url == link, "the campaign's link leads back to the annotator's own"
    assert wait_for_next(page, None) is None

    sign_in(page, stack)
    page.click("text=Journey")
    page.wait_for_load_state()  # all of a long page
    assert page.is_visible("text=6 of 6 wanted")

    def is_analysed() -> bool:  # a worker may be at it at this very moment
        page.reload()
        return page.is_visible("text=Analysis of 6 judgments")

    wait_for(is_analysed, seconds=60)
    shown_wins = Counter()
    for panel in page.query_selector_all("section[aria-labelledby^=stratum]"):
        stratum = panel.query_selector("h2").inner_text().split()[0]
        for row in panel.query_selector_all("table >> nth=0 >> tbody tr"):
            cells = [cell.inner_text() for cell in row.query_selector_all("td")]
            shown_wins[f"{float(stratum):g}", cells[0]] += int(cells[5])
    assert +shown_wins == stored_wins(stack, "Journey")
    assert page.query_selector("svg.marks"), "a plot beside the table"

    page.click("text=Data: judgments and datasets")
    with page.expect_download() as download:
        page.click("text=Download judgments")
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert len(rows) == 6
    assert Counter((f"{float(r['stratum']):g}", r[r["chosen"]]) for r in rows) == stored_wins(
        stack, "Journey"
    )
    assert {row["simulated"] for row in rows} == {"false"}


def test_the_exported_dataset_holds_what_was_judged(stack, photographs, data_folder):
    stack.launch_study("Export", photographs, bpp=[0.5], judgments_per_task=4)
    stack.manage(
        *("simulate_annotators", "Export", "--annotators", "4", "--judgments", "9", "--seed", "3")
    )
    stack.manage(
        *("export_dataset", "Export", str(data_folder / "out"), "--format", "bapps"),
        *("--population", "simulated"),
    )

    root = data_folder / "out" / "2afc"
    subsets = sorted({path.parent.name for path in root.glob("*/*/judge")})
    assert subsets == ["simulated-bpp-0.5"], "simulated judgments cannot be taken for people's"
    manifest = {
        (row["split"], row["file"]): row
        for row in csv.DictReader((data_folder / "out" / "manifest.csv").read_text().splitlines())
    }
    votes = stack.sql(
        """SELECT src.sha256, r.codec, count(*) FROM annotation_judgment j
           JOIN annotation_assignment a ON a.id = j.assignment_id
           JOIN annotation_task t ON t.id = a.task_id
           JOIN evaluation_study s ON s.campaign_id = t.campaign_id
           JOIN codecs_registry_sourceimage src ON src.id = t.source_id
           JOIN codecs_registry_reconstruction r
             ON r.id = a.shown[array_position(j.ranks, 1::smallint)]
           WHERE s.name = 'Export' GROUP BY 1, 2"""
    )
    wins = {(sha256, codec): count for sha256, codec, count in votes}
    for judge in root.glob("*/*/judge/*.npy"):
        row = manifest[judge.parents[2].name, judge.stem]
        share = np.load(judge)
        assert share.dtype == np.float32
        assert share.shape == (1,)
        assert share[0] == wins.get((row["sha256"], row["p1_codec"]), 0) / 4
        ref, p0, p1 = (
            pixels_of(judge.parents[1] / part / f"{judge.stem}.png") for part in ("ref", "p0", "p1")
        )
        assert np.array_equal(ref, pixels_of(photographs / row["content"]))
        assert ref.shape == p0.shape == p1.shape == (120, 160, 3)
    assert len(manifest) == 3


def test_a_researcher_launches_a_study_by_the_page_and_watches_it_open(stack, photographs, page):
    sign_in(page, stack)
    page.click("text=New study")
    page.fill("[name=collection]", "Uploaded")
    page.set_input_files("[name=photographs]", sorted(photographs.iterdir()))
    page.click("text=Add photographs")
    page.wait_for_selector("text=3 photographs are in “Uploaded”.")
    page.fill("[name=name]", "By the page")
    page.select_option("[name=images]", "Uploaded")
    page.fill("[name=bpp]", "0.8 1.6")
    page.click("button:has-text('Launch')")
    page.wait_for_selector("text=No judgments yet", timeout=60_000)  # with no reload
    link = page.input_value("#annotation-link")
    desk = page.context.new_page()
    desk.goto(page.url)
    assert desk.inner_text("#live dd >> nth=0") == "0 of 108 wanted"
    token = begin(page, link)
    page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
    page.keyboard.press("1")
    wait_for_next(page, token)
    desk.wait_for_selector("#live dd:has-text('1 of 108 wanted')", timeout=30_000)  # by itself
    desk.click("text=Preview what annotators see")
    desk.wait_for_selector("[data-painted]")
    desk.wait_for_timeout(SOONEST_ANSWER_MS + 20)
    desk.keyboard.press("2")
    desk.wait_for_selector("[data-progress]:has-text('Pair 2')")
    desk.click("text=Back to the study")
    desk.click("button:has-text('Pause')")
    assert desk.is_visible(".tag:has-text('paused')")
    assert desk.inner_text("#live dd >> nth=0") == "1 of 108 wanted", "a preview counts nowhere"


def test_a_study_is_built_judged_stopped_by_its_intervals_reported_and_taken_home(
    stack, photographs, page
):
    sign_in(page, stack)
    page.goto(f"{stack.url}/studies/new")
    page.fill("[name=collection]", "Desk")
    page.set_input_files("[name=photographs]", sorted(photographs.iterdir()))
    page.click("text=Add photographs")
    page.wait_for_selector("text=3 photographs are in “Desk”.")
    page.fill("[name=name]", "The desk")
    page.select_option("[name=images]", "Desk")
    for codec in ("jpeg2000", "webp"):
        page.uncheck(f"[name=codecs][value={codec}]")
    page.fill("[name=bpp]", "0.8 1.6")
    page.fill("[name=judgments_per_task]", "60")
    page.fill("[name=target_width]", "4")
    page.locator("#plan >> text=6 questions").wait_for()
    page.click("button:has-text('Launch')")
    page.wait_for_selector("text=No judgments yet", timeout=60_000)

    def widths() -> dict[str, list[float]]:
        """How wide the widest interval was at each bit rate, time after time."""
        found = stack.sql(
            """SELECT w.stratum, array_agg(w.widest ORDER BY w.n_judgments)
               FROM evaluation_intervalwidth w JOIN evaluation_study s ON s.id = w.study_id
               WHERE s.name = 'The desk' AND w.widest IS NOT NULL GROUP BY 1"""
        )
        return dict(found)

    for annotators, seed in ((8, 1), (30, 2)):
        stack.manage(
            *("simulate_annotators", "The desk", "--annotators", str(annotators)),
            *("--judgments", str(6 * annotators), "--seed", str(seed)),
        )
        wait_for(widths, seconds=60)
        page.wait_for_selector("#live figure >> text=widest 95 % interval", timeout=60_000)
    page.wait_for_selector("text=This study closed itself", timeout=120_000)
    assert all(each[-1] <= 4 for each in widths().values())
    assert any(each[-1] < each[0] for each in widths().values()), "they shrank"

    # Every number of the tables is that of the document, at its place.
    told = stack.manage("analyse", "The desk", "--simulated", "--json")
    document = json.loads(told.stdout)
    page.reload()
    shown = {}
    for panel in page.query_selector_all("section[aria-labelledby^=stratum]"):
        stratum = panel.query_selector("h2").inner_text().split()[0]
        rows = panel.query_selector_all("table >> nth=0 >> tbody tr")
        for row in rows:
            codec, score, interval, _, _, wins, n, share, *_ = (
                cell.inner_text().replace("\N{MINUS SIGN}", "-")
                for cell in row.query_selector_all("td")
            )
            shown[stratum, codec] = (score, interval, wins, n, share)
    expected = {}
    for stratum, values in document["strata"].items():
        of_wins = {each["condition"]: each for each in values["win_share"]}
        for each in values["scale"]:
            won = of_wins[each["condition"]]
            expected[stratum, each["condition"]] = (
                f"{each['score']:+.2f}",
                f"[{each['low']:+.2f}, {each['high']:+.2f}]",
                f"{won['share'] * won['n']:.0f}",
                f"{won['n']:.0f}",
                f"{100 * won['share']:.1f}%",
            )
    assert shown == expected
    with page.expect_download() as download:
        page.click("text=Download results (JSON)")
    assert json.loads(download.value.path().read_text()) == document
    for kind, begins in (("HTML", b"<!doctype html>"), ("PDF", b"%PDF")):
        with page.expect_download() as download:
            page.click(f"text=Download report ({kind})")
        assert download.value.path().read_bytes().lstrip().startswith(begins)

    page.click("text=Data: judgments and datasets")
    page.check("[name=format][value=webdataset]")
    page.click("button:has-text('Make it')")
    with page.expect_download(timeout=60_000) as download:
        page.click("#exports a:has-text('Download')", timeout=60_000)
    with tarfile.open(download.value.path()) as archive:
        sums = next(each for each in archive if each.name.endswith("SHA256SUMS"))
        listed = archive.extractfile(sums).read().decode().splitlines()
        folder = sums.name.removesuffix("SHA256SUMS")
        for line in listed:
            digest, name = line.split(maxsplit=1)
            content = archive.extractfile(folder + name.lstrip("*")).read()
            assert hashlib.sha256(content).hexdigest() == digest
    assert any(line.endswith(".tar") for line in listed)


def test_a_study_is_planned_by_keyboard_and_its_plan_follows_each_edit(stack, photographs, page):
    stack.manage("import_images", str(photographs), "--collection", "Keys")
    sign_in(page, stack)
    page.goto(f"{stack.url}/studies/new")
    page.focus("[name=name]")
    page.keyboard.type("By keys")
    plan = page.locator("#plan")
    plan.locator("text=ready to launch").wait_for()
    page.focus("[name=images]")
    page.keyboard.type("Keys")
    page.focus("[name=bpp]")
    page.keyboard.press("Control+a")
    page.keyboard.type("0.8 1.6 many")
    # The problem is told beside its field, and a link in the plan leads there.
    page.wait_for_selector("#id_bpp_problem >> text=must be a list of bits per pixel")
    assert page.get_attribute("#id_bpp", "aria-invalid") == "true"
    page.keyboard.press("Control+a")
    page.keyboard.type("0.8 1.6")
    plan.locator("text=36 questions").wait_for()  # 3 photographs x 2 rates x 6 pairs
    # What is in a closed group opens by Enter, and is reached by Tab.
    page.focus("details:has([id=id_viewing-crop]) > summary")
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.type("4000")
    link = plan.locator("a", has_text="Part that is shown")
    link.wait_for()
    page.focus("[name=name]")
    link.focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.name") == "viewing.crop"
    page.keyboard.press("Control+a")
    page.keyboard.press("Delete")
    plan.locator("text=ready to launch").wait_for()
    page.keyboard.press("Enter")  # in a field: it checks, and launches nothing
    page.wait_for_url("**/studies/new?check")
    assert page.input_value("[name=name]") == "By keys"
    assert page.input_value("[name=bpp]") == "0.8 1.6"
    page.focus("button:has-text('Launch')")
    page.keyboard.press("Enter")
    page.wait_for_selector("h1:has-text('By keys')")


def test_holding_space_shows_the_original_in_place_of_both_copies(stack, photographs, page):
    launched = stack.launch_study("Flip", photographs, bpp=[0.5])
    begin(page, launched["annotation_link"])

    def shown() -> list[str]:
        return page.evaluate(
            """() => ["left", "original", "right"].map(position =>
                [...document.querySelectorAll(`[data-view=${position}] img`)]
                  .filter(image => getComputedStyle(image).visibility === "visible")
                  .map(image => image.src.split("/").pop()).join())"""
        )

    assert shown() == ["left", "original", "right"]
    page.keyboard.down("Space")
    assert shown() == ["original", "original", "original"]
    page.keyboard.up("Space")
    assert shown() == ["left", "original", "right"]
    assert stored_choices(stack, "Flip") == {}


def test_a_picture_is_shown_pixel_for_pixel_whatever_the_screen_scale(stack, photographs, browser):
    launched = stack.launch_study("Scale", photographs, bpp=[0.5])
    for ratio in (1, 1.25, 1.5, 2):
        context = browser.new_context(
            viewport={"width": 1366, "height": 768}, device_scale_factor=ratio
        )
        page = context.new_page()
        begin(page, launched["annotation_link"])
        box = page.query_selector("[data-view=left] img").bounding_box()
        left, top, width, height = (box[side] * ratio for side in ("x", "y", "width", "height"))
        assert (width, height) == pytest.approx((160, 120))
        assert (left, top) == pytest.approx((round(left), round(top)))
        source = page.get_attribute("[data-view=left] img", "src")
        stored = np.asarray(Image.open(io.BytesIO(page.request.get(stack.url + source).body())))
        screen = np.asarray(Image.open(io.BytesIO(page.screenshot(scale="device"))).convert("RGB"))
        seen = screen[round(top) : round(top) + 120, round(left) : round(left) + 160]
        assert np.array_equal(seen, stored)
        context.close()


def test_a_window_that_is_too_narrow_takes_no_answer_and_says_what_to_do(stack, photographs, page):
    launched = stack.launch_study("Narrow", photographs, bpp=[0.5])
    token = begin(page, launched["annotation_link"])
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_selector("text=This window is too narrow")
    page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
    page.keyboard.press("1")
    page.set_viewport_size({"width": 1366, "height": 768})
    page.wait_for_selector("[data-pair]")
    assert stored_choices(stack, "Narrow") == {}
    page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
    page.keyboard.press("2")
    wait_for_next(page, token)
    assert stored_choices(stack, "Narrow") == {token: "right"}


def test_a_double_click_or_a_held_key_answers_one_pair_only(stack, photographs, page):
    launched = stack.launch_study("Double", photographs, bpp=[0.5])
    begin(page, launched["annotation_link"])
    page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
    page.dblclick("[data-closest=left]")
    page.wait_for_timeout(200)
    assert len(stored_choices(stack, "Double")) == 1


def test_an_answer_given_while_the_connection_is_down_is_sent_when_it_is_back(
    stack, photographs, page
):
    launched = stack.launch_study("Offline", photographs, bpp=[0.5])
    token = begin(page, launched["annotation_link"])
    page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
    page.context.set_offline(True)
    page.keyboard.press("2")
    page.wait_for_selector("text=The connection is interrupted. Your answer is kept")
    assert stored_choices(stack, "Offline") == {}
    page.context.set_offline(False)
    wait_for_next(page, token)
    assert stored_choices(stack, "Offline") == {token: "right"}


def test_a_picture_that_does_not_arrive_is_no_answer_and_its_pair_is_given_back(
    stack, photographs, page
):
    launched = stack.launch_study("Broken", photographs, bpp=[0.5], judgments_per_annotator=1)
    page.route("**/stimuli/**/left", lambda route: route.abort())
    page.goto(launched["annotation_link"])
    press_start(page)
    page.wait_for_selector("button:focus:has-text('Try again')")
    assert page.is_visible("text=The pictures could not be shown")
    page.unroute("**/stimuli/**/left")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-painted]")
    assert stored_choices(stack, "Broken") == {}


def test_two_tabs_of_one_annotator_make_one_judgment(stack, photographs, page):
    launched = stack.launch_study("Tabs", photographs, bpp=[0.5])
    token = begin(page, launched["annotation_link"])
    other = page.context.new_page()
    other.goto(page.url)
    other.wait_for_selector("[data-painted]")
    assert other.get_attribute("[data-judge]", "data-painted") == token
    for tab, key in ((page, "1"), (other, "2")):
        tab.bring_to_front()
        tab.wait_for_timeout(SOONEST_ANSWER_MS + 20)
        tab.keyboard.press(key)
        wait_for_next(tab, token)
    assert stored_choices(stack, "Tabs") == {token: "left"}


WATCH_THE_SCREEN = """
    // What a bystander sees, frame by frame, and when keys go down.
    window.seen = {}; window.pressed = {}; window.showing = null;
    const look = (now) => {
      const shown = [...document.querySelectorAll("[data-view] img")].filter(
        (image) => getComputedStyle(image).visibility === "visible" && image.checkVisibility()
      );
      if (shown.length === 3 && shown.every((image) => image.complete && image.naturalWidth)) {
        window.showing = shown[0].src.split("/").at(-2).split(".")[0];
        window.seen[window.showing] ??= now;
      }
      requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
    addEventListener("keydown", (event) => {
      if (event.key === "1") window.pressed[window.showing] = event.timeStamp;
    }, true);
"""


def test_stored_response_times_are_those_from_paint_to_key(stack, photographs, page):
    launched = stack.launch_study("Timing", photographs, bpp=[0.5])

    def late(route):  # pictures that come late must not count as thinking
        time.sleep(0.3)
        route.continue_()

    page.route("**/stimuli/**/right", late)
    page.add_init_script(WATCH_THE_SCREEN)
    token = begin(page, launched["annotation_link"])
    truth = {}
    while token:
        page.wait_for_timeout(500)
        page.keyboard.press("1")
        following = wait_for_next(page, token)
        truth[token] = page.evaluate("token => pressed[token] - seen[token]", token)
        token = following
    stored = dict(
        stack.sql(
            """SELECT a.token, j.response_ms FROM annotation_judgment j
               JOIN annotation_assignment a ON a.id = j.assignment_id WHERE a.token = ANY(%s)""",
            list(truth),
        )
    )
    assert len(stored) == 3
    for token, milliseconds in truth.items():
        # Three frames of 60 Hz: on this machine's software renderer a frame can come late.
        assert stored[token] == pytest.approx(milliseconds, abs=50)


def test_without_scripts_the_judging_page_says_what_it_needs(stack, photographs, browser):
    launched = stack.launch_study("No script", photographs, bpp=[0.5])
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(launched["annotation_link"])
    said = page.locator("noscript >> css=*:has-text('Judging needs JavaScript')").first
    assert said.is_visible()
    press_start(page)
    page.wait_for_selector("[data-judge]", state="attached")
    assert said.is_visible()
    context.close()


def test_a_simulated_study_says_so_everywhere(stack, photographs, page):
    stack.launch_study("Made up", photographs, bpp=[0.5], judgments_per_task=2)
    said = stack.manage(
        *("simulate_annotators", "Made up", "--annotators", "2", "--judgments", "3", "--seed", "1")
    )
    assert re.search(r"6 simulated judgments by 2 annotators", said.stdout)
    sign_in(page, stack)
    assert page.is_visible("tr:has-text('Made up') >> text=+ 6 simulated")
    page.click("text=Made up")
    assert page.is_visible("text=Everything below was answered by simulated annotators")
    page.click("text=Data: judgments and datasets")
    with page.expect_download() as download:
        page.click("text=Download judgments")
    rows = list(csv.DictReader(download.value.path().read_text().splitlines()))
    assert [row["simulated"] for row in rows] == ["true"] * 6


def test_active_sampling_says_by_itself_what_is_asked_next(stack, photographs):
    stack.launch_study(
        "Active",
        photographs,
        codecs=["avif", "jpeg", "webp"],
        bpp=[0.5],
        judgments_per_task=9,
        sampling="active",
    )
    in_study = """campaign_id = (SELECT campaign_id FROM evaluation_study WHERE name = 'Active')"""
    marked = f"SELECT id FROM annotation_task WHERE priority > 0 AND {in_study}"  # noqa: S608
    wait_for(lambda: stack.sql(marked))
    stack.manage(
        *("simulate_annotators", "Active", "--annotators", "3", "--judgments", "4", "--seed", "1")
    )
    [[asked_for]] = stack.sql(
        f"""SELECT count(*) FROM annotation_assignment a JOIN annotation_task t ON t.id = a.task_id
            WHERE a.priority > 0 AND t.{in_study}"""  # noqa: S608
    )
    assert asked_for > 0
    [[before]] = stack.sql("SELECT sampled_until FROM evaluation_study WHERE name = 'Active'")
    wait_for(lambda: stack.sql(marked))
    assert before is not None


def test_an_answer_that_was_never_acknowledged_is_sent_when_the_page_opens_again(
    stack, photographs, page
):
    launched = stack.launch_study("Unsent", photographs, bpp=[1.0], judgments_per_task=1)
    token = begin(page, launched["annotation_link"])
    address = page.url
    page.route("**/judgments", lambda route: route.abort())
    page.wait_for_timeout(SOONEST_ANSWER_MS + 20)
    page.keyboard.press("1")
    page.wait_for_selector("text=Your answer is kept")
    assert stored_choices(stack, "Unsent") == {}

    page.close()
    again = page.context.new_page()
    again.goto(address)
    wait_for_next(again, token)
    assert stored_choices(stack, "Unsent") == {token: "left"}
    again.reload()
    again.wait_for_selector("[data-painted]")
    assert stored_choices(stack, "Unsent") == {token: "left"}, "sent once"
    again.close()

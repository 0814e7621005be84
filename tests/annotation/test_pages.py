"""The annotator's pages: what they show in every state, what they take and what they refuse."""

import json
import re
from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse

from annotation import serving
from annotation.joining import issue_simulation_pass
from annotation.models import Annotator, Assignment, Campaign, Judgment
from codecs_registry import clock
from codecs_registry.tasks import encode_owed
from tests import factories

pytestmark = pytest.mark.django_db

State = Campaign.State


@pytest.fixture
def campaign():
    return factories.open_campaign(3)


@pytest.fixture
def annotator(campaign):
    return factories.annotator(campaign)


NOTHING_SPECIAL = {"is_open": True, "stage": None, "warnings": [], "ending": None}


def welcome(campaign: Campaign) -> str:
    return reverse("welcome", args=[campaign.token])


def post(client, name: str, annotator: Annotator, body=None, **options):
    """What the judging page's script sends; `body` may be bytes that are no JSON."""
    content = body if isinstance(body, bytes) else json.dumps({} if body is None else body)
    return client.post(
        reverse(name, args=[annotator.token]), content, content_type="application/json", **options
    )


def next_up(client, annotator: Annotator) -> dict:
    response = post(client, "next-assignments", annotator)
    assert response.status_code == 200
    return response.json()


def answer(assignment: str, closest: str = "left", **more) -> dict:
    return {"assignment": assignment, "answer": closest, "response_ms": 1234, **more}


def first_token(client, annotator: Annotator) -> str:
    return next_up(client, annotator)["assignments"][0]["token"]


def nothing_is_judged() -> bool:
    return not Judgment.objects.exists()


# --- the campaign's link --------------------------------------------------------------------------


def test_the_link_of_an_open_campaign_says_what_is_asked_and_makes_nobody(client):
    campaign = factories.open_campaign(2, instructions="Sit\nupright.", judgments_per_annotator=40)
    response = client.get(welcome(campaign))
    assert response.status_code == 200
    html = response.content.decode()
    assert "Which is closer to the original?" in html
    assert "Sit<br>upright." in html
    assert "at most 40 questions" in html
    assert ">Start</button>" in html
    assert not Annotator.objects.exists()


def test_instructions_are_text_and_never_markup(client):
    campaign = factories.campaign(instructions="<script>alert(1)</script>")
    html = client.get(welcome(campaign)).content.decode()
    assert "&lt;script&gt;alert(1)" in html
    assert "<script>" not in html


@pytest.mark.parametrize(
    ("state", "words"), [(State.DRAFT, "Not open yet"), (State.CLOSED, "This study is closed")]
)
def test_a_campaign_that_is_not_open_says_so_and_takes_nobody(client, state, words):
    campaign = factories.campaign(state=state)
    response = client.get(welcome(campaign))
    assert response.status_code == 200
    assert words in response.content.decode()
    assert "Start" not in response.content.decode()
    response = client.post(welcome(campaign))
    assert response.status_code == 409
    assert words in response.content.decode()
    assert not Annotator.objects.exists()
    assert not client.cookies


def test_who_begins_is_known_by_a_cookie_and_goes_on_by_the_same_link(client, campaign):
    response = client.post(welcome(campaign))
    annotator = Annotator.objects.get()
    assert annotator.campaign == campaign
    assert not annotator.is_simulated
    own = reverse("judge", args=[annotator.token])
    assert (response.status_code, response.url) == (302, own)
    cookie = response.cookies[f"annotator-{campaign.id}"]
    assert cookie.value == annotator.token
    assert cookie["httponly"]
    assert cookie["samesite"] == "Lax"
    assert cookie["max-age"] >= 90 * 24 * 3600
    assert client.get(welcome(campaign)).url == own
    assert client.post(welcome(campaign)).url == own
    assert Annotator.objects.count() == 1


def test_who_began_comes_back_to_their_own_page_after_the_campaign_was_closed(client, campaign):
    own = client.post(welcome(campaign)).url
    Campaign.objects.update(state=State.CLOSED)
    assert client.get(welcome(campaign)).url == own
    assert client.get(own).status_code == 200


def test_the_cookie_travels_by_https_alone_where_there_is_https(client, campaign):
    response = client.post(welcome(campaign), secure=True)
    assert response.cookies[f"annotator-{campaign.id}"]["secure"]


def test_a_cookie_of_another_campaign_is_worth_nothing(client, campaign):
    client.post(welcome(campaign))
    other = factories.campaign()
    client.cookies[f"annotator-{other.id}"] = Annotator.objects.get().token
    response = client.get(welcome(other))
    assert response.status_code == 200
    assert ">Start</button>" in response.content.decode()


@pytest.mark.parametrize("value", ["", "x", '"\\000"', "é", "'; DROP TABLE x"])
def test_a_cookie_that_is_none_of_ours_does_no_harm(client, campaign, value):
    response = client.get(welcome(campaign), headers={"cookie": f"annotator-{campaign.id}={value}"})
    assert response.status_code == 200


def test_two_people_are_two_annotators(campaign):
    for _ in range(2):
        Client().post(welcome(campaign))
    assert Annotator.objects.count() == 2


def test_another_site_cannot_make_somebody_begin(campaign):
    browser = Client(enforce_csrf_checks=True)
    assert browser.post(welcome(campaign)).status_code == 403
    assert not Annotator.objects.exists()
    html = browser.get(welcome(campaign)).content.decode()
    secret = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', html)[1]
    assert browser.post(welcome(campaign), {"csrfmiddlewaretoken": secret}).status_code == 302
    assert Annotator.objects.count() == 1


@pytest.mark.parametrize("token", ["x", "%00", "é", "x" * 500])
@pytest.mark.parametrize("address", ["/c/{}/", "/judge/{}/"])
def test_an_unknown_link_is_not_found(client, token, address):
    assert client.get(address.format(token)).status_code == 404


@pytest.mark.parametrize("path", ["next", "judgments", "give-back"])
@pytest.mark.parametrize("token", ["x", "%00", "é"])
def test_an_unknown_annotator_is_not_found(client, token, path):
    response = client.post(
        f"/judge/{token}/{path}",
        answer("x"),
        content_type="application/json",
    )
    assert response.status_code == 404


def forge(address: str) -> str:
    """The same address with another last character of its signature."""
    head, _, tail = address.rpartition("/")
    return f"{head[:-1]}{'A' if head[-1] != 'A' else 'B'}/{tail}"


def test_a_link_that_was_not_signed_here_is_not_found_and_asks_the_database_nothing(
    client, annotator, settings, django_assert_num_queries
):
    own = reverse("judge", args=[annotator.token])
    for address in (forge(own), f"/judge/{annotator.token}/", f"/judge/{annotator.token}./"):
        with django_assert_num_queries(0):
            assert client.get(address).status_code == 404
    former, settings.SECRET_KEY = settings.SECRET_KEY, "another one"
    assert client.get(own).status_code == 404
    settings.SECRET_KEY_FALLBACKS = [former]
    assert client.get(own).status_code == 200


def test_links_that_were_given_out_before_links_were_signed_hold(client, annotator):
    annotator.token = "0123456789abcdefghij_-ABCDEFGHIJ"
    annotator.save()
    assert reverse("judge", args=[annotator.token]) == f"/judge/{annotator.token}/"
    assert client.get(f"/judge/{annotator.token}/").status_code == 200
    assert next_up(client, annotator)["assignments"]


def test_a_campaigns_link_is_no_annotators_link_nor_the_other_way(client, annotator):
    assert client.get(reverse("judge", args=[annotator.campaign.token])).status_code == 404
    assert client.get(reverse("welcome", args=[annotator.token])).status_code == 404


# --- simulated annotators -------------------------------------------------------------------------


def test_who_shows_a_valid_pass_is_marked_as_simulated(client, campaign):
    client.post(welcome(campaign), {"simulation_pass": issue_simulation_pass(campaign)})
    assert Annotator.objects.get().is_simulated


def test_nobody_is_simulated_without_a_pass(client, campaign):
    client.post(welcome(campaign), {"is_simulated": "true", "simulation_pass": ""})
    assert not Annotator.objects.get().is_simulated


@pytest.mark.parametrize("forged", ["x", "a:b:c", "é", "\0", "another campaign's", "tampered"])
def test_a_pass_that_was_not_issued_for_this_campaign_makes_nobody(client, campaign, forged):
    if forged == "another campaign's":
        forged = issue_simulation_pass(factories.campaign())
    elif forged == "tampered":
        issued = issue_simulation_pass(campaign)
        forged = issued[:-1] + ("A" if issued[-1] != "A" else "B")
    response = client.post(welcome(campaign), {"simulation_pass": forged})
    assert response.status_code == 403
    assert not Annotator.objects.exists()
    assert not client.cookies


def test_a_pass_makes_an_annotator_of_its_own_beside_the_person_whose_browser_it_is(
    client, campaign
):
    person = client.post(welcome(campaign)).url
    response = client.post(welcome(campaign), {"simulation_pass": issue_simulation_pass(campaign)})
    assert response.url != person
    assert sorted(Annotator.objects.values_list("is_simulated", flat=True)) == [False, True]


# --- the judging page -----------------------------------------------------------------------------


def test_the_judging_page_says_how_many_pairs_there_are(client, annotator):
    html = client.get(reverse("judge", args=[annotator.token])).content.decode()
    assert 'data-total="3"' in html
    assert f'data-judge="{reverse("judge", args=[annotator.token])}"' in html


@pytest.mark.parametrize(("asked", "total"), [(2, 2), (3, 3), (50, 3)])
def test_no_more_pairs_are_announced_than_there_are_and_than_are_asked_of_one(client, asked, total):
    annotator = factories.annotator(factories.open_campaign(3, judgments_per_annotator=asked))
    html = client.get(reverse("judge", args=[annotator.token])).content.decode()
    assert f'data-total="{total}"' in html


def test_an_annotator_is_shown_two_pairs_and_the_next_ones_after_each_answer(client, annotator):
    todo = next_up(client, annotator)
    assert todo.keys() == {"judged", "is_open", "stage", "warnings", "ending", "assignments"}
    assert (todo["judged"], todo["is_open"], len(todo["assignments"])) == (0, True, 2)
    first, second = todo["assignments"]
    assert first.keys() == {"token", "width", "height", "images"}
    assert (first["width"], first["height"]) == (48, 32)
    assert first["images"] == {
        position: reverse("stimulus", args=[first["token"], position])
        for position in ("original", "left", "right")
    }
    todo = post(client, "judgments", annotator, answer(first["token"])).json()
    assert (todo["judged"], todo["recorded"]) == (1, True)
    assert todo["assignments"][0] == second
    assert len(todo["assignments"]) == 2


def test_reloading_goes_on_where_one_was(client, annotator):
    assert next_up(client, annotator) == next_up(client, annotator)


def test_who_has_judged_all_gets_nothing_more(client, annotator):
    factories.judge_all(annotator, now=clock.now())
    assert next_up(client, annotator) == NOTHING_SPECIAL | {
        "judged": 3,
        "ending": {"outcome": "completed", "code": "", "back": ""},
        "assignments": [],
    }


def test_a_closed_campaign_takes_the_answer_to_the_open_pair_and_gives_no_other(client, annotator):
    held = next_up(client, annotator)["assignments"]
    Campaign.objects.update(state=State.CLOSED)
    todo = next_up(client, annotator)
    assert todo == NOTHING_SPECIAL | {"judged": 0, "is_open": False, "assignments": held}
    for each in held:
        response = post(client, "judgments", annotator, answer(each["token"]))
        assert response.status_code == 201
    assert response.json()["assignments"] == []


def test_no_page_tells_what_is_compared(client, monkeypatch):
    monkeypatch.setattr(encode_owed, "delay", lambda: None)
    study = factories.study(
        "Confidential comparison",
        sources=3,
        codecs=("avif", "jpeg", "webp"),
        bpp=("0.23", "0.67"),
        judgments_per_task=1,
    )
    annotator = factories.annotator(study.campaign)
    texts = [
        client.get(welcome(study.campaign)).content.decode(),
        client.get(reverse("judge", args=[annotator.token])).content.decode(),
    ]
    tokens = {study.campaign.token, annotator.token}
    todo = next_up(client, annotator)
    while todo["assignments"]:
        texts.append(json.dumps(todo))
        tokens |= {each["token"] for each in todo["assignments"]}
        todo = post(client, "judgments", annotator, answer(todo["assignments"][0]["token"])).json()
    assert len(texts) == 2 + 18

    said = re.sub(r'csrfmiddlewaretoken" value="\w+"', "", " ".join(texts))
    names = rf"(?:{'|'.join(map(re.escape, tokens))})(?:\.[\w-]{{43}})?"  # and their signatures
    said = re.sub(names, "", said)
    said = said.lower()
    for secret in (
        *("confidential", "comparison", "sea", "photo-", "avif", "jpeg", "webp", "codec", "bpp"),
        *("bit rate", "0.23", "0.67", "quality", "compress", "simulated"),
        *(source.sha256[:8] for source in study.sources.all()),
    ):
        assert not re.search(rf"\b{re.escape(secret)}", said), secret
    for text in texts[2:]:
        todo = json.loads(text)
        numbers = set(re.findall(r"\d+", re.sub(names, "", text)))
        shown = {str(each["width"]) for each in todo["assignments"]}
        shown |= {str(each["height"]) for each in todo["assignments"]}
        assert numbers <= shown | {str(todo["judged"])}, "no other number is told"


# --- judgments ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("closest", "ranks"), [("left", [1, 2]), ("right", [2, 1])])
def test_an_answer_is_stored_as_it_was_given(client, annotator, closest, ranks):
    token = first_token(client, annotator)
    viewing = {"device_pixel_ratio": 1.25, "flips": 3, "viewport_width": 1920}
    began = clock.now()
    response = post(client, "judgments", annotator, answer(token, closest, viewing=viewing))
    assert response.status_code == 201
    judgment = Judgment.objects.get()
    assert judgment.assignment.token == token
    assert judgment.ranks == ranks
    assert judgment.response_ms == 1234
    assert judgment.viewing == viewing
    assert began <= judgment.judged_at <= clock.now()


def test_the_first_answer_counts_whatever_is_said_the_second_time(client, annotator):
    token = first_token(client, annotator)
    assert post(client, "judgments", annotator, answer(token, "left")).status_code == 201
    for closest, response_ms in (("left", 1234), ("right", 9)):
        again = {**answer(token, closest), "response_ms": response_ms}
        response = post(client, "judgments", annotator, again)
        assert response.status_code == 200
        assert response.json()["recorded"]
        assert response.json()["judged"] == 1
    judgment = Judgment.objects.get()
    assert (judgment.ranks, judgment.response_ms) == ([1, 2], 1234)


def test_an_annotator_cannot_answer_for_another(client, annotator):
    other = factories.annotator(annotator.campaign)
    token = first_token(client, other)
    assert post(client, "judgments", annotator, answer(token)).status_code == 404
    assert post(client, "give-back", annotator, {"assignment": token}).status_code == 404
    assert nothing_is_judged()
    assert Assignment.objects.get(token=token).holds_place


def test_an_answer_to_what_was_never_asked_is_not_found(client, annotator):
    assert post(client, "judgments", annotator, answer("x" * 32)).status_code == 404


@pytest.mark.parametrize("closest", ["middle", "LEFT", "tie", "1", "original"])
def test_an_answer_that_names_no_side_is_refused_and_told_what_would_do(client, annotator, closest):
    response = post(client, "judgments", annotator, answer(first_token(client, annotator), closest))
    assert response.status_code == 400
    assert response.json() == {"answer": ["the answer is one of left, right"]}
    assert nothing_is_judged()


@pytest.mark.parametrize("closest", [None, "", 1, ["left"], {"left": 1}, "x" * 11, "le\0ft"])
def test_an_answer_that_is_no_word_is_refused(client, annotator, closest):
    response = post(client, "judgments", annotator, answer(first_token(client, annotator), closest))
    assert response.status_code == 400
    assert response.json().keys() == {"answer"}
    assert nothing_is_judged()


@pytest.mark.parametrize(
    "response_ms", [-1, 24 * 3600 * 1000 + 1, 10**30, 1.5, None, "", "soon", True, [1], 1e300]
)
def test_an_impossible_response_time_is_refused(client, annotator, response_ms):
    body = {**answer(first_token(client, annotator)), "response_ms": response_ms}
    response = post(client, "judgments", annotator, body)
    assert response.status_code == 400
    assert response.json().keys() == {"response_ms"}
    assert nothing_is_judged()


@pytest.mark.parametrize("missing", ["assignment", "answer", "response_ms"])
def test_an_answer_without_a_part_is_refused_and_told_which(client, annotator, missing):
    body = answer(first_token(client, annotator))
    del body[missing]
    response = post(client, "judgments", annotator, body)
    assert response.status_code == 400
    assert response.json() == {missing: ["This field is required."]}
    assert nothing_is_judged()


@pytest.mark.parametrize(
    "viewing",
    [
        {f"number_{n}": n for n in range(21)},
        {"x" * 41: 1},
        {"": 1},
        {"Flips!": 1},
        {"a\0": 1},
        {"\ud800": 1},
        {"flips": "3"},
        {"flips": "nan"},
        {"flips": True},
        {"flips": None},
        {"flips": [3]},
        {"flips": -1},
        {"flips": 86_400_001},
        {"flips": 10**400},
        ["flips"],
        "flips",
        None,
        3,
    ],
    ids=str,
)
def test_viewing_conditions_are_few_named_numbers(client, annotator, viewing):
    body = answer(first_token(client, annotator), viewing=viewing)
    response = post(client, "judgments", annotator, body)
    assert response.status_code == 400
    assert response.json().keys() == {"viewing"}
    assert nothing_is_judged()


@pytest.mark.parametrize("viewing", [{}, {f"number_{n}": n for n in range(20)}, {"flips": 1e6}])
def test_viewing_conditions_that_fit_are_taken(client, annotator, viewing):
    body = answer(first_token(client, annotator), viewing=viewing)
    assert post(client, "judgments", annotator, body).status_code == 201
    assert Judgment.objects.get().viewing == viewing


def test_an_answer_without_viewing_conditions_is_taken(client, annotator):
    post(client, "judgments", annotator, answer(first_token(client, annotator)))
    assert Judgment.objects.get().viewing == {}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"null", b"[]", b'"left"', b"\xff\xfe", b"1", b"[" * 500),
        b'{"assignment": NaN}',
        b'{"response_ms": ' + b"9" * 5000 + b"}",
    ],
)
@pytest.mark.parametrize("name", ["judgments", "give-back"])
def test_what_is_no_answer_at_all_is_refused(client, annotator, name, body):
    response = post(client, name, annotator, body)
    assert response.status_code == 400
    assert response.headers["Content-Type"] == "application/json"


def test_a_form_is_no_answer(client, annotator):
    token = first_token(client, annotator)
    response = client.post(reverse("judgments", args=[annotator.token]), answer(token))
    assert response.status_code == 415
    assert nothing_is_judged()


def test_an_answer_of_megabytes_is_refused_unread(client, annotator):
    body = b'{"answer": "' + b"x" * 3_000_000 + b'"}'
    assert post(client, "judgments", annotator, body).status_code in {400, 413}


@pytest.mark.parametrize("name", ["next-assignments", "judgments", "give-back"])
def test_the_endpoints_take_post_alone(client, annotator, name):
    address = reverse(name, args=[annotator.token])
    for method in (client.get, client.put, client.patch, client.delete):
        assert method(address).status_code == 405
    assert not Assignment.objects.exists(), "looking leases nothing"


@pytest.mark.parametrize("name", ["welcome", "judge"])
def test_the_pages_refuse_other_methods(client, annotator, name):
    token = annotator.campaign.token if name == "welcome" else annotator.token
    address = reverse(name, args=[token])
    for method in (client.put, client.patch, client.delete):
        assert method(address).status_code == 405


def test_an_answer_whose_place_is_gone_is_told_so_and_the_next_pairs_come(client):
    campaign = factories.open_campaign(1, judgments_per_task=1)
    slow = factories.annotator(campaign)
    token = first_token(client, slow)
    Assignment.objects.update(lease_ends=clock.now() - timedelta(seconds=1))
    assert factories.judge_all(factories.annotator(campaign), now=clock.now()) == 1
    more = factories.task(campaign)
    response = post(client, "judgments", slow, answer(token))
    assert response.status_code == 409
    todo = response.json()
    assert (todo["recorded"], todo["judged"]) == (False, 0)
    [assignment] = todo["assignments"]
    assert Assignment.objects.get(token=assignment["token"]).task == more
    assert Judgment.objects.count() == 1


# --- pairs that cannot be shown -------------------------------------------------------------------


def test_a_pair_given_back_is_free_for_others(client):
    campaign = factories.open_campaign(1, judgments_per_task=1)
    first, second = factories.annotator(campaign), factories.annotator(campaign)
    token = first_token(client, first)
    assert next_up(client, second)["assignments"] == []
    response = post(client, "give-back", first, {"assignment": token})
    assert (response.status_code, response.content) == (204, b"")
    assert len(next_up(client, second)["assignments"]) == 1


def test_giving_back_never_removes_a_judgment_or_its_place(client):
    campaign = factories.open_campaign(1, judgments_per_task=1)
    annotator = factories.annotator(campaign)
    token = first_token(client, annotator)
    post(client, "judgments", annotator, answer(token))
    assert post(client, "give-back", annotator, {"assignment": token}).status_code == 204
    assert Judgment.objects.count() == 1
    assert next_up(client, factories.annotator(campaign))["assignments"] == []


def test_a_pair_that_was_given_back_comes_again_after_all_others(client, annotator):
    first = first_token(client, annotator)
    post(client, "give-back", annotator, {"assignment": first})
    judged = []
    while (token := first_token(client, annotator)) != first:
        assert post(client, "judgments", annotator, answer(token)).status_code == 201
        judged.append(token)
    assert len(judged) == annotator.campaign.tasks.count() - 1
    assert post(client, "judgments", annotator, answer(first)).status_code == 201


def test_somebody_else_in_the_same_browser_begins_anew(client, annotator):
    link = welcome(annotator.campaign)
    first = client.post(link).url
    assert client.get(link).url == first
    second = client.post(link, {"anew": "1"}).url
    assert second != first
    assert client.get(link).url == second


def test_an_answer_given_after_hours_in_another_tab_is_taken(client, annotator):
    long_away = answer(first_token(client, annotator)) | {"viewing": {"hidden_ms": 5 * 3600 * 1000}}
    assert post(client, "judgments", annotator, long_away).status_code == 201


def test_giving_back_asks_which(client, annotator):
    response = post(client, "give-back", annotator, {})
    assert response.status_code == 400
    assert response.json() == {"assignment": ["This field is required."]}


# --- headers --------------------------------------------------------------------------------------


@pytest.fixture(params=["welcome", "judge", "next", "stimulus"])
def response(request, client, annotator):
    if request.param == "welcome":
        return client.get(welcome(annotator.campaign))
    if request.param == "judge":
        return client.get(reverse("judge", args=[annotator.token]))
    if request.param == "next":
        return post(client, "next-assignments", annotator)
    [assignment] = serving.lease(annotator, now=clock.now(), ahead=1)
    return client.get(reverse("stimulus", args=[assignment.token, "left"]))


def test_pages_run_no_script_of_others_and_are_shown_in_no_frame(response):
    assert response.status_code == 200
    policy = dict(
        each.strip().split(" ", 1)
        for each in response.headers["Content-Security-Policy"].split(";")
    )
    assert policy["default-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["object-src"] == policy["base-uri"] == "'none'"
    assert not re.search("unsafe|https?:|data:|[*]", response.headers["Content-Security-Policy"])
    assert response.headers["X-Frame-Options"] == "DENY"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_link_that_is_a_secret_never_leaves_in_a_referer(response):
    assert response.headers["Referrer-Policy"] == "same-origin"


def test_pages_keep_to_that_policy(client, annotator):
    for address in (welcome(annotator.campaign), reverse("judge", args=[annotator.token])):
        html = client.get(address).content.decode()
        assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\sstyle=|\son\w+=|javascript:", html)
        assert not re.search(r"""(src|href)=["'](https?:)?//""", html)
        assert '<meta name="robots" content="noindex">' in html


def test_what_changes_is_never_taken_from_a_cache(client, annotator):
    for response in (
        client.get(welcome(annotator.campaign)),
        client.get(reverse("judge", args=[annotator.token])),
    ):
        assert "no-store" in response.headers["Cache-Control"]
        assert "private" in response.headers["Cache-Control"]


def test_a_request_in_the_name_of_another_host_is_refused(client):
    campaign = factories.open_campaign(1)
    assert client.get(welcome(campaign), headers={"host": "elsewhere.example"}).status_code == 400

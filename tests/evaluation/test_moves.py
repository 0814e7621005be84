"""From state to state: every step from every state, once, recorded, and by whom."""

from itertools import product

import pytest
from django.urls import reverse

from annotation import joining, serving
from annotation.models import Campaign
from evaluation import launching
from evaluation.changes import NotAllowed
from evaluation.launching import MOVE_FUNCTIONS, MOVES
from evaluation.models import Study
from tests import factories
from tests.factories import NOW

pytestmark = pytest.mark.django_db

State = Study.State
TO = {
    State.ENCODING: [],
    State.READY: [],
    State.PILOT: ["open as a pilot"],
    State.OPEN: ["open"],
    State.PAUSED: ["open", "pause"],
    State.CLOSED: ["open", "close"],
}


def study_in(state: Study.State) -> Study:
    study = factories.study(ready=state != State.ENCODING, when_ready="wait")
    for name in TO[state]:
        MOVE_FUNCTIONS[name](study)
    assert study.state == state
    return study


def stored(study: Study) -> tuple:
    """All of a study and its campaigns that a step could touch."""
    return (
        list(Study.objects.filter(id=study.id).values()),
        list(Campaign.objects.order_by("id").values()),
        list(study.changes.values("key", "before", "after")),
    )


@pytest.mark.parametrize(("state", "name"), list(product(State, MOVES)))
def test_a_step_is_taken_once_where_it_leads_somewhere_and_else_refused(state, name, researcher):
    study = study_in(state)
    move, leads_to = MOVE_FUNCTIONS[name], MOVES[name].get(state)
    if leads_to is not None:
        n = study.changes.count()
        move(study, by=researcher)
        assert study.state == leads_to
        change = study.changes.last()
        assert (change.key, change.before, change.after) == ("state", state, leads_to)
        assert change.by == researcher
        assert study.changes.count() == n + 1
    if leads_to is None or name not in launching.moves_from(leads_to):
        before = stored(study)
        with pytest.raises(NotAllowed, match=f"is {study.state.label}; what can be done"):
            move(study, by=researcher)
        assert stored(study) == before


def test_every_step_has_a_function_and_no_state_but_encoding_is_a_dead_end():
    assert MOVES.keys() == MOVE_FUNCTIONS.keys()
    assert [state for state in State if not launching.moves_from(state)] == [State.ENCODING]


@pytest.mark.parametrize("when_ready", Study.WhenReady.values)
def test_a_study_does_when_ready_what_it_was_told(when_ready):
    study = factories.study(when_ready=when_ready)
    states = {"open": State.OPEN, "pilot": State.PILOT, "wait": State.READY}
    assert study.state == states[when_ready]


def test_what_a_study_does_when_ready_is_chosen_until_it_is_and_not_after(as_researcher):
    study = factories.study(ready=False)
    address = reverse("when-ready", args=[study.slug])
    as_researcher.post(address, {"when_ready": "pilot"})
    assert Study.objects.get().when_ready == "pilot"
    assert as_researcher.post(address, {"when_ready": "never"}).status_code == 400
    ready = factories.study("Lake")
    as_researcher.post(reverse("when-ready", args=[ready.slug]), {"when_ready": "pilot"})
    ready.refresh_from_db()
    assert ready.when_ready == "open"


def test_the_page_offers_the_steps_that_there_are_and_says_why_one_is_refused(as_researcher):
    study = study_in(State.OPEN)
    page = as_researcher.get(reverse("study", args=[study.slug])).content.decode()
    assert 'value="pause"' in page
    assert 'value="close"' in page
    assert 'value="open again"' not in page
    address = reverse("move", args=[study.slug])
    as_researcher.post(address, {"move": "pause"})
    response = as_researcher.post(address, {"move": "pause"}, follow=True)
    assert "Sea is paused; what can be done with it is: go on or close." in (
        response.content.decode()
    )
    assert as_researcher.post(address, {"move": "delete"}).status_code == 400


def test_a_paused_study_gives_nothing_new_takes_what_is_out_and_turns_newcomers_away(client):
    study = study_in(State.OPEN)
    who = factories.annotator(study.campaign)
    [held, _] = serving.lease(who, now=NOW)
    launching.pause(study)
    _, is_new = serving.judge(held, answer="left", response_ms=900, viewing={}, now=NOW)
    assert is_new
    later = factories.annotator(study.campaign)
    assert serving.lease(later, now=NOW) == []
    study.campaign.refresh_from_db()
    assert joining.refusal(study.campaign, joining.NOBODY_KNOWN, now=NOW) == "paused"
    said = client.get(reverse("welcome", args=[study.campaign.token])).content.decode()
    assert "This study is paused" in said
    launching.resume(study)
    assert serving.lease(later, now=NOW)

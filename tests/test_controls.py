"""Every page, walked by its links: no link, form or button on it is refused to who sees it."""

from collections import Counter, deque
from copy import deepcopy
from html.parser import HTMLParser

import pytest
from django.db import transaction
from django.test import Client
from django.urls import resolve

from annotation.models import Export
from evaluation import launching
from evaluation.importing import Reading, import_judgments
from evaluation.models import Study
from projects.access import default_project
from tests import factories
from tests.test_permissions import world  # noqa: F401 (a fixture)

pytestmark = pytest.mark.django_db

REFUSED = (403, 404)
# What annotators' links open is theirs.
NO_PAGES = {"welcome", "judge", "shared-results", "api-schema"}
ENOUGH = 2  # pages of a kind: they differ by role and state alone
ALL = {"study"}


class Controls(HTMLParser):
    """What a page offers: addresses to get, and (address, fields) to post."""

    def __init__(self, here: str) -> None:
        super().__init__()
        self.here = here
        self.gets: list[str] = []
        self.posts: list[tuple[str, dict]] = []
        self._form: tuple[str, str, dict] | None = None

    def handle_starttag(self, tag: str, attributes: list) -> None:
        given = {name: value or "" for name, value in attributes}
        self.gets += [given[name] for name in ("href", "hx-get") if name in given]
        if tag == "form":
            fields: dict[str, str] = {}
            action = given.get("action") or self.here
            self._form = (given.get("method", "get"), action, fields)
            if given.get("method") == "post":
                self.posts.append((action, fields))
        is_hidden = tag == "input" and given.get("type") == "hidden"
        if self._form and is_hidden and given["name"] != "csrfmiddlewaretoken":
            self._form[2][given["name"]] = given.get("value", "")
        if self._form and tag == "button" and "formaction" in given:
            self.posts.append((given["formaction"], self._form[2]))

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = None


def walk(client: Client, *, start: str = "/") -> tuple[set[str], list[str]]:
    """(the names of the pages that were seen, what of them was refused)."""
    seen, refused = Counter(), []
    asked, waiting = {start}, deque([(start, "nowhere")])
    posted = set()
    while waiting:
        address, page = waiting.popleft()
        name = resolve(address.partition("?")[0]).url_name
        seen[name] += 1
        if seen[name] > ENOUGH and name not in ALL:
            continue
        response = client.get(address)
        if response.status_code in REFUSED:
            refused.append(f"GET {address} on {page}: {response.status_code}")
        is_page = response.get("Content-Type", "").startswith("text/html")
        if response.streaming or not is_page or name in NO_PAGES:
            deque(response.streaming_content if response.streaming else (), maxlen=0)
            continue
        found = Controls(address)
        found.feed(response.content.decode())
        for each in found.gets:
            target = each if not each.startswith("?") else address.partition("?")[0] + each
            target = target.partition("#")[0].removeprefix("http://localhost:8000")
            is_ours = target.startswith("/") and not target.startswith("/static/")
            if is_ours and target not in asked:
                asked.add(target)
                waiting.append((target, address))
        for action, fields in found.posts:
            key = (action.partition("?")[0], *sorted(fields.items()))
            if key in posted:
                continue
            posted.add(key)
            other = Client()
            other.cookies = deepcopy(client.cookies)  # signing out changes them
            with transaction.atomic():
                status = other.post(action, fields).status_code
                transaction.set_rollback(True)
            if status in REFUSED:
                refused.append(f"POST {action} {fields} on {address}: {status}")
    return set(seen), refused


@pytest.fixture
def full(world):  # noqa: F811
    """A world with studies in every state, exports, imports, trainings and links."""
    factories.judge_all(factories.annotator(world.study.campaign))
    Export.objects.create(
        campaign=world.study.campaign, format="parquet", population="people",
        requested_at=factories.NOW, state=Export.State.FAILED, error="The disk is full.",
    )  # fmt: skip
    for name in ("waits", "piloted", "paused"):
        made = factories.study(name.capitalize(), when_ready="wait")
        if name == "piloted":
            launching.open_pilot(made)
        if name == "paused":
            launching.open_study(made)
            launching.pause(made)
    encoding = factories.study("Encoding")
    Study.objects.filter(id=encoding.id).update(n_tasks=None)
    encoding.campaign.state = "draft"
    encoding.campaign.save()
    import_judgments(
        b"annotator,content,stratum,left,right,chosen\nann,x,1,j,w,left\nbo,x,1,j,w,right\n",
        file_name="b.csv",
        reading=Reading(project=default_project()),
    )
    return world


@pytest.mark.parametrize("who", ["viewer", "researcher", "stranger"])
def test_nobody_is_shown_a_control_that_would_be_refused(full, who):
    seen, refused = walk(full.clients[who])
    assert not refused
    assert {"studies", "project", "imports", "images"} <= seen
    if who != "stranger":
        assert {"study", "data", "sharing", "metrics", "metric", "training", "import"} <= seen
    if who == "researcher":
        assert {"new-study", "annotators", "change-study", "webhooks"} <= seen

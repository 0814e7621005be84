"""Every address, walked by everybody: who may have it, and who is told nothing of it."""

from collections import deque
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import pytest
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from annotation.models import Export
from codecs_registry.models import Collection
from codecs_registry.tasks import encode_owed
from evaluation import metric_tasks, sharing, webhook_tasks
from evaluation.api_models import Scope
from evaluation.api_tokens import make_token
from evaluation.importing import Reading, import_judgments
from evaluation.models import DifferenceMap, Study, TrainingRun
from evaluation.webhooks import make_webhook, send_test
from projects.access import default_project
from projects.models import Membership, Project
from projects.roles import Role
from tests import factories
from tests.evaluation.codec_trainings import tell_of_training
from tests.evaluation.downstream_documents import downstream_evaluation
from tests.metric_factories import metric, stored_version

pytestmark = pytest.mark.django_db

PUBLIC, SIGNED_IN, HOLDER = "public", "signed in", "whose it is"
ADMINISTRATOR = "an administrator"
VIEWER, RESEARCHER, OWNER = Role
# The least that somebody must be, by the address's name and method; a new address needs a line.
NEEDED = {
    # The annotators' own: whoever has the link.
    "GET welcome": PUBLIC, "GET judge": PUBLIC, "POST screen": PUBLIC, "GET my-data": PUBLIC,
    "GET my-data-json": PUBLIC, "POST next-assignments": PUBLIC, "POST judgments": PUBLIC,
    "POST give-back": PUBLIC, "GET stimulus": PUBLIC, "GET words": PUBLIC,
    "GET login": PUBLIC, "POST logout": PUBLIC, "GET set-password": PUBLIC, "GET healthz": PUBLIC,
    "GET readyz": PUBLIC,
    "GET prometheus": PUBLIC,  # of this machine; its token: tests/config/test_observability.py
    "POST appearance": PUBLIC, "GET shared-results": PUBLIC, "GET shared-plot": PUBLIC,
    "GET shared-picture": PUBLIC, "GET vega-script": PUBLIC,
    "GET sign-in-elsewhere": PUBLIC, "GET signed-in-elsewhere": PUBLIC,
    # Anybody's who has an account, each sees what is theirs.
    "GET projects": SIGNED_IN, "POST choose-project": SIGNED_IN, "GET codecs": SIGNED_IN,
    "GET codec": SIGNED_IN,
    "POST put-tour-away": SIGNED_IN, "GET images": SIGNED_IN, "GET rate-distortion": SIGNED_IN,
    "GET studies": SIGNED_IN, "GET rate-distortion-csv": SIGNED_IN, "POST distance": SIGNED_IN,
    "GET audit-of-all": ADMINISTRATOR, "GET operations": ADMINISTRATOR,
    "POST operations-retry": ADMINISTRATOR, "POST operations-free": ADMINISTRATOR,
    # Of a project.
    "GET project": VIEWER, "GET audit": VIEWER, "POST project-settings": OWNER,
    "POST add-member": OWNER, "POST change-role": OWNER, "POST remove-member": OWNER,
    "POST password-link": OWNER,
    # Of its photographs.
    "GET image": VIEWER, "GET original-png": VIEWER, "GET thumbnail": VIEWER,
    "GET decoded-png": VIEWER, "GET bitstream": VIEWER,
    # Of its studies.
    "GET new-study": RESEARCHER, "POST upload": RESEARCHER, "POST plan-study": RESEARCHER,
    "GET collection-pictures": RESEARCHER, "POST study-file": RESEARCHER,
    "POST open-study-file": RESEARCHER,
    "GET study": VIEWER, "GET stimuli": VIEWER, "GET scoring-progress": VIEWER,
    "GET differences": VIEWER, "GET difference-png": VIEWER, "GET report": VIEWER,
    "GET analysis-json": VIEWER, "GET judgments-csv": VIEWER, "GET judgments-jsonl": VIEWER,
    "GET dataset-zip": VIEWER, "GET report-pdf": VIEWER, "GET methods-bibtex": VIEWER,
    "GET plot-file": VIEWER, "GET sharing": VIEWER, "POST share": RESEARCHER,
    "POST revoke-shared": RESEARCHER, "GET reconstruction-thumbnail": VIEWER,
    "GET data": VIEWER, "GET export-file": VIEWER,
    "POST export-request": RESEARCHER, "POST export-retry": RESEARCHER,
    "POST export-delete": RESEARCHER,
    "GET watch": VIEWER, "POST move": RESEARCHER, "POST when-ready": RESEARCHER,
    "GET change-study": VIEWER, "POST change-study": RESEARCHER, "GET preview": VIEWER,
    "POST preview-next": VIEWER, "POST preview-answer": VIEWER, "POST preview-give-back": VIEWER,
    "GET preview-stimulus": VIEWER,
    "POST retry": RESEARCHER,
    "GET annotators": RESEARCHER, "GET payments": RESEARCHER, "POST invite": RESEARCHER,
    "POST renew-link": RESEARCHER, "POST revoke": RESEARCHER, "POST withdraw-annotator": RESEARCHER,
    "POST restore": RESEARCHER, "GET annotator-data": RESEARCHER,
    "POST erase-annotator": RESEARCHER,
    # Of what was imported into it.
    "GET imports": SIGNED_IN, "GET new-import": RESEARCHER, "POST new-import": RESEARCHER,
    "GET import-preview": RESEARCHER, "POST import-preview": RESEARCHER,
    "GET import-failing": RESEARCHER, "POST discard-import": SIGNED_IN,
    "GET import": VIEWER, "GET import-json": VIEWER, "GET import-report": VIEWER,
    "GET import-file": VIEWER, "POST remove-import": RESEARCHER,
    # Of what machines saw, as its members keep it.
    "GET downstream": SIGNED_IN, "POST downstream-upload": RESEARCHER,
    "GET downstream-evaluation": VIEWER, "GET downstream-json": VIEWER,
    "POST downstream-remove": RESEARCHER,
    # Of the learned codec, which is nobody's own.
    "GET codec-trainings": SIGNED_IN, "GET codec-training": SIGNED_IN,
    "GET codec-training-picture": SIGNED_IN, "GET codec-training-file": SIGNED_IN,
    "GET codec-training-log": SIGNED_IN,
    # Of the metric that its judgments train.
    "GET metrics": VIEWER, "GET training": VIEWER, "GET metric": VIEWER, "GET metric-file": VIEWER,
    "GET metric-pairs": VIEWER, "GET hardest-picture": VIEWER,
    "POST serve-bundled": RESEARCHER, "POST retraining-rule": RESEARCHER,
    "POST train-now": RESEARCHER, "POST training-retry": RESEARCHER,
    "POST training-discard": RESEARCHER, "POST put-in-service": RESEARCHER,
    # Of one's own account, and of what a project tells other programs.
    "GET tokens": SIGNED_IN, "POST tokens": SIGNED_IN, "POST revoke-token": HOLDER,
    "GET webhooks": RESEARCHER, "POST webhooks": RESEARCHER, "POST change-webhook": RESEARCHER,
    "POST test-webhook": RESEARCHER, "POST send-again": RESEARCHER,
    # Of the API; SCOPES says what a token needs besides.
    "GET api-unknown": PUBLIC, "GET api-docs": SIGNED_IN, "GET api-schema": SIGNED_IN,
    "GET api-projects": SIGNED_IN, "GET api-codecs": SIGNED_IN, "GET api-collections": SIGNED_IN,
    "GET api-images": SIGNED_IN, "GET api-studies": SIGNED_IN, "GET api-tokens": SIGNED_IN,
    "POST api-projects": SIGNED_IN, "PATCH api-project": OWNER, "POST api-members": OWNER,
    "PATCH api-member": OWNER, "DELETE api-member": OWNER, "POST api-member-link": OWNER,
    "POST api-distance": SIGNED_IN, "GET api-token": HOLDER, "DELETE api-token": HOLDER,
    "GET api-project": VIEWER, "GET api-members": VIEWER, "GET api-audit": VIEWER,
    "GET api-webhooks": RESEARCHER, "POST api-webhooks": RESEARCHER,
    "GET api-webhook": RESEARCHER, "PATCH api-webhook": RESEARCHER,
    "DELETE api-webhook": RESEARCHER, "POST api-webhook-test": RESEARCHER,
    "GET api-deliveries": RESEARCHER, "POST api-delivery-again": RESEARCHER,
    "POST api-collections": RESEARCHER, "GET api-collection": VIEWER, "POST api-upload": RESEARCHER,
    "GET api-image": VIEWER, "GET api-reconstructions": VIEWER,
    "POST api-studies": RESEARCHER, "GET api-study": VIEWER, "GET api-progress": VIEWER,
    "POST api-move": RESEARCHER, "POST api-retry": RESEARCHER,
    "GET api-results": VIEWER, "GET api-judgments": VIEWER,
    "GET api-annotators": RESEARCHER, "POST api-annotators": RESEARCHER,
    "DELETE api-annotator": RESEARCHER, "POST api-revoke": RESEARCHER,
    "POST api-restore": RESEARCHER, "POST api-new-link": RESEARCHER,
    "GET api-payments": RESEARCHER,
    "POST api-plan": RESEARCHER, "GET api-exports": VIEWER, "POST api-exports": RESEARCHER,
    "GET api-export": VIEWER, "DELETE api-export": RESEARCHER,
    "POST api-export-retry": RESEARCHER, "GET api-export-file": VIEWER,
    "GET api-links": VIEWER, "POST api-links": RESEARCHER, "POST api-revoke-link": RESEARCHER,
    "GET api-imports": SIGNED_IN, "POST api-imports": RESEARCHER, "POST api-dry-run": RESEARCHER,
    "GET api-import": VIEWER, "DELETE api-import": RESEARCHER, "GET api-import-results": VIEWER,
    "GET api-import-file": VIEWER,
    "GET api-metrics": VIEWER, "GET api-metric": VIEWER,
}  # fmt: skip
READ, JUDGMENTS, ANNOTATORS, MEMBERS, WRITE = Scope
# What a token needs for each address of the API that takes one; None: any will do.
SCOPES = {
    "GET api-schema": None, "GET api-tokens": None, "GET api-token": None,
    "DELETE api-token": None, "GET api-judgments": JUDGMENTS,
    "GET api-annotators": ANNOTATORS, "POST api-annotators": ANNOTATORS,
    "DELETE api-annotator": ANNOTATORS, "POST api-revoke": ANNOTATORS,
    "POST api-restore": ANNOTATORS, "POST api-new-link": ANNOTATORS,
    "GET api-payments": ANNOTATORS, "POST api-distance": READ, "POST api-plan": READ,
    "POST api-dry-run": READ, "GET api-export-file": JUDGMENTS, "GET api-import-file": JUDGMENTS,
    **dict.fromkeys(
        ("POST api-projects", "PATCH api-project", "POST api-members", "PATCH api-member",
         "DELETE api-member", "POST api-member-link"), MEMBERS),
    **dict.fromkeys(
        ("GET api-projects", "GET api-codecs", "GET api-collections", "GET api-images",
         "GET api-studies", "GET api-project", "GET api-members", "GET api-audit",
         "GET api-webhooks", "GET api-webhook", "GET api-deliveries", "GET api-collection",
         "GET api-image", "GET api-reconstructions", "GET api-study", "GET api-progress",
         "GET api-results", "GET api-metrics", "GET api-metric", "GET api-exports",
         "GET api-export", "GET api-links", "GET api-imports", "GET api-import",
         "GET api-import-results"), READ),
    **dict.fromkeys(
        ("POST api-webhooks", "PATCH api-webhook", "DELETE api-webhook", "POST api-webhook-test",
         "POST api-delivery-again", "POST api-collections", "POST api-upload", "POST api-studies",
         "POST api-move", "POST api-retry",
         "POST api-exports", "DELETE api-export", "POST api-export-retry", "POST api-links",
         "POST api-revoke-link", "POST api-imports", "DELETE api-import"), WRITE),
}  # fmt: skip
OF_PROJECTS = {"project", "audit", "project-settings", "add-member", "change-role", "remove-member",
               "password-link", "webhooks", "change-webhook", "test-webhook", "send-again",
               "api-project", "api-members", "api-audit", "api-webhooks", "api-webhook",
               "api-webhook-test", "api-deliveries", "api-delivery-again", "api-member",
               "api-member-link"}  # fmt: skip
SIGN_IN = "is asked to sign in"
PEOPLE = ("anonymous", "annotator", "stranger", "viewer", "researcher", "owner")
# A stranger has a project of their own for them.
OF_NEW_STUDIES = {"GET new-study", "POST upload", "POST plan-study", "GET collection-pictures",
                  "POST study-file", "POST open-study-file", "GET new-import", "POST new-import",
                  "GET import-preview", "POST import-preview", "POST downstream-upload",
                  "POST api-studies",
                  "POST api-collections", "POST api-plan", "POST api-imports",
                  "POST api-dry-run"}  # fmt: skip
# Not found by those who may, too.
WITHOUT_OBJECT = {"GET plot-file", "GET export-file", "GET hardest-picture", "GET metric-pairs",
                  "GET import-failing"}  # fmt: skip


@dataclass
class World:
    study: Study
    arguments: dict[str, object]
    clients: dict[str, Client]
    ids: dict[str, int]
    users: dict


@pytest.fixture
def world(django_user_model, settings, tmp_path, monkeypatch) -> World:
    settings.CLOSER_DATA = tmp_path
    settings.CLOSER_CODEC_TRAININGS = tmp_path / "codec-training"
    tell_of_training(tmp_path / "codec-training" / "mine")
    monkeypatch.setattr(encode_owed, "delay", lambda: None)  # no worker listens
    monkeypatch.setattr(webhook_tasks.deliver, "delay", lambda: None)
    monkeypatch.setattr(metric_tasks, "wake", lambda task: None)
    lab = default_project()
    other = Project.objects.create(name="Other", slug="other", trains_metric=False)
    clients = {"anonymous": Client()}
    users = {}
    for name, project, role in (
        ("stranger", other, OWNER),
        *(
            ("member", lab, VIEWER),
            ("viewer", lab, VIEWER),
            ("researcher", lab, RESEARCHER),
            ("owner", lab, OWNER),
        ),
    ):
        users[name] = django_user_model.objects.create_user(name)
        Membership.objects.create(project=project, user=users[name], role=role)
        clients[name] = Client()
        clients[name].force_login(users[name])
    study = factories.study()
    source = study.sources.first()
    Collection.objects.create(name="sea", project=lab).sources.add(*study.sources.all())
    made = source.reconstructions.first()
    annotator = factories.annotator(study.campaign)
    clients["annotator"] = Client()
    clients["annotator"].get(reverse("judge", args=[annotator.token]))
    hook = make_webhook(lab, "https://example.org/told", ["study.opened"], by=None)
    told = send_test(hook)
    token, _ = make_token(users["researcher"], "of the researcher", [READ])
    version = stored_version(metric=metric())
    drawn = DifferenceMap.objects.create(
        version=version, reconstruction=made, picture=source.png, largest=1, distance=1
    )
    run = TrainingRun.objects.create(
        name="next", population="people", settings=version.settings, last_judgment=0
    )
    imported = import_judgments(
        b"annotator,content,stratum,left,right,chosen\nann,x,1,j,w,left\n",
        file_name="a.csv",
        reading=Reading(project=lab),
    )
    export = Export.objects.create(
        campaign=study.campaign, format="csv", population="people", requested_at=factories.NOW
    )
    link = sharing.share(study, population="people")
    arguments = {
        "slug": study.slug,
        "codec": "jpeg",
        "import_id": imported.id,
        "export_id": export.id,
        "evaluation_id": downstream_evaluation(lab).id,
        "training_name": "mine",
        "step": 20,
        "which": "original",
        "source_id": source.id,
        "reconstruction_id": made.id,
        "token": annotator.token,
        "annotator_id": annotator.id,
        "user_id": users["member"].id,
        "population": "people",
        "run_id": run.id,
        "map_id": drawn.id,
        "name": version.name,
        "number": 1,
        "side": "p0",
        "position": "left",
        "uidb64": "MQ",
        "task_id": study.campaign.tasks.first().id,
        "link_id": link.id,
        "kind": "svg",
        "picture_id": source.id,
        "path": "nothing",
        "token_id": token.id,
        "webhook_id": hook.id,
        "delivery_id": told.id,
    }
    ids = {
        "api-collection": Collection.objects.get(name="sea").id,
        "api-upload": Collection.objects.get(name="sea").id,
        "api-image": source.id,
        "api-reconstructions": source.id,
        "api-annotator": annotator.id,
        "api-revoke": annotator.id,
        "api-restore": annotator.id,
        "api-webhook": hook.id,
        "api-webhook-test": hook.id,
        "api-deliveries": hook.id,
        "api-delivery-again": hook.id,
        "api-token": token.id,
        "api-member": users["member"].id,
        "api-member-link": users["member"].id,
        "api-export": export.id,
        "api-export-retry": export.id,
        "api-export-file": export.id,
        "api-revoke-link": link.id,
        "api-import": imported.id,
        "api-import-results": imported.id,
        "api-import-file": imported.id,
    }
    return World(study, arguments, clients, ids, users)


def patterns(resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    for each in (resolver or get_resolver()).url_patterns:
        if isinstance(each, URLPattern):
            yield each
        else:
            yield from patterns(each)


def test_every_address_says_who_may_have_it():
    names = {each.name for each in patterns()}
    told = {each.split()[1] for each in NEEDED}
    assert names == told


@pytest.mark.parametrize("who", PEOPLE)
def test_each_has_what_they_may_and_is_told_nothing_of_the_rest(world, who):
    wrong = []
    for address, needed in NEEDED.items():
        status = answered(world, who, *address.split())
        if allows(needed, who) or (who == "stranger" and address in OF_NEW_STUDIES):
            missing = needed in Role.values and address not in WITHOUT_OBJECT and status == 404
            is_right = status not in (SIGN_IN, 401, 403) and not missing
        elif who in ("anonymous", "annotator"):
            is_right = status in (SIGN_IN, 401, 403)
        elif needed in (HOLDER, ADMINISTRATOR):
            is_right = status == 404
        else:
            is_right = status == (404 if who == "stranger" else 403)
        if not is_right:
            wrong.append(f"{address}: {status}")
    assert not wrong


def allows(needed: str, who: str) -> bool:
    if needed == PUBLIC:
        return True
    if needed == SIGNED_IN:
        return who not in ("anonymous", "annotator")
    if needed == HOLDER:
        return who == "researcher"
    if needed == ADMINISTRATOR:  # none of these: tests/projects tries it as one
        return False
    roles = {"viewer": VIEWER, "researcher": RESEARCHER, "owner": OWNER}
    return who in roles and roles[who] in Role(needed).or_more


def answered(world: World, who: str, method: str, name: str, secret: str = "") -> int | str:
    """The answer's status, or SIGN_IN; whatever it changed is undone. secret : a token's."""
    arguments = world.arguments | {"id": world.ids.get(name)}
    if name in OF_PROJECTS:
        arguments = arguments | {"slug": default_project().slug}
    if name == "welcome":
        arguments = arguments | {"token": world.study.campaign.token}
    pattern = next(each for each in patterns() if each.name == name).pattern
    wanted = pattern.converters or pattern.regex.groupindex
    address = reverse(name, kwargs={each: arguments[each] for each in wanted})
    client = Client()
    client.cookies = deepcopy(world.clients[who].cookies)  # signing out changes them
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    with transaction.atomic():
        response = client.generic(method, address, headers=headers)
        transaction.set_rollback(True)
    if response.streaming:
        deque(response.streaming_content, maxlen=0)  # closes the file, too
    asks = response.status_code == 302 and response.url.startswith(f"{reverse('login')}?next=")
    return SIGN_IN if asks else response.status_code


def test_a_link_that_is_not_the_annotators_leads_nowhere(world):
    for name in ("judge", "my-data"):
        address = reverse(name, args=[world.arguments["token"]])
        assert Client().get(address[:-3] + "xyz").status_code == 404


def test_a_token_opens_what_its_scope_and_its_holders_role_both_allow(world):
    owned = {name for name in NEEDED if name.split()[1].startswith("api-")}
    assert set(SCOPES) == owned - {"GET api-unknown", "GET api-docs"}
    wrong = []
    for scope in Scope:
        for who in ("viewer", "owner"):
            token, secret = make_token(world.users[who], f"{who} {scope}", [scope])
            world.ids["api-token"] = token.id
            for address, needed in SCOPES.items():
                status = answered(world, "anonymous", *address.split(), secret)
                of_role = NEEDED[address] == HOLDER or allows(NEEDED[address], who)
                is_open = status not in (401, 403, 404)
                if is_open != (of_role and needed in (None, scope)):
                    wrong.append(f"{who}, {scope}: {address}: {status}")
    assert not wrong


def test_a_token_of_one_project_opens_no_other(world, django_user_model):
    other = Project.objects.get(slug="other")
    Membership.objects.create(project=other, user=world.users["owner"], role=OWNER)
    _, secret = make_token(world.users["owner"], "for the other", list(Scope), project=other)
    found = {
        address: answered(world, "anonymous", *address.split(), secret)
        for address in SCOPES
        if NEEDED[address] in Role.values and address not in OF_NEW_STUDIES
    }
    assert set(found.values()) == {404}, found

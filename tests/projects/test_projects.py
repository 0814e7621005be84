"""Projects: who takes part, what is theirs, and the log of what was changed."""

import re

import pytest
from django.db import IntegrityError, transaction
from django.urls import reverse

from codecs_registry.models import Collection, SourceImage
from evaluation.models import Study
from evaluation.study_files import InvalidStudy
from projects import audit, members
from projects.access import default_project, projects_of
from projects.members import CannotChange
from projects.models import AuditEntry, Membership, Project
from projects.roles import Role
from projects.views import ENTRIES_A_PAGE
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def lab() -> Project:
    return default_project()


@pytest.fixture
def person(django_user_model):
    def make(name: str, role: Role | None = None, project: Project | None = None):
        user = django_user_model.objects.create_user(name)
        if role:
            Membership.objects.create(project=project or default_project(), user=user, role=role)
        return user

    return make


def last_entry() -> tuple:
    entry = AuditEntry.objects.first()
    return entry.actor_name, entry.action, entry.subject, entry.details


# Roles.


@pytest.mark.parametrize("role", Role)
def test_each_role_may_do_what_those_before_it_may(person, role):
    user = person("ada", role)
    allowed = [each for each in Role if projects_of(user, each).exists()]
    assert allowed == list(Role)[: list(Role).index(role) + 1]


def test_who_is_in_no_project_sees_none_and_is_told_what_to_do(client, person):
    client.force_login(person("ada"))
    response = client.get(reverse("studies"), follow=True)
    assert "ask the owner of a lab" in response.content.decode()


def test_an_administrator_sees_all(person):
    user = person("root")
    user.is_superuser = True
    project = default_project()
    assert list(projects_of(user, Role.OWNER)) == [project]
    user.is_active = False
    assert not projects_of(user).exists()


def test_the_database_holds_no_other_role_and_nobody_twice(person):
    user = person("ada", Role.VIEWER)
    for role in ("boss", Role.OWNER):
        with pytest.raises(IntegrityError), transaction.atomic():
            Membership.objects.create(project=default_project(), user=user, role=role)


# Who takes part.


def test_a_project_belongs_to_who_made_it_and_its_studies_are_shown_next(client, person):
    client.force_login(person("ada"))
    client.post(reverse("projects"), {"name": "Optics"})
    made = Project.objects.get(slug="optics")
    assert made.memberships.get().role == Role.OWNER
    assert last_entry() == ("ada", "made the project", "Optics", {})
    assert "No study yet" in client.get(reverse("studies")).content.decode()


@pytest.mark.parametrize("name", ["", "???", "optics", "x" * 101])
def test_a_project_that_cannot_be_is_refused_with_the_reason(client, person, name):
    members.create_project("Optics", by=person("eve"))
    client.force_login(person("ada"))
    response = client.post(reverse("projects"), {"name": name})
    assert response.status_code == 422
    assert "errorlist" in response.content.decode()
    assert set(Project.objects.values_list("name", flat=True)) == {"Lab", "Optics"}


def test_a_new_member_sets_a_password_by_a_link_that_works_once(client, researcher):
    project = default_project()
    client.force_login(researcher)
    given = {"username": "ada", "role": "viewer"}
    shown = client.post(reverse("add-member", args=[project.slug]), given, follow=True)
    link = re.search(r'value="https?://[^/]+(/set-password/[^"]+)"', shown.content.decode())[1]
    assert last_entry()[:3] == ("researcher", "added a member", "ada")
    assert (
        "/set-password/" not in client.get(reverse("project", args=[project.slug])).content.decode()
    ), "it is shown once"
    client.logout()
    page = client.get(link, follow=True)
    password = {"new_password1": "a rather long one", "new_password2": "a rather long one"}
    client.post(page.redirect_chain[-1][0], password)
    assert client.login(username="ada", password="a rather long one")
    assert "was used already" in client.get(link, follow=True).content.decode()


def test_nobody_gets_a_link_to_the_account_of_somebody_who_uses_it(as_researcher, person):
    project = default_project()
    user = person("ada", Role.VIEWER)
    user.set_password("her own, and long")
    user.save()
    response = as_researcher.post(
        reverse("password-link", args=[project.slug, user.id]), follow=True
    )
    page = response.content.decode()
    assert "theirs alone" in page
    assert "/set-password/" not in page


def test_who_takes_part_already_is_not_added_again(as_researcher, person):
    person("ada", Role.VIEWER)
    response = as_researcher.post(
        reverse("add-member", args=[default_project().slug]), {"username": "ada", "role": "owner"}
    )
    assert response.status_code == 422
    assert "takes part already" in response.content.decode()
    assert Membership.objects.get(user__username="ada").role == Role.VIEWER


def test_a_link_leads_only_to_an_account_that_was_made_for_the_project(client, person, lab):
    """Else anybody could make a project, add who was invited elsewhere, and come in as them."""
    members.add_member(lab, "ada", Role.OWNER, by=None)
    mallory = person("mallory")
    other = members.create_project("Mallory's", by=mallory)
    with pytest.raises(CannotChange, match="was never used"):
        members.add_member(other, "ada", Role.VIEWER, by=mallory)
    ada = Membership.objects.get(user__username="ada").user
    Membership.objects.create(project=other, user=ada, role=Role.VIEWER)
    for membership in ada.memberships.all():
        with pytest.raises(CannotChange, match="theirs alone"):
            members.password_link(membership)


def test_no_link_leads_to_an_administrators_account(person, lab):
    root = person("root", Role.VIEWER)
    root.is_superuser = True
    root.set_unusable_password()
    root.save()
    Membership.objects.update(made_account=True)
    with pytest.raises(CannotChange, match="theirs alone"):
        members.password_link(root.memberships.get())


@pytest.mark.parametrize(
    "change",
    [
        lambda membership, user: members.remove_member(membership, by=user),
        lambda membership, user: members.change_role(membership, Role.VIEWER, by=user),
    ],
    ids=["leaves", "steps down"],
)
def test_a_project_keeps_an_owner(person, change):
    user = person("ada", Role.OWNER)
    membership = user.memberships.get()
    with pytest.raises(CannotChange, match="needs an owner"):
        change(membership, user)
    person("bob", Role.OWNER)
    members.remove_member(membership, by=user)
    assert not projects_of(user).exists()


def test_a_change_of_role_is_made_and_logged(as_researcher, person):
    user = person("ada", Role.VIEWER)
    address = reverse("change-role", args=[default_project().slug, user.id])
    as_researcher.post(address, {"role": "researcher"})
    assert user.memberships.get().role == Role.RESEARCHER
    before_and_after = {"before": "viewer", "after": "researcher"}
    assert last_entry() == ("researcher", "changed a role", "ada", before_and_after)
    as_researcher.post(address, {"role": "emperor"})
    assert user.memberships.get().role == Role.RESEARCHER


def test_everybody_may_leave_and_only_owners_remove_others(client, person):
    ada, bob = person("ada", Role.RESEARCHER), person("bob", Role.VIEWER)
    slug = default_project().slug
    client.force_login(ada)
    assert client.post(reverse("remove-member", args=[slug, bob.id])).status_code == 403
    assert client.post(reverse("remove-member", args=[slug, ada.id])).status_code == 302
    assert set(Membership.objects.values_list("user__username", flat=True)) == {"bob"}


# What is theirs.


def test_two_projects_see_neither_the_others_studies_nor_its_photographs(client, person):
    other = members.create_project("Other lab", by=person("eve"))
    study = factories.study()
    study.project = other
    study.save()
    hidden = Collection.objects.create(name="secret", project=other)
    source = factories.source_image(name="secret.png")
    hidden.sources.add(source)
    client.force_login(person("ada", Role.OWNER))
    assert study.name not in client.get(reverse("studies")).content.decode()
    assert client.get(reverse("study", args=[study.slug])).status_code == 404
    assert "secret" not in client.get(reverse("images")).content.decode()
    for name in ("original-png", "thumbnail", "image"):
        assert client.get(reverse(name, args=[source.id])).status_code == 404
    assert client.get(reverse("images"), {"collection": hidden.id}).status_code == 404
    client.force_login(Membership.objects.get(project=other).user)
    assert study.name in client.get(reverse("studies")).content.decode()
    shown = client.get(reverse("original-png", args=[source.id]))
    assert b"".join(shown.streaming_content).startswith(b"\x89PNG")


def test_of_two_collections_of_one_name_a_project_knows_its_own(person):
    other = members.create_project("Other lab", by=person("eve"))
    shared = Collection.objects.create(name="sea")
    own = Collection.objects.create(name="sea", project=other)
    assert Collection.objects.known_to(other).get() == own
    assert Collection.objects.known_to(default_project()).get() == shared
    with pytest.raises(IntegrityError), transaction.atomic():
        Collection.objects.create(name="sea")


def test_a_source_image_is_counted_once_however_many_collections_it_is_in(as_researcher):
    source = factories.source_image()
    for name in ("sea", "land"):
        Collection.objects.create(name=name).sources.add(source)
    factories.reconstruction(source, "jpeg")
    user = Membership.objects.get().user
    assert SourceImage.objects.seen_by(user).count() == 1
    assert "1 reconstruction<" in as_researcher.get(reverse("images")).content.decode()


def test_the_project_that_is_looked_at_is_chosen_and_kept(client, person):
    ada = person("ada", Role.VIEWER)
    members.create_project("Second", by=ada)
    factories.study(name="Sea")
    client.force_login(ada)
    assert "Sea" in client.get(reverse("studies")).content.decode()
    client.post(reverse("choose-project"), {"project": "second"})
    assert "Sea" not in client.get(reverse("studies")).content.decode()
    assert client.post(reverse("choose-project"), {"project": "third"}).status_code == 404


def test_a_viewer_launches_nothing(client, person):
    client.force_login(person("ada", Role.VIEWER))
    assert client.get(reverse("new-study")).status_code == 403
    assert client.post(reverse("upload"), {"collection": "a"}).status_code == 403
    assert not Study.objects.exists()


def test_judgments_of_a_project_that_does_not_share_train_no_metric(as_researcher):
    from evaluation.training_data import judgments

    study = factories.study()
    judged = factories.judge_all(factories.annotator(study.campaign))
    assert judgments("people").count() == judged
    as_researcher.post(reverse("project-settings", args=[study.project.slug]), {})
    assert judgments("people").count() == 0
    assert judgments("people", study).count() == judged
    assert as_researcher.get(reverse("metrics")).status_code == 404
    again = as_researcher.post(
        reverse("project-settings", args=[study.project.slug]), {"trains_metric": "on"}
    )
    assert again.status_code == 403, "an administrator says who shares the metric"


def test_who_makes_a_project_gets_no_say_over_the_metric(client, person):
    client.force_login(person("mallory"))
    client.post(reverse("projects"), {"name": "Mine"})
    assert client.get(reverse("metrics")).status_code == 404
    assert client.post(reverse("train-now", args=["people"])).status_code == 404


def test_studies_of_another_project_cannot_be_excluded_nor_found_out(person):
    other = members.create_project("Other lab", by=person("eve"))
    factories.study("Secret")
    Study.objects.update(project=other)
    with pytest.raises(InvalidStudy, match="'Secret' is no study here"):
        factories.study("Mine", not_after=["Secret"])


def test_collections_of_another_project_are_no_categories(person):
    from evaluation.analysis import analyse_study

    other = members.create_project("Other lab", by=person("eve"))
    study = factories.study(sources=2)
    factories.judge_all(factories.annotator(study.campaign))
    for project, name in ((other, "rejected by a client"), (study.project, "sea")):
        Collection.objects.create(name=name, project=project).sources.add(study.sources.first())
    found = analyse_study(study, population="people")
    shown = {each["category"] for rows in found["categories"].values() for each in rows}
    assert shown == {"sea"}


# The log.


def test_the_log_is_append_only_and_outlives_accounts(person):
    user = person("ada", Role.OWNER)
    audit.record("closed", "Sea", by=user, project=default_project(), why="done")
    for change in (
        lambda: AuditEntry.objects.update(action="opened"),
        lambda: AuditEntry.objects.all().delete(),
    ):
        with pytest.raises(IntegrityError, match="append-only"), transaction.atomic():
            change()
    user.delete()
    assert last_entry() == ("ada", "closed", "Sea", {"why": "done"})
    assert AuditEntry.objects.get().actor is None


def test_the_log_of_a_project_tells_who_ran_its_studies(as_researcher):
    study = factories.study()
    close = {"move": "close"}
    as_researcher.post(reverse("move", args=[study.slug]), close)
    as_researcher.post(reverse("move", args=[study.slug]), close)  # is closed already
    as_researcher.post(reverse("invite", args=[study.slug]), {"labels": "Ada\nBob"})
    page = as_researcher.get(reverse("audit", args=[study.project.slug])).content.decode()
    assert page.count("after: closed") == 1
    assert "invited annotators" in page
    assert "links: 2" in page
    assert "Ada" not in page


def test_administrators_see_what_was_changed_in_the_whole_installation(
    as_researcher, client, django_user_model
):
    study = factories.study()
    audit.record("made a token", "notebook", by=None, project=None)
    address = reverse("audit-of-all")
    assert as_researcher.get(address).status_code == 404
    assert f'"{address}"' not in as_researcher.get(reverse("studies")).content.decode()
    client.force_login(django_user_model.objects.create_user("admin", is_superuser=True))
    assert f'href="{address}"' in client.get(reverse("studies")).content.decode()
    shown = client.get(address).content.decode()
    assert "launched the study" in shown
    assert reverse("audit", args=[study.project.slug]) in shown
    alone = client.get(f"{address}?of=none").content.decode()
    assert "made a token" in alone
    assert "launched the study" not in alone


def test_the_log_of_the_installation_is_read_page_by_page(client, django_user_model):
    client.force_login(django_user_model.objects.create_user("admin", is_superuser=True))
    address = reverse("audit-of-all")
    assert "Nothing was changed yet" in client.get(f"{address}?of=none").content.decode()
    for number in range(ENTRIES_A_PAGE + 1):
        audit.record("changed", f"thing {number}", by=None, project=None)
    first, second = (
        client.get(f"{address}?of=none&page={page}").content.decode() for page in (1, 2)
    )
    assert f"thing {ENTRIES_A_PAGE}<" in first
    assert "thing 0<" not in first
    assert "of=none&amp;page=2" in first, "the next page is of the same"
    assert "thing 0<" in second

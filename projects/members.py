"""A project's people: who takes part, in which role."""

from django.contrib.auth import get_user_model
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode
from django.utils.text import slugify

from projects import audit
from projects.models import Membership, Project
from projects.roles import Role


class CannotChange(Exception):
    """A change of a project that is refused; the message says why."""


def create_project(name: str, *, by) -> Project:
    """Make a project, whose owner is who made it. Raises CannotChange if its name is taken."""
    slug = slugify(name)
    if not slug:
        raise CannotChange("A name needs a letter from a to z or a digit.")
    try:
        with transaction.atomic():
            project = Project.objects.create(name=name, slug=slug)
            Membership.objects.create(project=project, user=by, role=Role.OWNER)
            audit.record("made the project", project, by=by, project=project)
    except IntegrityError:
        raise CannotChange("Another project has this name, or one too like it.") from None
    return project


@transaction.atomic
def change_settings(project: Project, *, trains_metric: bool, by) -> None:
    """Raises PermissionDenied where it takes an administrator."""
    # Its members see pairs of all projects that train the metric, and put versions in service.
    if trains_metric and not project.trains_metric and not by.is_superuser:
        raise PermissionDenied("An administrator lets a project train the metric.")
    project.trains_metric = trains_metric
    project.save(update_fields=["trains_metric"])
    audit.record("changed settings", project, by=by, project=project, trains_metric=trains_metric)


@transaction.atomic
def add_member(project: Project, username: str, role: Role, *, by, email: str = ""):
    """Let somebody take part; makes an account if there is none. Returns it, and whether it is new.

    Raises CannotChange if they take part already.
    """
    accounts = get_user_model().objects
    user, is_new = accounts.get_or_create(username=username, defaults={"email": email})
    if is_new:
        user.set_unusable_password()
        user.save()
    _, joined = Membership.objects.get_or_create(
        project=project, user=user, defaults={"role": role, "made_account": is_new}
    )
    if not joined:
        raise CannotChange(f"{username} takes part already.")
    if not is_new and is_unused(user):
        # Whoever made it may hold the link to it, and would come in under this name.
        raise CannotChange(
            f"{username} has an account that was never used. Add them once they have signed in."
        )
    audit.record("added a member", user, by=by, project=project, role=role)
    return user, is_new


@transaction.atomic
def change_role(membership: Membership, role: Role, *, by) -> None:
    """Raises CannotChange if the project would have no owner."""
    before = membership.role
    if role != Role.OWNER:
        _keep_an_owner(membership)
    membership.role = role
    membership.save()
    changed = {"before": before, "after": role}
    audit.record("changed a role", membership.user, by=by, project=membership.project, **changed)


@transaction.atomic
def remove_member(membership: Membership, *, by) -> None:
    """Raises CannotChange if the project would have no owner."""
    _keep_an_owner(membership)
    audit.record("removed a member", membership.user, by=by, project=membership.project)
    membership.delete()


def _keep_an_owner(leaving: Membership) -> None:
    # Locked, or two owners could each remove the other.
    owners = Membership.objects.select_for_update().filter(project=leaving.project, role=Role.OWNER)
    if [each.id for each in owners.order_by("id")] == [leaving.id]:
        raise CannotChange("A project needs an owner: make somebody else one first.")


def is_unused(user) -> bool:
    """Whether nobody has signed in by an account, and nobody can yet."""
    return user.last_login is None and not user.has_usable_password()


def password_link(membership: Membership) -> str:
    """The path of a page where a member sets the first password of their account, once, within
    PASSWORD_RESET_TIMEOUT.

    Raises CannotChange if the account was used, or was not made for this membership alone: it is
    theirs, or others have plans with it.
    """
    user = membership.user
    is_theirs = not is_unused(user) or user.is_superuser
    if is_theirs or not membership.made_account or user.memberships.count() > 1:
        raise CannotChange(f"{user} has an account already: their password is theirs alone.")
    name = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("set-password", args=[name, default_token_generator.make_token(user)])

"""Projects, who takes part, and what was changed in them."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.shortcuts import get_object_or_404
from rest_framework import serializers
from rest_framework.response import Response

from evaluation.api.authentication import token_of
from evaluation.api.endpoint import Endpoint, ProjectEndpoint
from evaluation.api.etags import require_match
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api.problems import Conflict
from evaluation.api_models import Scope
from projects import members
from projects.access import may
from projects.models import Project
from projects.roles import Role


class ProjectSerializer(serializers.Serializer):
    slug = serializers.CharField()
    name = serializers.CharField()
    trains_metric = serializers.BooleanField(help_text="Whether its judgments train the metric.")
    made_at = serializers.DateTimeField()
    role = serializers.SerializerMethodField(help_text="Yours.")

    def get_role(self, project: Project) -> str:
        user = self.context["user"]
        return max(
            (each for each in Role if may(user, project, each)), key=list(Role).index, default=""
        )


class NewProjectSerializer(serializers.Serializer):
    name = serializers.CharField(max_length=100)


class SettingsSerializer(serializers.Serializer):
    trains_metric = serializers.BooleanField(
        help_text="Only administrators may let a project train it."
    )


class MemberSerializer(serializers.Serializer):
    id = serializers.IntegerField(source="user.id", help_text="Of their account.")
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Role.choices)
    since = serializers.DateTimeField()


class NewMemberSerializer(serializers.Serializer):
    username = serializers.CharField(
        max_length=150,
        validators=[get_user_model().username_validator],
        help_text="Who has no account gets one.",
    )
    role = serializers.ChoiceField(choices=Role.choices, default=Role.RESEARCHER)
    email = serializers.EmailField(
        max_length=254,
        required=False,
        allow_blank=True,
        default="",
        help_text="Of a new account, for sign-in through your organisation; nothing is sent.",
    )


class RoleSerializer(serializers.Serializer):
    role = serializers.ChoiceField(choices=Role.choices)


class MadeMemberSerializer(MemberSerializer):
    is_new = serializers.BooleanField(help_text="They had no account: get them a link to theirs.")


class LinkSerializer(serializers.Serializer):
    password_link = serializers.CharField(
        help_text="Where the member sets the first password of their account, once."
    )


class EntrySerializer(serializers.Serializer):
    """A change: who made it, of what."""

    id = serializers.IntegerField()
    at = serializers.DateTimeField()
    actor = serializers.CharField(
        source="actor_name", help_text="Empty: a command, or Closer by itself."
    )
    action = serializers.CharField()
    subject = serializers.CharField()
    details = serializers.DictField()


class Members(serializers.Serializer):
    items = MemberSerializer(many=True)


class Projects(Endpoint):
    tag = "projects"

    @operation(Scope.READ, query=PageQuery, gives=paged(ProjectSerializer))
    def get(self, request) -> Response:
        """The projects in which you take part."""
        return page(request, self.query(), self.projects(), self.present)

    def present(self, found: list[Project]) -> list[dict]:
        return ProjectSerializer(found, many=True, context={"user": self.user}).data

    @operation(
        Scope.MEMBERS,
        takes=NewProjectSerializer,
        gives={201: ProjectSerializer},
        errors=(409,),
        changes=True,
    )
    def post(self, request) -> Response:
        """Make a project; you own it.

        409 if its name is taken, or too like another one. 403 for a token of a single project.
        """
        token = token_of(request)
        if token and token.project_id:
            raise PermissionDenied("This token is of one project, and opens no other.")
        with refused():
            made = members.create_project(self.given()["name"], by=self.user)
        return Response(self.present([made])[0], 201)


class OneProject(ProjectEndpoint):
    tag = "projects"

    @operation(Scope.READ, Role.VIEWER, gives=ProjectSerializer)
    def get(self, request, slug: str) -> Response:
        """A project."""
        return Response(self.present())

    def present(self) -> dict:
        return ProjectSerializer(self.project, context={"user": self.user}).data

    @operation(
        Scope.MEMBERS,
        Role.OWNER,
        takes=SettingsSerializer,
        gives=ProjectSerializer,
        is_conditional=True,
    )
    def patch(self, request, slug: str) -> Response:
        """Change a project's settings."""
        given = self.given()
        with transaction.atomic():
            self.project = Project.objects.select_for_update().get(id=self.project.id)
            require_match(request, self.present())
            members.change_settings(self.project, by=self.user, **given)
        return Response(self.present())


class ProjectMembers(ProjectEndpoint):
    tag = "projects"

    @operation(Scope.READ, Role.VIEWER, gives=Members)
    def get(self, request, slug: str) -> Response:
        """Who takes part in a project."""
        found = self.project.memberships.select_related("user")
        return Response({"items": MemberSerializer(found, many=True).data})

    @operation(
        Scope.MEMBERS,
        Role.OWNER,
        takes=NewMemberSerializer,
        gives={201: MadeMemberSerializer},
        errors=(409,),
        changes=True,
    )
    def post(self, request, slug: str) -> Response:
        """Let somebody take part in a project.

        409 if they take part already, or have an account that was never used.
        """
        given = self.given()
        with refused():
            user, is_new = members.add_member(
                self.project,
                given["username"],
                Role(given["role"]),
                by=self.user,
                email=given["email"],
            )
        made = self.project.memberships.select_related("user").get(user=user)
        return Response(MemberSerializer(made).data | {"is_new": is_new}, 201)


class MemberEndpoint(ProjectEndpoint):
    """Of the member whose account the address names."""

    tag = "projects"

    def find(self) -> None:
        super().find()
        found = self.project.memberships.select_related("user")
        self.membership = get_object_or_404(found, user=self.kwargs["id"])


class OneMember(MemberEndpoint):
    def find(self) -> None:
        if self.request.method == "DELETE" and self.kwargs["id"] == self.user.id:
            self.project = get_object_or_404(self.user.projects, slug=self.kwargs["slug"])
            self.require_project(self.project, Role.VIEWER)
            self.membership = self.project.memberships.get(user=self.user)
        else:
            super().find()

    @operation(
        Scope.MEMBERS,
        Role.OWNER,
        takes=RoleSerializer,
        gives=MemberSerializer,
        errors=(409,),
        is_conditional=True,
    )
    def patch(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Give a member another role.

        409 if the project would have no owner.
        """
        role = Role(self.given()["role"])
        with refused(), transaction.atomic():
            Project.objects.select_for_update().get(id=self.project.id)
            self.membership.refresh_from_db()
            require_match(request, MemberSerializer(self.membership).data)
            members.change_role(self.membership, role, by=self.user)
        return Response(MemberSerializer(self.membership).data)

    @operation(Scope.MEMBERS, Role.OWNER, gives={204: None}, errors=(409,))
    def delete(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """Remove a member. Everybody may remove themselves, whatever their role.

        409 if the project would have no owner.
        """
        with refused():
            members.remove_member(self.membership, by=self.user)
        return Response(status=204)


class MemberLink(MemberEndpoint):
    @operation(Scope.MEMBERS, Role.OWNER, gives=LinkSerializer, errors=(409,))
    def post(self, request, slug: str, id: int) -> Response:  # noqa: A002
        """A link by which a new member sets the password of their account.

        409 if the account is theirs already.
        """
        with refused():
            link = settings.CLOSER_URL + members.password_link(self.membership)
        return Response({"password_link": link})


class Audit(ProjectEndpoint):
    tag = "projects"

    @operation(Scope.READ, Role.VIEWER, query=PageQuery, gives=paged(EntrySerializer))
    def get(self, request, slug: str) -> Response:
        """What was changed in a project, and by whom, the newest first."""
        return page(
            request,
            self.query(),
            self.project.audit.all(),
            lambda found: EntrySerializer(found, many=True).data,
            newest_first=True,
        )


@contextmanager
def refused() -> Iterator[None]:
    """Tells of a change that is refused as a conflict."""
    try:
        yield
    except members.CannotChange as error:
        raise Conflict(str(error)) from None

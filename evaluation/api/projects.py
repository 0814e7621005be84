"""Projects, who takes part, and what was changed in them."""

from rest_framework import serializers
from rest_framework.response import Response

from evaluation.api.endpoint import Endpoint, ProjectEndpoint
from evaluation.api.operations import operation
from evaluation.api.pagination import PageQuery, page, paged
from evaluation.api_models import Scope
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


class MemberSerializer(serializers.Serializer):
    username = serializers.CharField(source="user.username")
    role = serializers.ChoiceField(choices=Role.choices)
    since = serializers.DateTimeField()


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


class OneProject(ProjectEndpoint):
    tag = "projects"

    @operation(Scope.READ, Role.VIEWER, gives=ProjectSerializer)
    def get(self, request, slug: str) -> Response:
        """A project."""
        return Response(ProjectSerializer(self.project, context={"user": self.user}).data)


class ProjectMembers(ProjectEndpoint):
    tag = "projects"

    @operation(Scope.READ, Role.VIEWER, gives=Members)
    def get(self, request, slug: str) -> Response:
        """Who takes part in a project.

        Owners add and remove members on the project’s page.
        """
        members = self.project.memberships.select_related("user")
        return Response({"items": MemberSerializer(members, many=True).data})


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
